"""Webhooks over a real Kafka, against a receiver that is slow, down, lies, and goes away."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from gateway.webhooks import delivery, patience
from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.marks import group_of
from gateway.webhooks.serve import serve_endpoints
from gateway.webhooks.states import states_of
from ops.kafka.cluster import connect
from ops.kafka.topics import ensure_topics
from ops.webhooks import print_states, replay_to
from schemas.codec import encode
from schemas.partitioner import partition_of
from schemas.reference import SkuPolicy
from schemas.topics import REFERENCE, RESULTS, STOCK_CHANGES, WEBHOOK_DEAD_LETTERS

PARTITIONS = 4
# The least session that a broker allows: a killed process is found dead sooner.
CODE = """
import gateway.webhooks.delivery
from ops.cli import main
gateway.webhooks.delivery._SESSION_MS = 6_000
main()
"""


class Stock:
    """Publishes the stock changes of SKUs that only this test has."""

    def __init__(self, producer):
        self._producer = producer
        self.tag = uuid.uuid4().hex[:8]
        self.seqs = {}

    def sku(self, name):
        return f"{self.tag}/{name}"

    async def change(self, name, count=1, *, warehouse="york"):
        sku = self.sku(name)
        for _ in range(count):
            self.seqs[sku] = self.seqs.get(sku, 0) + 1
            value = encode({"sku": sku, "warehouse": warehouse, "seq": self.seqs[sku]})
            last = await self._send(STOCK_CHANGES, f"{sku}/{warehouse}", value, sku)
        return last

    async def expire(self, name, channel):
        sku = self.sku(name)
        self.seqs[sku] = self.seqs.get(sku, 0) + 1
        document = {"command_id": None, "sku": sku, "seq": self.seqs[sku], "reservation": {"channel": channel}}
        await self._send(RESULTS, sku, encode(document), sku)

    async def policy(self, name, channel, warehouses):
        document = SkuPolicy(at=1, sku=self.sku(name), channel=channel, warehouses=warehouses)
        key = f"policy/{channel}/{self.sku(name)}"
        await self._send(REFERENCE, key, encode(document), self.sku(name))

    async def _send(self, topic, key, value, sku):
        partition = partition_of(sku, PARTITIONS)
        return await self._producer.send_and_wait(topic, value, key=key.encode(), partition=partition)


@pytest.fixture
async def stock(broker):
    await ensure_topics(broker.bootstrap, PARTITIONS)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    yield Stock(producer)
    await producer.stop()


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.02)


@contextlib.asynccontextmanager
async def delivering(broker, *endpoints):
    stopping = asyncio.Event()
    serving = serve_endpoints(endpoints, bootstrap=broker.bootstrap, partitions=PARTITIONS, stopping=stopping)
    task = asyncio.ensure_future(serving)
    try:
        await until_begun(broker, endpoints)
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 30)


async def until_begun(broker, endpoints):
    """Wait until every endpoint has its positions: what is published from then on goes to it."""
    async with asyncio.timeout(30):
        while any(
            len(state.positions) < PARTITIONS
            for state in await states_of(endpoints, PARTITIONS, bootstrap=broker.bootstrap)
        ):
            await asyncio.sleep(0.05)


async def state_of(broker, endpoint):
    return (await states_of([endpoint], PARTITIONS, bootstrap=broker.bootstrap))[0]


def endpoint(receiver, secrets, **fields):
    given = {"types": ["stock-change"], "secrets": [secrets[0]], **fields}
    return Endpoint(id=uuid.uuid4().hex[:12], url=receiver.url, **given)


@pytest.mark.usefixtures("short_pauses")
async def test_changes_arrive_once_and_in_order_from_a_receiver_that_is_slow_and_lies(
    broker, stock, receiver, secrets, monkeypatch
):
    monkeypatch.setattr(delivery, "_STORE_IDLE_S", 0.2)
    hook = endpoint(receiver, secrets, skus=[stock.sku("a"), stock.sku("b")])
    async with delivering(broker, hook):
        receiver.slow_s = 0.005
        receiver.script = [500, 200, 503, 302, 200, (429, {"Retry-After": "0"}), 408, 200]
        for _ in range(10):
            for name in "abc":
                await stock.change(name)
        await receiver.until(lambda: len(receiver.accepted) == 20)
        assert receiver.seqs(stock.sku("a")) == receiver.seqs(stock.sku("b")) == list(range(1, 11))
        assert receiver.most_at_once == 1
        last = await stock.change("c")
        place = f"{STOCK_CHANGES}:{last.partition}"
        # What the endpoint does not want moves its position on as well.
        async with asyncio.timeout(30):
            while (await state_of(broker, hook)).positions[place] != last.offset + 1:
                await asyncio.sleep(0.1)
        assert (await state_of(broker, hook)).state == "running"


@pytest.mark.usefixtures("short_pauses")
async def test_what_is_refused_goes_to_the_dead_letters_and_the_next_one_out(broker, stock, receiver, secrets):
    hook = endpoint(receiver, secrets, skus=[stock.sku("a")])
    async with delivering(broker, hook):
        receiver.script = [400, 400, 400]
        await stock.change("a", 2)
        await receiver.until(lambda: receiver.seqs(stock.sku("a")) == [2])
    assert len(receiver.requests) == 4
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(WEBHOOK_DEAD_LETTERS, partition_of(stock.sku("a"), PARTITIONS))])
    async with asyncio.timeout(20):
        async for letter in consumer:
            headers = {name: value.decode() for name, value in letter.headers}
            if headers["endpoint"] == hook.id:
                break
    await consumer.stop()
    assert json.loads(letter.value)["seq"] == 1
    assert (headers["reason"], headers["status"], headers["attempts"]) == ("status 400", "400", "3")
    assert (headers["topic"], headers["partition"]) == (STOCK_CHANGES, str(letter.partition))
    assert receiver.requests[0][1]["webhook-id"] == f"stock-changes:{letter.partition}:{headers['offset']}"


@pytest.mark.usefixtures("short_pauses")
async def test_an_endpoint_that_is_gone_stops_until_a_process_starts_and_loses_nothing(
    broker, stock, receiver, secrets, capsys
):
    hook = endpoint(receiver, secrets, skus=[stock.sku("a")])
    async with delivering(broker, hook):
        receiver.script = [410]
        await stock.change("a", 3)
        async with asyncio.timeout(20):
            while (state := await state_of(broker, hook)).state != "stopped":
                await asyncio.sleep(0.05)
        assert state.reason == "status 410"
        assert await print_states([hook], bootstrap=broker.bootstrap, partitions=PARTITIONS, as_json=False) == 1
        assert "status 410" in capsys.readouterr().out
        await asyncio.sleep(0.5)
        assert len(receiver.requests) == 1
    async with delivering(broker, hook):
        await receiver.until(lambda: receiver.seqs(stock.sku("a")) == [1, 2, 3])
        assert (await state_of(broker, hook)).state == "running"


async def test_filters_and_batches(broker, stock, receiver, secrets):
    await stock.policy("a", "web", ["york"])
    skus = [stock.sku("a"), stock.sku("b")]
    hook = endpoint(
        receiver, secrets, skus=skus, types=["stock-change", "unsolicited-result"], channels=["web"], batch=100,
        warehouses=["york", "bath"],
    )  # fmt: skip
    async with delivering(broker, hook):
        receiver.slow_s = 0.3  # while the first is on its way, the others gather
        await stock.change("a")  # 1
        await stock.change("a", warehouse="bath")  # 2: the channel may not sell from there
        await stock.change("a", warehouse="hull")  # 3: not wanted
        await stock.change("a", warehouse="")  # 4: the book
        await stock.change("a", 5)
        await stock.expire("a", "web")  # 10
        await stock.expire("a", "shop")
        await stock.change("b", warehouse="bath")
        await receiver.until(lambda: len(receiver.accepted) == 9)
    by_type = {}
    for _, _, body in receiver.requests:
        by_type.setdefault(body["type"], []).append([(it["sku"].split("/")[1], it["seq"]) for it in body["data"]])
    assert by_type["unsolicited-result"] == [[("a", 10)]]
    sent = [it for batch in by_type["stock-change"] for it in batch]
    assert [seq for name, seq in sent if name == "a"] == [1, 4, 5, 6, 7, 8, 9]
    assert ("b", 1) in sent
    assert max(map(len, by_type["stock-change"])) > 1


@pytest.mark.usefixtures("short_pauses")
async def test_two_processes_share_the_partitions_and_a_killed_one_loses_nothing(
    broker, stock, receiver, secrets, tmp_path
):
    hook = endpoint(receiver, secrets, skus=[stock.sku(str(n)) for n in range(8)])
    file = tmp_path / "webhooks.json"
    fields = {"id": hook.id, "url": hook.url, "secrets": hook.secrets, "types": hook.types, "skus": hook.skus}
    file.write_text(json.dumps({"endpoints": [fields]}))
    program = [sys.executable, "-c", CODE, "webhooks", "--file", str(file), "--bootstrap", broker.bootstrap]
    processes = [
        await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE, env={**os.environ})
        for _ in range(2)
    ]
    try:
        for process in processes:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line == b"ready webhooks (1 endpoints)\n"
        async with asyncio.timeout(30), connect(broker.bootstrap) as cluster:
            while sum(map(bool, (await cluster.group(group_of(hook.id), STOCK_CHANGES)).members.values())) < 2:
                await asyncio.sleep(0.1)
        await until_begun(broker, [hook])
        receiver.slow_s = 0.01

        async def publish():
            for _ in range(12):
                for n in range(8):
                    await stock.change(str(n))

        publishing = asyncio.ensure_future(publish())
        await receiver.until(lambda: len(receiver.accepted) > 15)
        processes[0].send_signal(signal.SIGKILL)
        await publishing
        wanted = list(range(1, 13))
        await receiver.until(
            lambda: all(sorted({*receiver.seqs(stock.sku(str(n)))}) == wanted for n in range(8)), within_s=60
        )
        for n in range(8):
            seqs = receiver.seqs(stock.sku(str(n)))
            assert list(dict.fromkeys(seqs)) == wanted  # in order; a repetition is allowed
            assert len(seqs) <= len(wanted) + 1
        processes[1].send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(processes[1].wait(), 20) == 0
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def test_a_replay_sends_again_up_to_the_endpoints_position_and_leaves_it(broker, stock, receiver, secrets):
    hook = endpoint(receiver, secrets, skus=[stock.sku("a")])
    async with delivering(broker, hook):
        last = await stock.change("a", 4)
        await receiver.until(lambda: len(receiver.accepted) == 4)
    before = await state_of(broker, hook)
    await stock.change("a")  # not delivered yet, so the replay leaves it alone
    start = f"{last.partition}:{last.offset - 1}"
    asked = {"type_": None, "bootstrap": broker.bootstrap, "partitions": PARTITIONS}
    assert await replay_to([hook], hook.id, start=start, **asked) == 0
    assert receiver.seqs(stock.sku("a")) == [1, 2, 3, 4, 3, 4]
    assert [headers.get("holdfast-replay") for _, headers, _ in receiver.requests] == [None] * 4 + ["true"] * 2
    assert receiver.requests[-1][1]["webhook-id"] == receiver.requests[3][1]["webhook-id"]
    receiver.script = [410]
    assert await replay_to([hook], hook.id, start="2020-01-01T00:00:00Z", **asked) == 1
    assert (await state_of(broker, hook)).positions == before.positions


async def test_positions_that_cannot_be_read_at_first_are_read_later(broker, stock, receiver, secrets, monkeypatch):
    read, failures = delivery.stored_positions, [KafkaConnectionError("away"), KafkaConnectionError("away")]

    async def fails_at_first(*arguments):
        if failures:
            raise failures.pop()
        return await read(*arguments)

    monkeypatch.setattr(delivery, "stored_positions", fails_at_first)
    hook = endpoint(receiver, secrets, skus=[stock.sku("a")])
    async with delivering(broker, hook):
        await stock.change("a")
        await receiver.until(lambda: receiver.seqs(stock.sku("a")) == [1])
    assert failures == []
