"""A line of the file becomes commands: a row per kind of line, and then every line of the real file."""

import gzip
import json
import os
import threading
from pathlib import Path

import pytest

from ops.importing.order_files import digest_of, open_orders
from ops.importing.order_lines import (
    Columns,
    MissingColumn,
    OrderLine,
    Planner,
    Rules,
    Unusable,
    channel_of,
    check_rules,
    identifier,
)
from ops.problems import CannotDo
from schemas.codec import decode_command
from schemas.commands import Adjust, Reserve

SAMPLE = Path(__file__).parent / "data/orders.csv"
# The data that comes with the workshop, next to the checkout; elsewhere the sample stands in for it.
WHOLE = Path(__file__).resolve().parents[4] / "shared/data/online-retail-2010-12--2011-08.csv.gz"
AT = 1_291_191_960_000  # 2010-12-01 08:26:00 UTC


def line(order_id="536365", sku="85123A", quantity="6", ordered_at="2010-12-01 08:26:00", country="United Kingdom"):
    return OrderLine(order_id, sku, quantity, ordered_at, country)


def commands(*lines, **rules):
    planner = Planner(Rules(name="t", **rules))
    return [json.loads(step.value) for number, each in enumerate(lines, 1) for step in planner.steps(number, each)]


def without(command, *fields):
    return {key: value for key, value in command.items() if key not in {"sku", "issued_at", *fields}}


def test_an_order_line_reserves_and_commits():
    ids = {"sku": "85123A", "issued_at": AT, "reservation_id": "t:1:536365"}
    reserve = {"type": "reserve", "command_id": "t:1", "quantity": 6, "order_id": "536365", "channel": "United-Kingdom"}
    assert commands(line()) == [reserve | ids, {"type": "commit", "command_id": "t:1:commit"} | ids]


@pytest.mark.parametrize(
    ("given", "delta", "reason"),
    [
        pytest.param({"order_id": "C536379", "quantity": "-2"}, 2, "return", id="cancellation"),
        pytest.param({"order_id": "C536379", "quantity": "2"}, 2, "return", id="cancellation, written positive"),
        pytest.param({"order_id": "536589", "quantity": "-10"}, -10, "shrinkage", id="write-off"),
    ],
)
def test_other_lines_adjust_the_stock(given, delta, reason):
    (adjust,) = commands(line(**given))
    expected = {"type": "adjust", "command_id": "t:1", "warehouse": "main", "delta": delta, "reason": reason}
    assert without(adjust) == expected | {"reference": given["order_id"]}


def test_warehouse_reason_and_prefix_are_settings():
    rules = {"warehouse": "hull", "write_off_reason": "damage", "cancel_prefix": "X-"}
    back, gone = commands(line(order_id="X-1", quantity="-3"), line(order_id="C1", quantity="-3"), **rules)
    assert (back["reason"], back["warehouse"]) == ("return", "hull")
    assert (gone["reason"], gone["delta"]) == ("damage", -3)


def test_a_sku_begins_with_its_opening_stock_once():
    first, *_, other, _, _ = commands(line(), line(), line(sku="B"), opening_stock=100)
    assert without(first) == {
        "type": "adjust",
        "command_id": "t:1:opening",
        "warehouse": "main",
        "delta": 100,
        "reason": "receipt",
        "reference": "opening stock",
    }
    assert other["command_id"] == "t:3:opening"


def test_every_sku_so_far_is_replenished_after_each_week_of_recorded_time():
    lines = [line(), line(sku="B"), line(ordered_at="2010-12-08 08:25:59"), line(ordered_at="2010-12-22 08:26:00")]
    found = [each["command_id"] for each in commands(*lines, replenish=5) if each["type"] == "adjust"]
    assert found == [f"t:{first}:week-{week}" for week in (1, 2, 3) for first in (1, 2)]


def test_time_that_goes_back_brings_no_second_week():
    lines = [line(), line(ordered_at="2010-12-08 08:26:00"), line(), line(ordered_at="2010-12-08 08:27:00")]
    assert len([each for each in commands(*lines, replenish=5) if each["type"] == "adjust"]) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order_id": ""}, "order_id is empty"),
        ({"sku": ""}, "is not 1 to 64 characters"),
        ({"sku": "x" * 65}, "is not 1 to 64 characters"),
        ({"sku": "a\tb"}, "without control characters"),
        ({"sku": "caf\udce9"}, "without control characters"),
        ({"quantity": "six"}, "'six' is no whole number"),
        ({"quantity": "1.5"}, "is no whole number"),
        ({"quantity": "0"}, "nothing to do"),
        ({"quantity": "1000000001"}, "is more than 1,000,000,000"),
        ({"ordered_at": "yesterday"}, "'yesterday' is not like"),
        ({"ordered_at": "1969-12-31 23:59:59"}, "before 1970"),
    ],
)
def test_a_line_that_cannot_become_a_command_says_why(given, message):
    with pytest.raises(Unusable, match=message):
        commands(line(**given), opening_stock=1)


def test_a_line_that_cannot_become_a_command_leaves_no_trace():
    planner = Planner(Rules(name="t", opening_stock=1, replenish=1))
    with pytest.raises(Unusable):
        planner.steps(1, line(quantity="0"))
    assert [step.command_id for step in planner.steps(2, line())] == ["t:2:opening", "t:2", "t:2:commit"]


@pytest.mark.parametrize(
    ("text", "made"), [("536365", "536365"), ("a b/c", "a-b-c"), ("é" * 3, "-"), ("x" * 70, "x" * 64)]
)
def test_any_text_becomes_an_identifier(text, made):
    assert identifier(text) == made


@pytest.mark.parametrize(
    ("text", "made"), [("United Kingdom", "United-Kingdom"), ("EIRE", "EIRE"), ("y" * 40, "y" * 32)]
)
def test_any_country_becomes_a_channel(text, made):
    assert channel_of(text) == made


def test_without_a_country_no_channel_is_named():
    assert "channel" not in commands(line(country=""))[0]


@pytest.mark.parametrize(
    "rules",
    [{"name": "x" * 25}, {"name": "a b"}, {"name": "t", "warehouse": "a b"}, {"name": "t", "replenish": 10**9 + 1}],
)
def test_rules_that_no_command_can_carry_are_refused(rules):
    with pytest.raises(CannotDo):
        check_rules(Rules(**rules))


def test_columns_are_found_by_name_wherever_they_stand():
    pick = Columns(order="o", sku="s", quantity="q", time="t", country="").picker(["t", "x", "q", "s", "o"])
    assert pick(["T", "X", "Q", "S", "O"]) == OrderLine("O", "S", "Q", "T")
    with pytest.raises(Unusable, match="it has 2 fields, not 5"):
        pick(["T", "X"])


def test_a_missing_column_is_named_with_those_that_exist():
    with pytest.raises(MissingColumn, match="no column 'sku'; the file has a, order_id"):
        Columns().picker(["a", "order_id"])


def test_a_packed_file_is_the_same_import_as_an_unpacked_one(tmp_path):
    packed = tmp_path / "orders.csv.gz"
    packed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    assert digest_of(packed) == digest_of(SAMPLE)
    with open_orders(packed) as left, open_orders(SAMPLE) as right:
        assert list(left.rows()) == list(right.rows())


def test_a_file_may_have_another_encoding_and_another_delimiter(tmp_path):
    file = tmp_path / "orders.csv"
    file.write_bytes("order_id;Stück\n1;zwölf, rot\n".encode("latin-1"))
    with pytest.raises(CannotDo, match="its header is not utf-8-sig"), open_orders(file, delimiter=";"):
        pass
    with open_orders(file, encoding="latin-1", delimiter=";") as orders:
        assert orders.header == ["order_id", "Stück"]
        assert list(orders.rows()) == [["1", "zwölf, rot"]]


@pytest.mark.parametrize("name", ["orders.csv", "orders.csv.gz", "pipe"])
def test_a_file_can_be_read_again_from_its_first_row(tmp_path, name):
    file, content = tmp_path / name, "\ufefforder_id,sku\r\n1,A\r\n2,B\r\n".encode()
    if name == "pipe":
        os.mkfifo(file)
        threading.Thread(target=file.write_bytes, args=(content,), daemon=True).start()
    else:
        file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with open_orders(file) as orders:
        first = [(orders.line, row) for row in orders.rows()]
        orders.rewind()
        assert first == [(orders.line, row) for row in orders.rows()] == [(2, ["1", "A"]), (3, ["2", "B"])]


@pytest.mark.parametrize("content", [b"", b"no gzip"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    file = tmp_path / "orders.csv.gz"
    file.write_bytes(content)
    with pytest.raises(CannotDo, match="orders"), open_orders(file):
        pass


@pytest.mark.parametrize("path", [SAMPLE, WHOLE], ids=["sample", "whole"])
def test_every_line_of_the_data_becomes_valid_commands_with_ids_of_their_own(path):
    if not path.exists():
        path = SAMPLE
    planner = Planner(Rules(name=digest_of(path), opening_stock=100, replenish=10))
    ids, reserved, adjusted, lines = set(), 0, 0, 0
    with open_orders(path) as orders:
        pick = Columns().picker(orders.header)
        for row in orders.rows():
            lines += 1
            for step in planner.steps(lines, pick(row)):
                command = decode_command(step.value)
                assert (command.sku, command.command_id) == (step.sku, step.command_id)
                ids.add(step.command_id)
                reserved += isinstance(command, Reserve)
                adjusted += isinstance(command, Adjust) and command.reason in {"return", "shrinkage"}
                assert step.asked == (command.quantity if isinstance(command, Reserve) else 0)
    expected = {SAMPLE: (9, 7, 2), WHOLE: (320_705, 313_933, 6_772)}[path]
    assert (lines, reserved, adjusted) == expected
    assert len(ids) >= 2 * reserved + adjusted
