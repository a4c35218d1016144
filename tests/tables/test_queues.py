"""Queues in memory are those of the store with the open transaction's changes, also after they had to make room."""

from unittest.mock import patch

import pytest

from tables import queues
from tables.core.rows import FullReservation
from tables.queues import Queues
from tables.store import MemoryStore


def waits(placed, units=1):
    """Return a reservation of the channel web that waits for so many units; 0: it does not wait any more."""
    claims = ((None, units, None),) if units else ()
    return FullReservation(
        "held", 1, 0, 0, (), "web", None, None, None, claims=claims, priority=100, placed=placed, placed_at=0
    )


@pytest.fixture
def store():
    return MemoryStore()


def told(found, sku):
    return [rank.reservation_id for rank in found.get(sku).first(100)]


def commit(found, store):
    store.write([*found.writes()])
    found.written()


@pytest.mark.parametrize("kept", [10, 200_000])
def test_who_waits_is_known_before_and_after_the_transaction(store, kept):
    with patch.object(queues, "KEPT", kept):
        found = Queues(store)
        for number, name in enumerate("abc"):
            found.note("S", name, waits(number))
            found.note("T", name, waits(number))
            assert told(found, "S") == told(found, "T") == [*"abc"[: number + 1]]
        commit(found, store)
        found.note("S", "a", waits(0, 0))
        found.note("S", "d", waits(3))
        assert told(found, "T") == [*"abc"]
        assert told(found, "S") == [*"bcd"]
        commit(found, store)
        assert told(Queues(store), "S") == [*"bcd"]


def test_a_reservation_that_never_waited_is_in_no_queue(store):
    found = Queues(store)
    found.note("S", "a", FullReservation("held", 1, 0, 0, (("leeds", 1),), "web", None, None, None))
    assert told(found, "S") == [*found.writes()] == []


def test_the_queues_used_last_stay_in_memory_and_one_is_never_too_large(store):
    found = Queues(store)
    with patch.object(queues, "KEPT", 25):
        first, second = found.get("S"), found.get("T")
        assert found.get("S") is first
        found.get("U")
        assert found.get("S") is first
        assert found.get("T") is not second
        for number in range(30):
            found.note("V", f"r{number}", waits(number))
        large = found.get("V")
        assert large.size == 30
        assert found.get("V") is large
        found.get("W")
        assert found.get("V") is not large


def test_who_stops_waiting_makes_room(store):
    found = Queues(store)
    with patch.object(queues, "KEPT", 25):
        first = found.get("S")
        for units in (1, 0) * 20:
            found.note("S", "a", waits(0, units))
        found.get("T")
        assert found.get("S") is first
