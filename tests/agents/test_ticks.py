"""The owner of a partition writes ticks: for a reservation that is due, and until a queue is settled."""

import json
from types import SimpleNamespace

import pytest

from agents import app as agents_app
from agents import assignment
from agents.app import keep_settling, write_due_ticks
from agents.assignment import Partitions
from agents.partition import Partition
from schemas.codec import decode_command
from schemas.commands import Tick
from schemas.topics import COMMANDS, RESULTS
from tables import ledger
from tests.tables.partition import T0
from tests.tables.partition import Partition as Ledger

CONFIG = SimpleNamespace(bootstrap="nowhere", batch_commands=500)


class Log:
    """Stands for the topic of commands and its reader: a tick that is written is applied when the log is read on."""

    def __init__(self, ledger):
        self.ledger, self.written = ledger, 0
        self.unread = []

    @property
    def log_end(self):
        return self.ledger.ledger.position.next_offset + len(self.unread)

    async def send_and_wait(self, topic, value, *, partition):
        assert (topic, partition) == (COMMANDS, 3)
        assert decode_command(value) == Tick()
        self.written += 1
        self.unread.append(json.loads(value))

    def read_on(self):
        unread, self.unread = self.unread, []
        for document in unread:
            self.ledger.tell(document)


@pytest.fixture
def log():
    ledger = Ledger()
    ledger.tell({"type": "set_channel", "command_id": "c", "channel": "*", "version": 1, "backorder_limit": 1000})
    ledger.tell(stocked("in-1", 1))
    for number in range(60):
        hold = {"command_id": f"r{number}", "reservation_id": f"r{number}", "quantity": 2, "wait": "any", "ttl_ms": 0}
        ledger.tell({"type": "reserve", "sku": "S"} | hold)
    return Log(ledger)


@pytest.fixture
async def app(log, monkeypatch):
    """Return what stands for a worker that owns partition 3, whose ledger and log are those of the test."""
    monkeypatch.setattr(assignment, "CommandReader", lambda *_, **__: log)
    partitions = Partitions(CONFIG, crash=None)
    partitions.add(3, lambda: True)
    partition = partitions.get(3)
    assert type(partition) is Partition
    partition._ledger = log.ledger.ledger
    return SimpleNamespace(partitions=partitions, ticker=log)


def stocked(command_id, units):
    stock = {"type": "adjust", "sku": "S", "warehouse": "leeds", "reason": "receipt"}
    return stock | {"command_id": command_id, "delta": units}


def filled(log):
    results = [json.loads(value) for _, value in log.ledger.published[RESULTS]]
    return sum(result["type"] == "fill" for result in results)


async def test_a_queue_of_60_is_settled_by_ticks_when_no_command_comes_and_then_none_is_written(app, log):
    await write_due_ticks(app)
    assert log.written == 0
    log.ledger.tell(stocked("in-2", 119))
    assert filled(log) == 8
    rounds = 0
    while filled(log) < 60:
        await write_due_ticks(app)
        log.read_on()
        rounds += 1
        assert rounds < 5
    # 8 fills a tick, and the last one looks once more; a few more than needed may have been written at once.
    assert 7 <= log.written <= 14
    written = log.written
    await write_due_ticks(app)
    assert log.written == written
    (asked,) = log.ledger.tell({"type": "query", "command_id": "q", "sku": "S", "waiting": 1})
    assert (asked["waiting"], asked["stock"][0]["reserved"]) == ([], 120)


async def test_while_commands_wait_they_settle_and_no_tick_is_written(app, log):
    log.ledger.tell(stocked("in-2", 119))
    log.unread.append({"type": "query", "command_id": "q", "sku": "S"})
    await write_due_ticks(app)
    assert (log.written, filled(log)) == (0, 8)
    log.read_on()
    assert filled(log) == 16
    await write_due_ticks(app)
    assert log.written > 0


async def test_a_partition_that_was_revoked_or_is_not_recovered_yet_gets_no_tick(app, log):
    log.ledger.tell(stocked("in-2", 119))
    partition = app.partitions.get(3)
    partition._ledger = None
    await write_due_ticks(app)
    partition._ledger, partition._revoked = log.ledger.ledger, True
    await write_due_ticks(app)
    assert log.written == 0


async def test_a_reservation_that_is_due_gets_one_tick(app, log):
    hold = {"command_id": "due", "reservation_id": "due", "quantity": 1, "ttl_ms": 60_000}
    log.ledger.tell(stocked("in-2", 120), *[{"type": "tick"}] * 10)
    log.ledger.tell({"type": "reserve", "sku": "S"} | hold)
    assert app.partitions.due(T0 + 40_000) == {}
    assert app.partitions.due(T0 + 60_000) == {3: 1}
    await write_due_ticks(app)
    assert log.written == 1


async def test_a_long_queue_is_settled_a_few_ticks_at_a_time_until_nothing_is_left(app, log, monkeypatch):
    at_a_time = []

    async def pause(_seconds):
        at_a_time.append(len(log.unread))
        log.read_on()

    monkeypatch.setattr(ledger, "_TICKS", 2)
    monkeypatch.setattr(agents_app.asyncio, "sleep", pause)
    log.ledger.tell(stocked("in-2", 119))
    await keep_settling(app)
    assert filled(log) == 60
    assert max(at_a_time) == 2
    assert not app.partitions.are_settling
