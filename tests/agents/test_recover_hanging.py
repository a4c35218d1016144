"""It is asked how what was committed a while ago has ended, and a partition in which it hangs recovers."""

import asyncio

import pytest
import structlog
from aiokafka.errors import NotLeaderForPartitionError

from agents import transport
from agents.transport import BatchConsumer


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

    async def hangs(self):
        self.asked += 1
        await asyncio.sleep(0.001)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class App:
    """Remembers what was recovered."""

    def __init__(self):
        self.recovered = []
        self.crashed = None

    async def crash(self, error):
        self.crashed = error

    async def recover(self, partition):
        self.recovered.append(partition)


async def tick(partition, times=1):
    """Return what was recovered after so many ticks, one right after the other."""
    consumer = object.__new__(BatchConsumer)
    consumer.app, consumer.partitions = App(), {3: partition}
    consumer._beside, consumer._asking, consumer._ask_at = set(), set(), {}
    for _ in range(times):
        consumer.recover_hanging()
        await asyncio.sleep(0.01)
    return consumer.app.recovered


async def test_nothing_is_asked_when_the_end_of_everything_was_seen():
    partition = Partition(may_hang=False)
    assert await tick(partition) == []
    assert partition.asked == 0


async def test_a_partition_in_which_nothing_hangs_is_left_alone():
    assert await tick(Partition(False)) == []


async def test_a_partition_in_which_something_hangs_recovers():
    partition = Partition(True)
    assert await tick(partition) == [partition]


@pytest.mark.parametrize("error", [NotLeaderForPartitionError(), TimeoutError(), ConnectionError()])
async def test_when_nobody_can_be_asked_it_is_asked_again_a_while_later(error, monkeypatch):
    partition = Partition(error, True)
    monkeypatch.setattr(transport, "_ASK_AGAIN_S", 0.015)
    assert await tick(partition, times=2) == []
    partition = Partition(error, True)
    assert await tick(partition, times=3) == [partition]
    assert partition.asked == 2


async def test_it_is_asked_once_at_a_time():
    partition = Partition(False)
    consumer = object.__new__(BatchConsumer)
    consumer.app, consumer.partitions = App(), {3: partition}
    consumer._beside, consumer._asking, consumer._ask_at = set(), set(), {}
    consumer.recover_hanging()
    await asyncio.sleep(0)
    consumer.recover_hanging()
    await asyncio.sleep(0.01)
    assert partition.asked == 1


async def test_a_partition_that_recovers_already_is_left_alone():
    partition = Partition(True)
    partition.is_recovering = True
    assert await tick(partition) == []


async def test_it_is_asked_every_so_often(monkeypatch):
    monkeypatch.setattr(transport, "_ASK_EVERY_S", 0.025)
    partition = Partition(False, False, False)
    await tick(partition, times=5)
    assert partition.asked == 2


async def test_an_error_that_nobody_foresaw_ends_the_worker():
    partition = Partition(KeyError("a bug"))
    consumer = object.__new__(BatchConsumer)
    consumer.app, consumer.partitions = App(), {3: partition}
    consumer._beside, consumer._asking, consumer._ask_at = set(), set(), {}
    consumer.recover_hanging()
    await asyncio.sleep(0.01)
    assert isinstance(consumer.app.crashed, KeyError)
