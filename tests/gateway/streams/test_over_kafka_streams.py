"""The streams of two gateways over a real Kafka: transactions, resuming here and there, gaps."""

import asyncio
import contextlib
import json
import random
import uuid

import httpx
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.streams.ring import Ring
from ops.kafka.topics import ensure_topics
from schemas.partitioner import partition_of
from schemas.topics import RESULTS, STOCK_CHANGES

PARTITIONS = 4


@contextlib.asynccontextmanager
async def serving(bootstrap):
    gateway = Gateway(GatewayConfig(bootstrap=bootstrap, partitions=PARTITIONS))
    async with gateway.running():
        await asyncio.wait_for(gateway.until_ready(), 30)
        yield gateway


class Writer:
    """Writes stock changes as an owner does, in transactions, and keeps what was committed by SKU."""

    def __init__(self, bootstrap):
        self.id = uuid.uuid4().hex[:8]
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"holdfast-streams-{self.id}")
        self.committed = {}

    async def __aenter__(self):
        await self._producer.start()
        return self

    async def __aexit__(self, *_):
        await self._producer.stop()

    async def write(self, skus, *, abort=False, topic=STOCK_CHANGES):
        await self._producer.begin_transaction()
        written = {}
        for sku in skus:
            seq = len(self.committed.get(sku, ())) + len(written.get(sku, ())) + 1
            written.setdefault(sku, []).append(seq)
            document = {"command_id": None, "sku": sku, "seq": seq, "reservation": {"channel": "web"}}
            value = json.dumps(document, separators=(",", ":")).encode()
            key = f"{sku}/york" if topic == STOCK_CHANGES else sku
            await self._producer.send(topic, value, key=key.encode(), partition=partition_of(sku, PARTITIONS))
        if abort:
            await self._producer.abort_transaction()
            return
        await self._producer.commit_transaction()
        for sku, seqs in written.items():
            self.committed.setdefault(sku, []).extend(seqs)


@pytest.fixture
async def writer(broker):
    await ensure_topics(broker.bootstrap, PARTITIONS)
    async with Writer(broker.bootstrap) as writer:
        yield writer


def query(*skus):
    return str(httpx.QueryParams([("sku", sku) for sku in skus]))


@pytest.mark.parametrize("seed", [1, 2])
async def test_whoever_reconnects_at_random_to_two_gateways_sees_the_log_without_a_hole(
    broker, writer, streaming, monkeypatch, seed
):
    # The ring holds a few writes only, so that streams also read the log by themselves.
    monkeypatch.setattr(Ring.__init__, "__defaults__", (20_000,))
    dice = random.Random(seed)
    skus = [f"{writer.id}-{n}" for n in range(5)]
    watched = skus[:3]
    seen = {sku: [] for sku in watched}
    async with serving(broker.bootstrap) as one, serving(broker.bootstrap) as other:
        gateways = [one.app, other.app]
        client = streaming.Client(gateways[0], query=query(*watched))
        await client.event()

        async def write():
            for _ in range(120):
                await writer.write(dice.choices(skus, k=dice.randrange(1, 20)), abort=dice.random() < 0.3)
                await asyncio.sleep(dice.random() * 0.01)

        writing = asyncio.ensure_future(write())
        unconfirmed = []
        ends_at = asyncio.get_running_loop().time() + 40
        while not writing.done() or any(seen[sku] != writer.committed.get(sku, []) for sku in watched):
            assert asyncio.get_running_loop().time() < ends_at, (seen, writer.committed)
            if dice.random() < 0.01:
                await client.leave()
                for sku in unconfirmed:  # what came after the last id comes again
                    seen[sku].pop()
                unconfirmed = []
                await asyncio.sleep(dice.choice([0, 0, 0.3]))
                client = streaming.Client(dice.choice(gateways), query=query(*watched), last_event_id=client.id)
            with contextlib.suppress(TimeoutError):
                event = await client.event(0.5)
                if b"data" in event:
                    change = json.loads(event[b"data"])
                    assert event[b"event"] == b"stock-change"
                    assert change["seq"] == len(seen[change["sku"]]) + 1
                    seen[change["sku"]].append(change["seq"])
                    unconfirmed.append(change["sku"])
                if b"id" in event:
                    unconfirmed = []
        await writing
        await client.leave()
    assert all(seen.values())


async def test_positions_that_the_log_does_not_hold_are_gaps_and_the_stream_goes_on_from_the_nearest(
    broker, writer, streaming
):
    sku = f"{writer.id}-gap"
    partition = partition_of(sku, PARTITIONS)
    await writer.write([sku] * 5, topic=RESULTS)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    async with serving(broker.bootstrap) as gateway:
        end = gateway.results.positions[partition]
        await admin.delete_records({TopicPartition(RESULTS, partition): RecordsToDelete(before_offset=end - 2)})
        await admin.close()
        places = {"/v1/results": (0, end - 2), "/v1/stock-changes": (1_000_000, gateway.changes.positions[partition])}
        for path, (asked, nearest) in places.items():
            client = streaming.Client(gateway.app, path, query(sku), b"%d:%d" % (partition, asked))
            assert await client.event() == {b"retry": b"1000", b"id": b"%d:%d" % (partition, asked)}
            assert await client.named(b"gap") == {"partition": partition, "from": asked, "to": nearest}
            assert client.id == b"%d:%d" % (partition, nearest)
            if path == "/v1/results":
                assert (await client.named(b"result"))["seq"] == 5
                await writer.write([sku], topic=RESULTS)
                assert (await client.named(b"result"))["seq"] == 6
            else:
                await writer.write([sku])
                assert (await client.named())["sku"] == sku
            assert client.status == 200
            await client.leave()


async def test_a_stream_goes_on_although_kafkas_log_was_cut_under_its_gateway(broker, writer, streaming):
    sku = f"{writer.id}-lost"
    async with serving(broker.bootstrap) as gateway:
        client = streaming.Client(gateway.app, query=query(sku))
        await client.event()
        await writer.write([sku])
        assert (await client.named())["seq"] == 1
        gateway.reader._restart()  # as after `OffsetOutOfRangeError`: the view is read anew
        assert gateway.changes.positions is None
        await writer.write([sku])
        assert (await client.named())["seq"] == 2
        gateway.reader.complete.set()
        await client.leave()
