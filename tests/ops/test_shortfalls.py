"""Rows with more reserved than on hand are listed, with who holds units there; stock shows goods on their way."""

import json
import time
import uuid

import pytest

from ops.stock import time_text


@pytest.fixture
def sku():
    return f"SKU {uuid.uuid4().hex[:8]}"


def told(holdfast, answering, sku, *commands):
    lines = "".join(json.dumps({"command_id": uuid.uuid4().hex, "sku": sku} | command) + "\n" for command in commands)
    result = holdfast("send", "--wait", "--bootstrap", answering, given=lines)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["status"] for answer in answers] == ["accepted"] * len(commands), answers


def stocked(warehouse, units):
    return {"type": "adjust", "warehouse": warehouse, "delta": units, "reason": "receipt"}


def asked(hold, quantity, **fields):
    return {"type": "reserve", "reservation_id": hold, "quantity": quantity, "channel": "mp"} | fields


def counted(warehouse, units):
    return {"type": "reconcile", "warehouse": warehouse, "counted_on_hand": units}


@pytest.fixture
def short(holdfast, answering, sku):
    """Let 9 of a SKU be held in leeds, and a count find 6 there; nobody holds the 3 in main."""
    h1, h2 = asked("h1", 4, order_id="o-1"), asked("h2", 5, ttl_ms=0)
    told(holdfast, answering, sku, stocked("leeds", 10), stocked("main", 3), h1, h2, counted("leeds", 6))
    return sku


def test_a_row_that_a_count_leaves_short_is_listed_until_it_is_sorted_out(holdfast, answering, short):
    def rows(*more):
        found = holdfast("shortfalls", "--json", "--bootstrap", answering, *more).stdout.splitlines()
        return [row for row in map(json.loads, found) if row["sku"] == short]

    (row,) = rows()
    assert (row["warehouse"], row["on_hand"], row["reserved"], row["short"]) == ("leeds", 6, 9, 3)
    assert row == {name: value for name, value in rows(short)[0].items() if name != "reservations"} | {"at": row["at"]}
    table = holdfast("shortfalls", "--bootstrap", answering).stdout.splitlines()
    assert table[0].split()[:5] == ["sku", "warehouse", "on_hand", "reserved", "short"]
    assert [*short.split(), "leeds", "6", "9", "3"] in [line.split()[:6] for line in table]
    told(holdfast, answering, short, {"type": "reallocate", "reservation_id": "h1", "from": "leeds", "to": "main"}
         | {"quantity": 3})  # fmt: skip
    assert rows() == rows(short) == []
    assert "nothing is short" in holdfast("shortfalls", short, "--bootstrap", answering).stderr


def test_of_one_sku_those_who_hold_units_there_are_shown(holdfast, answering, short):
    told(holdfast, answering, short, asked("elsewhere", 1, warehouse="main"))
    (row,) = map(json.loads, holdfast("shortfalls", short, "--json", "--bootstrap", answering).stdout.splitlines())
    assert [(it["reservation_id"], it["quantity"]) for it in row["reservations"]] == [("h1", 4), ("h2", 5)]
    assert (row["reservations"][0]["order_id"], row["reservations"][1]["expires_at"]) == ("o-1", None)
    table = holdfast("shortfalls", short, "--bootstrap", answering).stdout.splitlines()
    assert table[2].split() == ["warehouse", "reservation", "channel", "order", "holds", "expires"]
    assert table[3].split()[:5] == ["leeds", "h1", "mp", "o-1", "4"]
    assert table[4].split() == ["leeds", "h2", "mp", "-", "5", "never"]
    stock = holdfast("stock", short, "--bootstrap", answering)
    assert f"`holdfast shortfalls '{short}'` shows who holds it" in stock.stderr


def test_all_who_hold_units_there_are_shown_also_if_one_answer_cannot_list_them(holdfast, answering, sku):
    holds = [asked(f"h{number:03}", 1) for number in range(205)]
    told(holdfast, answering, sku, stocked("leeds", 205), *holds, counted("leeds", 0))
    (row,) = map(json.loads, holdfast("shortfalls", sku, "--json", "--bootstrap", answering).stdout.splitlines())
    assert [it["reservation_id"] for it in row["reservations"]] == [hold["reservation_id"] for hold in holds]


def test_shortfalls_of_an_unknown_sku_exits_with_1_and_of_what_is_none_with_2(holdfast, answering, sku):
    unknown = holdfast("shortfalls", sku, "--bootstrap", answering)
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert f"SKU '{sku}' is unknown" in unknown.stderr
    wrong = holdfast("shortfalls", "x" * 65, "--bootstrap", answering)
    assert (wrong.exit_code, "sku cannot be what was given" in wrong.stderr) == (2, True)


def test_stock_shows_what_is_in_inspection_what_came_back_and_what_is_on_its_way(holdfast, answering, sku):
    eta_at = time.time_ns() // 1_000_000 + 86_400_000
    told(
        holdfast, answering, sku,
        stocked("leeds", 50), asked("h1", 3), {"type": "commit", "reservation_id": "h1"},
        {"type": "return", "warehouse": "leeds", "quantity": 2, "disposition": "inspect", "reservation_id": "h1"},
        {"type": "transfer", "from": "leeds", "to": "york", "quantity": 20, "inbound_id": "t-4", "eta_at": eta_at},
    )  # fmt: skip
    table = holdfast("stock", sku, "--reservation", "h1", "--bootstrap", answering).stdout.splitlines()
    cells = [line.split() for line in table]
    assert cells[1][-2:] == ["available", "quarantine"]
    assert cells[2] == ["leeds", "27", "0", "0", "0", "0", "27", "2"]
    assert cells[3] == ["york", "0", "0", "0", "0", "20", "0", "0"]
    assert cells[4] == ["total", "27", "0", "0", "0", "20", "27", "2"]
    assert ["t-4", "york", *time_text(eta_at).split(), "20", "0", "leeds"] in cells
    assert ["returned", "2"] in cells
    shown = json.loads(holdfast("stock", sku, "--json", "--bootstrap", answering).stdout)
    assert [row.get("quarantine") for row in shown["stock"]] == [2, None]
    assert (shown["book"]["inbounds"][0]["inbound_id"], shown["book"]["inbounds"][0]["from"]) == ("t-4", "leeds")
    past = holdfast("stock", sku, "--at", shown["at"], "--bootstrap", answering).stdout.splitlines()
    assert [line.split() for line in past][2] == cells[2]
