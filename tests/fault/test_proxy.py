"""Requests and answers are lost, late or doubled; nothing in the ledger is lost or doubled."""

import asyncio
import itertools
import logging
import os
import time
from functools import partial

import pytest
import pytest_asyncio

from agents.kafka.wire import Produce
from ops.kafka.topics import ensure_topics
from tests.fault.proxy import ANSWER, REQUEST, Action, Api, ProxiedBroker, Rule
from tests.harness import PARTITIONS, CommittedReader, Worker, assert_audit_equal, commands, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Client ids of a worker: who writes transactions, who reads commands, who reads the changelog in RECOVER.
WRITER, READER, RECOVERY = r"holdfast-\d", r"holdfast-commands-\d", r"holdfast-recovery-\d"
FLEXIBLE_HEADER_BYTES = 5
INVALID_PRODUCER_EPOCH = 47
# How long the storm lasts; the longer, the more faults.
STORM_S = float(os.environ.get("STORM_SECONDS", "15"))

# What was seen: `pytest -o log_cli=true --log-cli-level=INFO`.
log = logging.getLogger(__name__)
_seeds = itertools.count(5_000)


async def one_second(_):
    await asyncio.sleep(1.0)


def recover(*, times):
    """An EndTxn whose answer is lost: the worker has to RECOVER, and to find out whether it has committed."""
    return Rule(Api.END_TXN, Action.CUT, of=ANSWER, client=WRITER, nth=3, every=4, times=times)


def fault(api, action, of=REQUEST, *, client=WRITER, times=6):
    until = one_second if action is Action.WAIT else None
    return partial(Rule, api, action, of=of, client=client, nth=2, every=3, times=times, until=until)


# Those in the first part hit the life of every day; those in the second hit RECOVER, and something has to cause one.
EVERY_DAY = {
    "Produce is lost": fault(Api.PRODUCE, Action.CUT),
    "the answer to Produce is lost": fault(Api.PRODUCE, Action.CUT, ANSWER),
    "Produce is late": fault(Api.PRODUCE, Action.WAIT),
    "Produce comes twice": fault(Api.PRODUCE, Action.DOUBLE, times=15),
    "Produce gets no answer": fault(Api.PRODUCE, Action.DROP, ANSWER, times=2),
    "EndTxn is lost": fault(Api.END_TXN, Action.CUT),
    "the answer to EndTxn is lost": fault(Api.END_TXN, Action.CUT, ANSWER),
    "EndTxn is late": fault(Api.END_TXN, Action.WAIT),
    "EndTxn comes twice": fault(Api.END_TXN, Action.DOUBLE, times=15),
    "EndTxn gets no answer": fault(Api.END_TXN, Action.DROP, ANSWER, times=2),
    "Fetch is lost": fault(Api.FETCH, Action.CUT, client=READER, times=10),
    "the answer to Fetch is lost": fault(Api.FETCH, Action.CUT, ANSWER, client=READER, times=10),
    "the answer to Fetch is late": fault(Api.FETCH, Action.WAIT, ANSWER, client=READER),
}
IN_RECOVER = {
    "InitProducerId is lost": fault(Api.INIT_PRODUCER_ID, Action.CUT),
    "the answer to InitProducerId is lost": fault(Api.INIT_PRODUCER_ID, Action.CUT, ANSWER),
    "InitProducerId is late": fault(Api.INIT_PRODUCER_ID, Action.WAIT),
    "InitProducerId comes twice": fault(Api.INIT_PRODUCER_ID, Action.DOUBLE),
    "FindCoordinator is lost": fault(Api.FIND_COORDINATOR, Action.CUT),
    "the answer to ListOffsets is lost": fault(Api.LIST_OFFSETS, Action.CUT, ANSWER),
    "Metadata is lost": fault(Api.METADATA, Action.CUT),
    "the changelog's Fetch is lost": fault(Api.FETCH, Action.CUT, client=RECOVERY),
    "the answer to the changelog's Fetch is lost": fault(Api.FETCH, Action.CUT, ANSWER, client=RECOVERY),
    "the answer to the changelog's Fetch is late": fault(Api.FETCH, Action.WAIT, ANSWER, client=RECOVERY, times=2),
}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    broker = ProxiedBroker(tmp_path_factory.mktemp("broker"))
    broker.start()
    asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    yield broker
    broker.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(kafka):
    async with kafka.proxy() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(proxy, tmp_path_factory):
    """One worker that lives through all the faults of the module."""
    running = Worker(proxy.bootstrap, tmp_path_factory.mktemp("worker"))
    try:
        await running.ready()
        yield running
        assert await running.stop() == 0
    finally:
        await running.kill()


@pytest.fixture(autouse=True)
def no_rules_stay(proxy):
    yield
    proxy.clear()


async def traffic_until(kafka, worker, is_over):
    while not is_over():
        assert worker.process.poll() is None, f"it should have gone on:\n{worker.log()}"
        await send(kafka.bootstrap, commands(next(_seeds), 60), pause_s=0.03)


async def assert_all_is_well(kafka, worker, reader):
    await assert_audit_equal(kafka.bootstrap)
    await reader.assert_saw_what_stands()
    assert worker.process.poll() is None, f"it should have gone on:\n{worker.log()}"


@pytest.mark.parametrize("name", [*EVERY_DAY, *IN_RECOVER])
async def test_what_goes_wrong_on_the_way_changes_nothing(kafka, proxy, worker, name):
    rules = [proxy.add((EVERY_DAY | IN_RECOVER)[name]())]
    if name in IN_RECOVER:
        rules.append(proxy.add(recover(times=10**6)))
    async with CommittedReader(kafka.bootstrap) as reader:
        await traffic_until(kafka, worker, lambda: len(rules[0].hits) >= rules[0].times)
        proxy.clear()
        await assert_all_is_well(kafka, worker, reader)
    log.info("%s: %d faults", name, sum(len(rule.hits) for rule in rules))


async def test_a_produce_that_arrives_again_in_the_next_transaction_is_refused(kafka, proxy, worker):
    codes = []

    async def deliver(_):
        copy = await proxy.deliver(first.hits[0])
        answer = Produce.answer.decode(copy.answer[FLEXIBLE_HEADER_BYTES:])
        codes.extend(partition.error_code for topic in answer.topics for partition in topic.partitions)

    async with CommittedReader(kafka.bootstrap) as reader:
        for _ in range(5):
            # Produce, its EndTxn, then the next Produce. (The broker may send one back, to be sent again.)
            third = Rule(Api.PRODUCE, Action.WAIT, of=ANSWER, client="holdfast-2", until=deliver)
            second = Rule(Api.END_TXN, Action.COPY, client="holdfast-2", then=third)
            first = proxy.add(Rule(Api.PRODUCE, Action.COPY, client="holdfast-2", nth=2, then=second))
            await traffic_until(kafka, worker, lambda third=third: third.hits)
            proxy.clear()
        await assert_all_is_well(kafka, worker, reader)
    assert set(codes) == {INVALID_PRODUCER_EPOCH}


async def test_a_storm_of_all_of_it(kafka, proxy, worker):
    always = 10**9
    rules = [
        proxy.add(Rule(Api.PRODUCE, Action.DOUBLE, client=WRITER, every=3, times=always)),
        proxy.add(Rule(Api.END_TXN, Action.DOUBLE, client=WRITER, every=4, times=always)),
        proxy.add(Rule(Api.INIT_PRODUCER_ID, Action.DOUBLE, client=WRITER, every=2, times=always)),
        proxy.add(Rule(Api.PRODUCE, Action.CUT, client=WRITER, every=19, times=always)),
        proxy.add(Rule(Api.PRODUCE, Action.CUT, of=ANSWER, client=WRITER, every=17, times=always)),
        proxy.add(Rule(Api.END_TXN, Action.CUT, client=WRITER, every=13, times=always)),
        proxy.add(Rule(Api.END_TXN, Action.CUT, of=ANSWER, client=WRITER, every=11, times=always)),
        proxy.add(Rule(Api.INIT_PRODUCER_ID, Action.CUT, of=ANSWER, client=WRITER, every=5, times=always)),
        proxy.add(Rule(Api.FETCH, Action.CUT, of=ANSWER, client=READER, every=9, times=always)),
        proxy.add(Rule(Api.FETCH, Action.CUT, of=ANSWER, client=RECOVERY, every=3, times=always)),
    ]
    over = time.monotonic() + STORM_S
    async with CommittedReader(kafka.bootstrap) as reader:
        await traffic_until(kafka, worker, lambda: time.monotonic() > over)
        proxy.clear()
        await assert_all_is_well(kafka, worker, reader)
    assert all(rule.hits for rule in rules)
    log.info("%s: %d faults", "a storm", sum(len(rule.hits) for rule in rules))
