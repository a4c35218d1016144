"""Claims land, are cut, filled, pegged and told as the announced goods change, step by step."""

import json

import pytest

from tests.audit.announced import DAY, WEEK, changes, claims, do, expect, inbounds, reserve, row, rules, steps
from tests.audit.ledger import T0, through_a_checkpoint


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


def test_goods_that_came_go_to_those_they_were_promised_to_whoever_else_waits(log):
    rules(log, backorder_limit=9, priority=100)
    log.do("set_channel", sku=None, channel="vip", version=1, backorder_limit=9, priority=1)
    expect(log, "po-1", 5, 5)
    reserve(log, "r", 5)
    reserve(log, "v", 3, "any", channel="vip")
    # A policy, buffer or warehouse that is closed in the meantime is not asked.
    log.do("set_policy", channel="*", buffer=100, enabled=False)
    log.do("set_warehouse", sku=None, warehouse="leeds", version=1, enabled=False)
    expected = log.do("receive_inbound", inbound_id="po-1", quantity=5)
    assert steps(expected) == [("fill", "r", [("leeds", 5)], [])]
    cause = {"type": "fill", "reservation_id": "r", "reference": "po-1"}
    assert [change["cause"] for change in expected.stock_changes[2:]] == [cause, cause]


def test_the_better_rank_is_served_first_and_the_worse_is_cut_first(log):
    rules(log, priority=100)
    log.do("set_channel", sku=None, channel="vip", version=1, presell_horizon_ms=9 * DAY, priority=1)
    expect(log, "po-1", 9, 5)
    for name, channel in (("w", "web"), ("x", "web"), ("v", "vip")):
        reserve(log, name, 3, channel=channel)
    expected = log.do("receive_inbound", inbound_id="po-1", quantity=4, final=True)
    assert steps(expected) == [
        ("fill", "v", [("leeds", 3)], []),
        ("fill", "w", [("leeds", 1)], [("po-1", 2, 5)]),
        ("promise", "x", [], [(None, 3, None)]),
        ("promise", "w", [("leeds", 1)], [(None, 2, None)]),
    ]
    cut = [change for change in expected.stock_changes if change["cause"]["type"] == "promise"]
    assert [change["delta"] for change in cut] == [
        {"backordered": 3, "promised": -3},
        {"backordered": 2, "promised": -2},
    ]
    assert {change["cause"]["reference"] for change in cut} == {"po-1"}


def test_a_cut_takes_no_more_than_will_not_come(log):
    expect(rules(log), "po-1", 9, 5)
    for name in ("a", "b", "c"):
        reserve(log, name, 3)
    expected = log.do("amend_inbound", inbound_id="po-1", quantity=5)
    assert steps(expected) == [
        ("promise", "c", [], [(None, 3, None)]),
        ("promise", "b", [], [("po-1", 2, 5), (None, 1, None)]),
    ]
    # They may have what is announced later, also beyond the horizon, but not what is overdue.
    assert steps(expect(log, "late", 9, 0)) == []
    assert steps(expect(log, "po-2", 2, 300)) == [
        ("promise", "b", [], [("po-1", 2, 5), ("po-2", 1, 300)]),
        ("promise", "c", [], [("po-2", 1, 300), (None, 2, None)]),
    ]


def test_all_that_may_not_be_split_is_promised_at_once_or_not_at_all(log):
    rules(log.stocked(leeds=1), split=False, backorder_limit=9)
    reserve(log, "r", 3, "any")
    assert steps(expect(log, "po-1", 2, 5)) == []
    assert steps(expect(log, "po-2", 3, 6)) == [("promise", "r", [], [("po-2", 3, 6)])]
    log.do("cancel_inbound", inbound_id="po-2")
    assert steps(log.do("amend_inbound", inbound_id="po-1", quantity=3)) == [("promise", "r", [], [("po-1", 3, 5)])]


def test_who_is_promised_something_is_the_best_of_those_without_a_date(log):
    rules(log, backorder_limit=9)
    expect(log, "po-1", 2, 5)
    reserve(log, "dated", 2)
    reserve(log, "first", 2, "any")
    reserve(log, "second", 2, "any")
    assert steps(expect(log, "po-2", 3, 6)) == [
        ("promise", "first", [], [("po-2", 2, 6)]),
        ("promise", "second", [], [("po-2", 1, 6), (None, 1, None)]),
    ]
    assert changes(log.do("tick")) == []


def test_stock_is_given_to_dated_claims_too_from_the_last_to_the_first(log):
    rules(log, backorder_limit=9)
    expect(log, "po-1", 2, 5)
    expect(log, "po-2", 2, 6)
    reserve(log, "r", 5, "any")
    expected = log.do("adjust", warehouse="leeds", delta=4, reason="receipt")
    assert steps(expected) == [("fill", "r", [("leeds", 4)], [("po-1", 1, 5)])]
    assert inbounds(log) == {"po-1": (2, 1, 0), "po-2": (2, 0, 0)}


def test_another_date_is_told_to_the_best_first_and_only_once(log):
    expect(rules(log), "po-1", 9, 5)
    for name in ("a", "b"):
        reserve(log, name, 2)
    expected = log.do("amend_inbound", inbound_id="po-1", eta_at=T0 + 7 * DAY)
    assert steps(expected) == [("promise", "a", [], [("po-1", 2, 7)]), ("promise", "b", [], [("po-1", 2, 7)])]
    told = expected.results[1]
    assert (told["stock"], told["seq"], told["shortfall"]) == ([], expected.stock_changes[-1]["seq"], False)
    assert row(log, b"RS\0a")[10] == [["po-1", 2, T0 + 7 * DAY]]
    assert steps(log.do("amend_inbound", inbound_id="po-1", eta_at=T0 + 7 * DAY)) == []


def test_a_date_that_has_passed_keeps_its_claims(log):
    expect(rules(log), "po-1", 9, 5)
    reserve(log, "a", 2)
    assert steps(log.do("tick", 6 * DAY)) == []
    assert claims(log.result("amend", reservation_id="a", quantity=1)) == [("po-1", 1, 5)]
    assert log.result("amend", reservation_id="a", quantity=2, wait="inbound")["code"] == "insufficient_stock"


@pytest.fixture
def landing(log, monkeypatch):
    """Return a log whose po-1 of 9 came with 6 units for a 4 and b 4, none of which a tail has given yet."""
    expect(rules(log), "po-1", 9, 5)
    for name in ("a", "b"):
        reserve(log, name, 4)
    monkeypatch.setattr("audit.model.tail.WORK", 0)
    log.do("receive_inbound", inbound_id="po-1", quantity=6)
    assert inbounds(log) == {"po-1": (3, 8, 6)}
    return log


def test_what_landed_is_no_more_than_what_is_claimed(landing):
    landing.do("release", reservation_id="b", quantity=1)
    assert inbounds(landing) == {"po-1": (3, 7, 6)}
    landing.do("release", reservation_id="b", quantity=2)
    assert inbounds(landing) == {"po-1": (3, 5, 5)}
    landing.do("receive_inbound", inbound_id="po-1", quantity=2)
    assert inbounds(landing) == {"po-1": (1, 5, 5)}


def test_what_landed_is_kept_from_newcomers_and_goes_where_it_was_promised(landing, monkeypatch):
    assert landing.result("reserve", reservation_id="x", quantity=1)["available"] == 0
    monkeypatch.setattr("audit.model.tail.WORK", 16)
    expected = landing.do("tick")
    assert steps(expected) == [("fill", "a", [("leeds", 4)], []), ("fill", "b", [("leeds", 2)], [("po-1", 2, 5)])]


def test_landing_may_leave_a_row_short(landing, monkeypatch):
    landing.do("adjust", warehouse="leeds", count=1, reason="cycle_count")
    monkeypatch.setattr("audit.model.tail.WORK", 16)
    expected = landing.do("tick")
    assert [result["shortfall"] for result in expected.results] == [True, True]
    assert expected.stock_changes[-2]["after"]["available"] == 1 - 6


def test_a_closed_inbound_stays_in_the_book_until_its_claims_are_gone(landing):
    landing.do("cancel_inbound", inbound_id="po-1")
    assert inbounds(landing) == {"po-1": (0, 8, 6)}
    assert row(landing, b"IS\0po-1")[7:] == [None, "received", T0]
    for type_, fields in (("amend_inbound", {"quantity": 20}), ("cancel_inbound", {})):
        assert do(landing, type_, **fields)["code"] == "inbound_closed"
    assert expect(landing, "po-1", 1, 5).results[0]["code"] == "inbound_exists"
    assert expect(landing, "po-1", 1, 5, at=WEEK).results[0]["code"] == "inbound_exists"
    assert do(landing, "cancel_inbound", WEEK)["code"] == "inbound_closed"
    expected = landing.do("release", WEEK, reservation_id="a")
    assert inbounds(landing) == {"po-1": (0, 4, 4)}
    expected = landing.do("release", WEEK, reservation_id="b")
    assert (inbounds(landing), expected.stock_changes[-1]["book"]["inbounds"]) == ({}, [])


def test_the_steps_have_an_order(log, monkeypatch):
    rules(log, backorder_limit=9)
    expect(log, "po-1", 4, 5)
    expect(log, "po-2", 4, 6)
    expect(log, "po-3", 4, 7)
    for name in ("a", "b", "c"):
        reserve(log, name, 4)
    monkeypatch.setattr("audit.model.tail.WORK", 0)
    log.do("receive_inbound", inbound_id="po-1", quantity=2)
    log.do("amend_inbound", inbound_id="po-1", eta_at=T0 + 8 * DAY)
    log.do("cancel_inbound", inbound_id="po-2")
    log.do("adjust", warehouse="leeds", delta=3, reason="receipt")
    log.do("amend_inbound", inbound_id="po-3", quantity=5)
    monkeypatch.setattr("audit.model.tail.WORK", 100)
    assert steps(log.do("tick")) == [
        ("fill", "a", [("leeds", 2)], [("po-1", 2, 5)]),
        ("promise", "b", [], [(None, 4, None)]),
        ("fill", "a", [("leeds", 4)], []),
        ("fill", "b", [("leeds", 1)], [(None, 3, None)]),
        ("promise", "b", [("leeds", 1)], [("po-3", 1, 7), ("po-1", 2, 8)]),
    ]


def test_units_without_a_date_of_a_channel_that_is_closed_are_promised_nothing(log):
    rules(log.stocked(leeds=1), backorder_limit=9)
    reserve(log, "r", 3, "any")
    log.do("set_policy", channel="web", enabled=False)
    assert steps(expect(log, "po-1", 9, 5)) == []
    assert steps(log.do("set_policy", channel="web")) == [("promise", "r", [("leeds", 1)], [("po-1", 2, 5)])]


def test_units_that_may_not_be_split_are_promised_goods_to_their_home(log):
    rules(log.stocked(leeds=3, main=1), split=False, backorder_limit=9)
    reserve(log, "r", 3)
    assert claims(log.result("amend", reservation_id="r", quantity=5, wait="any")) == [(None, 2, None)]
    assert steps(expect(log, "po-1", 9, 5, "main")) == []
    assert steps(expect(log, "po-2", 9, 6, "leeds")) == [("promise", "r", [("leeds", 3)], [("po-2", 2, 6)])]


def test_a_model_that_continues_from_a_checkpoint_knows_what_landed(landing, tmp_path):
    log = landing
    other = type(log)()
    other.commands = list(log.commands)
    other.model = through_a_checkpoint(tmp_path, log)
    assert sorted(other.model.rows()) == sorted(log.model.rows())
    assert inbounds(other) == {"po-1": (3, 8, 6)}
