"""The limits of the protocol: numbers and times that run out, and logs that were changed."""

import asyncio
import itertools
import json
import os
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.batches import TransactionOutput
from agents.transactions import TransactionClient, TransactionError
from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from schemas.topics import CHANGELOG, COMMANDS, RESULTS, TOPICS
from tables.core.rows import POSITION_KEY
from tests.harness import PARTITIONS, CommittedReader, assert_audit_equal, commands, send, worker_starter

# A producer epoch is an int16; the broker gives a new producer id before it is used up.
LAST_EPOCH = 32_766
# Each begin moves the epoch on without a transaction; `FAULT_LONG=1` runs a transaction for each instead.
LONG = os.environ.get("FAULT_LONG") == "1"
EXPIRES_MS = 4_000

_seeds = itertools.count(6_000)


@pytest.fixture(scope="module")
def new_kafka(tmp_path_factory):
    """Brokers that look after what has run out more often than usual; each test may spoil its own."""
    started = []

    def start(**properties):
        quick = {
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
            "transaction.remove.expired.transaction.cleanup.interval.ms": "500",
            "log.cleaner.backoff.ms": "200",
        }
        broker = Broker(tmp_path_factory.mktemp("broker"), properties=quick | properties)
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture(scope="module")
def kafka(new_kafka):
    """The broker of the tests that leave everything in order."""
    broker = new_kafka()
    asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    return broker


@pytest.fixture
def start_worker():
    with worker_starter() as start:
        yield lambda kafka, data_dir, **options: start(kafka.bootstrap, data_dir, **options)


@pytest.fixture
async def admin(kafka):
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def topic(admin):
    name = f"limits-{uuid.uuid4().hex[:8]}"
    await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    await asyncio.sleep(0.5)
    return name


@pytest.fixture
async def new_client():
    clients = []

    async def make(bootstrap, transactional_id, topics, *, timeout_ms=10_000):
        client = TransactionClient(bootstrap, transactional_id, timeout_ms=timeout_ms)
        clients.append(client)
        await client.start(topics)
        await client.begin()
        return client

    yield make
    for client in clients:
        await client.close()


def rows(*pairs):
    # Of the present: retention takes what is old, be it from the tail of an idle log.
    return TransactionOutput().batches(pairs, time.time_ns() // 1_000_000)[CHANGELOG]


async def committed(bootstrap, topic, partition=0):
    """Read (offset, key, value) of all that a read_committed consumer sees."""
    place = TopicPartition(topic, partition)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed") as consumer:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        found = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [(record.offset, record.key, record.value) for record in records]
        return found


@pytest.mark.timeout(600)
async def test_a_producer_id_whose_epochs_run_out_is_followed_by_another(kafka, topic, new_client):
    client = await new_client(kafka.bootstrap, topic, [topic])
    written = 0

    async def transaction():
        nonlocal written
        await client.produce(0, {topic: rows((b"k", b"%d" % written))})
        await client.end()
        written += 1

    first_id = client._producer_id
    await transaction()
    while client._producer_id == first_id and client._epoch < LAST_EPOCH - 10:
        await (transaction() if LONG else client.begin())
    assert client._producer_id == first_id
    epochs = []
    for _ in range(30):
        await transaction()
        epochs.append((client._producer_id, client._epoch))
    assert client._producer_id != first_id
    # The epochs rise to the last, and start again at 0 with the new id.
    assert epochs == sorted(epochs)
    assert max(epoch for number, epoch in epochs if number == first_id) <= LAST_EPOCH
    assert min(epoch for number, epoch in epochs if number != first_id) == 0
    assert [value for _, _, value in await committed(kafka.bootstrap, topic)] == [b"%d" % n for n in range(written)]


async def test_a_transaction_that_is_open_for_too_long_is_undone_and_its_end_refused(kafka, topic, new_client):
    client = await new_client(kafka.bootstrap, topic, [topic], timeout_ms=500)
    await client.produce(0, {topic: rows((b"k", b"too slow"))})
    await asyncio.sleep(3.0)
    with pytest.raises(TransactionError, match=r"EndTxn of .*(InvalidTxnState|ProducerFenced|InvalidProducerEpoch)"):
        await client.end()
    await client.begin()
    await client.produce(0, {topic: rows((b"k", b"in time"))})
    await client.end()
    assert [value for _, _, value in await committed(kafka.bootstrap, topic)] == [b"in time"]


async def test_a_changelog_that_ends_in_aborted_data_is_read_to_its_end(kafka, start_worker, new_client, tmp_path):
    worker = start_worker(kafka, tmp_path / "one")
    await worker.ready()
    await send(kafka.bootstrap, commands(next(_seeds), 200))
    await assert_audit_equal(kafka.bootstrap)
    await worker.kill()
    for partition in range(PARTITIONS):
        for _ in range(3):
            zombie = await new_client(kafka.bootstrap, f"holdfast-{partition}", [CHANGELOG])
            wrong = [(b"row %d" % number, b"never committed" * 100) for number in range(300)]
            await zombie.produce(partition, {CHANGELOG: rows(*wrong, (POSITION_KEY, b"wrong"))})
    for directory in ("one", "empty"):
        worker = start_worker(kafka, tmp_path / directory)
        await worker.ready()
        await send(kafka.bootstrap, commands(next(_seeds), 50))
        await assert_audit_equal(kafka.bootstrap)
        assert await worker.stop() == 0


async def test_a_compacted_changelog_gives_the_same_ledger(kafka, start_worker, admin, tmp_path):
    # Altering replaces a topic's whole configuration.
    quick = TOPICS[CHANGELOG] | {
        "segment.ms": "300",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "500",
    }
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, CHANGELOG, configs=quick)])
    worker = start_worker(kafka, tmp_path / "one")
    await worker.ready()
    for _ in range(8):
        await send(kafka.bootstrap, commands(next(_seeds), 60))
        await asyncio.sleep(0.5)
    positions = []
    for _ in range(60):
        # A segment is closed by a write after its time.
        await send(kafka.bootstrap, commands(next(_seeds), 10))
        positions = [offset for offset, key, _ in await committed(kafka.bootstrap, CHANGELOG) if key == POSITION_KEY]
        if len(positions) <= 3:
            break
        await asyncio.sleep(0.5)
    assert len(positions) <= 3, "the cleaner did not run"
    await assert_audit_equal(kafka.bootstrap)
    assert await worker.stop() == 0
    rebuilt = start_worker(kafka, tmp_path / "empty")
    await rebuilt.ready()
    await send(kafka.bootstrap, commands(next(_seeds), 100))
    await assert_audit_equal(kafka.bootstrap)
    assert await rebuilt.stop() == 0


async def test_an_expired_transactional_id_is_made_anew_and_nothing_is_lost(
    new_kafka, start_worker, new_client, tmp_path
):
    kafka = new_kafka(**{"transactional.id.expiration.ms": str(EXPIRES_MS)})
    await ensure_topics(kafka.bootstrap, PARTITIONS)
    client = await new_client(kafka.bootstrap, "expires", [CHANGELOG])
    worker = start_worker(kafka, tmp_path / "one")
    await worker.ready()
    async with CommittedReader(kafka.bootstrap) as reader:
        await send(kafka.bootstrap, commands(next(_seeds), 100))
        await assert_audit_equal(kafka.bootstrap)
        await asyncio.sleep(2 * EXPIRES_MS / 1000)
        with pytest.raises(TransactionError, match=r"Produce of expires.*InvalidProducerIdMapping"):
            await client.produce(0, {CHANGELOG: rows((b"k", b"v"))})
        await send(kafka.bootstrap, commands(next(_seeds), 100))
        await assert_audit_equal(kafka.bootstrap)
        await reader.assert_saw_what_stands()
    assert "InvalidProducerIdMapping" in worker.log()
    assert await worker.stop() == 0


async def test_partition_counts_that_differ_are_refused(new_kafka, start_worker, tmp_path):
    kafka = new_kafka()
    await ensure_topics(kafka.bootstrap, PARTITIONS - 1)
    worker = start_worker(kafka, tmp_path / "one")
    assert await worker.dead() == 2
    assert f"has {PARTITIONS - 1} partitions, not {PARTITIONS}" in worker.log()


async def delete(bootstrap, topic):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.delete_topics([topic])
    while topic in await admin.list_topics():
        await asyncio.sleep(0.1)
    await admin.close()
    await asyncio.sleep(1.0)
    await ensure_topics(bootstrap, PARTITIONS)


async def at_work(kafka, start_worker, data_dir):
    """Return a worker on a new cluster that has decided 200 commands."""
    await ensure_topics(kafka.bootstrap, PARTITIONS)
    worker = start_worker(kafka, data_dir)
    await worker.ready()
    await send(kafka.bootstrap, commands(next(_seeds), 200))
    await assert_audit_equal(kafka.bootstrap)
    return worker


@pytest.mark.parametrize("running", [True, False], ids=["under a running worker", "between two lives"])
async def test_commands_that_were_deleted_and_made_anew_stop_the_worker(new_kafka, start_worker, tmp_path, running):
    kafka = new_kafka()
    worker = await at_work(kafka, start_worker, tmp_path / "one")
    if not running:
        assert await worker.stop() == 0
    await delete(kafka.bootstrap, COMMANDS)
    if not running:
        worker = start_worker(kafka, tmp_path / "one")
    await send(kafka.bootstrap, commands(next(_seeds), 20))
    assert await worker.dead() == 1
    assert "LostCommandsError" in worker.log()


@pytest.mark.parametrize("running", [True, False], ids=["under a running worker", "between two lives"])
async def test_a_changelog_that_was_deleted_and_made_anew_stops_the_worker(new_kafka, start_worker, tmp_path, running):
    kafka = new_kafka()
    worker = await at_work(kafka, start_worker, tmp_path / "one")
    before = [await committed(kafka.bootstrap, RESULTS, partition) for partition in range(PARTITIONS)]
    if not running:
        assert await worker.stop() == 0
    await delete(kafka.bootstrap, CHANGELOG)
    if not running:
        worker = start_worker(kafka, tmp_path / "one")
    await send(kafka.bootstrap, commands(next(_seeds), 20))
    assert await worker.dead() == 1
    assert "LostLedgerError" in worker.log()
    worker = start_worker(kafka, tmp_path / "empty")
    assert await worker.dead() == 1
    assert "LostLedgerError" in worker.log()
    after = [await committed(kafka.bootstrap, RESULTS, partition) for partition in range(PARTITIONS)]
    for earlier, later in zip(before, after, strict=True):
        # Reservations went on to expire as long as the first worker had its ledger.
        assert later[: len(earlier)] == earlier
        assert {json.loads(value)["type"] for _, _, value in later[len(earlier) :]} <= {"expire"}
