"""The stock changes tell what moved a row that differs, and which rows a feed leaves out or is the first to name."""

import json

import pytest

from ops.reconciling.feed_lines import CountedRow
from ops.reconciling.feed_tally import Found
from ops.reconciling.history import History, MovedBy, UnnamedRow
from schemas.movements import CountedUnits

SINCE, AT = 1_000, 2_000


@pytest.fixture
def rows():
    """Return the rows of a feed, by the ids of their commands."""
    return {
        "d1": CountedRow(2, "A/1", "leeds", AT, {"on_hand": 7}),
        "d2": CountedRow(3, "B", "leeds", AT, {"on_hand": 5}),
        "d3": CountedRow(4, "C", "york", AT, {"on_hand": 2}),
    }


@pytest.fixture
def found():
    """Return the row that differs."""
    drift = CountedUnits(-3)
    return Found(
        line=2, sku="A/1", warehouse="leeds", as_of_at=AT, since=SINCE, code=None, counted=CountedUnits(7), drift=drift
    )


@pytest.fixture
def history(rows, found):
    return History(rows, [found], AT)


def tell(history, sku, warehouse, at, cause, delta, **after):
    after = {"on_hand": 0, "reserved": 0, "damaged": 0, "safety_stock": 0, "inbound": 0, "available": 0} | after
    change = {"sku": sku, "warehouse": warehouse, "at": at, "seq": 1, "cause": cause, "delta": delta, "after": after}
    history.take(f"{sku}/{warehouse}".encode(), at, json.dumps(change | {"shortfall": False}).encode())


def test_what_moved_a_row_between_two_counts_is_summed_by_cause(history, found):
    commit = {"type": "commit", "command_id": "c"}
    receipt = {"type": "adjust", "command_id": "r", "reason": "receipt"}
    for at, units in ((SINCE, -100), (SINCE + 1, -1), (AT, -2), (AT + 1, -100)):
        tell(history, "A/1", "leeds", at, commit, {"on_hand": units, "reserved": units})
    tell(history, "A/1", "leeds", 1_500, receipt, {"on_hand": 40})
    tell(history, "A/1", "leeds", 1_500, {"type": "move", "command_id": "m"}, {"on_hand": -4, "quarantine": 4})
    tell(history, "A/1", "york", 1_500, receipt, {"on_hand": 9})
    tell(history, "A/1", "leeds", 1_500, {"type": "reserve", "command_id": "h"}, {"reserved": 5})
    assert history.moved(found) == [
        MovedBy("commit", 2, {"on_hand": -3}),
        MovedBy("adjust: receipt", 1, {"on_hand": 40}),
        MovedBy("move", 1, {"on_hand": -4, "quarantine": 4}),
    ]


def test_a_correction_is_no_movement_whenever_it_was_applied(history, found):
    tell(history, "A/1", "leeds", 1_500, {"type": "reconcile", "command_id": "an earlier count"}, {"on_hand": -1})
    tell(history, "A/1", "leeds", 1_900, {"type": "reconcile", "command_id": "d1"}, {"on_hand": -3})
    assert history.moved(found) == []


def test_rows_with_units_that_the_feed_does_not_name_are_found_in_its_warehouses_as_of_its_time(history):
    receipt = {"type": "adjust", "command_id": "r", "reason": "receipt"}
    tell(history, "B", "leeds", 10, receipt, {"on_hand": 5}, on_hand=5)
    tell(history, "left out", "leeds", 10, receipt, {"on_hand": 5}, on_hand=5)
    tell(history, "left out", "leeds", AT, receipt, {"quarantine": 1}, on_hand=5, quarantine=1)
    tell(history, "left out", "leeds", AT + 1, receipt, {"on_hand": 3}, on_hand=8, quarantine=1)
    tell(history, "came later", "leeds", AT + 1, receipt, {"on_hand": 5}, on_hand=5)
    tell(history, "sold out", "york", 10, receipt, {"on_hand": 5}, on_hand=5)
    tell(history, "sold out", "york", 20, receipt, {"on_hand": -5})
    tell(history, "elsewhere", "hull", 10, receipt, {"on_hand": 5}, on_hand=5)
    tell(history, "book", "", 10, {"type": "reserve"}, {"backordered": 5})
    assert history.not_in_feed() == [UnnamedRow("left out", "leeds", 5, 0, 1)]


def test_rows_that_the_ledger_did_not_have_are_those_of_which_nothing_was_told_but_by_the_feed_itself(history, rows):
    receipt = {"type": "adjust", "command_id": "r", "reason": "receipt"}
    tell(history, "A/1", "leeds", AT, {"type": "reconcile", "command_id": "d1"}, {"on_hand": 7}, on_hand=7)
    tell(history, "B", "leeds", 10, receipt, {"on_hand": 5}, on_hand=5)
    tell(history, "C", "york", AT + 1, receipt, {"on_hand": 2}, on_hand=2)
    assert history.not_in_ledger() == [rows["d1"], rows["d3"]]
