"""A line of counted stock becomes one adjust to a count for each quantity it gives, or says why it does not."""

import json
from typing import get_args

import pytest

from ops.importing.order_lines import MissingColumn, Unusable
from ops.importing.stock_lines import StockColumns, StockPlanner
from ops.problems import CannotDo
from schemas.commands import Bucket

HEADER = ["sku", "warehouse", "on_hand", "damaged", "safety_stock"]


def planner(header=HEADER, **columns):
    return StockPlanner(name="n", reason="cycle_count", columns=StockColumns(**columns), header=header)


def commands(steps):
    return [json.loads(step.value) for step in steps]


def test_each_quantity_is_an_adjust_to_a_count():
    assert commands(planner().steps(7, ["85123A", "leeds", "10", "0", "2"])) == [
        {
            "type": "adjust",
            "command_id": f"n:7:{bucket}",
            "sku": "85123A",
            "warehouse": "leeds",
            "reason": "cycle_count",
            "count": count,
            "bucket": bucket,
        }
        for bucket, count in (("on_hand", 10), ("damaged", 0), ("safety_stock", 2))
    ]


def test_an_empty_cell_leaves_its_bucket_as_it_is():
    counts = planner()
    steps = counts.steps(1, ["A", "w", "", " ", "3"])
    assert [command["bucket"] for command in commands(steps)] == ["safety_stock"]
    assert counts.units == {"on_hand": 0, "damaged": 0, "safety_stock": 3}


def test_columns_are_found_whatever_their_order_and_capitals():
    steps = planner([" On_Hand", "Warehouse", "SKU", "price"]).steps(1, ["4", "w", "A", "9.99"])
    assert [(command["sku"], command["count"]) for command in commands(steps)] == [("A", 4)]


def test_each_bucket_of_an_adjust_may_be_counted():
    steps = planner([*HEADER, "quarantine"]).steps(1, ["A", "w", "1", "2", "3", "4"])
    counts = {command["bucket"]: command["count"] for command in commands(steps)}
    assert counts == {"on_hand": 1, "damaged": 2, "safety_stock": 3, "quarantine": 4}
    assert [*counts] == [*get_args(Bucket)]


def test_columns_can_have_other_names():
    steps = planner(["Artikel", "Lager", "Bestand"], sku="artikel", warehouse="lager", on_hand="bestand").steps(
        1, ["A", "w", "4"]
    )
    assert commands(steps)[0]["count"] == 4


@pytest.mark.parametrize("header", [["sku", "on_hand"], ["warehouse", "on_hand"], ["sku", "warehouse", "price"]])
def test_a_file_without_a_sku_a_warehouse_or_a_quantity_is_refused(header):
    with pytest.raises(MissingColumn):
        planner(header)


def test_a_file_with_two_columns_of_one_name_is_refused():
    with pytest.raises(CannotDo, match="more than one column named on_hand"):
        planner([*HEADER, "ON_HAND"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["A", "w", "1"], "it has 3 fields, not 5"),
        (["A", "w", "", "", ""], "it has no quantity"),
        (["", "w", "1", "", ""], "sku '' is not 1 to 64 characters"),
        (["A" * 65, "w", "1", "", ""], "is not 1 to 64 characters"),
        (["St\udcfcck", "w", "1", "", ""], "'St\ufffdck' holds bytes that are not UTF-8; name the file's encoding"),
        (["A", "", "1", "", ""], "warehouse '' is not 1 to 32 characters"),
        (["A", "a b", "1", "", ""], "warehouse 'a b' is not 1 to 32 characters"),
        (["A", "w", "1.0", "", ""], "on_hand '1.0' is no whole number"),
        (["A", "w", "1_000", "", ""], "on_hand '1_000' is no whole number"),
        (["A", "w", "\u0661", "", ""], "is no whole number"),
        (["A", "w", "-", "", ""], "on_hand '-' is no whole number"),
        (["A", "w", "1", "-1", ""], "damaged -1 is below 0"),
        (["A", "w", "1", "", "1000000001"], "safety_stock 1000000001 is more than 1,000,000,000"),
        (["A", "w", "9" * 5000, "", ""], "is more than 1,000,000,000"),
    ],
)
def test_a_line_that_cannot_be_used_says_why(row, reason):
    counts = planner()
    with pytest.raises(Unusable) as error:
        counts.steps(1, row)
    assert reason in str(error.value)
    assert not counts.units.total()


def test_a_stock_row_is_counted_once():
    counts = planner()
    counts.steps(1, ["A", "w", "1", "", ""])
    counts.steps(2, ["A", "v", "1", "", ""])
    with pytest.raises(Unusable, match="'A' in 'w' was counted before, in row 1 after the header"):
        counts.steps(3, ["A", "w", "2", "", ""])
    assert counts.units["on_hand"] == 2


def test_a_line_that_could_not_be_used_does_not_stand_in_the_way_of_a_better_one():
    counts = planner()
    with pytest.raises(Unusable):
        counts.steps(1, ["A", "w", "one", "", ""])
    assert len(counts.steps(2, ["A", "w", "1", "", ""])) == 1


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("-0", 0), ("007", 7), (" 5 ", 5), ("1000000000", 1_000_000_000)]
)
def test_a_count_is_read_as_people_write_it(text, count):
    assert commands(planner().steps(1, ["A", "w", text, "", ""]))[0]["count"] == count
