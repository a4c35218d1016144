"""A shelf answers as a walk over all of its rows would, however its blocks lie."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.core import shelf
from tables.core.register import Register
from tables.core.rows import WarehouseRow
from tables.core.shelf import Shelf

units = st.integers(0, 4)
shelves = st.lists(units, max_size=9)
changes = st.lists(st.tuples(st.integers(0, 9), units), max_size=12)
NORTH = WarehouseRow(1, "c", 0, True, 100, "north", 0, None, None)


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    with patch.object(shelf, "BLOCK", 2):
        yield


def made(free):
    return Shelf([f"w{number}" for number in range(len(free))], [*free])


def assert_is(found, rows):
    """Assert that a shelf has these rows: (name, units) in order."""
    assert [*found.in_order()] == [row for row in rows if row[1]]
    assert [*found.richest_first()] == sorted((row for row in rows if row[1]), key=lambda row: -row[1])
    assert (found.total, found.most) == (sum(has for _, has in rows), max((has for _, has in rows), default=0))
    for wanted in range(1, 6):
        assert found.first_with(wanted) == next((name for name, has in rows if has >= wanted), None)
        assert [*found.in_order(wanted)] == [row for row in rows if row[1] > wanted]
    for name, has in rows:
        assert (found.has(name), found.of(name)) == (True, has)
    assert (found.has("nowhere"), found.of("nowhere")) == (False, 0)


@given(shelves, changes)
def test_it_follows_what_its_rows_have(free, changes):
    found, rows = made(free), {f"w{number}": has for number, has in enumerate(free)}
    register = Register()
    for number in range(0, 9, 2):
        register.put(f"warehouse/w{number}", NORTH)
    north = found.in_region("north", register)
    for number, has in changes:
        found.put(f"w{number}", has)
        if number < len(free):
            rows[f"w{number}"] = has
    assert_is(found, [*rows.items()])
    assert found.in_region("north", register) is north
    assert_is(north, [row for row in rows.items() if int(row[0][1:]) % 2 == 0])
    assert_is(found.in_region("south", register), [])


@given(shelves, st.integers(0, 4))
def test_what_each_row_keeps_back_is_not_there(free, owed):
    left = made(free).less(owed)
    assert [*left.in_order()] == [(f"w{number}", has - owed) for number, has in enumerate(free) if has > owed]
    assert left.total == sum(max(0, has - owed) for has in free)


@given(shelves)
def test_one_row_alone(free):
    for number, has in enumerate(free):
        assert_is(made(free).alone(f"w{number}"), [(f"w{number}", has)])
    assert_is(made(free).alone("nowhere"), [])


@given(shelves, st.sampled_from([None, "w0", "w2", "nowhere"]), st.integers(1, 4), st.integers(0, 3), changes)
def test_a_class_is_among_those_that_passed_once_there_is_enough_for_it(free, name, least, buffer, changes):
    found = made(free)

    def is_enough():
        most = found.most if name is None else found.of(name)
        return most >= least and found.total >= least + buffer

    asked = False
    for number, has in [(0, 0), *changes]:
        found.put(f"w{number}", has)
        if not asked or found.passed:
            found.passed = []
            hurdle = found.hurdle(name, least, buffer)
            assert found.is_passed(hurdle) == is_enough()
            asked = not is_enough()
            if asked:
                found.wait_for(hurdle, ("web", None))
        assert not (asked and is_enough())
