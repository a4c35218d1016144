"""The audit compares what became of announced goods: rows of the book and of closed ones, steps, and oversells."""

import msgspec
import pytest

from audit.comparison.changes import oversold
from audit.comparison.invariants import check_state
from tests.audit.announced import DAY, WEEK, expect, reserve, rules
from tests.audit.ledger import T0


@pytest.fixture
def delivered(log, published):
    """Return what a ledger published: of po-1 4 units came for r, and 3 of r's wait for po-2; s was cut."""
    rules(log, backorder_limit=9)
    expect(log, "po-1", 9, 5, reference="PO 17")
    reserve(log, "r", 4)
    reserve(log, "s", 3)
    log.do("receive_inbound", inbound_id="po-1", quantity=4, damaged=1)
    log.do("cancel_inbound", inbound_id="po-1", reason="late")
    expect(log, "po-2", 9, 7)
    log.do("amend_inbound", inbound_id="po-2", eta_at=T0 + 8 * DAY)
    return published(log)


def said(report):
    return [(it.kind, it.what, it.offset) for it in report.differences]


@pytest.mark.parametrize("piece", [1, 1000])
async def test_a_faultless_ledger_is_equal(delivered, piece):
    report = await delivered.audit(piece=piece)
    assert (said(report), report.complete) == ([], True)
    types = [record.value.split(b'"type":"')[1].split(b'"')[0] for record in delivered.results]
    assert types[5:] == [
        b"fill",
        b"cancel_inbound",
        b"promise",
        b"expect_inbound",
        b"promise",
        b"amend_inbound",
        b"promise",
    ]


@pytest.mark.parametrize("number", range(5, 12))
async def test_what_a_command_or_a_step_says_is_compared(delivered, number):
    delivered.results.pop(number)
    assert [what for _, what, _ in said(await delivered.audit())] == ["lost"]


@pytest.mark.parametrize("place", range(2, 11))
async def test_each_place_of_the_row_of_closed_goods_is_compared(delivered, place):
    delivered.edit_row(b"IS\0po-1", place - 1, "other")
    assert said(await delivered.audit()) == [("row", "altered", None)]


async def test_a_row_of_closed_goods_that_is_not_there_is_lost(delivered):
    del delivered.rows[b"IS\0po-1"]
    assert said(await delivered.audit()) == [("row", "lost", None)]


async def test_a_row_of_goods_that_were_not_closed_is_doubled(delivered):
    delivered.rows[b"IS\0po-2"] = delivered.rows[b"IS\0po-1"]
    assert said(await delivered.audit()) == [("row", "doubled", None)]


async def test_a_row_of_closed_goods_may_stay_after_its_time(log, published):
    expect(log, "po-1", 9, 5)
    log.do("cancel_inbound", inbound_id="po-1")
    row = log.model.row(b"IS\0po-1")
    log.do("tick", WEEK)
    late = published(log)
    assert b"IS\0po-1" not in late.rows
    late.rows[b"IS\0po-1"] = row
    assert said(await late.audit()) == []
    late.edit_row(b"IS\0po-1", -1, T0 + 1)
    assert said(await late.audit()) == [("row", "doubled", None)]


@pytest.mark.parametrize("place", range(10))
async def test_each_place_of_announced_goods_in_the_book_is_compared(delivered, place):
    inbounds = [list(it) for it in log_row(delivered, b"SS\0")[7]]
    inbounds[0][place] = 77
    delivered.edit_row(b"SS\0", 7, inbounds)
    assert said(await delivered.audit()) == [("row", "altered", None)]


def log_row(published, key):
    return msgspec.msgpack.decode(published.rows[key])


@pytest.mark.parametrize("start", [2, 4, 5, 8])
async def test_a_log_that_has_lost_its_beginning_is_checked_without_steps(delivered, start):
    assert said(await delivered.audit(log_start=start)) == []


@pytest.mark.parametrize(
    ("place", "is_published"),
    [(0, True), (1, True), (2, True), (3, True), (4, True), (5, True), (6, True), (7, False), (8, True), (9, False)],
)
async def test_without_the_beginning_what_is_published_of_announced_goods_is_compared(delivered, place, is_published):
    inbounds = [list(it) for it in log_row(delivered, b"SS\0")[7]]
    inbounds[0][place] = 5
    delivered.edit_row(b"SS\0", 7, inbounds)
    expected = [("row", "altered", None)] if is_published else []
    assert said(await delivered.audit(log_start=5)) == expected


@pytest.mark.parametrize(
    ("cause", "is_oversold"),
    [
        ({"type": "fill"}, True),
        ({"type": "fill", "reference": "po-1"}, False),
        ({"type": "amend", "reference": "po-1"}, True),
    ],
)
def test_only_goods_that_land_may_make_a_row_short(cause, is_oversold):
    assert oversold({"cause": cause, "delta": {"reserved": 1}, "after": {"available": -1}}) is is_oversold


def test_announced_goods_are_claimed_by_what_waits_for_them(log):
    expect(rules(log), "po-1", 9, 5)
    reserve(log, "r", 4)
    model = log.model
    (inbound,) = model.books["S"].inbounds.values()

    def wrong():
        return [found.note for found in check_state(model) if not found.holds]

    assert wrong() == []
    inbound.claimed = 5
    assert wrong() == ["S po-1: claimed 5, claims 4, landed 0"]
    inbound.claimed = 4
    inbound.landed = 1
    assert wrong() == ["S po-1: claimed 4, claims 4, landed 1"]
    inbound.landed = 0
    inbound.eta_at += 1
    assert wrong() == ["'S\\x00r': po-1 was said to come at " + str(T0 + 5 * DAY)]
    inbound.eta_at -= 1
    model.items["S"].rows["leeds"].inbound = 8
    assert wrong() == ["S/leeds inbound 8, 9 remain"]
    inbound.quantity = 8
    assert wrong() == []
    inbound.quantity = 3
    assert wrong() == ["S po-1: claimed 4, claims 4, landed 0; S/leeds inbound 8, 3 remain"]
    del model.books["S"].inbounds["po-1"]
    model.books["S"].since = 9
    assert wrong() == ["S po-1: none, claims 4; S/leeds inbound 8, 0 remain"]


def test_a_later_audit_compares_the_goods_that_were_closed_since(log):
    expect(rules(log), "po-1", 9, 5)
    log.model.touched = set()
    log.do("receive_inbound", inbound_id="po-1", quantity=1)
    assert log.model.touched == {"SS\0leeds", "SS\0", "CS\0c2"}
    log.do("cancel_inbound", inbound_id="po-1")
    assert log.model.touched == {"SS\0leeds", "SS\0", "CS\0c2", "CS\0c3", "IS\0po-1"}
