"""What a worker says of its partitions: each second, at each change of state, and nothing after it was suspended."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from agents import status as agents_status
from agents.lately import Lately
from agents.status import StatusWriter
from schemas.status import TransactionTimes, decode_status, epoch_of
from schemas.topics import STATUS
from tables.core.rows import Position


class Owned:
    """Stands for a partition of a worker, and for the worker's partitions."""

    def __init__(self):
        self.there = {0: self.partition(), 1: self.partition()}

    def partition(self, **changed):
        known = {"is_open": False, "position": None, "recovery": (0, 0), "lately": Lately(), "epoch": 0}
        return SimpleNamespace(**known | changed)

    @property
    def numbers(self):
        return sorted(self.there)

    def get(self, number):
        return self.there.get(number)

    def log_end(self, number):
        return 70 if self.there[number].is_open else 0


@pytest.fixture
def owned():
    return Owned()


@pytest.fixture
async def clock(monkeypatch):
    """Return the loop's clock as the test sets it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock.now)
    return clock


def said(writer):
    return [(it.partition, it.state) for it in writer.news()]


async def test_every_partition_is_named_once_a_second_and_at_once_when_its_state_changes(owned, clock):
    writer = StatusWriter("nowhere", "w1", owned)
    assert said(writer) == [(0, "recovering"), (1, "recovering")]
    owned.there[1].is_open = True
    clock.now += 0.1
    assert said(writer) == [(1, "open")]
    assert said(writer) == []
    clock.now += 0.9
    assert said(writer) == [(0, "recovering")]
    clock.now += 0.1
    assert said(writer) == [(1, "open")]


async def test_how_much_there_is_to_recover_is_said_as_soon_as_it_is_known(owned, clock):
    writer = StatusWriter("nowhere", "w1", owned)
    writer.news()
    owned.there[1].recovery = (0, 500)
    clock.now += 0.1
    assert [(it.partition, it.to_recover) for it in writer.news()] == [(1, 500)]
    owned.there[1].recovery = (100, 500)
    clock.now += 0.1
    assert writer.news() == []


async def test_a_status_has_position_lag_progress_times_and_epoch(owned, clock):
    lately = Lately()
    for took in range(1, 101):
        lately.add(clock.now - took / 1000, clock.now)
    owned.there = {
        0: owned.partition(
            is_open=True, position=Position(7, 0, "i"), recovery=(5, 9), lately=lately, epoch=epoch_of(3, 4)
        )
    }
    writer = StatusWriter("nowhere", "w1", owned)
    (found,) = writer.news()
    assert (found.worker, found.position, found.log_end, found.recovered, found.to_recover) == ("w1", 7, 70, 5, 9)
    assert (found.transaction_ms, found.epoch) == (TransactionTimes(p50=50, p99=99), 4 * 32768 + 4)
    owned.there[0] = owned.partition()  # taken over again: what was known holds until RECOVER knows more
    (found,) = writer.news()
    assert (found.state, found.position, found.log_end, found.epoch) == ("recovering", 7, 70, 4 * 32768 + 4)


async def test_a_partition_without_commands_ends_at_its_position(owned):
    owned.there = {0: owned.partition(position=Position(7, 0, "i"))}
    (found,) = StatusWriter("nowhere", "w1", owned).news()
    assert (found.position, found.log_end) == (7, 7)


async def test_what_was_taken_away_is_said_to_have_stopped_once(owned, clock):
    owned.there[0].is_open = True
    writer = StatusWriter("nowhere", "w1", owned)
    writer.news()
    del owned.there[0]
    clock.now += 0.1
    assert said(writer) == [(0, "stopped")]
    assert said(writer) == []


async def test_a_worker_that_was_suspended_says_nothing_until_it_knows_what_it_owns(owned, clock):
    writer = StatusWriter("nowhere", "w1", owned)
    writer.news()
    clock.now += 30
    assert said(writer) == []
    del owned.there[0]  # others took it over meanwhile; to say that it stopped would be wrong
    clock.now += 1.9
    assert said(writer) == []
    clock.now += 1
    assert said(writer) == [(1, "recovering")]


def test_the_epoch_grows_when_kafka_gives_a_new_producer_id():
    assert epoch_of(-1, -1) == 0 < epoch_of(0, 0) < epoch_of(7, 32_767) < epoch_of(8, 0) < epoch_of(8, 1)


def test_only_transactions_of_the_last_10_seconds_count():
    lately = Lately()
    lately.add(0.0, 1.0)
    lately.add(10.0, 10.002)
    assert lately.times(10.5) == TransactionTimes(p50=2, p99=1000)
    assert lately.times(11.5) == TransactionTimes(p50=2, p99=2)
    assert lately.times(30.0) is None


class Producer:
    """Stands for aiokafka's producer; while `hangs`, no record is acknowledged."""

    made, hangs, sent = 0, False, []

    def __init__(self, **_):
        type(self).made += 1
        self.client = self

    async def start(self):
        pass

    async def partitions_for(self, topic):
        assert topic == STATUS

    async def send(self, topic, value, *, key, partition):
        assert (topic, key) == (STATUS, b"inventory/%d" % partition)
        done = asyncio.get_running_loop().create_future()
        if not self.hangs:
            decode_status(value)
            self.sent.append(json.loads(value))
            done.set_result(None)
        return done

    async def stop(self):
        if self.hangs:
            await asyncio.sleep(3600)

    async def close(self):
        pass


async def test_a_producer_that_hangs_is_replaced_and_the_next_records_are_written(owned, monkeypatch):
    monkeypatch.setattr(agents_status, "AIOKafkaProducer", Producer)
    for name, seconds in (("_WITHIN_S", 0.02), ("_AGAIN_S", 0.01), ("_LOOK_EVERY_S", 0.01), ("_SAY_EVERY_S", 0.03)):
        monkeypatch.setattr(agents_status, name, seconds)
    monkeypatch.setattr(Producer, "hangs", True)
    writer = StatusWriter("nowhere", "w1", owned)
    running = asyncio.ensure_future(writer.run())
    while Producer.made < 2:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(Producer, "hangs", False)
    async with asyncio.timeout(5):
        while {it["partition"] for it in Producer.sent} != {0, 1}:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    owned.there = {}
    await writer.close()
    assert [it["state"] for it in Producer.sent[-2:]] == ["stopped", "stopped"]
