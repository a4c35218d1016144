"""Goods come back, are inspected and are moved; what is held for somebody or due to the queue never travels."""

import msgspec
import pytest
from test_policies import Shop, given_to, told

from tests.tables.partition import T0

DAY_MS = 24 * 3600 * 1000
MOST = (1 << 53) - 1


@pytest.fixture
def shop():
    return Shop(leeds=10, york=0)


def committed(shop, quantity, **fields):
    """Return a reservation that committed all of it."""
    row = shop.reserve(quantity, **fields)["reservation"]
    shop.tell("commit", reservation_id=row["reservation_id"])
    return row["reservation_id"]


def come_back(shop, quantity, disposition="inspect", warehouse="leeds", **fields):
    return shop.tell("return", warehouse=warehouse, quantity=quantity, disposition=disposition, **fields)


def put(shop, quantity, from_, to, warehouse="leeds"):
    return shop.tell("move", warehouse=warehouse, quantity=quantity, to=to, **{"from": from_})


def carry(shop, quantity, from_="leeds", to="york", **fields):
    return shop.tell("transfer", quantity=quantity, to=to, **({"from": from_} | fields))


def units(shop, warehouse="leeds"):
    """Return what a row has: on hand, damaged, in quarantine, announced."""
    (row,) = [it for it in shop.tell("query")["stock"] if it["warehouse"] == warehouse]
    return tuple(row.get(name, 0) for name in ("on_hand", "damaged", "quarantine", "inbound"))


def test_the_example_of_a_return(shop):
    reservation_id = committed(shop, 3)
    first = come_back(shop, 2, reservation_id=reservation_id)
    assert (first["reservation"]["returned"], first["stock"][0]["quarantine"]) == (2, 2)
    assert first["reservation"]["state"] == "committed"
    assert come_back(shop, 2, reservation_id=reservation_id)["code"] == "quantity_exceeds_reservation"
    shop.reserve(9, reservation_id="waits", wait="any", partial=True)
    assert put(shop, 2, "quarantine", "on_hand")["code"] is None
    assert units(shop) == (9, 0, 0, 0)


def test_goods_that_were_inspected_go_to_who_waits(shop):
    shop.channel("web", backorder_limit=9)
    come_back(shop, 2)
    shop.reserve(12, reservation_id="waits", channel="web", wait="any")
    assert shop.tell("query", reservation_id="waits")["reservation"]["waiting"] == 2
    put(shop, 2, "quarantine", "on_hand")
    assert given_to(shop.tell("query", reservation_id="waits")) == {"leeds": 12}


@pytest.mark.parametrize(
    ("disposition", "after"), [("restock", (12, 0, 0, 0)), ("damaged", (10, 2, 0, 0)), ("inspect", (10, 0, 2, 0))]
)
def test_goods_come_back_where_the_disposition_says(shop, disposition, after):
    change = come_back(shop, 2, disposition, reference="rma-5")
    assert units(shop) == after
    assert change["reservation"] is None
    assert shop.changes()[-1]["cause"] == {
        "type": "return", "command_id": "c3", "reason": disposition, "reference": "rma-5",
    }  # fmt: skip


def test_goods_of_an_unknown_sku_come_back_and_make_its_row():
    shop = Shop()
    assert come_back(shop, 1, "restock")["code"] is None
    assert units(shop) == (1, 0, 0, 0)


def test_a_reservation_is_given_back_in_whatever_state_and_only_what_it_committed(shop):
    row = shop.reserve(5, reservation_id="r")["reservation"]
    assert come_back(shop, 1, reservation_id="r")["code"] == "quantity_exceeds_reservation"
    shop.tell("commit", reservation_id="r", quantity=2)
    assert come_back(shop, 1, reservation_id="r")["reservation"]["state"] == "held"
    shop.tell("release", reservation_id="r")
    assert come_back(shop, 1, reservation_id="r")["reservation"] == row | {
        "state": "released", "quantity": 5, "committed": 2, "released": 3, "allocations": [], "expires_at":
        row["expires_at"], "returned": 2,
    }  # fmt: skip


def test_on_behalf_of_channels_only_their_reservations_are_known(shop):
    reservation_id = committed(shop, 3, channel="web")
    assert come_back(shop, 1, reservation_id=reservation_id, channels=["pos"])["code"] == "unknown_reservation"
    assert come_back(shop, 1, reservation_id=reservation_id, channels=["pos", "web"])["code"] is None


def test_the_row_of_goods_in_quarantine_has_its_own_layout_as_long_as_there_are_any(shop):
    come_back(shop, 2)
    assert (shop.row("S", "leeds")[0], shop.row("S", "leeds")[-1]) == (2, 2)
    put(shop, 2, "quarantine", "damaged")
    assert shop.row("S", "leeds")[0] == 1
    assert "quarantine" not in shop.tell("query")["stock"][0]


def test_more_than_a_bucket_has_does_not_leave_it(shop):
    assert put(shop, 11, "on_hand", "damaged")["code"] == "negative_stock"
    assert put(shop, 1, "damaged", "on_hand")["code"] == "negative_stock"
    assert put(shop, 1, "quarantine", "on_hand")["code"] == "negative_stock"
    assert put(shop, 1, "on_hand", "damaged", warehouse="hull")["code"] == "unknown_warehouse"


def test_a_move_out_of_on_hand_may_leave_a_shortfall_as_a_count_may(shop):
    shop.reserve(8)
    moved = put(shop, 3, "on_hand", "quarantine")
    assert (moved["code"], moved["shortfall"], shop.changes()[-1]["delta"]) == (
        None, True, {"on_hand": -3, "quarantine": 3},
    )  # fmt: skip


def test_the_example_of_a_shortfall():
    shop = Shop(leeds=10, main=3)
    for name, quantity in (("h1", 4), ("h2", 5)):
        shop.reserve(quantity, reservation_id=name, warehouse="leeds")
    counted = shop.tell("reconcile", warehouse="leeds", counted_on_hand=6)
    assert (counted["shortfall"], counted["stock"][0]["reserved"]) == (True, 9)
    assert shop.tell("commit", reservation_id="h2")["stock"][0]["on_hand"] == 1
    assert shop.tell("commit", reservation_id="h1")["code"] == "negative_stock"
    shop.tell("reallocate", reservation_id="h1", quantity=3, to="main", **{"from": "leeds"})
    assert not any(row["reserved"] > row["on_hand"] for row in shop.tell("query")["stock"])
    assert shop.tell("commit", reservation_id="h1")["code"] is None


def test_a_transfer_moves_goods_at_once(shop):
    assert [row["on_hand"] for row in carry(shop, 4)["stock"]] == [6, 4]
    assert [(it["warehouse"], it["delta"]) for it in shop.changes()[-2:]] == [
        ("leeds", {"on_hand": -4}), ("york", {"on_hand": 4}),
    ]  # fmt: skip
    assert carry(shop, 1, to="hull")["code"] is None
    assert carry(shop, 1, from_="main")["code"] == "unknown_warehouse"


def test_the_example_of_a_transfer_that_takes_its_time():
    shop = Shop(leeds=50)
    shipped = carry(shop, 20, inbound_id="t-4", eta_at=T0 + DAY_MS)
    assert (shipped["inbound"]["from"], shipped["inbound"]["warehouse"]) == ("leeds", "york")
    assert (units(shop), units(shop, "york")) == ((30, 0, 0, 0), (0, 0, 0, 20))
    assert [it["delta"] for it in shop.changes()[-3:]] == [{"on_hand": -20}, {"inbound": 20}, {}]
    assert [it["cause"]["reference"] for it in shop.changes()[-3:]] == ["t-4"] * 3
    assert shop.changes()[-1]["book"]["inbounds"][0]["from"] == "leeds"
    assert carry(shop, 1, inbound_id="t-4", eta_at=T0)["code"] == "inbound_exists"
    shop.tell("receive_inbound", inbound_id="t-4", quantity=18, damaged=1, final=True)
    assert units(shop, "york") == (18, 1, 0, 0)


def test_goods_that_travel_can_be_promised(shop):
    shop.channel("web", presell_horizon_ms=9 * DAY_MS)
    carry(shop, 10, inbound_id="t", eta_at=T0 + DAY_MS)
    held = shop.reserve(4, channel="web", wait="inbound")["reservation"]
    assert (held["waiting"], held["promised_at"]) == (4, T0 + DAY_MS)


def test_goods_that_are_held_do_not_travel_and_safety_stock_does(shop):
    shop.tell("adjust", warehouse="leeds", bucket="safety_stock", count=9, reason="correction")
    shop.reserve(1)
    assert told(carry(shop, 10)) == ("insufficient_stock", 10, 9)
    assert carry(shop, 9)["code"] is None
    shop.tell("adjust", warehouse="leeds", count=0, reason="cycle_count")
    assert told(carry(shop, 1)) == ("insufficient_stock", 1, 0)


def test_a_bucket_takes_no_more_than_it_can_hold(shop):
    for _ in range(2):
        shop.tell("adjust", warehouse="leeds", bucket="damaged", count=10**9, reason="correction")
    key = b"SS\0leeds"
    shop.partition.changelog.append((key, _with_damaged(shop.partition.store.get(key), MOST)))
    shop.partition.rebuild()
    assert put(shop, 1, "on_hand", "damaged")["code"] == "limit_exceeded"
    assert come_back(shop, 1, "damaged")["code"] == "limit_exceeded"
    assert come_back(shop, 1, "inspect")["code"] is None


def _with_damaged(value, damaged):
    row = msgspec.msgpack.decode(value)
    row[4] = damaged
    return msgspec.msgpack.encode(row)
