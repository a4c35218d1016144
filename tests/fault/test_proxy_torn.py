"""An EndTxn that arrives late, in the midst of the next transaction: Holdfast survives it, transactions v1 do not."""

import asyncio

import pytest

from audit.run import audit
from ops.broker import Broker, free_port
from ops.topics import ensure_topics
from tests.fault.control import VARIABLE, ControlWorker
from tests.fault.proxy import ANSWER, Action, Api, Proxy, Rule, proxied_listener
from tests.harness import PARTITIONS, CommittedReader, assert_audit_equal, commands, send

PARTITION = 1
FENCED = (47, 90)
LATE = {
    # How the first EndTxn comes to be late, from the client's point of view.
    "connection lost": Action.CUT,
    "timed out": Action.DROP,
    "arrived twice": Action.COPY,
}


@pytest.fixture
def kafka(tmp_path):
    """A broker for each test: what the control leaves behind is wrong for ever."""
    port, proxy_port = free_port(), free_port()
    broker = Broker(tmp_path / "broker", properties=proxied_listener(port, proxy_port))
    broker.start()
    asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    yield broker, port, proxy_port
    broker.stop()


async def tear(broker, proxy, directory, *, late):
    """Deliver a transaction's EndTxn when the first Produce of the next one is written; then kill the worker.

    Returns:
        The late EndTxn with its answer, and the worker that follows.
    """
    victim = ControlWorker(proxy.bootstrap, directory)
    await victim.ready()
    client = f"holdfast-{PARTITION}"
    delivered = asyncio.get_running_loop().create_future()

    async def deliver(_):
        # The next Produce that is answered belongs to the next transaction, or is the first after a RECOVER.
        delivered.set_result(await proxy.deliver(first.hits[0]))
        await victim.kill()

    async def arm(_):
        proxy.add(Rule(Api.PRODUCE, Action.WAIT, of=ANSWER, client=client, until=deliver))

    first = proxy.add(Rule(Api.END_TXN, LATE[late], client=client, nth=4))
    traffic = asyncio.create_task(send(broker.bootstrap, commands(77, 300), pause_s=0.02))
    try:
        await first.done()
        await arm(None)
        end = await asyncio.wait_for(delivered, 60)
        await traffic
    finally:
        traffic.cancel()
        await victim.kill()
    proxy.clear()
    return end, ControlWorker(proxy.bootstrap, directory)


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("client", ["as shipped", "a request per topic"])
async def test_an_end_of_a_transaction_that_arrives_in_the_next_one_changes_nothing(
    kafka, tmp_path, monkeypatch, client, late
):
    monkeypatch.setenv(VARIABLE, client)
    broker, port, proxy_port = kafka
    async with Proxy(proxy_port, port) as proxy, CommittedReader(broker.bootstrap) as reader:
        end, successor = await tear(broker, proxy, tmp_path / "worker", late=late)
        assert end.end_txn_error in FENCED
        await successor.ready()
        await send(broker.bootstrap, commands(78, 60))
        await assert_audit_equal(broker.bootstrap)
        await reader.assert_saw_what_stands()
        assert await successor.stop() == 0


@pytest.mark.parametrize("late", LATE)
async def test_the_same_tears_transactions_of_version_1_and_the_audit_finds_it(kafka, tmp_path, monkeypatch, late):
    monkeypatch.setenv(VARIABLE, "transactions version 1")
    broker, port, proxy_port = kafka
    async with Proxy(proxy_port, port) as proxy:
        end, successor = await tear(broker, proxy, tmp_path / "worker", late=late)
        assert end.end_txn_error == 0, "the broker should have committed the half of the next transaction"
        await successor.ready()
        report = await audit(broker.bootstrap, wait_s=60)
        assert not report.equal
        assert report.lost > 0, report.differences[:5]
        assert await successor.stop() == 0
