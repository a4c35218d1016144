"""A count is compared with what the ledger had when it was made; only the difference is added to what there is now."""

import msgspec
import pytest
from test_policies import Shop

from tests.tables.partition import T0

HOUR = 3600 * 1000
DAY = 24 * HOUR


class Night(Shop):
    """A warehouse with a journal, whose clock the test moves; times are in ms since T0."""

    def __init__(self, journal_ms=DAY, **on_hand):
        super().__init__()
        self.warehouse("leeds", journal_ms=journal_ms)
        self.at(HOUR)
        for warehouse, units in on_hand.items():
            self.receive(units, warehouse)

    def at(self, time):
        self.partition.now = T0 + time

    def receive(self, units, warehouse="leeds"):
        return self.tell("adjust", warehouse=warehouse, delta=units, reason="receipt")

    def counted(self, on_hand, as_of=None, **fields):
        as_of_at = None if as_of is None else T0 + as_of
        return self.tell(
            "reconcile", **({"warehouse": "leeds", "counted_on_hand": on_hand, "as_of_at": as_of_at} | fields)
        )

    def journal(self, warehouse="leeds"):
        """Return the row's entries: time, seq, on hand, damaged, quarantine."""
        self.tell("query")
        prefix = f"JS\0{warehouse}\0".encode()
        found = [(key.removeprefix(prefix).decode(), value) for key, value in self.stored(prefix)]
        return [(int(place[:13], 16) - T0, int(place[13:], 16), *value[1:]) for place, value in found]

    def stored(self, prefix):
        scan = self.partition.store.scan(prefix, prefix[:-1] + b"\x01")
        return [(key, msgspec.msgpack.decode(value)) for key, value in scan]


def drift(result):
    return result["reconciliation"]["drift"]["on_hand"]


@pytest.fixture
def night():
    """Return 100 units at 02:00 and 115 at 06:00, in a warehouse with a journal of a day."""
    night = Night(leeds=100)
    night.reserve(5, reservation_id="r", ttl_ms=0)
    night.at(3 * HOUR)
    night.tell("commit", reservation_id="r")
    night.at(4 * HOUR)
    night.receive(20)
    night.at(6 * HOUR)
    return night


def test_the_example_of_a_count(night):
    refused = night.counted(97, 2 * HOUR, tolerance=2)
    assert (refused["code"], drift(refused)) == ("drift_above_tolerance", -3)
    assert night.counted(97, 2 * HOUR)["stock"][0]["on_hand"] == 112
    assert night.counted(97, HOUR)["code"] == "stale_count"


def test_a_count_says_what_it_was_compared_with(night):
    first = night.counted(97, 2 * HOUR, counted_damaged=1, reference="WMS 4")
    assert first["reconciliation"] == {
        "warehouse": "leeds", "as_of_at": T0 + 2 * HOUR, "since": None, "ledger": {"on_hand": 100, "damaged": 0},
        "counted": {"on_hand": 97, "damaged": 1}, "drift": {"on_hand": -3, "damaged": 1},
    }  # fmt: skip
    assert night.changes()[-1]["cause"] == {"type": "reconcile", "command_id": "c6", "reference": "WMS 4"}
    assert night.row("F", "leeds") == [1, T0 + 2 * HOUR, [[T0 + 2 * HOUR, T0 + 6 * HOUR, -3, 1, 0]]]
    second = night.counted(112)
    assert (second["reconciliation"]["since"], second["stock"]) == (T0 + 2 * HOUR, [])


def test_a_correction_reaches_back_to_the_time_of_its_count(night):
    assert drift(night.counted(97, 2 * HOUR)) == -3
    assert drift(night.counted(92, 3 * HOUR)) == 0
    night.at(7 * HOUR)
    assert drift(night.counted(112, 6 * HOUR)) == 0


def test_a_refused_count_leaves_nothing(night):
    night.reserve(10)
    assert night.counted(0, 4 * HOUR, counted_damaged=0, tolerance=0)["code"] == "drift_above_tolerance"
    night.tell("adjust", warehouse="leeds", delta=-100, reason="shrinkage")
    refused = night.counted(0, 4 * HOUR)
    assert (refused["code"], drift(refused)) == ("negative_stock", -115)
    assert drift(night.counted(115, 4 * HOUR)) == 0


@pytest.mark.parametrize(
    ("journal_ms", "as_of", "code"),
    [
        (0, 6 * HOUR - 1, "as_of_too_old"),
        (0, 6 * HOUR, None),
        (0, 9 * HOUR, None),
        (3 * HOUR, 3 * HOUR, "as_of_too_old"),
        (3 * HOUR, 3 * HOUR + 1, None),
        (DAY, -1, "as_of_too_old"),
        (DAY, 0, None),
    ],
)
def test_a_count_is_compared_as_far_back_as_the_journal_reaches(journal_ms, as_of, code):
    night = Night(journal_ms=journal_ms, leeds=10)
    night.at(6 * HOUR)
    assert night.counted(10, as_of)["code"] == code


def test_a_count_of_now_needs_no_journal_and_makes_the_row():
    shop = Shop(york=1)
    assert shop.tell("reconcile", warehouse="hull", counted_on_hand=0)["stock"] == []
    assert len(shop.tell("query")["stock"]) == 1
    shop.partition.now += 1
    assert shop.tell("reconcile", warehouse="hull", counted_on_hand=2)["stock"][0]["on_hand"] == 2
    assert shop.tell("reconcile", warehouse="hull", counted_on_hand=2)["code"] == "stale_count"


def test_the_journal_has_what_the_row_had_before_it_and_after_each_movement():
    night = Night(leeds=7)
    night.receive(1)
    night.at(2 * HOUR)
    night.tell("return", warehouse="leeds", quantity=1, disposition="inspect")
    night.tell("adjust", warehouse="leeds", bucket="safety_stock", count=1, reason="correction")
    assert night.journal() == [
        (0, 0, 0, 0, 0), (HOUR, 1, 7, 0, 0), (HOUR, 2, 8, 0, 0), (2 * HOUR, 3, 8, 0, 1),
    ]  # fmt: skip


def test_an_entry_goes_when_its_successor_is_too_old_to_be_asked_for():
    night = Night(journal_ms=HOUR, leeds=7)
    for time in (2 * HOUR, 3 * HOUR, 3 * HOUR + 1):
        night.at(time)
        night.receive(1)
    assert [it[0] for it in night.journal()] == [2 * HOUR, 3 * HOUR, 3 * HOUR + 1]
    night.at(9 * HOUR)
    night.receive(1)
    night.receive(1)
    assert [it[0] for it in night.journal()] == [3 * HOUR + 1, 9 * HOUR, 9 * HOUR]


def test_entries_from_before_a_journal_began_anew_are_void(night):
    night.warehouse("leeds", journal_ms=2 * DAY)
    assert night.counted(1, 5 * HOUR)["code"] == "as_of_too_old"
    night.at(7 * HOUR)
    night.receive(5)
    assert night.journal()[-2:] == [(6 * HOUR, 0, 115, 0, 0), (7 * HOUR, 5, 120, 0, 0)]
    night.at(8 * HOUR)
    assert drift(night.counted(115, 6 * HOUR)) == 0
