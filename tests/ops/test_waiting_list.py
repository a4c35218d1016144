"""Who waits is listed by rank, and every SKU that waits can be told to settle."""

import json
import uuid

import pytest

from ops.tail import pretty_change
from ops.waiting_list import is_waiting
from schemas.stock_changes import BookView, Cause, ChannelUnits, Quantities, StockChange


@pytest.fixture
def tag():
    return uuid.uuid4().hex[:8]


def lines(*commands):
    return "".join(json.dumps({"command_id": uuid.uuid4().hex} | command) + "\n" for command in commands)


def told(holdfast, answering, *commands):
    result = holdfast("send", "--wait", "--bootstrap", answering, given=lines(*commands))
    assert result.exit_code == 0
    assert {json.loads(line)["status"] for line in result.stdout.splitlines()} == {"accepted"}


def stocked(sku, units):
    return {"type": "adjust", "sku": sku, "warehouse": "leeds", "delta": units, "reason": "receipt"}


def asked(sku, hold, quantity, channel="web"):
    return {
        "type": "reserve", "sku": sku, "reservation_id": hold, "quantity": quantity, "channel": channel, "wait": "any",
    }  # fmt: skip


def waiting_sku(holdfast, answering, sku, channel="web"):
    rule = {"type": "set_policy", "sku": sku, "channel": channel, "backorder_limit": 100}
    vip = {"type": "set_policy", "sku": sku, "channel": "vip", "backorder_limit": 100, "priority": 10}
    told(holdfast, answering, stocked(sku, 1), rule, vip)
    told(holdfast, answering, asked(sku, "b1", 6, channel), asked(sku, "b2", 3, channel), asked(sku, "b3", 4, "vip"))


def test_backorders_lists_who_waits_by_rank_and_stock_and_tail_say_how_many(holdfast, answering, tag):
    waiting_sku(holdfast, answering, tag)
    table = holdfast("backorders", tag, "--bootstrap", answering).stdout.splitlines()
    assert table[0].strip() == f"{tag}  (12 wait without a date)"
    assert [line.split()[:5] for line in table[2:]] == [
        ["1", "b3", "vip", "-", "10"], ["2", "b1", "web", "-", "100"], ["3", "b2", "web", "-", "100"],
    ]  # fmt: skip
    found = json.loads(holdfast("backorders", tag, "-n", 2, "--json", "--bootstrap", answering).stdout)
    assert [(it["reservation_id"], it["quantity"]) for it in found["items"]] == [("b3", 4), ("b1", 5)]
    assert (found["backordered"], found["promised"], found["settling"]) == (12, 0, False)
    stock = holdfast("stock", tag, "--reservation", "b1", "--bootstrap", answering).stdout
    assert "12 wait without a date" in stock
    assert ["waits", "5"] in [line.split() for line in stock.splitlines()]
    tail = holdfast("tail", "stock-changes", "--from-beginning", "--sku", tag, "-n", 5, "--bootstrap", answering).stdout
    assert tail.splitlines()[-1].split("-> ")[1].split("  ")[0] == "12 wait without a date"
    results = holdfast("tail", "results", "--from-beginning", "--sku", tag, "-n", 4, "--bootstrap", answering).stdout
    assert "b1 (5 wait)" in results


def test_settle_goes_to_every_sku_that_waits_and_with_a_channel_to_those_where_it_waits(holdfast, answering, tag):
    skus = {channel: f"{tag}/{channel}" for channel in ("north", "south")}
    for channel, sku in skus.items():
        waiting_sku(holdfast, answering, sku, channel)
    told(holdfast, answering, stocked(f"{tag}/none", 9))
    result = holdfast("settle", "--bootstrap", answering)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert {(it["type"], it["status"]) for it in answers} == {("settle", "accepted")}
    assert [it["sku"] for it in answers if it["sku"].startswith(tag)] == sorted(skus.values())
    only = holdfast("settle", "--channel", "north", "--bootstrap", answering)
    assert [json.loads(line)["sku"] for line in only.stdout.splitlines()] == [skus["north"]]
    none = holdfast("settle", "--channel", "nobody", "--bootstrap", answering)
    assert (none.exit_code, none.stdout) == (0, "")
    assert "0 sent" in none.stderr


def test_after_a_rule_that_opens_a_warehouse_settle_fills_those_who_wait(holdfast, answering, tag):
    shut = {"type": "set_warehouse", "warehouse": f"w{tag}", "version": 1, "enabled": False}
    told(holdfast, answering, stocked(tag, 1) | {"warehouse": f"w{tag}"}, shut)
    told(holdfast, answering, {"type": "set_policy", "sku": tag, "channel": tag, "backorder_limit": 9})
    told(holdfast, answering, asked(tag, "b1", 1, tag), shut | {"version": 2, "enabled": True})
    waits_for = ("backorders", tag, "--json", "--bootstrap", answering)
    assert json.loads(holdfast(*waits_for).stdout)["backordered"] == 1
    holdfast("settle", "--channel", tag, "--bootstrap", answering)
    assert json.loads(holdfast(*waits_for).stdout)["items"] == []
    assert "nobody waits" in holdfast("backorders", tag, "--bootstrap", answering).stdout


def test_backorders_of_an_unknown_sku_exits_with_1(holdfast, answering, tag):
    result = holdfast("backorders", tag, "--bootstrap", answering)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"SKU '{tag}' is unknown" in result.stderr


@pytest.mark.parametrize(
    ("book", "channel", "wanted"),
    [
        (BookView(0, 0, channels=[ChannelUnits("web", 5, 0)]), None, False),
        (BookView(2, 0, channels=[ChannelUnits("web", 0, 2)]), None, True),
        (BookView(0, 2), None, True),
        (BookView(2, 0, channels=[ChannelUnits("web", 0, 2)]), "web", True),
        (BookView(2, 0, channels=[ChannelUnits("web", 0, 2)]), "shop", False),
        (BookView(2, 0, channels=[ChannelUnits("web", 0, 2), ChannelUnits("shop", 3, 0)]), "shop", False),
        (BookView(0, 2), "shop", True),
    ],
)
def test_who_is_told_to_settle_follows_from_the_book(book, channel, wanted):
    assert is_waiting(book, channel) is wanted


@pytest.mark.parametrize(
    ("book", "text"),
    [
        (BookView(0, 0), "no channel holds any, nobody waits"),
        (BookView(44, 0, settling=True, channels=[ChannelUnits("web", 0, 44)]), "44 wait without a date; settling"),
        (
            BookView(1, 2, channels=[ChannelUnits("web", 7, 1)]),
            "web holds 7; 1 wait without a date, 2 for announced goods",
        ),
    ],
)
def test_tail_shows_what_a_book_says(book, text):
    change = StockChange("S", "", 3, 0, Cause("settle"), {}, Quantities(0, 0, 0, 0, 0, 0), False, book)
    assert f"-> {text}  -" in pretty_change(change)
