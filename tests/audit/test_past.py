"""Stock in the past is what the log says up to a moment; every expectation is counted by hand."""

import asyncio

import pytest

from audit import CannotAudit, audit, past
from audit.past import AtOffset, AtTime, moment_of, stock_at
from schemas.topics import COMMANDS
from tests.audit.ledger import T0, Log, Published, Source
from tests.audit.test_run import FakeKafka, install


@pytest.fixture
def kafka(monkeypatch):
    """Return a cluster with eight commands, a second apart: see the table of the test below."""
    log = Log()
    log.do("adjust", at=0, warehouse="a", delta=10, reason="receipt")
    log.do("reserve", at=1000, reservation_id="r", quantity=4, ttl_ms=2500)
    log.do("adjust", at=2000, warehouse="b", delta=5, reason="receipt")
    log.do("commit", at=3000, reservation_id="r", quantity=1)
    log.do("tick", at=4000)
    log.do("adjust", at=5000, warehouse="a", count=3, reason="cycle_count")
    log.send(b"{", at=6000)
    log.do("adjust", at=7000, sku="T", warehouse="a", delta=1, reason="receipt")
    fake = install(monkeypatch, FakeKafka(Published(log)))
    monkeypatch.setattr(past, "Kafka", fake)
    return fake


# After each offset: seq, then on_hand and reserved of each warehouse. The reservation expires with the record at 4000.
HISTORY = [
    (0, 1, {"a": (10, 0)}),
    (1, 2, {"a": (10, 4)}),
    (2, 3, {"a": (10, 4), "b": (5, 0)}),
    (3, 4, {"a": (9, 3), "b": (5, 0)}),
    (4, 5, {"a": (9, 0), "b": (5, 0)}),
    (5, 6, {"a": (3, 0), "b": (5, 0)}),
    (6, 6, {"a": (3, 0), "b": (5, 0)}),
    (7, 6, {"a": (3, 0), "b": (5, 0)}),
]


def rows(found):
    return {row.warehouse: (row.on_hand, row.reserved) for row in found.stock}


@pytest.mark.usefixtures("kafka")
@pytest.mark.parametrize(("offset", "seq", "expected"), HISTORY)
async def test_stock_after_a_command(offset, seq, expected):
    found = await stock_at("b", "S", AtOffset(0, offset))
    assert (found.seq, rows(found), found.next_offset, found.at) == (seq, expected, offset + 1, T0 + 1000 * offset)


@pytest.mark.usefixtures("kafka")
@pytest.mark.parametrize(("offset", "seq", "expected"), HISTORY)
@pytest.mark.parametrize("later_ms", [0, 999])
async def test_stock_at_a_time(offset, seq, expected, later_ms):
    found = await stock_at("b", "S", AtTime(T0 + 1000 * offset + later_ms))
    assert (found.seq, rows(found), found.next_offset) == (seq, expected, offset + 1)


@pytest.mark.usefixtures("kafka")
async def test_before_the_first_command_nothing_is_known():
    found = await stock_at("b", "S", AtTime(T0 - 1))
    assert (found.known, found.stock, found.next_offset) == (False, [], 0)


@pytest.mark.usefixtures("kafka")
async def test_in_the_future_it_is_as_after_the_last_command():
    assert (await stock_at("b", "S", AtTime(T0 + 10**9))).next_offset == 8


@pytest.mark.usefixtures("kafka")
@pytest.mark.parametrize(("offset", "state"), [(0, None), (1, "held"), (3, "held"), (4, "expired")])
async def test_a_reservation_as_it_was(offset, state):
    found = await stock_at("b", "S", AtOffset(0, offset), reservation_id="r")
    assert (found.reservation.state if found.reservation else None) == state


@pytest.mark.usefixtures("kafka")
async def test_a_command_that_is_not_there_yet_is_refused():
    with pytest.raises(CannotAudit, match=r"no command 8: it ends at offset 8"):
        await stock_at("b", "S", AtOffset(0, 8))


@pytest.mark.usefixtures("kafka")
async def test_a_command_of_another_partition_is_refused():
    with pytest.raises(CannotAudit, match=r"'S' is in partition 0 of inventory\.commands, not in 1"):
        await stock_at("b", "S", AtOffset(1, 0))


@pytest.mark.parametrize("moment", [AtOffset(0, 7), AtOffset(0, 2), AtTime(T0 + 10**9)])
async def test_a_log_without_its_beginning_needs_a_checkpoint(kafka, moment):
    kafka.begins[COMMANDS] = 3
    with pytest.raises(CannotAudit, match=r"begins at offset 3: the commands before it were deleted.*--checkpoint"):
        await stock_at("b", "S", moment)


async def test_a_checkpoint_before_the_moment_stands_in_for_the_beginning(kafka, tmp_path):
    assert (await audit("b", checkpoint=tmp_path)).equal
    kafka.logs[COMMANDS].append(
        kafka.logs[COMMANDS][0]._replace(
            offset=8,
            timestamp=T0 + 8000,
            value=kafka.logs[COMMANDS][0].value.replace(b"c0", b"c8"),
        )
    )
    kafka.begins[COMMANDS] = 8
    found = await stock_at("b", "S", AtOffset(0, 8), checkpoint=tmp_path)
    assert rows(found) == {"a": (13, 0), "b": (5, 0)}
    assert rows(await stock_at("b", "S", AtTime(T0 + 7500), checkpoint=tmp_path)) == {"a": (3, 0), "b": (5, 0)}
    with pytest.raises(CannotAudit, match="the checkpoint is after that moment"):
        await stock_at("b", "S", AtOffset(0, 5), checkpoint=tmp_path)


async def test_a_checkpoint_behind_the_moment_is_left_aside_when_the_log_is_whole(kafka, tmp_path):
    assert (await audit("b", checkpoint=tmp_path)).equal
    kafka.asked.clear()
    assert rows(await stock_at("b", "S", AtOffset(0, 1), checkpoint=tmp_path)) == {"a": (10, 4)}
    assert kafka.asked == [(COMMANDS, 0, 8)]


MOMENTS = [
    ("3:4711", AtOffset(3, 4711)),
    ("1764000000000", AtTime(1_764_000_000_000)),
    ("2025-11-24T16:00:00Z", AtTime(1_764_000_000_000)),
    ("2025-11-24T17:00:00.5+01:00", AtTime(1_764_000_000_500)),
    ("2025-11-24T16:00:00", AtTime(1_764_000_000_000)),
    ("2025-11-24", AtTime(1_763_942_400_000)),
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS)
def test_a_moment_is_read(text, moment):
    assert moment_of(text) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "1:", ":1", "-1:5", "12", "2025-13-01"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValueError, match="is no moment"):
        moment_of(text)


def test_the_fold_takes_any_model():
    class Count:
        now = 0
        offsets = ()

        def fold(self, offset, *_):
            self.offsets += (offset,)

    log = Log().stocked(a=1, b=1, c=1)
    count = Count()
    last = asyncio.run(past.fold(count, Source(log.commands, 2), AtOffset(0, 1)))
    assert (last, count.offsets) == (1, (0, 1))
