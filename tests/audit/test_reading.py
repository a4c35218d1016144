"""Logs are read until the reader's position is at the end: markers and compaction make offsets skip."""

import msgspec
import pytest
from aiokafka import TopicPartition

from audit import reading
from audit.reading import CannotAudit, Kafka, Log
from schemas.topics import CHANGELOG, TOPICS
from tests.audit.ledger import Record


class FakeConsumer:
    """Stands for an aiokafka consumer: gives `fetches` one by one, each (records, position after it)."""

    def __init__(self, fetches=(), ends=()):
        self.fetches = list(fetches)
        self.ends = list(ends)
        self.at = None
        self.stopped = False

    def assign(self, places):
        (self.place,) = places

    def seek(self, place, offset):
        assert place == self.place
        self.at = offset

    async def getmany(self, place, **_):
        if not self.fetches:
            return {}
        offsets, self.at = self.fetches.pop(0)
        return {place: [Record(offset, 0, b"k", b"v") for offset in offsets]} if offsets else {}

    async def position(self, _place):
        return self.at

    async def stop(self):
        self.stopped = True

    async def end_offsets(self, places):
        return {places[0]: self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]}

    async def beginning_offsets(self, places):
        return {places[0]: 0}


@pytest.fixture
def consumers(monkeypatch):
    """Give a list to which a test adds the consumers that are to be made, in their order."""
    made = []

    async def make(_bootstrap, **_):
        return made.pop(0)

    monkeypatch.setattr(reading, "_consumer", make)
    return made


async def read_all(log):
    offsets = []
    while not log.done:
        offsets += [record.offset for record in await log.read()]
    return offsets


ENDINGS = [
    # fetches as (offsets, position after), begin and end, then: what is read
    ([([0, 1, 2], 3)], (0, 3), [0, 1, 2]),
    ([([0, 1], 2), ([2], 3)], (0, 3), [0, 1, 2]),
    ([([0, 1], 3)], (0, 3), [0, 1]),  # a marker behind the last record, read with it
    ([([0, 1], 2), ([], 3)], (0, 3), [0, 1]),  # a marker that comes alone
    ([([7, 9], 12)], (5, 12), [7, 9]),  # compaction before, between and behind
    ([([0, 1, 2, 3, 4], 5)], (0, 3), [0, 1, 2]),  # the log has grown since
    ([([], 4)], (0, 4), []),  # an aborted transaction alone
    ([], (4, 4), []),
]


@pytest.mark.parametrize(("fetches", "bounds", "offsets"), ENDINGS)
async def test_a_log_is_read_up_to_its_end(consumers, fetches, bounds, offsets):
    consumer = FakeConsumer(fetches)
    consumers.append(consumer)
    assert await read_all(Log("b", "t", 0, *bounds)) == offsets
    assert consumer.stopped or not fetches


async def test_a_log_that_gives_nothing_more_is_given_up(consumers, monkeypatch):
    monkeypatch.setattr(reading, "STALLED_S", 0.0)
    consumers.append(FakeConsumer([([0], 1)]))
    with pytest.raises(CannotAudit, match="t/3 gives nothing more before 5"):
        await read_all(Log("b", "t", 3, 0, 5))


async def test_an_end_is_settled_when_the_transactions_in_it_are_decided(consumers, monkeypatch):
    monkeypatch.setattr(reading, "POLL_MS", 0)
    consumers += [FakeConsumer(ends=[5, 5, 9]), FakeConsumer(ends=[8])]
    async with Kafka("b") as kafka:
        assert await kafka.settled_end("t", 0) == (9, True)
        monkeypatch.setattr(reading, "SETTLE_S", 0.0)
        kafka._committed.ends = [5]
        assert await kafka.settled_end("t", 0) == (5, False)


NAMES = [name for name in TOPICS if name != "inventory.reference"]


class Cluster(dict):
    """Stands for a cluster's metadata: topic -> number of partitions."""

    def partitions_for_topic(self, topic):
        return set(range(self[topic])) if topic in self else None


async def test_all_topics_must_be_there_with_one_partition_count(monkeypatch):
    cluster = Cluster.fromkeys(NAMES, 4)

    async def ask(_bootstrap):
        return cluster

    monkeypatch.setattr(reading, "_cluster", ask)
    kafka = Kafka("b")
    assert await kafka.partitions() == 4
    cluster[CHANGELOG] = 3
    with pytest.raises(CannotAudit, match="same number of partitions"):
        await kafka.partitions()
    del cluster[CHANGELOG]
    with pytest.raises(CannotAudit, match=f"no topic {CHANGELOG} at b"):
        await kafka.partitions()


class Changelog(FakeConsumer):
    """A changelog of (key, value) records, given ten at a time."""

    def __init__(self, records):
        super().__init__(ends=[len(records)])
        self.records = records

    async def getmany(self, place, **_):
        assert place == TopicPartition(CHANGELOG, 0)
        start = self.at
        self.at = min(start + 10, len(self.records))
        return {place: [Record(i, 0, *self.records[i]) for i in range(start, self.at)]}


def position(next_offset):
    return b"P", msgspec.msgpack.encode([1, next_offset, 7, 1])


async def test_the_ledger_is_the_last_value_of_every_key(consumers):
    records = [(b"a", b"1"), (b"b", b"1"), position(1), (b"a", b"2"), (b"b", None), position(2)]
    consumers += [Changelog(records) for _ in range(3)]
    async with Kafka("b") as kafka:
        assert await kafka.ledger(0) == ({b"a": b"2"}, 2, 7)


@pytest.mark.parametrize("behind", [0, 5, 1500])
async def test_the_position_is_found_in_the_changelogs_tail(consumers, behind):
    records = [(b"a", b"1")] * 3000 + [position(41), position(42)] + [(b"a", b"2")] * behind
    consumers += [Changelog(records) for _ in range(5)]
    async with Kafka("b") as kafka:
        assert await kafka.position(0) == 42


async def test_a_changelog_without_position_has_none(consumers):
    consumers += [Changelog([(b"a", b"1")] * 20) for _ in range(3)]
    async with Kafka("b") as kafka:
        assert await kafka.position(0) is None
