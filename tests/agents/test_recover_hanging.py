"""The worker asks whether committed transactions have their markers, and recovers a partition in which one hangs."""

import asyncio

import pytest
import structlog
from aiokafka.errors import NotLeaderForPartitionError

from agents.assignment import _ASK_AGAIN_S, _ASK_EVERY_S, Assigned, Partitions


class Partition:
    """Stands for the partition, as far as its last transaction goes; `answers` are what it hears when it asks."""

    log = structlog.get_logger()
    number = 3
    is_open = True
    is_recovering = False

    def __init__(self, *answers, may_hang=True):
        self.may_hang = may_hang
        self.answers = list(answers)
        self.asked = 0
        self.recovered = 0
        self.read_position = 7

    async def recover(self):
        self.recovered += 1

    async def hangs(self):
        self.asked += 1
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Reader:
    """Stands for what reads the partition."""

    read_from = None

    def stop(self):
        self.read_from = None

    def start(self, position):
        self.read_from = position


def assigned(partition, crash=None):
    """Return the partitions of a worker to which this one is assigned, and its reader."""
    partitions, reader = Partitions(None, crash), Reader()
    partitions._assigned[partition.number] = Assigned(partition, reader)
    return partitions, reader


async def all_done():
    """Wait until all that was begun is done: nothing here waits for more than its turn."""
    for _ in range(20):
        await asyncio.sleep(0)


async def tick(partition, *seconds):
    """Return how often a partition was recovered after ticks at these seconds of the loop's clock."""
    partitions, reader = assigned(partition)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    try:
        for second in seconds or [0.0]:
            loop.time = lambda now=begin + second: now
            partitions.recover_hanging()
            await all_done()
    finally:
        del loop.time
    assert reader.read_from == (partition.read_position if partition.recovered else None)
    return partition.recovered


async def test_nothing_is_asked_when_the_end_of_everything_was_seen():
    partition = Partition(may_hang=False)
    assert await tick(partition) == 0
    assert partition.asked == 0


async def test_a_partition_in_which_nothing_hangs_is_left_alone():
    assert await tick(Partition(False)) == 0


async def test_a_partition_in_which_something_hangs_recovers():
    partition = Partition(True)
    assert await tick(partition) == 1


@pytest.mark.parametrize("error", [NotLeaderForPartitionError(), TimeoutError(), ConnectionError()])
async def test_when_nobody_can_be_asked_it_is_asked_again_a_while_later(error):
    assert await tick(Partition(error, True), 0, 0.9 * _ASK_AGAIN_S) == 0
    partition = Partition(error, True)
    assert await tick(partition, 0, 0.9 * _ASK_AGAIN_S, 1.1 * _ASK_AGAIN_S) == 1
    assert partition.asked == 2


async def test_it_is_asked_once_at_a_time():
    partition = Partition(False)
    partitions, _ = assigned(partition)
    partitions.recover_hanging()
    await asyncio.sleep(0)
    partitions.recover_hanging()
    await all_done()
    assert partition.asked == 1


async def test_a_partition_that_recovers_already_is_left_alone():
    partition = Partition(True)
    partition.is_recovering = True
    assert await tick(partition) == 0


async def test_it_is_asked_every_so_often():
    partition = Partition(False, False, False)
    await tick(partition, 0, 0.5 * _ASK_EVERY_S, 0.9 * _ASK_EVERY_S, 1.1 * _ASK_EVERY_S, 1.5 * _ASK_EVERY_S)
    assert partition.asked == 2


async def test_an_error_that_nobody_foresaw_ends_the_worker():
    partition = Partition(KeyError("a bug"))
    crashes = []

    async def crash(error):
        crashes.append(error)

    partitions, _ = assigned(partition, crash)
    partitions.recover_hanging()
    await all_done()
    assert [type(error) for error in crashes] == [KeyError]
