"""The availability view: a fold of stock changes."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.availability import AvailabilityView, Change

QUANTITY = st.integers(min_value=-(10**12), max_value=10**12)
ROW = st.fixed_dictionaries(
    dict.fromkeys(("on_hand", "reserved", "damaged", "safety_stock", "inbound", "available"), QUANTITY),
    optional={"quarantine": st.integers(min_value=1, max_value=10**12)},
)
STEP = st.tuples(st.sampled_from("abc"), st.sampled_from(["leeds", "york", "bath"]), ROW)


def change(sku, warehouse, seq, row):
    document = {"sku": sku, "warehouse": warehouse, "seq": seq, "at": 1000 + seq, "after": row}
    return msgspec.convert(document, Change)


@given(st.lists(STEP, max_size=30))
def test_the_view_holds_the_last_row_of_every_warehouse(steps):
    view, rows, seqs = AvailabilityView(), {}, {}
    for sku, warehouse, row in steps:
        seqs[sku] = seqs.get(sku, 0) + 1
        rows.setdefault(sku, {})[warehouse] = row
        view.apply(change(sku, warehouse, seqs[sku], row))
    assert len(view) == len(rows)
    for sku, by_warehouse in rows.items():
        found = msgspec.to_builtins(view.available(sku))
        assert found["stock"] == [{"warehouse": name, **row} for name, row in sorted(by_warehouse.items())]
        assert found["available"] == sum(max(row["available"], 0) for row in by_warehouse.values())
        assert (found["seq"], found["at"]) == (seqs[sku], 1000 + seqs[sku])


@given(st.lists(STEP, max_size=30), st.tuples(st.sampled_from(["", "a", "b/x", "c"]), st.sampled_from(["", "leeds"])))
def test_the_view_lists_the_rows_with_more_reserved_than_on_hand_in_order_a_page_at_a_time(steps, after):
    view, rows = AvailabilityView(), {}
    for seq, (sku, warehouse, row) in enumerate(steps, start=1):
        rows[sku, warehouse] = row
        view.apply(change(sku, warehouse, seq, row))
    short = sorted(key for key, row in rows.items() if row["reserved"] > row["on_hand"] and key > after)
    found, goes_on = [], True
    while goes_on:
        page, goes_on = view.short_rows(found[-1] if found else after, 2)
        assert len(page) == 2 or not goes_on
        found += page
    assert found == short
    assert [view.row(key).reserved for key in found] == [rows[key]["reserved"] for key in short]
    view.clear()
    assert view.short_rows(("", ""), 2) == ([], False)


def test_a_sku_that_nothing_is_known_of_has_nothing():
    assert msgspec.to_builtins(AvailabilityView().available("a")) == {
        "sku": "a",
        "available": 0,
        "stock": [],
        "seq": 0,
        "at": None,
    }


ROW_OF_3 = {"on_hand": 3, "reserved": 0, "damaged": 0, "safety_stock": 0, "inbound": 0, "available": 3}


async def test_who_waits_for_a_sequence_number_goes_on_when_it_is_reached_and_no_sooner():
    view = AvailabilityView()
    waiting = [asyncio.ensure_future(view.reach("a", seq)) for seq in (1, 3)]
    await asyncio.sleep(0)
    view.apply(change("a", "leeds", 2, ROW_OF_3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, False]
    view.apply(change("a", "leeds", 3, ROW_OF_3))
    await asyncio.gather(*waiting)
    assert view._waiting == {}


async def test_who_stops_waiting_leaves_nothing_behind():
    view = AvailabilityView()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await view.reach("a", 1)
    assert view._waiting == {}
