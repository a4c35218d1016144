"""The audit compares what movements and counts left: rows with a quarantine, journals, counts, and oversells."""

import json

import msgspec
import pytest

from audit.comparison.changes import oversold
from tests.audit.ledger import T0

JOURNAL_MS = 10


def journal_key(at, seq):
    return f"JS\0leeds\0{T0 + at:013x}{seq:016x}".encode()


@pytest.fixture
def moved(log, published):
    """Return what a ledger published of a journalled warehouse: 2 came back of 3, 1 is in inspection, 1 was missing."""
    log.do("set_warehouse", sku=None, warehouse="leeds", version=1, journal_ms=JOURNAL_MS)
    log.do("adjust", 1, warehouse="leeds", delta=9, reason="receipt")
    log.do("reserve", 1, reservation_id="r", quantity=3)
    log.do("commit", 2, reservation_id="r")
    log.do("return", 3, warehouse="leeds", quantity=2, disposition="inspect", reservation_id="r")
    log.do("move", 4, warehouse="leeds", quantity=1, **{"from": "quarantine", "to": "on_hand"})
    log.do("transfer", 4, quantity=2, **{"from": "leeds", "to": "york"})
    log.do("reconcile", 6, warehouse="leeds", counted_on_hand=4, as_of_at=T0 + 5)
    return published(log)


def said(report):
    return [(it.kind, it.what, it.key) for it in report.differences]


@pytest.mark.parametrize("piece", [1, 1000])
async def test_a_faultless_ledger_is_equal(moved, piece):
    report = await moved.audit(piece=piece)
    assert (said(report), report.complete) == ([], True)
    assert sum(key[:1] == b"J" for key in moved.rows) == 7
    assert sum(key[:1] == b"F" for key in moved.rows) == 1


@pytest.mark.parametrize("place", range(1, 4))
async def test_each_place_of_a_journals_entry_is_compared(moved, place):
    moved.edit_row(journal_key(3, 4), place, 77)
    assert [what for _, what, _ in said(await moved.audit())] == ["altered"]


@pytest.mark.parametrize(("place", "value"), [(1, T0 + 4), (2, [])])
async def test_each_place_of_a_count_is_compared(moved, place, value):
    moved.edit_row(b"FS\0leeds", place, value)
    assert [what for _, what, _ in said(await moved.audit())] == ["altered"]


@pytest.mark.parametrize("key", [journal_key(0, 0), journal_key(4, 6), b"FS\0leeds"])
async def test_a_row_that_is_not_there_is_lost(moved, key):
    del moved.rows[key]
    assert [what for _, what, _ in said(await moved.audit())] == ["lost"]


@pytest.mark.parametrize("key", [journal_key(2, 2), journal_key(9, 9), b"JS\0york\0", b"FS\0york"])
async def test_a_row_that_nothing_wrote_is_doubled(moved, key):
    moved.rows[key] = moved.rows[journal_key(0, 0)]
    assert [what for _, what, _ in said(await moved.audit())] == ["doubled"]


async def test_what_came_back_is_compared(moved):
    moved.edit_row(b"RS\0r", -2, 1)
    assert [what for _, what, _ in said(await moved.audit())] == ["altered"]


@pytest.mark.parametrize("row", [[1, 7, 5, 0, 0, 0, 0], [2, 7, 5, 0, 0, 0, 0, 2]])
async def test_the_quarantine_of_a_row_is_compared(moved, row):
    moved.rows[b"SS\0leeds"] = msgspec.msgpack.encode(row)
    assert [what for _, what, _ in said(await moved.audit())] == ["altered"]


async def test_an_entry_may_stay_after_its_time_and_not_be_there_before(log, published):
    log.do("set_warehouse", sku=None, warehouse="leeds", version=1, journal_ms=JOURNAL_MS)
    for at in (1, 2):
        log.do("adjust", at, warehouse="leeds", delta=1, reason="receipt")
    first = journal_key(0, 0)
    row = log.model.row(first)
    log.do("tick", 1 + JOURNAL_MS)
    timely = published(log)
    del timely.rows[first]
    assert [what for _, what, _ in said(await timely.audit())] == ["lost"]
    log.do("tick", 2 + JOURNAL_MS)
    late = published(log)
    assert first not in late.rows
    late.rows[first] = row
    assert said(await late.audit()) == []


@pytest.mark.parametrize("journal_ms", [0, 2 * JOURNAL_MS])
async def test_entries_of_an_earlier_journal_may_stay(log, published, journal_ms):
    log.do("set_warehouse", sku=None, warehouse="leeds", version=1, journal_ms=JOURNAL_MS)
    log.do("adjust", 1, warehouse="leeds", delta=1, reason="receipt")
    before = {key: row for key, row in log.model.rows() if key[:1] == b"J"}
    log.do("set_warehouse", 1, sku=None, warehouse="leeds", version=2, journal_ms=journal_ms)
    again = published(log)
    assert len(before) == 2
    assert not before.keys() & again.rows.keys()
    again.rows.update(before)
    assert said(await again.audit()) == []


async def test_without_the_logs_beginning_rows_with_a_quarantine_follow_from_their_changes(moved):
    report = await moved.audit(log_start=3)
    assert said(report) == []
    place = next(it for it, record in enumerate(moved.changes) if b'"type":"move"' in record.value)
    after = json.loads(moved.changes[place].value)["after"]
    moved.edit(moved.changes, place, after=after | {"quarantine": 2})
    assert "altered" in [what for _, what, _ in said(await moved.audit(log_start=3))]


async def test_without_the_logs_beginning_the_last_change_tells_the_quarantine_of_a_row(moved):
    moved.edit_row(b"SS\0leeds", -1, 2)
    assert [(kind, what) for kind, what, _ in said(await moved.audit(log_start=3))] == [("row", "altered")]


@pytest.mark.parametrize(
    ("delta", "after", "is_oversold"),
    [
        ({"on_hand": -1}, {"on_hand": 3, "reserved": 3, "available": -2}, False),
        ({"on_hand": -1}, {"on_hand": 2, "reserved": 3, "available": -1}, True),
        ({"on_hand": 1}, {"on_hand": 2, "reserved": 3, "available": -1}, False),
        ({"inbound": 1}, {"on_hand": 2, "reserved": 3, "available": -1}, False),
    ],
)
def test_a_transfer_that_sends_off_what_is_reserved_is_an_oversell(delta, after, is_oversold):
    assert oversold({"cause": {"type": "transfer"}, "delta": delta, "after": after}) is is_oversold


def test_a_move_out_of_what_may_be_sold_is_no_oversell():
    after = {"on_hand": 2, "reserved": 3, "available": -1}
    assert not oversold({"cause": {"type": "move"}, "delta": {"on_hand": -1}, "after": after})
