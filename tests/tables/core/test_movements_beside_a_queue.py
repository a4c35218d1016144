"""Goods come back, change their bucket and go to other warehouses; nothing that is held or due to a queue goes."""

import pytest
from test_policies import Shop, told

from tests.tables.partition import T0

DAY_MS = 24 * 3600 * 1000


def take_back(shop, quantity, disposition="restock", **fields):
    return shop.tell("return", warehouse="leeds", quantity=quantity, disposition=disposition, **fields)


def move(shop, quantity, from_, to, **fields):
    return shop.tell("move", **({"warehouse": "leeds", "quantity": quantity, "from": from_, "to": to} | fields))


def transfer(shop, quantity, from_="leeds", to="york", **fields):
    return shop.tell("transfer", **({"quantity": quantity, "from": from_, "to": to} | fields))


def rows_of(shop, *names):
    return {row["warehouse"]: [row.get(name, 0) for name in names] for row in shop.tell("query")["stock"]}


def receive_for_many(shop, waiting=30, units=70, warehouse="leeds"):
    """Let 2 units each wait, and then come all at once: 8 are filled with the record, 44 units stay due to the rest."""
    shop.channel("*", backorder_limit=500)
    for number in range(waiting):
        shop.reserve(2, reservation_id=f"w{number:02}", wait="any", ttl_ms=0)
    shop.tell("adjust", warehouse=warehouse, delta=units, reason="receipt")


# Returns.


def test_no_more_comes_back_of_a_reservation_than_it_committed_in_all():
    shop = Shop(leeds=9)
    shop.reserve(5, reservation_id="r9")
    shop.tell("commit", reservation_id="r9", quantity=3)
    assert take_back(shop, 4, reservation_id="r9")["code"] == "quantity_exceeds_reservation"
    assert take_back(shop, 2, reservation_id="r9")["reservation"]["returned"] == 2
    assert take_back(shop, 2, reservation_id="r9")["code"] == "quantity_exceeds_reservation"
    assert take_back(shop, 1, reservation_id="r9")["reservation"]["returned"] == 3
    assert take_back(shop, 1, reservation_id="r9")["code"] == "quantity_exceeds_reservation"
    assert take_back(shop, 50)["stock"][0]["on_hand"] == 9 - 3 + 3 + 50


@pytest.mark.parametrize(
    ("disposition", "bucket"), [("restock", "on_hand"), ("damaged", "damaged"), ("inspect", "quarantine")]
)
def test_the_disposition_says_into_which_bucket_goods_come_back(disposition, bucket):
    shop = Shop(leeds=3)
    take_back(shop, 2, disposition)
    wanted = {"on_hand": 3, "damaged": 0, "quarantine": 0}
    wanted[bucket] += 2
    assert rows_of(shop, *wanted) == {"leeds": [*wanted.values()]}
    assert shop.changes()[-1]["delta"] == {bucket: 2}


def test_a_return_on_behalf_of_channels_finds_only_their_reservations():
    shop = Shop(leeds=9)
    shop.reserve(2, reservation_id="r", channel="web")
    shop.tell("commit", reservation_id="r")
    assert take_back(shop, 1, reservation_id="r", channels=["shop"])["code"] == "unknown_reservation"
    assert take_back(shop, 1, reservation_id="r", channels=["shop", "web"])["code"] is None


def test_goods_that_come_back_are_given_to_who_waits_in_the_same_record():
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=5)
    shop.reserve(3, reservation_id="w", wait="any")
    take_back(shop, 2, "inspect")
    assert rows_of(shop, "reserved") == {"leeds": [1]}
    move(shop, 2, "quarantine", "on_hand")
    assert rows_of(shop, "reserved", "on_hand", "quarantine") == {"leeds": [3, 3, 0]}


# Moves.


def test_no_more_is_moved_than_its_bucket_has_but_holds_may_be_left_without_goods():
    shop = Shop(leeds=5)
    shop.reserve(4, reservation_id="r")
    assert move(shop, 6, "on_hand", "quarantine")["code"] == "negative_stock"
    assert move(shop, 1, "damaged", "on_hand")["code"] == "negative_stock"
    assert move(shop, 1, "quarantine", "damaged")["code"] == "negative_stock"
    short = move(shop, 3, "on_hand", "quarantine")
    assert (short["shortfall"], short["stock"][0]["available"]) == (True, -2)
    assert rows_of(shop, "on_hand", "quarantine", "damaged") == {"leeds": [2, 3, 0]}
    move(shop, 1, "quarantine", "damaged")
    assert rows_of(shop, "on_hand", "quarantine", "damaged") == {"leeds": [2, 2, 1]}


def test_a_stock_row_has_the_longer_layout_exactly_while_something_is_in_quarantine():
    shop = Shop(leeds=5)
    assert shop.row("S", "leeds")[0] == 1
    move(shop, 2, "on_hand", "quarantine")
    assert (shop.row("S", "leeds")[0], shop.row("S", "leeds")[-1]) == (2, 2)
    # A plain reserve, commit and release keep what is in quarantine.
    shop.reserve(3, reservation_id="r")
    shop.tell("commit", reservation_id="r", quantity=1)
    shop.tell("release", reservation_id="r")
    assert (shop.row("S", "leeds")[0], shop.row("S", "leeds")[-1]) == (2, 2)
    shop.tell("adjust", warehouse="leeds", bucket="damaged", delta=1, reason="damage")
    assert (shop.row("S", "leeds")[0], shop.row("S", "leeds")[-1]) == (2, 2)
    move(shop, 2, "quarantine", "damaged")
    assert shop.row("S", "leeds")[0] == 1
    assert len(shop.row("S", "leeds")) == 7


# Transfers.


def test_goods_go_to_another_warehouse_at_once_or_are_announced_there():
    shop = Shop(leeds=50)
    assert transfer(shop, 5)["stock"][1]["on_hand"] == 5
    shipped = transfer(shop, 20, inbound_id="t-4", eta_at=T0 + DAY_MS)
    assert (shipped["inbound"]["from"], shipped["inbound"]["remaining"]) == ("leeds", 20)
    assert rows_of(shop, "on_hand", "inbound") == {"leeds": [25, 0], "york": [5, 20]}
    (inbound,) = shop.tell("query")["book"]["inbounds"]
    assert inbound == {
        "inbound_id": "t-4", "warehouse": "york", "eta_at": T0 + DAY_MS, "remaining": 20, "claimed": 0, "from": "leeds",
    }  # fmt: skip
    shop.tell("receive_inbound", inbound_id="t-4", quantity=18, damaged=1, final=True)
    assert rows_of(shop, "on_hand", "inbound", "damaged") == {"leeds": [25, 0, 0], "york": [23, 0, 1]}


def test_holds_stay_and_safety_stock_may_travel():
    shop = Shop(leeds=10)
    shop.tell("adjust", warehouse="leeds", bucket="safety_stock", count=6, reason="correction")
    shop.reserve(4)
    assert told(transfer(shop, 7)) == ("insufficient_stock", 7, 6)
    assert transfer(shop, 6)["code"] is None
    shop.tell("adjust", warehouse="leeds", delta=-2, reason="shrinkage")
    assert told(transfer(shop, 1)) == ("insufficient_stock", 1, 0)


def test_a_shipment_has_a_name_that_is_not_in_use_or_was_lately():
    shop = Shop(leeds=10)
    transfer(shop, 1, inbound_id="t", eta_at=T0 + DAY_MS)
    assert transfer(shop, 1, inbound_id="t", eta_at=T0 + DAY_MS)["code"] == "inbound_exists"
    shop.tell("receive_inbound", inbound_id="t", quantity=1)
    assert transfer(shop, 1, inbound_id="t", eta_at=T0 + DAY_MS)["code"] == "inbound_exists"
    assert rows_of(shop, "on_hand") == {"leeds": [9], "york": [1]}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"from": "hull"}, "unknown_warehouse"),
        ({"sku": "nowhere"}, "unknown_sku"),
        ({"quantity": 99}, "insufficient_stock"),
    ],
)
def test_the_codes_of_a_transfer(fields, code):
    shop = Shop(leeds=10)
    assert shop.tell("transfer", **({"from": "leeds", "to": "york", "quantity": 1} | fields))["code"] == code


# What is due to a queue that is not settled yet is nobody else's.


def test_what_is_due_to_the_queue_does_not_travel():
    shop = Shop(leeds=1)
    shop.reserve(1)
    receive_for_many(shop, units=70)
    # 71 there, 1 + 16 reserved, 44 due.
    refused = transfer(shop, 30)
    assert told(refused) == ("insufficient_stock", 30, 10)
    assert transfer(shop, 10)["code"] is None


def test_what_is_due_to_the_queue_is_not_reallocated_to():
    shop = Shop(york=8, leeds=0)
    shop.reserve(8, reservation_id="r")
    receive_for_many(shop, units=65)
    # 65 there, 16 reserved, 44 due.
    refused = shop.tell("reallocate", **{"reservation_id": "r", "from": "york", "to": "leeds"})
    assert told(refused) == ("insufficient_stock", 8, 5)
    moved = shop.tell("reallocate", **{"reservation_id": "r", "from": "york", "to": "leeds", "quantity": 5})
    assert moved["code"] is None


def test_what_is_due_to_the_queue_is_not_given_to_an_amend():
    shop = Shop(york=2, leeds=0)
    shop.reserve(2, reservation_id="r")
    receive_for_many(shop, units=65)
    assert told(shop.tell("amend", reservation_id="r", quantity=10)) == ("insufficient_stock", 10, 7)
    assert shop.tell("amend", reservation_id="r", quantity=7)["code"] is None


def test_what_is_due_to_the_queue_is_not_promised_to_a_newcomer():
    shop = Shop(leeds=0)
    shop.channel("*", presell_horizon_ms=30 * DAY_MS)
    shop.tell("expect_inbound", inbound_id="one", warehouse="leeds", quantity=50, eta_at=T0 + DAY_MS)
    for number in range(25):
        shop.reserve(2, reservation_id=f"r{number:02}", wait="inbound", ttl_ms=0)
    shop.tell("expect_inbound", inbound_id="two", warehouse="leeds", quantity=40, eta_at=T0 + 2 * DAY_MS)
    shop.tell("receive_inbound", inbound_id="one", quantity=50)
    # 8 have landed; 34 units are due, so 6 of the 40 are free, and none of the 34 on the shelf.
    # Every record settles 8: 34, 18, 2 and then 0 units are due when a record comes.
    assert told(shop.reserve(7, reservation_id="new", wait="inbound")) == ("insufficient_stock", 7, 6)
    assert told(shop.reserve(23, reservation_id="new", wait="inbound")) == ("insufficient_stock", 23, 22)
    assert [it["available_to_promise"] for it in shop.may_have("default")["promises"]] == [38]
    assert shop.reserve(40, reservation_id="new", wait="inbound")["code"] is None
