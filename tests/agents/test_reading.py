"""A batch says where it was read from, so that a batch from before a RECOVER is never applied after it."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError

from agents import reading
from agents.reading import CommandReader, Fetched

LONG_S = 5.0


class Log:
    """A partition of the log: some of its offsets hold no record (markers, aborted ones); each fetch reads so far."""

    def __init__(self, offsets, *fetches):
        self.offsets = offsets
        self.fetches = asyncio.Queue()
        for upto in fetches:
            self.fetches.put_nowait(upto)
        self.asked = []
        self.refuse = None

    def __call__(self, *_args, **_kwargs):
        return self

    async def start(self):
        pass

    async def close(self):
        pass

    async def fetch(self, position):
        self.asked.append(position)
        if self.refuse is not None:
            error, self.refuse = self.refuse, None
            raise error
        upto = await self.fetches.get()
        records = [SimpleNamespace(offset=offset) for offset in self.offsets if position <= offset < upto]
        return Fetched(records, upto, 10**9)


class Reading:
    def __init__(self, monkeypatch, log):
        self.woken = asyncio.Queue()
        self.was_lost = asyncio.Event()
        self.errors = []
        monkeypatch.setattr(reading, "LogReader", log)
        self.reader = CommandReader("nowhere", 0, self.woken.put_nowait, self.was_lost.set, self.errors.append)

    async def next_batch(self):
        await asyncio.wait_for(self.woken.get(), LONG_S)
        return self.reader.pop_batch()


@pytest.fixture
def read(monkeypatch):
    readings = []

    def start(log, position=0):
        found = Reading(monkeypatch, log)
        readings.append(found)
        found.reader.start(position)
        return found

    yield start
    for found in readings:
        found.reader.stop()


def span(batch):
    return batch.read_from, [record.offset for record in batch.records], batch.read_to


async def test_batches_join_without_a_gap(read):
    log = Log(range(100), 12)
    found = read(log, 10)
    assert span(await found.next_batch()) == (10, [10, 11], 12)
    log.fetches.put_nowait(14)
    assert span(await found.next_batch()) == (12, [12, 13], 14)


async def test_a_stretch_without_records_belongs_to_the_next_batch(read):
    log = Log([0, 1, 500], 2)
    found = read(log)
    assert span(await found.next_batch()) == (0, [0, 1], 2)
    log.fetches.put_nowait(300)
    log.fetches.put_nowait(501)
    assert span(await found.next_batch()) == (2, [500], 501)


async def test_what_was_fetched_meanwhile_is_taken_as_one_batch(read):
    found = read(Log(range(100), 1, 3, 7))
    await asyncio.sleep(0.05)
    assert span(found.reader.pop_batch()) == (0, [0, 1, 2], 3)
    assert found.woken.qsize() == 1, "the agent is woken once for all that waits"
    assert found.reader.pop_batch() is None


async def test_the_reader_waits_for_an_agent_that_is_behind(read):
    log = Log(range(100), *range(1, 50))
    found = read(log)
    await asyncio.sleep(0.05)
    assert log.asked == [0, 1]
    found.reader.pop_batch()
    await asyncio.sleep(0.05)
    assert log.asked == [0, 1, 2, 3]


async def test_a_new_start_drops_what_was_read_before_it(read):
    found = read(Log(range(200), 95, 99, 92))
    await asyncio.sleep(0.05)
    found.reader.start(90)
    await asyncio.sleep(0.05)
    assert span(found.reader.pop_batch()) == (90, [90, 91], 92)


async def test_an_error_is_outlived_at_the_same_position(read):
    log = Log(range(100), 5)
    log.refuse = KafkaConnectionError("away")
    found = read(log, 3)
    assert span(await found.next_batch()) == (3, [3, 4], 5)


async def test_a_position_that_is_not_in_the_log_is_reported_and_ends_the_reading(read):
    log = Log(range(100))
    log.refuse = OffsetOutOfRangeError("gone")
    found = read(log)
    await asyncio.wait_for(found.was_lost.wait(), LONG_S)
    await asyncio.sleep(0.1)
    assert log.asked == [0]


async def test_a_reading_whose_cancellation_is_lost_reads_no_further(read):
    log = Log(range(100))
    answers = []

    async def fetch(position):
        log.asked.append(position)
        answer = asyncio.get_running_loop().create_future()
        answers.append(answer)
        try:
            upto = await answer
        except asyncio.CancelledError:
            if len(log.asked) > 2:
                raise
            # What `asyncio.wait_for` did before Python 3.12, and aiokafka with it: the answer came in the same turn.
            upto = position + 2
        return Fetched([SimpleNamespace(offset=offset) for offset in range(position, upto)], upto, 10**9)

    log.fetch = fetch
    found = read(log)
    await asyncio.sleep(0.05)
    found.reader.start(0)
    await asyncio.sleep(0.05)
    assert log.asked == [0, 0]
    answers[-1].set_result(2)
    await asyncio.sleep(0.05)
    assert span(found.reader.pop_batch()) == (0, [0, 1], 2)


async def test_fetches_that_do_not_join_are_a_bug_and_not_handed_out(read):
    found = read(Log(range(100), 2))
    await asyncio.sleep(0.05)
    found.reader._waiting.append(found.reader._waiting[0])
    with pytest.raises(RuntimeError, match="do not join"):
        found.reader.pop_batch()


async def test_an_error_that_nobody_foresaw_is_reported_and_ends_the_reading(read):
    log = Log(range(100))
    log.refuse = KeyError("a bug")
    found = read(log)
    await asyncio.sleep(0.05)
    assert [type(error) for error in found.errors] == [KeyError]
    assert log.asked == [0]
