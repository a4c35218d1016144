"""The partitions that the group assigns: their readers, their RECOVER, and how an agent gets its commands."""

import asyncio
from types import SimpleNamespace

import pytest
import structlog
from aiokafka.errors import KafkaConnectionError

from agents import assignment
from agents.assignment import Partitions
from agents.batches import CommandBatch
from agents.partition import NotOursError


class FakePartition:
    """Stands for the partition; `taken` fails with `error` once, when there is one."""

    def __init__(self, number, _config, _is_ours):
        self.number = number
        self.log = structlog.get_logger()
        self.is_open = self.is_recovering = False
        self.read_position = 0
        self.taken, self.error = [], None
        self.recoveries, self.revoked = 0, False
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def recover(self):
        self.recoveries += 1
        await self.goes_on.wait()
        if self.revoked:
            raise NotOursError
        self.is_open = True

    async def revoke(self):
        self.revoked, self.is_open = True, False

    async def commit_batch(self, batch):
        error, self.error = self.error, None
        if error is not None:
            raise error
        if batch.read_from != self.read_position:
            return False
        self.taken.append(batch)
        self.read_position = batch.read_to
        return True


class FakeReader:
    """Stands for the reader: remembers where it was told to read from; `waiting` is what it has fetched."""

    def __init__(self, _bootstrap, number, wake, lost, failed):
        self.number, self.wake, self.lost, self.failed = number, wake, lost, failed
        self.reads_from, self.waiting, self.log_end = None, None, 0

    def start(self, position):
        self.reads_from = position

    def stop(self):
        self.reads_from = None

    def pop_batch(self):
        waiting, self.waiting = self.waiting, None
        return waiting

    def done(self):
        pass


@pytest.fixture
def crashes():
    return []


@pytest.fixture
async def partitions(monkeypatch, crashes):
    monkeypatch.setattr(assignment, "Partition", FakePartition)
    monkeypatch.setattr(assignment, "CommandReader", FakeReader)

    async def crash(error):
        crashes.append(error)

    return Partitions(SimpleNamespace(bootstrap="nowhere"), crash)


def add(partitions, number):
    partitions.add(number, lambda: True)
    return partitions._assigned[number]


async def recovered(partitions, number):
    assigned = add(partitions, number)
    partitions.start_recoveries()
    await asyncio.sleep(0.001)
    return assigned


async def test_a_partition_is_read_from_its_position_once_it_is_recovered(partitions):
    partition, reader = add(partitions, 3)
    partition.read_position = 7
    assert reader.reads_from is None
    partitions.start_recoveries()
    await asyncio.sleep(0.001)
    assert (partition.recoveries, reader.reads_from, partitions.are_open) == (1, 7, True)


async def test_a_partition_that_is_assigned_again_is_left_as_it_is(partitions):
    assigned = await recovered(partitions, 3)
    assert add(partitions, 3) is assigned


async def test_the_agent_takes_what_waits(partitions):
    partition, reader = await recovered(partitions, 3)
    reader.waiting = batch = CommandBatch(3, [], 0, 5)
    await partitions.serve(3)
    await partitions.serve(3)
    assert partition.taken == [batch]


async def test_a_batch_that_was_read_before_the_last_recover_is_dropped_and_read_again(partitions):
    partition, reader = await recovered(partitions, 3)
    partition.read_position, reader.waiting = 2, CommandBatch(3, [], 0, 5)
    await partitions.serve(3)
    assert (partition.taken, reader.reads_from) == ([], 2)


async def test_after_a_transaction_that_failed_the_partition_recovers_and_reads_on(partitions, crashes):
    partition, reader = await recovered(partitions, 3)
    partition.error, reader.waiting = KafkaConnectionError("gone"), CommandBatch(3, [], 0, 5)
    await partitions.serve(3)
    assert (partition.recoveries, reader.reads_from, crashes) == (2, 0, [])


async def test_an_error_that_nobody_foresaw_ends_the_worker(partitions, crashes):
    partition, reader = await recovered(partitions, 3)
    partition.error, reader.waiting = KeyError("a bug"), CommandBatch(3, [], 0, 5)
    await partitions.serve(3)
    assert [type(error) for error in crashes] == [KeyError]


async def test_a_reader_that_fails_ends_the_worker_and_one_whose_log_is_lost_recovers(partitions, crashes):
    partition, reader = await recovered(partitions, 3)
    reader.lost()
    await asyncio.sleep(0.001)
    assert (partition.recoveries, crashes) == (2, [])
    reader.failed(RuntimeError("a bug"))
    await asyncio.sleep(0.001)
    assert [type(error) for error in crashes] == [RuntimeError]


async def test_what_was_taken_away_is_neither_announced_nor_read_when_its_recover_ends(partitions):
    gone, old_reader = add(partitions, 3)
    gone.goes_on.clear()
    partitions.start_recoveries()
    await asyncio.sleep(0.001)
    old_reader.wake(CommandBatch(3, [], 0, 5))
    await partitions.revoke([3, 4])
    gone.goes_on.set()
    _, other_reader = add(partitions, 5)
    other_reader.wake(CommandBatch(5, [], 1, 2))
    assert (await partitions.next_announced()).partition == 5
    await asyncio.sleep(0.001)
    assert (gone.revoked, old_reader.reads_from, partitions.numbers) == (True, None, [5])
