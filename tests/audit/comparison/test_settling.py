"""The audit compares what tails publish: fills, changes of the book, and books of which only `since` changed."""

import json

import pytest

from audit.model import tail


def reserve(log, name, quantity):
    return log.do("reserve", reservation_id=name, quantity=quantity, channel="web", wait="any", ttl_ms=0)


@pytest.fixture
def settling(log, published):
    """Return what a ledger published for 14 records, of which the tail of the last but one left a queue unfinished.

    Offset 12 is the receipt whose tail fills eight, and 13 fills the other two.
    """
    log.do("set_channel", sku=None, channel="web", version=1, backorder_limit=100)
    log.stocked(a=1)
    for number in range(10):
        reserve(log, f"r{number}", 2)
    log.stocked(a=30)
    log.do("tick")
    return published(log)


def said(report):
    return [(it.kind, it.what, it.offset) for it in report.differences]


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_a_faultless_ledger_that_settles_is_equal(settling, piece):
    report = await settling.audit(piece=piece)
    assert (said(report), report.complete) == ([], True)
    assert [it.holds for it in report.invariants] == [True] * 7
    fills = [record for record in settling.results if b'"type":"fill"' in record.value]
    assert len(fills) == 10
    assert [b'"settling":true' in record.value for record in settling.changes].count(True) > 0


@pytest.mark.parametrize("number", range(10))
async def test_a_fill_that_was_not_published_is_lost(settling, number):
    fills = [place for place, record in enumerate(settling.results) if b'"type":"fill"' in record.value]
    settling.results.pop(fills[number])
    assert said(await settling.audit()) == [("result", "lost", 12 if number < 8 else 13)]


async def test_a_fill_that_was_published_twice_is_doubled(settling):
    settling.results.append(settling.results[-1]._replace(offset=999))
    assert said(await settling.audit()) == [("result", "doubled", 13)]


async def test_a_fill_of_another_reservation_is_altered(settling):
    reservation = json.loads(settling.results[-1].value)["reservation"]
    settling.edit(settling.results, -1, reservation=reservation | {"waiting": 1})
    assert said(await settling.audit()) == [("result", "altered", 13)]


async def test_a_fill_that_made_available_negative_is_oversold(settling):
    place = next(place for place, record in enumerate(settling.changes) if b'"type":"fill"' in record.value)
    after = json.loads(settling.changes[place].value)["after"]
    settling.edit(settling.changes, place, after=after | {"available": -1})
    assert (await settling.audit()).oversold == 1


async def test_a_release_may_leave_available_negative(log, published):
    log.stocked(a=5).do("reserve", reservation_id="r", quantity=5)
    log.do("adjust", warehouse="a", count=1, reason="cycle_count")
    log.do("amend", reservation_id="r", quantity=4)
    report = await published(log).audit()
    assert (said(report), report.oversold) == ([], 0)


async def test_the_book_of_the_ledger_is_compared(settling):
    settling.edit_row(b"SS\0", 4, 7)
    assert said(await settling.audit()) == [("row", "altered", None)]


@pytest.mark.parametrize("start", [3, 12, 13])
async def test_a_log_that_has_lost_its_beginning_demands_no_fill(settling, start):
    assert said(await settling.audit(log_start=start)) == []


def test_a_book_that_is_as_before_need_not_be_written_again(log, monkeypatch):
    log.do("set_channel", sku=None, channel="web", version=1, backorder_limit=100)
    reserve(log.stocked(a=1), "r", 4)
    model = log.model
    model.touched = set()
    log.do("adjust", warehouse="b", delta=1, bucket="damaged", reason="damage")
    assert "SS\0" not in model.touched
    # Pending, but no tail has looked yet: `since` alone is another.
    monkeypatch.setattr(tail, "WORK", 0)
    log.do("adjust", warehouse="b", delta=1, bucket="damaged", reason="damage")
    assert "SS\0" in model.touched
