"""A count is compared with what the ledger had when it was made, and only what differs is added to the row."""

import msgspec
import pytest
from test_policies import Shop

from tables.core.journal import MOVED
from tests.tables.partition import T0

HOUR = 3_600_000
DAY = 24 * HOUR


class Warehouse(Shop):
    """A SKU in leeds; times are hours from the beginning."""

    def __init__(self, journal_ms=DAY, **on_hand):
        super().__init__()
        self.warehouse("leeds", journal_ms=journal_ms)
        self.at(1)
        for name, units in (on_hand or {"leeds": 100}).items():
            self.tell("adjust", warehouse=name, count=units, reason="cycle_count")

    def at(self, hours):
        self.partition.now = T0 + round(hours * HOUR)
        return self

    def move(self, delta, **fields):
        return self.tell("adjust", warehouse="leeds", delta=delta, reason="receipt", **fields)

    def reconcile(self, on_hand, as_of=None, **fields):
        as_of_at = None if as_of is None else T0 + round(as_of * HOUR)
        return self.tell("reconcile", warehouse="leeds", counted_on_hand=on_hand, as_of_at=as_of_at, **fields)

    @property
    def on_hand(self):
        return self.tell("query")["stock"][0]["on_hand"]

    def journal(self):
        """Return the entries of the journal as (hours, seq, on hand)."""
        store = self.partition.store
        found = store.scan(b"J", b"K")
        return [
            ((int(key[-29:-16], 16) - T0) / HOUR, int(key[-16:], 16), msgspec.msgpack.decode(value)[1])
            for key, value in found
        ]


def drift(result):
    return result["reconciliation"]["drift"]["on_hand"]


@pytest.fixture
def night():
    """Return a warehouse with 100 units at 02:00, and 115 at 06:00: 5 are sold at 03:00, 20 come at 04:00."""
    shop = Warehouse()
    shop.reserve(5, reservation_id="r", ttl_ms=0)
    shop.at(3).tell("commit", reservation_id="r")
    shop.at(4).move(20)
    return shop.at(6)


def test_the_example_of_the_contract(night):
    first = night.reconcile(97, as_of=2, tolerance=2)
    assert (first["code"], drift(first), first["stock"]) == ("drift_above_tolerance", -3, [])
    second = night.reconcile(97, as_of=2)
    assert (second["code"], second["stock"][0]["on_hand"], second["reconciliation"]["since"]) == (None, 112, None)
    assert night.reconcile(97, as_of=1)["code"] == "stale_count"
    assert night.on_hand == 112


def test_a_drift_as_large_as_the_tolerance_is_taken(night):
    assert night.reconcile(97, as_of=2, tolerance=3)["code"] is None


def test_the_largest_drift_of_any_bucket_counts_for_the_tolerance(night):
    refused = night.reconcile(100, as_of=2, counted_damaged=4, tolerance=3)
    assert (refused["code"], refused["reconciliation"]["drift"]) == (
        "drift_above_tolerance", {"on_hand": 0, "damaged": 4},
    )  # fmt: skip


def test_a_count_of_the_time_of_the_last_one_is_stale_also_when_nothing_drifted(night):
    assert drift(night.reconcile(100, as_of=2)) == 0
    assert night.reconcile(97, as_of=2)["code"] == "stale_count"
    assert night.reconcile(97, as_of=2.5)["code"] is None


def test_a_refusal_does_not_move_the_time_of_the_last_count(night):
    assert night.reconcile(1, as_of=5, tolerance=0)["code"] == "drift_above_tolerance"
    assert night.reconcile(97, as_of=2)["code"] is None


def test_a_correction_reaches_back_to_the_time_of_its_count(night):
    assert drift(night.reconcile(97, as_of=2)) == -3
    # At 03:00 there were 95 by the journal, of which 3 were missing already.
    assert drift(night.reconcile(92, as_of=3)) == 0
    assert drift(night.reconcile(113, as_of=5)) == 1
    assert night.at(7).on_hand == 113
    # What was applied by then is in the entry of the journal.
    assert drift(night.reconcile(113, as_of=6.5)) == 0


def test_a_correction_counts_from_the_very_time_of_its_count_to_that_of_its_application():
    shop = Warehouse()
    shop.at(4)
    assert drift(shop.reconcile(90, as_of=2)) == -10
    shop.at(5).move(1)
    assert drift(shop.reconcile(90, as_of=3)) == 0
    # At 04:00 the correction was applied: the entry of that time has it.
    assert drift(shop.reconcile(90, as_of=4)) == 0
    assert drift(shop.reconcile(91, as_of=5)) == 0


def test_what_is_not_counted_does_not_drift_and_what_is_not_given_is_not_shown(night):
    night.tell("move", warehouse="leeds", quantity=2, **{"from": "on_hand", "to": "damaged"})
    result = night.reconcile(113, counted_quarantine=1)
    assert result["reconciliation"] == {
        "warehouse": "leeds", "as_of_at": T0 + 6 * HOUR, "since": None,
        "ledger": {"on_hand": 113, "quarantine": 0}, "counted": {"on_hand": 113, "quarantine": 1},
        "drift": {"on_hand": 0, "quarantine": 1},
    }  # fmt: skip
    assert (result["stock"][0]["damaged"], result["stock"][0]["quarantine"]) == (2, 1)
    assert night.changes()[-1]["delta"] == {"quarantine": 1}


def test_the_drift_is_added_and_not_the_count_taken(night):
    night.at(5.5)
    result = night.reconcile(90, as_of=2)
    assert (drift(result), result["stock"][0]["on_hand"]) == (-10, 105)


def test_more_than_there_is_now_is_not_taken_away(night):
    night.tell("adjust", warehouse="leeds", count=4, reason="cycle_count")
    refused = night.reconcile(95, as_of=2)
    assert (refused["code"], drift(refused)) == ("negative_stock", -5)
    assert night.reconcile(96, as_of=2)["stock"][0]["on_hand"] == 0


def test_how_far_back_a_journal_reaches():
    shop = Warehouse(journal_ms=4 * HOUR)
    shop.at(2).move(1)
    shop.at(6)
    assert shop.reconcile(0, as_of=2, tolerance=0)["code"] == "as_of_too_old"
    assert drift(shop.reconcile(0, as_of=2 + 1 / HOUR, tolerance=0)) == -101


def test_without_a_journal_only_the_present_can_be_counted():
    shop = Warehouse(journal_ms=0)
    shop.at(2)
    assert shop.reconcile(99, as_of=1.5)["code"] == "as_of_too_old"
    assert drift(shop.reconcile(99, as_of=2)) == -1
    assert drift(shop.at(3).reconcile(99, as_of=9)) == 0


def test_a_journal_that_begins_anew_knows_nothing_from_before():
    shop = Warehouse()
    shop.at(2).move(10)
    shop.at(3).move(10)
    shop.warehouse("leeds", journal_ms=2 * DAY)
    shop.move(5)
    assert shop.at(5).reconcile(0, as_of=2.9, tolerance=0)["code"] == "as_of_too_old"
    # Nothing moved since: it is what the row has, also for the time in which the journal began.
    assert drift(shop.reconcile(125, as_of=3, tolerance=0)) == 0
    shop.at(6).move(1)
    assert drift(shop.reconcile(125, as_of=4)) == 0
    assert drift(shop.reconcile(126, as_of=6)) == 0


def test_movements_of_the_millisecond_in_which_a_journal_begins_come_before_its_first_entry():
    shop = Warehouse(leeds=10)
    shop.at(3).move(1)
    shop.at(4).warehouse("leeds", journal_ms=0)
    shop.warehouse("leeds", journal_ms=2 * DAY)
    shop.move(2)
    shop.at(5).move(4)
    assert [entry for entry in shop.journal() if entry[0] >= 4] == [(4.0, 0, 13), (5.0, 4, 17)]
    assert drift(shop.at(6).reconcile(13, as_of=4)) == 0


def test_an_entry_from_before_the_journal_began_anew_is_void_also_in_its_first_millisecond():
    shop = Warehouse(leeds=10)
    shop.at(4).move(2)
    shop.warehouse("leeds", journal_ms=0)
    shop.warehouse("leeds", journal_ms=2 * DAY)
    shop.move(3)
    shop.at(5).move(4)
    # The entry of 04:00 with a sequence number is of the earlier journal: it has 12.
    assert [entry for entry in shop.journal() if entry[0] == 4] == [(4.0, 0, 15), (4.0, 2, 12)]
    assert drift(shop.at(6).reconcile(15, as_of=4)) == 0
    assert drift(shop.reconcile(15, as_of=4.5)) == 0


def test_an_entry_is_dropped_when_no_count_can_ask_for_it_any_more():
    shop = Warehouse(journal_ms=2 * HOUR)
    for hours in (2, 3, 4):
        shop.at(hours).move(1)
    # A count of just after 03:00 may still come at 05:00.
    assert drift(shop.at(5).reconcile(102, as_of=3 + 1 / HOUR, tolerance=0)) == 0
    shop.move(1)
    # At 05:00 sharp the successor of that of 02:00 is as old as the journal is long, and not older.
    assert [hours for hours, _, _ in shop.journal()] == [2, 3, 4, 5]
    shop.at(9).move(1)
    assert [hours for hours, _, _ in shop.journal()] == [4, 5, 9]
    shop.at(10).move(1)
    assert [hours for hours, _, _ in shop.journal()] == [5, 9, 10]


def test_movements_that_are_no_movements_of_goods_are_not_journalled(night):
    before = night.journal()
    night.reserve(3)
    night.tell("adjust", warehouse="leeds", bucket="safety_stock", count=3, reason="correction")
    assert night.journal() == before
    assert {*MOVED} == {"on_hand", "damaged", "quarantine"}


def test_a_missing_row_is_made_when_something_drifts():
    shop = Warehouse(york=3)
    assert shop.reconcile(0)["stock"] == []
    assert [row["warehouse"] for row in shop.tell("query")["stock"]] == ["york"]
    assert shop.at(2).reconcile(4)["stock"][0]["on_hand"] == 4


def test_a_count_that_comes_twice_is_replayed_with_all_it_said(night):
    command = {"command_id": "n", "warehouse": "leeds", "counted_on_hand": 97, "as_of_at": T0 + 2 * HOUR}
    first = night.tell("reconcile", **command)
    assert night.tell("reconcile", **command) == first | {"replayed": True}
    night.partition.rebuild()
    assert night.tell("reconcile", **command) == first | {"replayed": True}
    assert night.on_hand == 112
