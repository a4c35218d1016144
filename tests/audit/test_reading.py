"""Logs are read until the reader's position is at the end: markers and compaction make offsets skip."""

import asyncio
import struct
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgspec
import pytest
from aiokafka.errors import CorruptRecordException, NotLeaderForPartitionError, OffsetOutOfRangeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from audit import CannotAudit, reading
from audit.reading import Kafka, Log
from schemas.topics import CHANGELOG, TOPICS


def batch(base, deltas, *, producer=-1, control=None):
    """Return the bytes of a record batch: records at base + deltas, of a transaction when it has a producer."""
    transactional = int(producer >= 0)
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer, 0, 0, 1 << 20)
    for delta in deltas:
        key = b"k" if control is None else struct.pack(">hh", 0, control)
        builder.append(delta, 0, key, b"%d" % (base + delta), [])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    if control is not None:
        data[22] |= 0x20  # the attributes' low byte: a control batch
        struct.pack_into(">I", data, 17, calc_crc32c(data[21:]))
    return bytes(data)


class FakeClient:
    """Stands for a client: answers fetches with the batches that hold or follow the position, a few at a time.

    `errors` are the codes with which the next fetches are refused.
    """

    def __init__(self, batches, *, at_a_time=1, aborted=(), errors=()):
        self.batches = batches
        self.at_a_time = at_a_time
        self.aborted = aborted
        self.errors = list(errors)
        self.asked = []
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 7)

    async def send(self, node, request):
        assert node == 7
        ((topic, ((number, position, _),)),) = request._topics
        self.asked.append(position)
        code = self.errors.pop(0) if self.errors else 0
        data = [data for data in self.batches if MemoryRecords(data).next_batch().next_offset > position]
        aborted = [(producer, first) for producer, first, marker in self.aborted if marker >= position]
        partition = (number, code, 0, 0, 0, aborted, -1, b"".join(data[: self.at_a_time]))
        return SimpleNamespace(topics=[(topic, [partition])])

    async def force_metadata_update(self):
        pass


async def read_all(log):
    offsets = []
    while not log.done:
        offsets += [record.offset for record in await log.read()]
    return offsets


COMMIT, ABORT = 1, 0
ENDINGS = [
    # batches, aborted transactions as (producer, first offset, marker), begin and end, then: what is read
    ([batch(0, [0, 1, 2])], [], (0, 3), [0, 1, 2]),
    ([batch(0, [0, 1]), batch(2, [0])], [], (0, 3), [0, 1, 2]),
    ([batch(0, [0, 1], producer=5), batch(2, [0], producer=5, control=COMMIT)], [], (0, 3), [0, 1]),
    ([batch(5, [2, 4, 6])], [], (5, 12), [7, 9, 11]),  # compaction before and between
    ([batch(0, [0, 1, 2, 3, 4])], [], (0, 3), [0, 1, 2]),  # the log has grown since
    ([batch(0, [0, 1, 2, 3, 4])], [], (3, 5), [3, 4]),  # it begins in the midst of a batch
    ([batch(0, [0, 1], producer=5), batch(2, [0], producer=5, control=ABORT)], [(5, 0, 2)], (0, 3), []),
    (
        [
            batch(0, [0], producer=5),
            batch(1, [0], producer=6),
            batch(2, [0], producer=5, control=ABORT),
            batch(3, [0], producer=5),
            batch(4, [0], producer=6, control=COMMIT),
        ],
        [(5, 0, 2)],
        (0, 5),
        [1, 3],
    ),
    ([], [], (4, 4), []),
]


@pytest.mark.parametrize("at_a_time", [1, 10])
@pytest.mark.parametrize(("batches", "aborted", "bounds", "offsets"), ENDINGS)
async def test_a_log_is_read_up_to_its_end(batches, aborted, bounds, offsets, at_a_time):
    client = FakeClient(batches, at_a_time=at_a_time, aborted=aborted)
    assert await read_all(Log(client, "t", 0, *bounds)) == offsets


async def test_a_log_that_gives_nothing_more_is_given_up(monkeypatch):
    monkeypatch.setattr(reading, "STALLED_S", 0.0)
    with pytest.raises(CannotAudit, match="t/3 gives nothing more before 5"):
        await read_all(Log(FakeClient([batch(0, [0])]), "t", 3, 0, 5))


async def test_the_next_fetch_is_sent_before_this_one_is_worked_on():
    client = FakeClient([batch(0, [0, 1]), batch(2, [0]), batch(3, [0])])
    log = Log(client, "t", 0, 0, 4)
    await log.read()
    await asyncio.sleep(0)
    assert client.asked == [0, 2]
    await log.close()


async def test_damaged_records_are_refused():
    spoiled = bytearray(batch(0, [0, 1]))
    spoiled[-3] ^= 1
    with pytest.raises(CorruptRecordException):
        await read_all(Log(FakeClient([bytes(spoiled)]), "t", 0, 0, 2))


async def test_a_leader_that_moved_is_asked_again_and_a_lost_position_is_an_error(monkeypatch):
    monkeypatch.setattr(reading, "RETRY_S", 0.0)
    moved = FakeClient([batch(0, [0])], errors=[NotLeaderForPartitionError.errno])
    assert await read_all(Log(moved, "t", 0, 0, 1)) == [0]
    with pytest.raises(OffsetOutOfRangeError):
        await read_all(Log(FakeClient([], errors=[OffsetOutOfRangeError.errno]), "t", 0, 0, 1))


class FakeConsumer:
    """Stands for an aiokafka consumer that is asked for ends."""

    def __init__(self, ends):
        self.ends = list(ends)

    async def stop(self):
        pass

    async def end_offsets(self, places):
        return {places[0]: self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]}

    async def beginning_offsets(self, places):
        return {places[0]: 0}


@pytest.fixture
def consumers(monkeypatch):
    """Return a list to which a test adds the consumers that are to be made, in their order, and one for the client."""
    made = []

    async def make(_bootstrap, **_):
        return made.pop(0)

    @asynccontextmanager
    async def connect(_bootstrap):
        yield made.client

    class Made(list):
        client = None

    made = Made()
    monkeypatch.setattr(reading, "_consumer", make)
    monkeypatch.setattr(reading, "_client", connect)
    return made


async def test_an_end_is_settled_when_the_transactions_in_it_are_decided(consumers, monkeypatch):
    monkeypatch.setattr(reading, "POLL_MS", 0)
    consumers += [FakeConsumer([5, 5, 9]), FakeConsumer([8])]
    async with Kafka("b") as kafka:
        assert await kafka.settled_end("t", 0) == (9, True)
        monkeypatch.setattr(reading, "SETTLE_S", 0.0)
        kafka._committed.ends = [5]
        assert await kafka.settled_end("t", 0) == (5, False)


NAMES = list(TOPICS)


class Cluster(dict):
    """Stands for a cluster's metadata: topic -> number of partitions."""

    def partitions_for_topic(self, topic):
        return set(range(self[topic])) if topic in self else None


async def test_all_topics_must_be_there_with_one_partition_count():
    cluster = Cluster.fromkeys(NAMES, 4)

    async def ask():
        return cluster

    async def set_topics(_topics):
        pass

    kafka = Kafka("b")
    kafka._client = SimpleNamespace(fetch_all_metadata=ask, set_topics=set_topics)
    assert await kafka.partitions() == 4
    cluster[CHANGELOG] = 3
    with pytest.raises(CannotAudit, match="same number of partitions"):
        await kafka.partitions()
    del cluster[CHANGELOG]
    with pytest.raises(CannotAudit, match=f"no topic {CHANGELOG} at b"):
        await kafka.partitions()


def keep_changelog(consumers, records):
    """Let the next `Kafka` read a changelog of (key, value) records, in batches of ten."""
    data = []
    for base in range(0, len(records), 10):
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, 0, 0, 1 << 20)
        for delta, (key, value) in enumerate(records[base : base + 10]):
            builder.append(delta, 0, key, value, [])
        batch_data = bytearray(builder.build())
        struct.pack_into(">q", batch_data, 0, base)
        data.append(bytes(batch_data))
    consumers += [FakeConsumer([len(records)]) for _ in range(2)]
    consumers.client = FakeClient(data, at_a_time=50)


def position(next_offset):
    return b"P", msgspec.msgpack.encode([1, next_offset, 7, 1])


async def test_the_ledger_is_the_last_value_of_every_key(consumers):
    records = [(b"a", b"1"), (b"b", b"1"), position(1), (b"a", b"2"), (b"b", None), position(2)]
    keep_changelog(consumers, records)
    async with Kafka("b") as kafka:
        assert await kafka.ledger(0) == ({b"a": b"2"}, 2, 7, 1, 6)
        assert await kafka.ledger(0, since=3) == ({b"a": b"2", b"b": None}, 2, 7, 1, 6)


@pytest.mark.parametrize("behind", [0, 5, 1500])
async def test_the_position_is_found_in_the_changelogs_tail(consumers, behind):
    records = [(b"a", b"1")] * 3000 + [position(41), position(42)] + [(b"a", b"2")] * behind
    keep_changelog(consumers, records)
    async with Kafka("b") as kafka:
        assert await kafka.position(0) == 42


async def test_a_changelog_without_position_has_none(consumers):
    keep_changelog(consumers, [(b"a", b"1")] * 20)
    async with Kafka("b") as kafka:
        assert await kafka.position(0) is None
