"""A row of a feed becomes one reconcile whose id follows from feed, time, content and tolerance, or says why not."""

import json

import pytest

from ops.importing.order_lines import MissingColumn, Unusable
from ops.problems import CannotDo
from ops.reconciling.feed_lines import MAX_AHEAD_MS, FeedPlanner

HEADER = ["sku", "warehouse", "on_hand", "damaged", "quarantine", "as_of"]
NOW = 1_764_000_000_000
AT = NOW - 3_600_000


def planner(header=HEADER, *, as_of_at=AT, **options):
    return FeedPlanner(**{"feed": "wms", "header": header, "as_of_at": as_of_at, "now_ms": NOW} | options)


def command(row, **options):
    (step,) = planner(**options).steps(2, row)
    return json.loads(step.value)


def test_a_row_is_a_reconcile_of_what_was_counted():
    made = command(["85123A", " leeds ", "10", "0", "", ""], tolerance=3)
    command_id = made.pop("command_id")
    assert made == {
        "type": "reconcile", "sku": "85123A", "warehouse": "leeds", "counted_on_hand": 10, "counted_damaged": 0,
        "as_of_at": AT, "tolerance": 3, "reference": "wms",
    }  # fmt: skip
    assert len(command_id) == 32


@pytest.mark.parametrize(
    "other",
    [
        {"row": ["A", "leeds", "11", "", "", ""]},
        {"row": ["A", "york", "10", "", "", ""]},
        {"row": ["B", "leeds", "10", "", "", ""]},
        {"row": ["A", "leeds", "10", "0", "", ""]},
        {"row": ["A", "leeds", "10", "", "0", ""]},
        {"row": ["A", "leeds", "10", "", "", str(AT + 1)]},
        {"as_of_at": AT + 1},
        {"tolerance": 0},
        {"feed": "wms-2"},
    ],
    ids=str,
)
def test_another_count_time_feed_or_tolerance_is_another_command(other):
    same = ["A", "leeds", "10", "", "", ""]
    assert command(same)["command_id"] == command(["A", "leeds ", "010", "", " ", str(AT)])["command_id"]
    other = {"row": same} | other
    assert command(other.pop("row"), **other)["command_id"] != command(same)["command_id"]


def test_a_row_has_its_own_time_or_that_of_the_feed():
    feed = planner()
    for line, (text, at) in enumerate((("", AT), ("2025-11-24T15:00:00Z", 1_763_996_400_000), (str(AT - 5), AT - 5))):
        (step,) = feed.steps(line, [f"S{line}", "w", "1", "", "", text])
        assert json.loads(step.value)["as_of_at"] == at
    assert feed.as_of_at == max(AT, 1_763_996_400_000)
    assert [row.line for row in feed.rows.values()] == [0, 1, 2]


def test_as_it_is_gives_no_time_and_each_run_is_a_count_of_its_own():
    first = command(["A", "w", "1", "", "", "2025-11-24"], as_it_is=True, as_of_at=None)
    later = command(["A", "w", "1", "", "", "2025-11-24"], as_it_is=True, as_of_at=None, now_ms=NOW + 1)
    assert "as_of_at" not in first
    assert first["command_id"] != later["command_id"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (["A", "w", "1"], "it has 3 fields, not 6"),
        (["", "w", "1", "", "", ""], "sku '' is not 1 to 64 characters"),
        (["A", "a b", "1", "", "", ""], "warehouse 'a b' is not 1 to 32 characters"),
        (["A", "", "1", "", "", ""], "warehouse '' is not 1 to 32 characters"),
        (["A", "w", "", "1", "", ""], "it has no on_hand"),
        (["A", "w", "1.5", "", "", ""], "on_hand '1.5' is no whole number"),
        (["A", "w", "1", "-1", "", ""], "damaged -1 is below 0"),
        (["A", "w", "1", "", "9999999999", ""], "quarantine 9999999999 is more than"),
        (["A", "w", "1", "", "", "tonight"], "as_of: 'tonight' is no time"),
        (["A", "w", "1", "", "", "1:2"], "as_of: '1:2' is no time"),
        (["A", "w", "1", "", "", str(NOW + MAX_AHEAD_MS + 1)], "is in the future"),
        (["A", "w", "1", "", "", "1969-01-01"], "is before 1970"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, list) else "",
)
def test_a_row_that_cannot_be_used_says_why_and_leaves_nothing(row, why):
    feed = planner()
    with pytest.raises(Unusable) as refused:
        feed.steps(2, row)
    assert why in str(refused.value)
    assert (feed.rows, feed.as_of_at) == ({}, None)


def test_a_row_without_a_time_of_a_feed_without_one_cannot_be_used():
    with pytest.raises(Unusable, match="it has no as_of, and no --as-of is given"):
        planner(as_of_at=None).steps(2, ["A", "w", "1", "", "", ""])


def test_lines_that_say_different_things_of_one_count_are_not_used_and_those_that_say_the_same_are():
    feed, empty = planner(), ["", "", ""]
    shelf, other_shelf = ["A", "w", "10", *empty], ["A", " w", "5", "", "", str(AT)]
    rows = [
        (2, shelf), (3, ["B", "w", "1", *empty]), (4, other_shelf), (5, ["B", "w", "1", *empty]), (6, ["A", "w", "x"]),
        (7, ["A", "w", "5", "", "", str(AT - 1)]), (8, ["A", "v", "5", *empty]),
    ]  # fmt: skip
    feed.look_through(rows)
    for line, row, other in ((2, shelf, 4), (4, other_shelf, 2)):
        with pytest.raises(Unusable, match=f"it is at odds with line {other}, which counts the same row"):
            feed.steps(line, row)
    assert [len(feed.steps(*rows[place])) for place in (1, 3, 5, 6)] == [1, 1, 1, 1]
    assert [row.line for row in feed.rows.values()] == [3, 7, 8]


@pytest.mark.parametrize(
    ("at", "why"), [(NOW + MAX_AHEAD_MS + 1, "is in the future"), (0, "is before 1970"), (-1, "is before 1970")]
)
def test_a_feed_has_no_time_that_a_row_may_not_have(at, why):
    with pytest.raises(CannotDo, match=f"--as-of {at} {why}"):
        planner(as_of_at=at)
    assert planner(as_of_at=NOW + MAX_AHEAD_MS).steps(2, ["A", "w", "1", "", "", ""])


def test_a_feed_needs_a_time_and_its_columns():
    with pytest.raises(CannotDo, match="when was it counted"):
        planner(HEADER[:5], as_of_at=None)
    for column in ("sku", "warehouse", "on_hand"):
        with pytest.raises(MissingColumn, match=f"no column '{column}'"):
            planner([name for name in HEADER if name != column])
    assert planner(["On_Hand ", "SKU", "Warehouse"]).steps(2, ["1", "A", "w"])
