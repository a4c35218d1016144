"""Announced goods are promised, received, cut and put off as the contract's section on them says."""

import json

import msgspec
import pytest

DAY = 24 * 60 * 60 * 1000
T0 = 1_764_000_000_000
WEEK = 7 * DAY


def rules(log, channel="web", **fields):
    """Set a channel that sells goods of the next 30 days, in a command that the log leaves out."""
    fields = {"presell_horizon_ms": 30 * DAY, "version": 1} | fields
    log.do("set_channel", sku=None, channel=channel, **fields)
    log.commands.clear()
    return log


def expect(log, name, quantity, days, warehouse="leeds", at=0, **fields):
    fields = {"inbound_id": name, "warehouse": warehouse, "quantity": quantity, "eta_at": T0 + days * DAY} | fields
    return log.do("expect_inbound", at, **fields)


def reserve(log, name, quantity, wait="inbound", at=0, **fields):
    fields = {"reservation_id": name, "quantity": quantity, "wait": wait, "channel": "web", "ttl_ms": 0} | fields
    return log.result("reserve", at, **fields)


def claims(result):
    """Return what a reservation waits for as (inbound, units, day)."""
    return [
        (claim["inbound_id"], claim["quantity"], day_of(claim["promised_at"]))
        for claim in result["reservation"].get("claims", [])
    ]


def day_of(time_ms):
    return None if time_ms is None else (time_ms - T0) // DAY


def held(result):
    return [(part["warehouse"], part["quantity"]) for part in result["reservation"]["allocations"]]


def steps(expected):
    """Return the steps of a record as (type, reservation, allocations, claims)."""
    return [
        (result["type"], result["reservation"]["reservation_id"], held(result), claims(result))
        for result in expected.results
        if result["command_id"] is None
    ]


def changes(expected):
    return [(change["warehouse"], change["delta"]) for change in expected.stock_changes]


def row(log, key):
    value = log.model.row(key)
    return None if value is None else msgspec.msgpack.decode(value)


def inbounds(log):
    """Return the announced goods of the book's row, by id: what remains, claims, what landed."""
    return {it[0]: (max(0, it[3] - it[4] - it[5]), it[6], it[7]) for it in row(log, b"SS\0")[7]}


@pytest.fixture
def presold(log):
    """Return the log of the example: po-7 of 10 in 10 days, po-8 of 6 in 20, r1 4, r2 5 and r4 3."""
    expect(rules(log), "po-7", 10, 10)
    for name, quantity in (("r1", 4), ("r2", 5)):
        assert reserve(log, name, quantity)["reservation"]["promised_at"] == T0 + 10 * DAY
    refused = reserve(log, "r3", 2)
    assert (refused["code"], refused["requested"], refused["available"]) == ("insufficient_stock", 2, 1)
    expect(log, "po-8", 6, 20)
    assert claims(reserve(log, "r4", 3)) == [("po-8", 3, 20)]
    return log


def test_the_example_of_a_first_promise(log):
    expect(rules(log), "po-7", 10, 10, sku="PS-5")
    expected = log.do(
        "reserve", command_id="k1", sku="PS-5", reservation_id="r1", quantity=4, channel="web", wait="inbound", ttl_ms=0
    )
    text = (
        '{"reservation_id":"r1","state":"held","quantity":4,"committed":0,"released":0,"allocations":[],'
        '"channel":"web","order_id":null,"expires_at":null,"waiting":4,"promised_at":1764864000000,'
        '"claims":[{"inbound_id":"po-7","quantity":4,"promised_at":1764864000000}]}'
    )
    assert json.dumps(expected.results[0]["reservation"], separators=(",", ":")) == text
    (change,) = expected.stock_changes
    assert json.dumps(change, separators=(",", ":")) == (
        '{"sku":"PS-5","warehouse":"","seq":3,"at":1764000000000,"cause":{"type":"reserve","command_id":"k1",'
        '"reservation_id":"r1"},"delta":{"promised":4},"after":{"on_hand":0,"reserved":0,"damaged":0,"safety_stock":0,'
        '"inbound":0,"available":0},"shortfall":false,"book":{"backordered":0,"promised":4,"inbounds":[{"inbound_id":'
        '"po-7","warehouse":"leeds","eta_at":1764864000000,"remaining":10,"claimed":4}],"channels":[]}}'
    )


def test_the_example_of_a_receipt_in_parts(presold):
    expected = presold.do("receive_inbound", inbound_id="po-7", quantity=8, damaged=1)
    assert steps(expected) == [
        ("fill", "r1", [("leeds", 4)], []),
        ("fill", "r2", [("leeds", 4)], [("po-7", 1, 10)]),
    ]
    assert changes(expected) == [
        ("leeds", {"on_hand": 8, "damaged": 1, "inbound": -9}),
        ("", {}),
        ("leeds", {"reserved": 4}),
        ("", {"promised": -4}),
        ("leeds", {"reserved": 4}),
        ("", {"promised": -4}),
    ]
    expected = presold.do("receive_inbound", inbound_id="po-7", quantity=0, final=True)
    assert steps(expected) == [
        ("promise", "r2", [("leeds", 4)], [(None, 1, None)]),
        ("promise", "r2", [("leeds", 4)], [("po-8", 1, 20)]),
    ]
    expected = presold.do("amend_inbound", inbound_id="po-8", eta_at=T0 + 40 * DAY)
    assert steps(expected) == [
        ("promise", "r2", [("leeds", 4)], [("po-8", 1, 40)]),
        ("promise", "r4", [], [("po-8", 3, 40)]),
    ]
    assert changes(expected) == [("", {})]


def test_the_example_of_a_cancelled_delivery(log):
    expect(rules(log), "po-1", 5, 10)
    for name, quantity in (("a", 3), ("b", 2)):
        reserve(log, name, quantity)
    expect(log, "po-2", 3, 12)
    assert steps(log.do("cancel_inbound", inbound_id="po-1")) == [
        ("promise", "b", [], [(None, 2, None)]),
        ("promise", "a", [], [(None, 3, None)]),
        ("promise", "a", [], [("po-2", 3, 12)]),
    ]
