"""Heads that could get nothing are not asked again before there is something for them, and then they are."""

import contextlib
from unittest.mock import patch

import pytest
from test_policies import Shop

from tables.core import settling
from tests.tables.partition import T0

CLASSES = 20


@contextlib.contextmanager
def asking(name):
    """Yield a list of what is asked of a function of settling during the block."""
    with patch.object(settling, name, wraps=getattr(settling, name)) as asked:
        yield asked


@pytest.fixture
def shop():
    """Return a SKU for which one waits in each of many warehouses that have nothing, while another one has goods."""
    shop = Shop(spare=50)
    shop.channel("*", backorder_limit=99)
    for number in range(CLASSES):
        damage(shop, f"w{number:02}")
        shop.reserve(2, reservation_id=f"r{number:02}", warehouse=f"w{number:02}", wait="any", ttl_ms=0)
    return shop


def damage(shop, warehouse="spare"):
    return shop.tell("adjust", warehouse=warehouse, bucket="damaged", delta=1, reason="damage")


def waiting(shop):
    return [it["reservation_id"] for it in shop.tell("query", waiting=100)["waiting"]]


def receive(shop, warehouse, units):
    shop.tell("adjust", warehouse=warehouse, delta=units, reason="receipt")


def test_heads_for_which_nothing_came_are_not_asked_again(shop):
    damage(shop)
    with asking("hurdle_of") as asked:
        damage(shop)
        shop.tell("settle")
        assert asked.call_count == 0
        receive(shop, "w07", 1)
        receive(shop, "w07", 1)
        # Once each time that something came, and once more by the one that still waited for the rest.
        assert asked.call_count == 3
    assert waiting(shop) == [f"r{number:02}" for number in range(CLASSES) if number != 7]


def test_nor_where_many_channels_have_warehouses_of_their_own():
    shop = Shop(spare=50)
    for number in range(20):
        damage(shop, f"w{number:02}")
    for number in range(60):
        own = [f"w{number % 20:02}", f"of-{number}"]
        shop.channel(f"c{number}", backorder_limit=9, warehouses=own)
        shop.reserve(2, reservation_id=f"r{number:02}", channel=f"c{number}", wait="any", ttl_ms=0)
    for _ in range(60):
        damage(shop)
    with asking("hurdle_of") as asked:
        damage(shop)
        receive(shop, "spare", 1)
        assert asked.call_count == 0
        receive(shop, "w07", 2)
        assert 0 < asked.call_count < 10
    assert len(waiting(shop)) == 59


def test_a_head_whose_class_changed_is_asked_again(shop):
    damage(shop)
    with asking("hurdle_of") as asked:
        shop.tell("amend", reservation_id="r03", quantity=1)
        assert asked.call_count == 1


def test_rules_that_let_a_head_have_something_count_at_the_next_look(shop):
    damage(shop)
    shop.policy("*", split=False, backorder_limit=99)
    receive(shop, "w05", 1)
    assert len(waiting(shop)) == CLASSES
    shop.policy("*", backorder_limit=99)
    assert shop.tell("query", reservation_id="r05")["reservation"]["waiting"] == 1
    shop.warehouse("w06", enabled=False)
    receive(shop, "w06", 2)
    shop.warehouse("w06", enabled=True)
    damage(shop)
    assert "r06" not in waiting(shop)


@pytest.mark.parametrize(
    ("rules", "before", "last"),
    [
        ({"buffer": 5}, 5, 1),
        ({"split": False}, 1, 1),
        ({"split": False, "buffer": 5}, 6, 1),
        ({"warehouses": ["w01", "w02"], "buffer": 1}, 1, 1),
        ({"warehouses": ["w01", "w02"], "split": False}, 1, 1),
    ],
)
def test_the_unit_that_is_missing_is_enough(shop, rules, before, last):
    # `spare` has 50 free; for those who may not have them, what comes to w01 is all.
    shop.policy("web", backorder_limit=99, **({"warehouses": ["w01"]} | rules))
    shop.tell("release", reservation_id="r01")
    shop.reserve(2, reservation_id="r", channel="web", wait="any")
    receive(shop, "w01", before)
    damage(shop)
    was = shop.tell("query", reservation_id="r")["reservation"]["waiting"]
    receive(shop, "w01", last)
    assert shop.tell("query", reservation_id="r")["reservation"].get("waiting", 0) < was


def test_announced_goods_are_offered_once_to_each_class_that_cannot_have_them(shop):
    shop.channel("web", backorder_limit=99, split=False)
    for name, units in (("big", 5), ("small", 2)):
        shop.reserve(units, reservation_id=name, channel="web", wait="any", ttl_ms=0)
    shop.tell("adjust", warehouse="spare", delta=-50, reason="shrinkage")
    shop.tell("amend", reservation_id="big", quantity=60, wait="any")
    shop.tell("expect_inbound", inbound_id="po-1", warehouse="spare", quantity=3, eta_at=T0 + 9_000)
    with asking("_dated") as asked:
        damage(shop)
        shop.tell("settle")
        assert asked.call_count == 0
        shop.reserve(2, reservation_id="third", channel="web", wait="any", ttl_ms=0)
        assert asked.call_count == 1
        shop.tell("release", reservation_id="big")
        assert asked.call_count > 1
    assert shop.tell("query", reservation_id="third")["reservation"]["claims"][0]["inbound_id"] == "po-1"
