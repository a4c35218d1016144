"""A worker is killed (SIGKILL) right before each numbered step of COMMIT and RECOVER; nothing is lost or doubled."""

import gzip
import itertools
import json
import struct

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from schemas.partitioner import partition_of
from schemas.topics import COMMANDS, DEAD_LETTERS, MAX_UNPACKED_BYTES, RESULTS, STOCK_CHANGES
from tests.harness import PARTITIONS, CommittedReader, assert_audit_equal, commands, send

COMMIT = ["commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.done"]
RECOVER = [f"recover.{step}" for step in range(1, 10)] + ["recover.done"]

_seeds = itertools.count(1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """One worker's disk over all tests of the module: each finds what the ones before have left."""
    return tmp_path_factory.mktemp("worker")


def crowd(sku):
    """Return commands by which many come to wait for a SKU, and then goods come for all of them."""
    documents = [
        {"type": "adjust", "warehouse": "w", "delta": 1, "reason": "receipt"},
        {"type": "set_policy", "channel": "*", "backorder_limit": 1_000},
        *(
            {"type": "reserve", "reservation_id": f"r{number:03}", "quantity": 1, "wait": "any", "ttl_ms": 0}
            for number in range(WAITING + 1)
        ),
        {"type": "adjust", "warehouse": "w", "delta": WAITING, "reason": "receipt"},
    ]
    ids = [{"sku": sku, "command_id": f"c{number}"} for number in range(len(documents))]
    return [
        (sku, partition_of(sku, PARTITIONS), json.dumps(one | two).encode())
        for one, two in zip(ids, documents, strict=True)
    ]


WAITING = 240


async def last_book(bootstrap, sku):
    """Return the book of a SKU as the last committed change of it says."""
    changes = [
        json.loads(it.value) for it in await published(bootstrap, STOCK_CHANGES, sku) if it.key == f"{sku}/".encode()
    ]
    return changes[-1]["book"]


@pytest.mark.parametrize(
    ("failpoint", "in_recovery", "disk"),
    [("commit.4:kill:2", "recover.9:kill:1", "same disk"), ("commit.done:kill:1", "recover.6:kill:1", "wiped disk")],
)
async def test_workers_killed_while_a_queue_is_settled_settle_the_rest(
    kafka, start_worker, tmp_path, failpoint, in_recovery, disk
):
    """The log has nothing else to apply: the first transaction has the goods, the second the ticks for the rest."""
    sku = f"waited for, {disk}"
    async with CommittedReader(kafka.bootstrap) as reader:
        await send(kafka.bootstrap, crowd(sku))
        victim = start_worker(tmp_path, failpoint=failpoint)
        assert await victim.dead() == -9
        if disk == "wiped disk":
            victim.wipe()
        assert await start_worker(tmp_path, failpoint=in_recovery).dead() == -9
        book = await last_book(kafka.bootstrap, sku)
        assert (book["settling"], book["backordered"]) == (True, WAITING - 8)
        successor = start_worker(tmp_path)
        await successor.ready()
        await send(kafka.bootstrap, crowd(f"{sku}, then"))
        await assert_audit_equal(kafka.bootstrap)
        await reader.assert_saw_what_stands()
    assert await successor.stop() == 0
    book = await last_book(kafka.bootstrap, sku)
    assert (book.get("settling", False), book["backordered"]) == (False, 0)


@pytest.mark.parametrize("step", COMMIT + RECOVER)
async def test_workers_killed_before_a_step_lose_nothing_and_double_nothing(kafka, start_worker, data_dir, step):
    """The first loses its disk too; the second is killed on what it has rebuilt, and the third goes on from there."""
    # The third pass of a COMMIT step, so that there is something before it; the second partition's RECOVER.
    failpoint = f"{step}:kill:{3 if step in COMMIT else 2}"
    async with CommittedReader(kafka.bootstrap) as reader:
        for disk in ("wiped disk", "same disk"):
            victim = start_worker(data_dir, failpoint=failpoint)
            await send(kafka.bootstrap, commands(next(_seeds), 250), pause_s=0.002)
            assert await victim.dead(within_s=60.0) == -9
            if disk == "wiped disk":
                victim.wipe()
        successor = start_worker(data_dir)
        await send(kafka.bootstrap, commands(next(_seeds), 60))
        await successor.ready()
        await assert_audit_equal(kafka.bootstrap)
        await reader.assert_saw_what_stands()
    assert await successor.stop() == 0


SKU = "between bombs"


def adjust(command_id):
    fields = {"type": "adjust", "command_id": command_id, "sku": SKU, "warehouse": "w", "delta": 1}
    return SKU, partition_of(SKU, PARTITIONS), json.dumps(fields | {"reason": "receipt"}).encode()


async def send_bomb(bootstrap, codec):
    """Write a batch of three records that unpacks to more than a worker unpacks; return its offsets."""
    _, partition, command = adjust(f"in-{codec}")
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type=codec, max_batch_size=2 * MAX_UNPACKED_BYTES
    ) as producer:
        batch = producer.create_batch()
        for value in (command, bytes(MAX_UNPACKED_BYTES), command):
            batch.append(key=SKU.encode(), value=value, timestamp=None)
        last = (await (await producer.send_batch(batch, COMMANDS, partition=partition))).offset
    return last, last + 2


async def send_unreadable(bootstrap):
    """Write batches that a broker takes and that nobody can read; return their offsets."""
    _, partition, command = adjust("unreadable")
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for delta in range(3):
        batch.append(delta, 1, SKU.encode(), command, [("name", b"")])
    whole = bytes(batch.build())
    records = whole[61:]
    found = []
    for codec, packed in (
        (1, gzip.compress(records) + b"something else"),
        (0, records.replace(b"name", b"\xff\xfe\xfd\xfc")),
        (0, records.replace(b"\x00\x00\x02", b"\x00\x00\x60")),  # the second record's offset
    ):
        data = bytearray(whole[:61] + packed)
        data[22] |= codec
        struct.pack_into(">i", data, 8, len(data) - 12)
        struct.pack_into(">I", data, 17, calc_crc32c(bytes(data[21:])))
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            sent = producer.create_batch()
            sent.append(key=None, value=b"", timestamp=None)
            sent._build = lambda data=data: bytes(data)
            first = (await (await producer.send_batch(sent, COMMANDS, partition=partition))).offset
        found.append((first, first + 2))
    return found


async def published(bootstrap, topic, sku=SKU):
    """Read what stands in the partition of a SKU."""
    place = TopicPartition(topic, partition_of(sku, PARTITIONS))
    found = []
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(place, timeout_ms=500)).values():
                found += records
    return found


async def test_a_worker_killed_while_it_buries_whole_batches_writes_one_letter_for_each(kafka, start_worker, data_dir):
    await send(kafka.bootstrap, [adjust("before")])
    bombs = [await send_bomb(kafka.bootstrap, codec) for codec in ("gzip", "snappy", "lz4", "zstd")]
    unreadable = await send_unreadable(kafka.bootstrap)
    await send(kafka.bootstrap, [adjust("behind")])
    for failpoint in ("commit.4:kill:2", "commit.5:kill:1"):
        assert await start_worker(data_dir, failpoint=failpoint).dead() == -9
    successor = start_worker(data_dir)
    await successor.ready()
    await assert_audit_equal(kafka.bootstrap)
    assert await successor.stop() == 0
    letters = [dict(it.headers) for it in await published(kafka.bootstrap, DEAD_LETTERS)]
    for reason, batches in ((b"batch_too_large", bombs), (b"batch_unreadable", unreadable)):
        of_batches = [it for it in letters if it["reason"] == reason]
        assert [(int(it["offset"]), int(it["last_offset"])) for it in of_batches] == batches
    results = [json.loads(it.value) for it in await published(kafka.bootstrap, RESULTS)]
    assert [it["command_id"] for it in results if it["sku"] == SKU] == ["before", "behind"]
