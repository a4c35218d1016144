"""A late EndTxn arrives during the next transaction: Holdfast loses nothing, transactions v1 do."""

import asyncio
import itertools
import logging

import pytest

from audit.run import audit
from ops.kafka.topics import ensure_topics
from schemas.topics import RESULTS
from tests.fault.control import VARIABLE, ControlWorker
from tests.fault.proxy import ANSWER, REQUEST, Action, Api, ProxiedBroker, Rule
from tests.harness import PARTITIONS, CommittedReader, assert_audit_equal, commands, send, worker_starter

CLIENT = "holdfast-1"
FENCED = (47, 90)
LATE = {
    # How the first EndTxn comes to be late, as its client sees it.
    "connection lost": Action.CUT,
    "timed out": Action.DROP,
    "arrived twice": Action.COPY,
}

# What was seen: `pytest -o log_cli=true --log-cli-level=INFO`.
log = logging.getLogger(__name__)
_seeds = itertools.count(4_000, 2)


def start(directory):
    broker = ProxiedBroker(directory)
    broker.start()
    asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    return broker


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    broker = start(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture
def fresh_kafka(tmp_path):
    """A broker of its own: what the control leaves behind is wrong for ever."""
    broker = start(tmp_path / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def start_worker(tmp_path):
    with worker_starter(ControlWorker) as start_one:
        yield lambda proxy: start_one(proxy.bootstrap, tmp_path / "worker")


async def tear(broker, proxy, start_worker, *, late, at=REQUEST):
    """Deliver a transaction's EndTxn when a later one has written its rows; then kill the worker.

    Args:
        broker: takes the traffic.
        proxy: is between it and the workers.
        start_worker: starts one.
        late: how the EndTxn comes to be late.
        at: REQUEST, before the results are written; ANSWER, after them.

    Returns:
        The late EndTxn with its answer (None: there was none), and the worker that follows.
    """
    victim = start_worker(proxy)
    await victim.ready()
    done = asyncio.get_running_loop().create_future()

    async def deliver(_):
        end = await proxy.deliver(first.hits[0]) if late else None
        victim.process.kill()
        done.set_result(end)

    # A transaction that has results to lose: some only let time pass.
    second = Rule(Api.PRODUCE, Action.WAIT, of=at, client=CLIENT, holding=RESULTS.encode(), until=deliver)
    first = proxy.add(Rule(Api.END_TXN, LATE.get(late, Action.COPY), client=CLIENT, nth=4, then=second))
    # Until it has happened: on a slow machine a few large transactions take all there is.
    async with asyncio.timeout(90):
        while not done.done():
            await send(broker.bootstrap, commands(next(_seeds), 100), pause_s=0.02)
    end = done.result()
    await victim.dead()
    return end, start_worker(proxy)


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("client", ["as shipped", "a request per topic"])
async def test_an_end_of_a_transaction_that_arrives_in_the_next_one_changes_nothing(
    kafka, start_worker, monkeypatch, client, late
):
    monkeypatch.setenv(VARIABLE, client)
    async with kafka.proxy() as proxy, CommittedReader(kafka.bootstrap) as reader:
        # As shipped, rows and results are in one request.
        at = ANSWER if client == "as shipped" else REQUEST
        end, successor = await tear(kafka, proxy, start_worker, late=late, at=at)
        log.info("%s, EndTxn %s: the broker answered it with %d", client, late, end.end_txn_error)
        assert end.end_txn_error in FENCED
        await successor.ready()
        await send(kafka.bootstrap, commands(next(_seeds), 60))
        await assert_audit_equal(kafka.bootstrap)
        await reader.assert_saw_what_stands()
        assert await successor.stop() == 0


@pytest.mark.parametrize("late", LATE)
async def test_the_same_tears_transactions_of_version_1_and_the_audit_finds_it(
    fresh_kafka, start_worker, monkeypatch, late
):
    monkeypatch.setenv(VARIABLE, "transactions version 1")
    async with fresh_kafka.proxy() as proxy:
        end, successor = await tear(fresh_kafka, proxy, start_worker, late=late)
        assert end.end_txn_error == 0, "the broker should have committed the half of the next transaction"
        await successor.ready()
        report = await audit(fresh_kafka.bootstrap, wait_s=60)
        assert not report.equal
        log.info("EndTxn %s: the control lost %d, doubled %d", late, report.lost, report.doubled)
        assert await successor.stop() == 0


async def test_without_a_late_end_version_1_survives_the_same_crash(fresh_kafka, start_worker, monkeypatch):
    monkeypatch.setenv(VARIABLE, "transactions version 1")
    async with fresh_kafka.proxy() as proxy:
        _, successor = await tear(fresh_kafka, proxy, start_worker, late=None)
        await successor.ready()
        await assert_audit_equal(fresh_kafka.bootstrap)
        assert await successor.stop() == 0
