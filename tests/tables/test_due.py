"""Due times come in order, survive a restart, and leave nothing behind once they are done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.due import EXPIRY_BUCKET_MS, FORGET_BUCKET_MS, NEVER, Expiries, Forgetting
from tables.store import MemoryStore


def pop_all(expiries, now_ms):
    found = []
    while (due := expiries.pop_due(now_ms)) is not None:
        found.append(due)
    return found


def write(store, items):
    store.write(items)


def test_nothing_is_due_in_an_empty_store():
    expiries = Expiries(MemoryStore())
    assert (expiries.next_due_at, expiries.pop_due(NEVER - 1)) == (NEVER, None)


def test_what_is_due_at_the_same_time_comes_by_sku_and_then_by_reservation():
    expiries = Expiries(MemoryStore())
    for sku, reservation in [("b", "1"), ("a", "2"), ("a", "1")]:
        expiries.add(50, sku, reservation)
    expiries.add(49, "z", "9")
    assert pop_all(expiries, 50) == [(49, "z", "9"), (50, "a", "1"), (50, "a", "2"), (50, "b", "1")]


def test_nothing_is_due_before_its_time():
    expiries = Expiries(MemoryStore())
    expiries.add(50, "a", "1")
    assert pop_all(expiries, 49) == []
    assert pop_all(expiries, 50) == [(50, "a", "1")]


times = st.integers(0, 5 * EXPIRY_BUCKET_MS)
steps = st.lists(st.tuples(st.lists(times, max_size=4), times, st.booleans()), max_size=12)


@given(steps)
def test_every_entry_is_due_once_in_order_whatever_is_written_and_restarted_in_between(plan):
    store = MemoryStore()
    expiries = Expiries(store)
    clock, number, waiting = 0, 0, []
    for suffix, (new, now_ms, restart) in enumerate(plan):
        clock = max(clock, now_ms)
        due = pop_all(expiries, clock)
        expected = sorted(entry for entry in waiting if entry[0] <= clock)
        assert due == expected
        waiting = [entry for entry in waiting if entry[0] > clock]
        for time in new:
            number += 1
            entry = (clock + 1 + time, f"s{number:03}", "r")
            expiries.add(*entry)
            waiting.append(entry)
        store.write(expiries.writes(suffix, clock))
        if restart:
            expiries = Expiries(store)
            # A restart may bring entries of the running bucket back; their reservations say that they are done.
            again = pop_all(expiries, clock)
            assert not {entry[1] for entry in waiting} & {sku for _, sku, _ in again}
    last = max([entry[0] for entry in waiting], default=clock)
    assert pop_all(expiries, last) == sorted(waiting)
    store.write(expiries.writes(999, last + 2 * EXPIRY_BUCKET_MS))
    assert list(store.scan(b"D", b"E")) == []


def test_rows_are_forgotten_when_their_minute_is_over_and_only_then():
    store = MemoryStore()
    forgetting = Forgetting(store)
    forgetting.add(1, [b"early"])
    forgetting.add(FORGET_BUCKET_MS, [b"late"])
    store.write(forgetting.writes(1))
    forgetting.written()
    assert list(forgetting.due(FORGET_BUCKET_MS - 1, 10)) == []
    assert list(forgetting.due(FORGET_BUCKET_MS, 10)) == [b"early"]
    store.write(forgetting.writes(2))
    forgetting.written()
    assert list(forgetting.due(3 * FORGET_BUCKET_MS, 10)) == [b"late"]


@pytest.mark.parametrize("restart", [False, True])
def test_forgetting_stops_at_its_limit_and_goes_on_later(restart):
    store = MemoryStore()
    forgetting = Forgetting(store)
    for suffix in range(4):
        forgetting.add(1, [b"%da" % suffix, b"%db" % suffix])
        store.write(forgetting.writes(suffix))
        forgetting.written()
    given = []
    for suffix in range(10, 13):
        if restart:
            forgetting = Forgetting(store)
        given.append(len(list(forgetting.due(FORGET_BUCKET_MS, 3))))
        store.write(forgetting.writes(suffix))
        forgetting.written()
    assert given == [4, 4, 0]
    assert forgetting.next_at == NEVER
