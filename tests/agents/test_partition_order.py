"""Exactly-once depends on the order of a partition's steps; these tests check it, step by step.

The broker is a list of what was asked of it, and a changelog that knows what is committed. The store is a real one.
"""

import asyncio
import json
from types import SimpleNamespace

import pytest
from aiokafka.record.memory_records import MemoryRecords

from agents import local_store, partition
from agents.batches import CommandBatch
from agents.config import WorkerConfig
from agents.partition import LostCommandsError, NotOursError, Partition
from agents.transactions import TooLargeError, TransactionError, UnknownOutcomeError
from schemas.topics import CHANGELOG, COMMANDS, DEAD_LETTERS, DELETE_RETENTION_MS, REFERENCE, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY, Position, Stock, decode_position, encode_row, stock_key
from tables.ledger import checkpoint_of, wall_clock_ms
from tables.store import RocksStore

T0 = 1_764_000_000_000


class Kafka:
    """Stands for `TransactionClient`, `LogReader`, `read_changelog` and the log under all of them."""

    def __init__(self):
        self.asked = []
        self.committed = []
        self.undecided = []
        self.results = []
        self.failures = {}
        self.commands = (0, 1_000)
        self.on = {}  # what else is to happen within a call
        self.is_open = lambda: False

    def __call__(self, *_args, **_kwargs):
        return self

    async def _hear(self, call):
        assert not self.is_open(), f"{call} while the gate is open"
        self.asked.append(call)
        if (also := self.on.get(call)) is not None:
            await also()
        if call in self.failures:
            raise self.failures.pop(call)

    @property
    def end_of_changelog(self):
        return len(self.committed) + len(self.undecided)

    async def start(self, _topics=()):
        pass

    async def close(self):
        pass

    may_hang = False

    async def begin(self, places):
        assert {place.topic for place in places} == {CHANGELOG, RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE}
        await self._hear("fence")
        # Aborted records keep their offsets, and nobody reads them.
        self.committed += [None] * len(self.undecided)
        self.undecided = []

    async def log_range(self, topic, _partition):
        await self._hear(f"end of {topic}")
        return {COMMANDS: self.commands, RESULTS: (0, 0)}.get(topic, (0, self.end_of_changelog))

    async def read_changelog(self, _bootstrap, _partition, start, end):
        await self._hear(f"read {start} to {end}")
        for offset in range(start, end, 2):
            chunk = [(at, *self.committed[at]) for at in range(offset, min(offset + 2, end)) if self.committed[at]]
            if chunk:
                yield chunk

    async def produce(self, _partition, batches):
        self.asked.append("produce")
        if (also := self.on.get("produce")) is not None:
            await also()
        if "produce" in self.failures:
            raise self.failures.pop("produce")
        for batch in batches.values():
            batch.set_producer_state(1, 0, 0)
        records = {topic: list(MemoryRecords(bytes(batch.build())).next_batch()) for topic, batch in batches.items()}
        first = self.end_of_changelog
        self.undecided += [(record.key, record.value) for record in records[CHANGELOG]]
        self.results += [json.loads(record.value) for record in records[RESULTS]]
        return {CHANGELOG: first}

    async def end(self):
        self.asked.append("end")
        if "end" in self.failures:
            raise self.failures.pop("end")
        # The marker takes an offset too.
        self.committed += [*self.undecided, None]
        self.undecided = []


class Worker:
    """A partition on its disk; `start` starts it again."""

    def __init__(self, kafka, data_dir):
        self.kafka = kafka
        self.config = WorkerConfig(bootstrap="nowhere", data_dir=data_dir, partitions=1)
        self.partition = None

    def start(self):
        self.partition = Partition(0, self.config, lambda: True)
        self.kafka.is_open = lambda: self.partition.is_open
        return self.partition

    @property
    def store(self):
        return self.partition._local.store

    async def stop(self):
        await self.partition.revoke()


@pytest.fixture
def kafka(monkeypatch):
    kafka = Kafka()
    monkeypatch.setattr(partition, "TransactionClient", kafka)
    monkeypatch.setattr(partition, "LogReader", kafka)
    monkeypatch.setattr(local_store, "read_changelog", kafka.read_changelog)
    original = RocksStore.write

    def write(store, items):
        kafka.asked.append("write")
        original(store, items)

    monkeypatch.setattr(RocksStore, "write", write)
    return kafka


@pytest.fixture
async def worker(kafka, tmp_path):
    worker = Worker(kafka, tmp_path)
    worker.start()
    yield worker
    await worker.stop()


def adjusts(start, count, *, read_to=None):
    def value(offset):
        document = {"type": "adjust", "command_id": f"c{offset}", "sku": "S", "warehouse": "w", "delta": 1,
                    "reason": "receipt"}  # fmt: skip
        return json.dumps(document).encode()

    offsets = range(start, start + count)
    records = [SimpleNamespace(offset=at, timestamp=T0 + at, key=b"S", value=value(at)) for at in offsets]
    return CommandBatch(0, records, start, start + count if read_to is None else read_to)


def on_hand(worker):
    return worker.partition._ledger.sku("S").stock["w"].on_hand


def new_since(kafka, count):
    return kafka.asked[count:]


# RECOVER


async def test_recover_fences_then_asks_for_the_end_then_reads_up_to_it_and_opens_last(kafka, worker):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 3))
    before = len(kafka.asked)
    await worker.stop()
    assert await worker.start().recover() == 3
    # The position row stands at 4, the marker at 5.
    assert new_since(kafka, before) == ["fence", f"end of {CHANGELOG}", "read 4 to 6", "write", f"end of {COMMANDS}"]
    assert worker.partition.is_open


async def test_what_an_older_owner_commits_until_it_is_fenced_is_read(kafka, worker):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 1))
    await worker.stop()

    async def commit_of_the_older_owner():
        rows = [(stock_key("S", "w"), encode_row(Stock(2, 77)))]
        rows.append((POSITION_KEY, encode_row(Position(5, T0, decode_position(kafka.committed[2][1]).incarnation))))
        kafka.committed += [*rows, None]

    kafka.on["fence"] = commit_of_the_older_owner
    assert await worker.start().recover() == 5
    assert on_hand(worker) == 77


async def test_the_first_life_starts_at_the_earliest_command_and_the_next_where_the_ledger_stands(kafka, worker):
    kafka.commands = (10, 50)
    assert await worker.partition.recover() == 10
    await worker.partition.commit_batch(adjusts(10, 2))
    first = worker.partition.position
    await worker.stop()
    assert await worker.start().recover() == 12
    assert worker.partition.position == first


async def test_a_position_that_the_commands_do_not_hold_stops_the_partition(kafka, worker):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 2))
    await worker.stop()
    kafka.commands = (3, 50)
    with pytest.raises(LostCommandsError, match="command 2 is next"):
        await worker.start().recover()
    assert not worker.partition.is_open


@pytest.mark.parametrize("at_its_place", ["a position of another life", "no position"])
async def test_a_store_of_another_life_of_the_changelog_is_rebuilt(kafka, worker, at_its_place):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 3))
    await worker.stop()
    other = [(stock_key("S", "y"), encode_row(Stock(1, 5))), (POSITION_KEY, encode_row(Position(1, T0, "other life")))]
    # Longer than the one that the store knows, whose position stands at 4.
    kafka.committed = [*other, None, None, None, None, None]
    if at_its_place == "a position of another life":
        kafka.committed = [*other, None, *other, None]
    assert await worker.start().recover() == 1
    assert list(worker.partition._ledger.sku("S").stock) == ["y"], "nothing of the old life is left"
    assert worker.partition.position.incarnation == "other life"


async def test_a_store_that_may_have_missed_tombstones_is_rebuilt(kafka, worker, monkeypatch):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 1))
    await worker.stop()
    later = wall_clock_ms() + DELETE_RETENTION_MS
    monkeypatch.setattr(local_store, "wall_clock_ms", lambda: later)
    await worker.start().recover()
    assert f"read 0 to {kafka.end_of_changelog}" in kafka.asked


# COMMIT


async def test_commit_produces_then_ends_then_writes(kafka, worker):
    await worker.partition.recover()
    before = len(kafka.asked)
    assert await worker.partition.commit_batch(adjusts(0, 3))
    assert new_since(kafka, before) == ["produce", "end", "write"]
    assert worker.partition.read_position == 3


async def test_the_checkpoint_is_the_place_of_the_position_row(kafka, worker):
    await worker.partition.recover()
    for start in (0, 3):
        await worker.partition.commit_batch(adjusts(start, 3))
        key, value = kafka.committed[checkpoint_of(worker.store).position_offset]
        assert (key, decode_position(value)) == (POSITION_KEY, worker.partition.position)


async def test_a_batch_that_does_not_join_is_refused_and_asks_nothing_of_anybody(kafka, worker):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 3))
    before = len(kafka.asked)
    assert not await worker.partition.commit_batch(adjusts(0, 3))
    assert not await worker.partition.commit_batch(adjusts(5, 3))
    assert new_since(kafka, before) == []
    assert (on_hand(worker), worker.partition.read_position) == (3, 3)


FAILURES = [
    ("produce", TransactionError("refused"), ["produce"]),
    ("produce", TooLargeError("refused"), ["produce"]),
    ("end", UnknownOutcomeError("no answer"), ["produce", "end"]),
]


@pytest.mark.parametrize(("call", "error", "steps"), FAILURES, ids=str)
async def test_after_a_failed_step_nothing_more_is_done_until_recover(kafka, worker, call, error, steps):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 2))
    before = len(kafka.asked)
    kafka.failures[call] = error
    with pytest.raises(type(error)):
        await worker.partition.commit_batch(adjusts(2, 2))
    assert new_since(kafka, before) == steps
    assert not worker.partition.is_open, "its ledger holds what may not have been committed"
    assert not await worker.partition.commit_batch(adjusts(2, 2))
    assert await worker.partition.recover() == 2
    assert on_hand(worker) == 2
    await worker.partition.commit_batch(adjusts(2, 2))
    assert on_hand(worker) == 4


async def test_an_end_whose_answer_is_lost_is_found_out_by_recover(kafka, worker):
    await worker.partition.recover()
    end = kafka.end

    async def commit_and_lose_the_answer():
        await end()
        raise UnknownOutcomeError("no answer")

    kafka.end = commit_and_lose_the_answer
    with pytest.raises(UnknownOutcomeError):
        await worker.partition.commit_batch(adjusts(0, 2))
    kafka.end = end
    assert await worker.partition.recover() == 2
    assert on_hand(worker) == 2


async def test_a_batch_that_was_too_large_is_tried_in_halves(kafka, worker):
    await worker.partition.recover()
    kafka.failures["produce"] = TooLargeError("refused")
    with pytest.raises(TooLargeError):
        await worker.partition.commit_batch(adjusts(0, 8))
    await worker.partition.recover()
    before = len(kafka.asked)
    await worker.partition.commit_batch(adjusts(0, 8))
    # Four, and then up to eight again.
    assert new_since(kafka, before) == ["produce", "end", "write"] * 2
    assert on_hand(worker) == 8


async def test_what_is_decided_already_is_not_decided_again(kafka, worker):
    await worker.partition.recover()
    await worker.partition.commit_batch(adjusts(0, 4))
    await worker.stop()
    worker.start()
    await worker.partition.recover()
    worker.partition.read_position = 2  # as if the reading had begun before the position
    await worker.partition.commit_batch(adjusts(2, 4))
    assert [result["offset"] for result in kafka.results] == [0, 1, 2, 3, 4, 5]
    assert (on_hand(worker), worker.partition.position.next_offset) == (6, 6)


# REVOKE


async def test_a_transaction_that_is_not_at_its_end_when_the_partition_is_taken_away_is_dropped(kafka, worker):
    await worker.partition.recover()
    revoking = []

    async def revoke():
        revoking.append(asyncio.create_task(worker.partition.revoke()))
        await asyncio.sleep(0)

    kafka.on["produce"] = revoke
    with pytest.raises(NotOursError):
        await worker.partition.commit_batch(adjusts(0, 2))
    await revoking[0]
    assert kafka.asked[-1] == "produce"
    assert not worker.partition.is_open


async def test_a_transaction_that_is_at_its_end_is_waited_for(kafka, worker):
    await worker.partition.recover()
    end = kafka.end
    at_end, go_on = asyncio.Event(), asyncio.Event()

    async def slow_end():
        at_end.set()
        await go_on.wait()
        await end()

    kafka.end = slow_end
    taking = asyncio.create_task(worker.partition.commit_batch(adjusts(0, 2)))
    await at_end.wait()
    store = worker.store
    revoking = asyncio.create_task(worker.partition.revoke())
    await asyncio.sleep(0)
    go_on.set()
    assert await taking
    await revoking
    assert kafka.asked[-3:] == ["produce", "end", "write"]
    with pytest.raises(Exception, match="closed"):
        store.get(POSITION_KEY)
