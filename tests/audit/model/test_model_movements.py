"""Goods come back, change their state and go to other warehouses as the contract's sections 8 to 10 say."""

import json

import msgspec
import pytest

from tests.audit.ledger import T0

DAY = 24 * 60 * 60 * 1000
WEEK = 7 * DAY
MOST = (1 << 53) - 1


def row(log, key):
    value = log.model.row(key)
    return None if value is None else msgspec.msgpack.decode(value)


def changes(expected):
    return [(change["warehouse"], change["delta"]) for change in expected.stock_changes]


def take_back(log, quantity, disposition="restock", warehouse="leeds", at=0, **fields):
    return log.do("return", at, warehouse=warehouse, quantity=quantity, disposition=disposition, **fields)


def move(log, quantity, from_, to, warehouse="leeds", at=0, **fields):
    return log.do("move", at, warehouse=warehouse, quantity=quantity, **fields | {"from": from_, "to": to})


def transfer(log, quantity, from_="leeds", to="york", at=0, **fields):
    return log.do("transfer", at, quantity=quantity, **fields | {"from": from_, "to": to})


def ship(log, quantity, inbound_id="t-4", **fields):
    return transfer(log, quantity, inbound_id=inbound_id, eta_at=T0 + DAY, **fields)


def code(expected):
    return expected.results[0]["code"]


def fill_up(log, sku="S"):
    """Give a SKU all the rows that it may have."""
    for number in range(1000):
        log.do("adjust", sku=sku, warehouse=f"w{number:03}", delta=1, reason="receipt")


@pytest.fixture
def sold(log):
    """Return a log in which r9 has committed 3 units and holds 2, of 10 at leeds."""
    log.stocked(leeds=10).do("reserve", reservation_id="r9", quantity=5, ttl_ms=0)
    log.do("commit", reservation_id="r9", quantity=3)
    return log


# Section 8: returns and inspection.


def test_the_example_of_an_inspection(log):
    log.stocked(leeds=3).do("set_channel", sku=None, channel="web", version=1, backorder_limit=9)
    log.do("reserve", reservation_id="r9", quantity=3)
    log.do("commit", reservation_id="r9")
    log.do("reserve", reservation_id="b1", quantity=5, channel="web", wait="any")
    (result,) = take_back(log, 2, "inspect", reservation_id="r9").results
    assert result["stock"][0]["quarantine"] == result["reservation"]["returned"] == 2
    assert code(take_back(log, 2, reservation_id="r9")) == "quantity_exceeds_reservation"
    own, fill = move(log, 2, "quarantine", "on_hand").results
    assert ("quarantine" in own["stock"][0], own["stock"][0]["available"]) == (False, 2)
    assert (fill["type"], fill["reservation"]["reservation_id"], fill["reservation"]["waiting"]) == ("fill", "b1", 3)


def test_five_that_came_back_are_inspected_with_two_moves(log):
    log.stocked(leeds=1)
    take_back(log, 5, "inspect")
    move(log, 4, "quarantine", "on_hand")
    (result,) = move(log, 1, "quarantine", "damaged").results
    (view,) = result["stock"]
    assert [view[name] for name in ("on_hand", "damaged", "available")] == [5, 1, 5]
    (scrapped,) = log.do("adjust", warehouse="leeds", bucket="damaged", delta=-1, reason="shrinkage").results
    assert scrapped["stock"][0]["damaged"] == 0


@pytest.mark.parametrize(
    ("disposition", "bucket"), [("restock", "on_hand"), ("damaged", "damaged"), ("inspect", "quarantine")]
)
def test_what_comes_back_goes_where_the_disposition_says(log, disposition, bucket):
    expected = take_back(log, 2, disposition, actor="ann")
    assert changes(expected) == [("leeds", {bucket: 2})]
    (result,) = expected.results
    assert (result["stock"][0][bucket], result["reservation"], result["seq"]) == (2, None, 1)
    (change,) = expected.stock_changes
    assert change["cause"] == {"type": "return", "command_id": "c0", "reason": disposition, "actor": "ann"}
    assert change["after"][bucket] == 2


def test_the_cause_of_a_return_names_the_reservation_and_the_document(sold):
    (change,) = take_back(sold, 1, reservation_id="r9", reference="RMA 1").stock_changes
    assert change["cause"] == {
        "type": "return",
        "command_id": "c3",
        "reservation_id": "r9",
        "reason": "restock",
        "reference": "RMA 1",
    }


def test_a_return_changes_nothing_of_its_reservation_but_what_came_back(sold):
    before = row(sold, b"RS\0r9")
    (result,) = take_back(sold, 1, reservation_id="r9").results
    take_back(sold, 1, reservation_id="r9")
    assert list(result["reservation"].items())[-2:] == [("expires_at", None), ("returned", 1)]
    added = [[], None, None, None, None, None, False, 2, None]
    assert row(sold, b"RS\0r9") == [2, *before[1:], *added]
    assert sold.result("query", reservation_id="r9")["reservation"]["returned"] == 2
    seen = row(sold, b"CS\0c3")
    assert (seen[0], seen[7], seen[8]) == (1, "r9", [2, *before[1:], *added[:7], 1, None])


def test_no_more_comes_back_than_was_committed_in_whatever_state_the_reservation_is(sold):
    assert code(take_back(sold, 4, reservation_id="r9")) == "quantity_exceeds_reservation"
    assert code(take_back(sold, 1, reservation_id="r9")) is None
    sold.do("release", reservation_id="r9")
    (result,) = take_back(sold, 2, reservation_id="r9").results
    assert (result["reservation"]["state"], result["reservation"]["returned"]) == ("released", 3)
    assert row(sold, b"RS\0r9")[-2] == 3
    (refused,) = take_back(sold, 1, reservation_id="r9").results
    assert (refused["code"], refused["reservation"], refused["stock"]) == ("quantity_exceeds_reservation", None, [])


def test_nothing_comes_back_of_a_reservation_that_committed_nothing(log):
    log.stocked(leeds=3).do("reserve", reservation_id="r", quantity=2, ttl_ms=5)
    assert code(take_back(log, 1, reservation_id="r")) == "quantity_exceeds_reservation"
    log.do("tick", at=5)
    assert code(take_back(log, 1, reservation_id="r", at=6)) == "quantity_exceeds_reservation"


@pytest.mark.parametrize(("window_ms", "last"), [(None, WEEK - 1), (30 * DAY, 30 * DAY - 1)])
def test_after_the_row_is_gone_only_a_return_without_the_reservation_works(log, window_ms, last):
    log.do("set_policy", channel="web", return_window_ms=window_ms)
    log.stocked(leeds=3).do("reserve", reservation_id="r", quantity=3, channel="web")
    log.do("commit", reservation_id="r")
    assert code(take_back(log, 1, reservation_id="r", at=last)) is None
    assert code(take_back(log, 1, reservation_id="r", at=last + 1)) == "unknown_reservation"
    assert code(take_back(log, 1, at=last + 1)) is None
    assert row(log, b"RS\0r") is None


def test_a_return_is_refused_in_the_order_of_the_codes(log):
    fill_up(log)
    assert code(take_back(log, 9, warehouse="one-too-many", reservation_id="r")) == "unknown_warehouse"
    assert code(take_back(log, 9, warehouse="w000", reservation_id="r")) == "unknown_reservation"
    log.do("reserve", reservation_id="r", quantity=2, ttl_ms=0)
    log.do("commit", reservation_id="r")
    log.model.items["S"].rows["w007"].quarantine = MOST - 1
    beyond = {"warehouse": "w007", "disposition": "inspect", "reservation_id": "r"}
    assert code(take_back(log, 3, **beyond)) == "quantity_exceeds_reservation"
    assert code(take_back(log, 2, **beyond)) == "limit_exceeded"
    assert log.result("query", reservation_id="r")["reservation"].get("returned") is None
    assert code(take_back(log, 1, **beyond)) is None


def test_a_return_needs_no_row_and_no_sku(log):
    assert code(take_back(log, 1, reservation_id="r")) == "unknown_reservation"
    assert log.result("query")["code"] == "unknown_sku"
    assert code(take_back(log, 1, warehouse="york")) is None
    assert row(log, b"SS\0york") == [1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("from_", ["on_hand", "damaged", "quarantine"])
@pytest.mark.parametrize("to", ["on_hand", "damaged", "quarantine"])
def test_goods_move_from_each_bucket_to_each_other(log, from_, to):
    log.do("adjust", warehouse="leeds", bucket=from_, delta=5, reason="receipt")
    expected = move(log, 2, from_, to)
    if from_ == to:
        assert (code(expected), expected.results[0]["field"]) == ("invalid_field", "to")
        return
    ((warehouse, delta),) = changes(expected)
    assert (warehouse, delta) == ("leeds", {from_: -2, to: 2})
    assert list(delta) == [name for name in ("on_hand", "damaged", "quarantine") if name in delta]
    view = expected.results[0]["stock"][0]
    assert {name: view.get(name, 0) for name in (from_, to)} == {from_: 3, to: 2}
    assert view["available"] == view["on_hand"]


def test_a_move_out_of_what_may_be_sold_may_leave_a_row_short(sold):
    (result,) = move(sold, 6, "on_hand", "quarantine", reason="recall", reference="R 7").results
    assert (result["shortfall"], result["stock"][0]["on_hand"], result["stock"][0]["available"]) == (True, 1, -1)
    assert sold.expected[-1].stock_changes[0]["cause"] == {
        "type": "move",
        "command_id": "c3",
        "reason": "recall",
        "reference": "R 7",
    }


def test_a_move_is_refused_in_the_order_of_the_codes(log):
    assert code(move(log, 9, "on_hand", "damaged")) == "unknown_sku"
    log.stocked(leeds=5)
    assert code(move(log, 9, "on_hand", "damaged", "york")) == "unknown_warehouse"
    log.model.items["S"].rows["leeds"].damaged = MOST - 5
    assert code(move(log, 6, "on_hand", "damaged")) == "limit_exceeded"
    assert code(move(log, 6, "on_hand", "quarantine")) == "negative_stock"
    assert code(move(log, 5, "on_hand", "damaged")) is None


def test_a_row_says_its_quarantine_only_when_there_is_some(log):
    log.stocked(leeds=5)
    move(log, 2, "on_hand", "quarantine")
    assert row(log, b"SS\0leeds") == [2, 2, 3, 0, 0, 0, 0, 2]
    assert row(log, b"CS\0c1")[9] == [["leeds", [2, 2, 3, 0, 0, 0, 0, 2]]]
    assert log.expected[-1].stock_changes[0]["after"] == {
        "on_hand": 3,
        "reserved": 0,
        "damaged": 0,
        "safety_stock": 0,
        "inbound": 0,
        "available": 3,
        "quarantine": 2,
    }
    again = move(log, 2, "on_hand", "quarantine", command_id="c1").results[0]
    assert (again["replayed"], list(again["stock"][0].items())[-2:]) == (True, [("available", 3), ("quarantine", 2)])
    log.do("adjust", warehouse="leeds", bucket="quarantine", count=0, reason="correction")
    assert row(log, b"SS\0leeds") == [1, 3, 3, 0, 0, 0, 0]
    assert log.expected[-1].stock_changes[0]["delta"] == {"quarantine": -2}
    assert "quarantine" not in log.expected[-1].stock_changes[0]["after"]
    assert "quarantine" not in log.result("query")["stock"][0]


# Section 9: transfers.


def test_the_example_of_a_shipment(log):
    log.stocked(leeds=50)
    expected = ship(log, 20)
    assert changes(expected) == [("leeds", {"on_hand": -20}), ("york", {"inbound": 20}), ("", {})]
    assert [change["cause"] for change in expected.stock_changes] == [
        {"type": "transfer", "command_id": "c1", "reference": "t-4"}
    ] * 3
    assert expected.stock_changes[2]["book"]["inbounds"][0]["from"] == "leeds"
    (result,) = expected.results
    assert [(view["warehouse"], view["on_hand"], view["inbound"]) for view in result["stock"]] == [
        ("leeds", 30, 0),
        ("york", 0, 20),
    ]
    assert (result["inbound"]["from"], result["inbound"]["remaining"], result["seq"]) == ("leeds", 20, 4)
    assert row(log, b"SS\0")[7] == [["t-4", "york", T0 + DAY, 20, 0, 0, 0, 0, "leeds", None]]
    arrived = log.do("receive_inbound", inbound_id="t-4", quantity=18, damaged=1, final=True)
    (view,) = arrived.results[0]["stock"]
    assert [view[name] for name in ("warehouse", "on_hand", "damaged", "inbound")] == ["york", 18, 1, 0]
    assert row(log, b"IS\0t-4")[6] == "leeds"


def test_an_instant_transfer_moves_what_is_on_hand(log):
    log.stocked(leeds=5)
    expected = transfer(log, 3)
    assert changes(expected) == [("leeds", {"on_hand": -3}), ("york", {"on_hand": 3})]
    assert [change["cause"] for change in expected.stock_changes] == [{"type": "transfer", "command_id": "c1"}] * 2
    (result,) = expected.results
    assert "inbound" not in result
    assert [(view["warehouse"], view["on_hand"]) for view in result["stock"]] == [("leeds", 2), ("york", 3)]
    assert row(log, b"SS\0") is None


def test_the_document_of_a_transfer_is_in_its_cause_and_stays_with_the_shipment(log):
    log.stocked(leeds=5)
    for expected in (transfer(log, 1, reference="T 1"), ship(log, 1, reference="T 1")):
        assert {change["cause"]["reference"] for change in expected.stock_changes} == {"T 1"}
    assert row(log, b"SS\0")[7][0][-1] == "T 1"


def test_units_in_transit_can_be_promised(log):
    log.do("set_channel", sku=None, channel="web", version=1, presell_horizon_ms=2 * DAY)
    log.stocked(leeds=5)
    ship(log, 5)
    result = log.result("reserve", reservation_id="r", quantity=4, channel="web", wait="inbound")
    assert result["reservation"]["promised_at"] == T0 + DAY
    own, fill = log.do("receive_inbound", inbound_id="t-4", quantity=5).results
    assert (own["code"], fill["reservation"]["allocations"]) == (None, [{"warehouse": "york", "quantity": 4}])


def test_a_shipment_that_is_cancelled_is_lost(log):
    log.stocked(leeds=5)
    ship(log, 2)
    log.do("cancel_inbound", inbound_id="t-4")
    assert [(view["on_hand"], view["inbound"]) for view in log.result("query")["stock"]] == [(3, 0), (0, 0)]


def test_what_is_reserved_does_not_travel_and_what_is_kept_back_does(log):
    log.stocked(leeds=10).do("adjust", warehouse="leeds", bucket="safety_stock", count=4, reason="correction")
    log.do("reserve", reservation_id="r", quantity=3)
    (refused,) = transfer(log, 8).results
    assert (refused["code"], refused["requested"], refused["available"]) == ("insufficient_stock", 8, 7)
    (result,) = transfer(log, 7).results
    assert (result["code"], result["stock"][0]["available"]) == (None, -4)


def test_nothing_travels_from_a_short_row(sold):
    log = sold
    log.do("adjust", warehouse="leeds", count=1, reason="cycle_count")
    (refused,) = transfer(log, 1).results
    assert (refused["code"], refused["available"]) == ("insufficient_stock", 0)


def test_what_is_due_to_a_queue_does_not_travel(log, monkeypatch):
    monkeypatch.setattr("audit.model.tail.WORK", 1)
    log.do("set_channel", sku=None, channel="web", version=1, backorder_limit=9)
    log.stocked(leeds=1)
    for number in range(3):
        log.do("reserve", reservation_id=f"r{number}", quantity=2, channel="web", wait="any")
    log.stocked(leeds=9)
    waiting = log.model.books["S"].owed
    leeds = log.model.items["S"].rows["leeds"]
    there = leeds.on_hand - leeds.reserved - waiting
    assert waiting > 0
    refused = transfer(log, there + 1).results[0]
    assert (refused["code"], refused["available"]) == ("insufficient_stock", there)


def test_a_transfer_is_refused_in_the_order_of_the_codes(log):
    assert code(ship(log, 9)) == "unknown_sku"
    fill_up(log)
    assert code(ship(log, 9, from_="york", to="w001")) == "unknown_warehouse"
    assert code(ship(log, 9, from_="w000", to="york")) == "unknown_warehouse"
    for number in range(100):
        fields = {"inbound_id": f"t-{number}", "quantity": 1, "eta_at": T0 + DAY}
        log.do("expect_inbound", warehouse="w001", **fields)
    assert code(ship(log, 9, "t-4", from_="w000", to="w001")) == "inbound_exists"
    assert code(ship(log, 9, "new", from_="w000", to="w001")) == "limit_exceeded"
    log.do("cancel_inbound", inbound_id="t-4")
    assert code(ship(log, 9, "t-4", from_="w000", to="w001")) == "inbound_exists"
    assert code(ship(log, 9, "new", from_="w000", to="w001")) == "insufficient_stock"
    assert code(ship(log, 1, "new", from_="w000", to="w001")) is None


def test_an_instant_transfer_fills_no_bucket_beyond_the_largest_number(log):
    log.stocked(leeds=9, york=1)
    log.model.items["S"].rows["york"].on_hand = MOST - 2
    assert code(transfer(log, 20)) == "limit_exceeded"
    assert code(transfer(log, 3)) == "limit_exceeded"
    assert code(transfer(log, 2)) is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"to": "leeds"}, "to"),
        ({"eta_at": 5}, "inbound_id"),
        ({"inbound_id": "t"}, "eta_at"),
        ({"to": "leeds", "eta_at": 5}, "to"),
    ],
)
def test_the_first_broken_rule_over_two_fields_is_named(log, fields, field):
    result = log.result("transfer", **{"from": "leeds", "to": "york", "quantity": 1} | fields)
    assert (result["code"], result["field"]) == ("invalid_field", field)


def test_goods_move_to_and_from_a_warehouse_that_is_disabled(log):
    log.stocked(leeds=9)
    for warehouse in ("leeds", "york"):
        log.do("set_warehouse", sku=None, warehouse=warehouse, version=1, enabled=False)
    done = [take_back(log, 1), move(log, 1, "on_hand", "damaged"), transfer(log, 1), ship(log, 1)]
    assert [code(expected) for expected in done] == [None] * 4


@pytest.mark.parametrize(
    ("type_", "fields", "content"),
    [
        ("return", {"warehouse": "w", "quantity": 2, "disposition": "inspect"}, ["w", 2, "inspect", None, None]),
        (
            "return",
            {"warehouse": "w", "quantity": 2, "disposition": "restock", "reservation_id": "r", "reference": "R"},
            ["w", 2, "restock", "r", "R"],
        ),
        (
            "move",
            {"warehouse": "w", "quantity": 2, "from": "on_hand", "to": "damaged"},
            ["w", 2, "on_hand", "damaged", None, None],
        ),
        (
            "move",
            {"warehouse": "w", "quantity": 2, "from": "damaged", "to": "quarantine", "reason": "r", "reference": "R"},
            ["w", 2, "damaged", "quarantine", "r", "R"],
        ),
        ("transfer", {"from": "w", "to": "x", "quantity": 2}, ["w", "x", 2, None, None, None]),
        (
            "transfer",
            {"from": "w", "to": "x", "quantity": 2, "inbound_id": "t", "eta_at": 0, "reference": "R"},
            ["w", "x", 2, "t", 0, "R"],
        ),
    ],
)
def test_the_content_of_a_command_has_its_fields_in_their_order(log, type_, fields, content):
    log.do(type_, **fields)
    assert msgspec.msgpack.decode(row(log, b"CS\0c0")[1]) == [type_, *content]


def test_a_repeated_shipment_is_answered_as_before(log):
    log.stocked(leeds=5)
    first = ship(log, 2, command_id="k").results[0]
    log.do("cancel_inbound", inbound_id="t-4")
    seen = row(log, b"CS\0k")
    assert (seen[0], json.loads(seen[-1])) == (2, {"inbound": first["inbound"]})
    assert ship(log, 2, command_id="k").results[0] == first | {"replayed": True}


# Section 10: shortfall.


def test_the_example_of_a_shortfall(log):
    log.stocked(leeds=10, main=3)
    for name, quantity in (("h1", 4), ("h2", 5)):
        log.do("reserve", reservation_id=name, quantity=quantity, warehouse="leeds")
    counted = log.result("reconcile", warehouse="leeds", counted_on_hand=6)
    assert (counted["shortfall"], counted["stock"][0]["on_hand"], counted["stock"][0]["reserved"]) == (True, 6, 9)
    (leeds,) = log.result("commit", reservation_id="h2")["stock"]
    assert (leeds["on_hand"], leeds["reserved"]) == (1, 4)
    assert log.result("commit", reservation_id="h1")["code"] == "negative_stock"
    moved = log.result("reallocate", reservation_id="h1", quantity=3, **{"from": "leeds", "to": "main"})
    assert (moved["code"], moved["shortfall"]) == (None, False)
    committed = log.result("commit", reservation_id="h1")
    assert [(view["warehouse"], view["on_hand"]) for view in committed["stock"]] == [("leeds", 0), ("main", 0)]
