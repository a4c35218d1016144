"""A batch says where it was read from, so that what was read before a RECOVER is never taken for what comes next."""

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from agents.transport import BatchConsumer
from schemas.topics import COMMANDS

HERE = TP(COMMANDS, 0)


class Log:
    """An aiokafka consumer over a log of offsets; some of them hold no record (markers, aborted ones)."""

    def __init__(self, offsets):
        self.offsets = offsets
        self.position = 0
        self.state = SimpleNamespace(_position=0)
        assignment = SimpleNamespace(state_value=lambda _: self.state)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))

    def pause(self, _tp):
        self.paused_at = self.state._position

    def seek(self, _tp, offset):
        self.state._position = offset

    async def getmany(self, *_tps, timeout_ms, upto=None):
        del timeout_ms
        upto = self.upto if upto is None else upto
        start, self.state._position = self.state._position, upto
        records = [SimpleNamespace(offset=offset) for offset in self.offsets if start <= offset < upto]
        return {TopicPartition(*HERE): records}


@pytest.fixture
def consumer():
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer._next, consumer._ahead = {}, {}
    consumer.partitions = {0: SimpleNamespace(is_open=True)}
    return consumer


async def read(consumer, log, upto):
    log.upto = upto
    consumer._client = log
    found = await consumer._getmany({HERE}, 1.0)
    return found[HERE][0] if found else None


async def test_batches_join_without_a_gap(consumer):
    log = Log(range(100))
    consumer._client = log
    await consumer._seek(HERE, 10)
    first, second = await read(consumer, log, 20), await read(consumer, log, 30)
    assert (first.read_from, first.read_to, second.read_from, second.read_to) == (10, 20, 20, 30)


async def test_a_stretch_without_records_belongs_to_the_next_batch(consumer):
    log = Log([*range(10), *range(500, 510)])
    consumer._client = log
    await consumer._seek(HERE, 0)
    await read(consumer, log, 10)
    assert await read(consumer, log, 300) is None
    batch = await read(consumer, log, 510)
    assert (batch.read_from, batch.records[0].offset, batch.read_to) == (10, 500, 510)


async def test_after_a_seek_back_a_batch_starts_where_the_seek_went(consumer):
    log = Log(range(200))
    consumer._client = log
    await consumer._seek(HERE, 90)
    await read(consumer, log, 100)
    await consumer._seek(HERE, 90)
    again = await read(consumer, log, 100)
    assert (again.read_from, again.records[0].offset) == (90, 90)


async def test_a_partition_whose_agent_is_far_behind_is_paused(consumer):
    log = Log(range(100))
    consumer._client = log
    await consumer._seek(HERE, 0)
    for number in range(1, 5):
        await read(consumer, log, number)
    assert log.paused_at == 4
