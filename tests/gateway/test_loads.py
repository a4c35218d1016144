"""A request that its partition would answer too late is refused at once; nobody is refused without need."""

from types import SimpleNamespace

import pytest

from gateway.loads import Loads


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def loads(clock):
    return Loads(2, 1_000, lambda: clock.now)


def offered(loads, clock, *, arrivals, capacity, seconds, step=0.01):
    """Let requests arrive at partition 0, which answers in their order.

    Returns the waits of those that were answered, and how many were refused.
    """
    line, waits, refused, credit, due = [], [], 0, 0.0, 0.0
    for _ in range(int(seconds / step)):
        clock.now += step
        due += arrivals * step
        while due >= 1:
            due -= 1
            if loads.begin(0):
                line.append(clock.now)
            else:
                refused += 1
        credit = credit + capacity * step if line else 0.0
        while credit >= 1 and line:
            credit -= 1
            waits.append(clock.now - line.pop(0))
            loads.end(0, answered=True)
    return waits, refused


@pytest.mark.parametrize("capacity", [150, 1_000, 10_000])
def test_at_three_times_the_capacity_what_is_taken_is_answered_within_a_second_and_the_capacity_is_used(
    loads, clock, capacity
):
    waits, refused = offered(loads, clock, arrivals=3 * capacity, capacity=capacity, seconds=12)
    assert max(waits) < 1.0
    assert len(waits) > 0.95 * 12 * capacity
    assert refused > 1.8 * 12 * capacity
    assert loads.shedding == [0]


def test_below_the_capacity_nobody_is_refused(loads, clock):
    waits, refused = offered(loads, clock, arrivals=950, capacity=1_000, seconds=5)
    assert (refused, loads.shedding) == (0, [])
    assert max(waits) < 0.1


def test_a_burst_into_a_partition_that_had_little_to_do_is_taken(loads, clock):
    offered(loads, clock, arrivals=5, capacity=10_000, seconds=5)
    assert all(loads.begin(0) for _ in range(2_000))
    assert loads.waiting(0) == 2_000


def test_where_nothing_is_answered_64_may_wait_and_the_next_are_refused(loads, clock):
    assert all(loads.begin(0) for _ in range(64))
    assert loads.begin(0)  # it may only just have become crowded
    clock.now += 0.3
    assert not loads.begin(0)
    assert loads.begin(1)
    for _ in range(2):
        loads.end(0, answered=False)
    assert loads.begin(0)


def test_a_refusal_is_told_for_two_seconds(loads, clock):
    loads.begin(0, 65)
    loads.begin(0)
    clock.now += 0.3
    assert not loads.begin(0)
    assert (loads.shedding, loads.shed) == ([0], 1)
    clock.now += 2
    assert loads.shedding == []


def test_with_0_nobody_is_refused(clock):
    loads = Loads(1, 0, lambda: clock.now)
    assert loads.begin(0, 1_000)
    for _ in range(10):
        clock.now += 0.1
        assert loads.begin(0)


def test_results_are_counted_whoever_gets_them(loads):
    loads.results(1, 3)
    loads.results(1, 4)
    assert (loads.results_so_far(0), loads.results_so_far(1)) == (0, 7)
