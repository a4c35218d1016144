"""Announced goods are promised to who waits for them, kept for them, and what breaks a promise is told to each."""

import json

import pytest
from test_policies import Shop, given_to, told

from schemas.topics import RESULTS, STOCK_CHANGES
from tables.core.rows import CLOSED_RESERVATION_MS
from tests.tables.partition import T0

DAY_MS = 24 * 3600 * 1000


def day(number):
    return T0 + number * DAY_MS


@pytest.fixture
def shop():
    """Return a SKU without goods, in two warehouses, of a channel that sells 30 days ahead."""
    shop = Shop(leeds=0, york=0)
    shop.channel("web", presell_horizon_ms=30 * DAY_MS)
    return shop


def expect(shop, inbound_id, quantity, days, warehouse="leeds", **fields):
    return shop.tell(
        "expect_inbound", inbound_id=inbound_id, warehouse=warehouse, quantity=quantity, eta_at=day(days), **fields
    )


def presell(shop, reservation_id, quantity, **fields):
    return shop.reserve(
        quantity, channel="web", reservation_id=reservation_id, **({"wait": "inbound", "ttl_ms": 0} | fields)
    )


def steps(shop):
    """Return (type, reservation, what it holds, its claims as id, units, day) of the unsolicited results so far."""
    results = [json.loads(value) for _, value in shop.partition.published[RESULTS]]
    found = [(it["type"], it["reservation"]) for it in results if it["command_id"] is None]
    return [
        (
            type_,
            row["reservation_id"],
            {it["warehouse"]: it["quantity"] for it in row["allocations"]},
            claims_of(row),
        )
        for type_, row in found
    ]


def book_of(shop):
    return shop.tell("query").get("book", {"promised": 0, "backordered": 0, "inbounds": []})


def claims_of(row):
    return [
        (it["inbound_id"], it["quantity"], it["promised_at"] and (it["promised_at"] - T0) // DAY_MS)
        for it in row.get("claims", [])
    ]


def new_steps(shop, act):
    before = len(steps(shop))
    act()
    return steps(shop)[before:]


def test_the_example_of_the_contract(shop):
    expected = expect(shop, "po-7", 10, 10)
    assert expected["inbound"] == {
        "inbound_id": "po-7", "warehouse": "leeds", "quantity": 10, "received": 0, "damaged": 0, "remaining": 10,
        "claimed": 0, "eta_at": day(10), "from": None, "reference": None, "state": "open",
    }  # fmt: skip
    r1 = presell(shop, "r1", 4)
    assert claims_of(r1["reservation"]) == [("po-7", 4, 10)]
    assert (r1["reservation"]["waiting"], r1["reservation"]["promised_at"]) == (4, day(10))
    assert presell(shop, "r2", 5)["reservation"]["promised_at"] == day(10)
    assert told(presell(shop, "r3", 2)) == ("insufficient_stock", 2, 1)
    expect(shop, "po-8", 6, 20)
    assert claims_of(presell(shop, "r4", 3)["reservation"]) == [("po-8", 3, 20)]

    def receive():
        return shop.tell("receive_inbound", inbound_id="po-7", quantity=8, damaged=1)

    assert new_steps(shop, receive) == [
        ("fill", "r1", {"leeds": 4}, []),
        ("fill", "r2", {"leeds": 4}, [("po-7", 1, 10)]),
    ]

    def end():
        return shop.tell("receive_inbound", inbound_id="po-7", quantity=0, final=True)

    assert new_steps(shop, end) == [
        ("promise", "r2", {"leeds": 4}, [(None, 1, None)]),
        ("promise", "r2", {"leeds": 4}, [("po-8", 1, 20)]),
    ]
    changes = len(shop.partition.published[STOCK_CHANGES])
    moved = new_steps(shop, lambda: shop.tell("amend_inbound", inbound_id="po-8", eta_at=day(40)))
    assert [step[:2] for step in moved] == [("promise", "r2"), ("promise", "r4")]
    assert [step[3] for step in moved] == [[("po-8", 1, 40)], [("po-8", 3, 40)]]
    (change,) = [json.loads(value) for _, value in shop.partition.published[STOCK_CHANGES][changes:]]
    assert (change["warehouse"], change["delta"], change["cause"]["reference"]) == ("", {}, "po-8")
    assert change["book"]["inbounds"] == [
        {"inbound_id": "po-8", "warehouse": "leeds", "eta_at": day(40), "remaining": 6, "claimed": 4}
    ]


def test_a_cancelled_delivery_takes_the_date_from_the_worst_rank_first(shop):
    expect(shop, "po-1", 5, 1)
    expect(shop, "po-2", 3, 2)
    presell(shop, "a", 3)
    presell(shop, "b", 2)
    cancelled = []
    found = new_steps(shop, lambda: cancelled.append(shop.tell("cancel_inbound", inbound_id="po-1", reason="lost")))
    assert found == [
        ("promise", "b", {}, [(None, 2, None)]),
        ("promise", "a", {}, [(None, 3, None)]),
        ("promise", "a", {}, [("po-2", 3, 2)]),
    ]
    assert (cancelled[0]["inbound"]["state"], cancelled[0]["inbound"]["claimed"]) == ("cancelled", 5)
    book = book_of(shop)
    assert [(it["inbound_id"], it["claimed"]) for it in book["inbounds"]] == [("po-2", 3)]
    # b lost its date, and a got another one.
    assert (book["promised"], book["backordered"]) == (3, 2)
    assert book["channels"] == [{"channel": "web", "held": 0, "backordered": 2}]


def test_the_first_reserve_of_the_contract_is_published_as_it_says(shop):
    expect(shop, "po-7", 10, 10)
    presell(shop, "r1", 4)
    rows = [json.loads(value) for _, value in shop.partition.published[STOCK_CHANGES]]
    assert rows[-1]["delta"] == {"promised": 4}
    assert rows[-1]["book"] == {
        "backordered": 0,
        "promised": 4,
        "inbounds": [{"inbound_id": "po-7", "warehouse": "leeds", "eta_at": day(10), "remaining": 10, "claimed": 4}],
        "channels": [],
    }
    assert rows[-3]["delta"] == {"inbound": 10}
    assert rows[-3]["cause"]["reference"] == "po-7"


GUARDS = [
    ("expect_inbound", {"inbound_id": "open", "warehouse": "leeds", "quantity": 1, "eta_at": 1}, "inbound_exists"),
    ("expect_inbound", {"inbound_id": "over", "warehouse": "leeds", "quantity": 1, "eta_at": 1}, "inbound_exists"),
    ("amend_inbound", {"inbound_id": "none", "eta_at": 1}, "unknown_inbound"),
    ("amend_inbound", {"inbound_id": "over", "eta_at": 1}, "inbound_closed"),
    ("amend_inbound", {"inbound_id": "claimed", "eta_at": 1}, "inbound_closed"),
    ("receive_inbound", {"inbound_id": "none", "quantity": 1}, "unknown_inbound"),
    ("receive_inbound", {"inbound_id": "over", "quantity": 1}, "inbound_closed"),
    ("cancel_inbound", {"inbound_id": "none"}, "unknown_inbound"),
    ("cancel_inbound", {"inbound_id": "over"}, "inbound_closed"),
]


@pytest.mark.parametrize(("type_", "fields", "code"), GUARDS)
def test_guards_of_announced_goods(shop, type_, fields, code):
    expect(shop, "open", 1, 1)
    expect(shop, "over", 2, 1)
    shop.tell("receive_inbound", inbound_id="over", quantity=1, final=True)
    expect(shop, "claimed", 2, 1)
    presell(shop, "r", 3)
    shop.partition.tell({"type": "set_channel", "command_id": "off", "channel": "web", "version": 9, "enabled": False})
    shop.tell("cancel_inbound", inbound_id="claimed")
    assert shop.tell(type_, **fields)["code"] == code


@pytest.mark.parametrize("type_", ["amend_inbound", "receive_inbound", "cancel_inbound"])
def test_goods_of_an_unknown_sku_are_unknown(shop, type_):
    fields = {"amend_inbound": {"eta_at": 1}, "receive_inbound": {"quantity": 1}}.get(type_, {})
    command = {"type": type_, "command_id": "x", "sku": "nowhere", "inbound_id": "po"} | fields
    assert shop.partition.tell(command)[0]["code"] == "unknown_sku"


def test_a_closed_name_is_known_for_seven_days(shop):
    expect(shop, "po", 1, 1)
    shop.tell("cancel_inbound", inbound_id="po")
    shop.partition.now += CLOSED_RESERVATION_MS - 1
    assert expect(shop, "po", 1, 1)["code"] == "inbound_exists"
    shop.partition.now += 1
    assert shop.tell("cancel_inbound", inbound_id="po")["code"] == "unknown_inbound"
    assert expect(shop, "po", 1, 1)["status"] == "accepted"


def test_a_sku_has_100_announced_deliveries_at_most(shop):
    for number in range(100):
        assert expect(shop, f"po-{number}", 1, 1)["status"] == "accepted"
    assert expect(shop, "one-more", 1, 1)["code"] == "limit_exceeded"
    shop.tell("cancel_inbound", inbound_id="po-7")
    assert expect(shop, "one-more", 1, 1)["status"] == "accepted"


def test_the_first_row_of_a_sku_may_come_with_announced_goods():
    shop = Shop()
    result = expect(shop, "po", 5, 1)
    assert [(row["warehouse"], row["inbound"], row["available"]) for row in result["stock"]] == [("leeds", 5, 0)]
    assert shop.tell("query")["book"]["inbounds"][0]["remaining"] == 5


def test_more_than_announced_may_come_with_the_delivery_that_ends_it(shop):
    expect(shop, "po", 5, 1)
    result = shop.tell("receive_inbound", inbound_id="po", quantity=9, damaged=1)
    assert [(row["on_hand"], row["damaged"], row["inbound"]) for row in result["stock"]] == [(9, 1, 0)]
    shown = result["inbound"]
    assert (shown["quantity"], shown["received"], shown["remaining"], shown["state"]) == (5, 9, 0, "received")
    assert "book" not in shop.tell("query")


def test_overdue_goods_promise_nothing_and_keep_what_they_promised(shop):
    expect(shop, "po", 5, 1)
    presell(shop, "r", 2)
    shop.partition.now = day(1)
    assert told(presell(shop, "late", 1)) == ("insufficient_stock", 1, 0)
    assert claims_of(shop.tell("query", reservation_id="r")["reservation"]) == [("po", 2, 1)]
    assert shop.tell("query", channel="web")["availability"]["promises"] == []


def test_promises_are_of_dates_within_the_horizon(shop):
    expect(shop, "far", 5, 31)
    expect(shop, "b", 2, 3)
    expect(shop, "a", 1, 3)
    expect(shop, "soon", 4, 2, "york")
    presell(shop, "r", 3)  # of the first date that has them all
    found = shop.tell("query", channel="web")["availability"]["promises"]
    assert found == [{"at": day(2), "available_to_promise": 1}, {"at": day(3), "available_to_promise": 4}]
    assert told(presell(shop, "by", 2, promise_by=day(2))) == ("insufficient_stock", 2, 1)
    assert claims_of(presell(shop, "by", 1, promise_by=day(2))["reservation"]) == [("soon", 1, 2)]


def test_one_delivery_is_preferred_to_an_early_date_unless_a_date_is_given(shop):
    for number, units in enumerate((2, 2, 5), 1):
        expect(shop, f"po-{number}", units, number)
    assert claims_of(presell(shop, "early", 4, promise_by=day(2))["reservation"]) == [("po-1", 2, 1), ("po-2", 2, 2)]
    shop.tell("release", reservation_id="early")
    assert claims_of(presell(shop, "whole", 4)["reservation"]) == [("po-3", 4, 3)]


def test_who_waits_for_any_gets_a_date_beyond_the_horizon_in_the_same_record(shop):
    shop.channel("web", presell_horizon_ms=DAY_MS, backorder_limit=9)
    expect(shop, "far", 5, 31)
    result = presell(shop, "r", 3, wait="any")
    assert claims_of(result["reservation"]) == [(None, 3, None)]
    assert steps(shop) == [("promise", "r", {}, [("far", 3, 31)])]


def test_units_are_given_back_from_the_last_claim_to_the_first_and_then_from_shelves(shop):
    shop.tell("adjust", warehouse="leeds", delta=2, reason="receipt")
    shop.channel("web", presell_horizon_ms=30 * DAY_MS, backorder_limit=9)
    expect(shop, "one", 2, 1)
    expect(shop, "two", 1, 2)
    row = presell(shop, "r", 8, wait="any")["reservation"]
    assert (row["allocations"], claims_of(row)) == (
        [{"warehouse": "leeds", "quantity": 2}],
        [("one", 2, 1), ("two", 1, 2), (None, 3, None)],
    )
    assert claims_of(shop.tell("release", reservation_id="r", quantity=4)["reservation"]) == [("one", 2, 1)]
    row = shop.tell("amend", reservation_id="r", quantity=5)["reservation"]
    assert (given_to({"reservation": row}), row["released"], claims_of(row)) == ({"leeds": 1}, 4, [])
    assert book_of(shop)["promised"] == 0


def test_an_unsplit_reservation_waits_for_one_delivery_and_grows_where_it_is(shop):
    shop.channel("web", presell_horizon_ms=30 * DAY_MS, split=False)
    expect(shop, "small", 2, 1)
    expect(shop, "big", 5, 2, "york")
    assert claims_of(presell(shop, "r", 3)["reservation"]) == [("big", 3, 2)]
    assert told(presell(shop, "s", 4)) == ("insufficient_stock", 4, 2)
    grown = shop.tell("amend", reservation_id="r", quantity=5, wait="inbound")["reservation"]
    assert claims_of(grown) == [("big", 5, 2)]
    refused = shop.tell("amend", reservation_id="r", quantity=6, wait="inbound")
    assert told(refused) == ("insufficient_stock", 6, 5)


def test_landing_asks_nothing_and_newcomers_do_not_get_what_has_landed(shop):
    expect(shop, "po", 50, 1)
    for number in range(25):
        presell(shop, f"r{number:02}", 2)
    shop.partition.tell(
        {"type": "set_warehouse", "command_id": "w", "warehouse": "leeds", "version": 1, "enabled": False}
    )
    found = new_steps(shop, lambda: shop.tell("receive_inbound", inbound_id="po", quantity=50))
    assert [step[0] for step in found] == ["fill"] * 8
    assert told(shop.reserve(1, channel="shop")) == ("insufficient_stock", 1, 0)
    shop.partition.rebuild()
    shop.partition.tell({"type": "tick"}, {"type": "tick"}, {"type": "tick"})
    assert shop.tell("query")["stock"][0]["reserved"] == 50
    assert book_of(shop)["promised"] == 0


def test_goods_that_came_for_one_who_left_meanwhile_are_free(shop):
    expect(shop, "po", 60, 1)
    for number in range(25):
        presell(shop, f"r{number:02}", 2)
    shop.tell("receive_inbound", inbound_id="po", quantity=50)
    shop.tell("release", reservation_id="r24")
    shop.partition.tell({"type": "tick"}, {"type": "tick"}, {"type": "tick"})
    assert [(row["on_hand"], row["reserved"]) for row in shop.tell("query")["stock"] if row["on_hand"]] == [(50, 48)]
    assert [(it["remaining"], it["claimed"]) for it in book_of(shop)["inbounds"]] == [(10, 0)]


def test_closed_goods_that_are_still_claimed_stay_closed(shop):
    expect(shop, "po", 50, 1)
    for number in range(25):
        presell(shop, f"r{number:02}", 2)
    shop.tell("cancel_inbound", inbound_id="po")
    (left,) = book_of(shop)["inbounds"]
    assert (left["remaining"], left["claimed"] > 0) == (0, True)
    for type_, fields in [("receive_inbound", {"quantity": 1}), ("amend_inbound", {"quantity": 9})]:
        assert shop.tell(type_, inbound_id="po", **fields)["code"] == "inbound_closed"
    assert expect(shop, "po", 1, 1)["code"] == "inbound_exists"
