"""Announced goods are promised by the rules of their channel."""

import pytest

from tests.audit.announced import DAY, changes, claims, expect, held, inbounds, reserve, row, rules
from tests.audit.ledger import T0


def test_units_on_shelves_are_given_before_announced_ones_and_backorders_last(log):
    expect(rules(log.stocked(leeds=2), backorder_limit=4), "po-1", 3, 5)
    assert reserve(log, "r", 8)["code"] == "insufficient_stock"
    result = reserve(log, "r", 8, "any")
    assert (held(result), claims(result)) == ([("leeds", 2)], [("po-1", 3, 5), (None, 3, None)])
    reservation = result["reservation"]
    assert (reservation["waiting"], reservation["promised_at"]) == (6, None)
    assert row(log, b"RS\0r")[10] == [["po-1", 3, T0 + 5 * DAY], [None, 3, None]]
    book = row(log, b"SS\0")
    assert (book[4:6], book[7][0][6]) == ([3, 3], 3)


@pytest.mark.parametrize(
    ("days", "horizon_days", "by_days", "near"),
    [
        (5, 5, None, True),
        (5, 5, 5, True),
        (5, 4, None, False),
        (5, 9, 4, False),
        (0, 9, None, False),
        (-1, 9, None, False),
    ],
)
def test_only_goods_within_the_horizon_are_promised(log, days, horizon_days, by_days, near):
    expect(rules(log, presell_horizon_ms=horizon_days * DAY), "po-1", 3, days)
    by = None if by_days is None else T0 + by_days * DAY
    result = reserve(log, "r", 1, promise_by=by)
    assert (result["code"] is None) is near


def test_the_horizon_is_counted_from_now(log):
    expect(rules(log, presell_horizon_ms=DAY), "po-1", 3, 2)
    assert reserve(log, "r", 1, at=DAY - 1)["code"] == "insufficient_stock"
    assert reserve(log, "r", 1, at=DAY)["code"] is None
    assert reserve(log, "s", 1, at=2 * DAY)["code"] == "insufficient_stock"


@pytest.mark.parametrize(
    ("fields", "given"), [({}, 6), ({"warehouses": ["main", "hull"]}, 4), ({"warehouses": []}, None)]
)
def test_only_goods_to_open_warehouses_are_promised(log, fields, given):
    rules(log, **fields)
    expect(log, "po-1", 2, 5, "leeds")
    expect(log, "po-2", 4, 6, "main")
    expect(log, "po-3", 8, 7, "hull")
    log.do("set_warehouse", sku=None, warehouse="hull", version=1, enabled=False)
    result = reserve(log, "r", 9, partial=True)
    assert given == (None if result["reservation"] is None else result["reservation"]["quantity"])


def test_a_reserve_that_names_a_warehouse_waits_for_goods_to_it(log):
    rules(log)
    expect(log, "po-1", 5, 5, "main")
    expect(log, "po-2", 5, 6, "leeds")
    assert claims(reserve(log, "r", 2, warehouse="leeds")) == [("po-2", 2, 6)]
    refused = reserve(log, "s", 9, warehouse="leeds")
    assert refused["available"] == 3


@pytest.mark.parametrize(
    ("quantity", "found"),
    [
        (2, [("po-1", 2, 5)]),
        (4, [("po-2", 4, 6)]),
        (5, [("po-1", 3, 5), ("po-2", 2, 6)]),
        (7, [("po-1", 3, 5), ("po-2", 4, 6)]),
    ],
)
def test_the_first_goods_that_are_enough_are_promised_else_in_parts(log, quantity, found):
    rules(log)
    expect(log, "po-2", 4, 6)
    expect(log, "po-1", 3, 5)
    result = reserve(log, "r", quantity)
    assert claims(result) == found
    assert result["reservation"]["promised_at"] == T0 + found[-1][2] * DAY


@pytest.mark.parametrize(
    ("quantity", "partial", "found"),
    [
        (2, False, ([("leeds", 2)], [])),
        (5, False, ([], [("po-2", 5, 6)])),
        (6, False, ([], [(None, 6, None)])),
        (7, False, None),
        (7, True, ([("leeds", 3)], [])),
    ],
)
def test_what_may_not_be_split_is_all_at_one_place(log, quantity, partial, found):
    rules(log.stocked(leeds=3), split=False, backorder_limit=6)
    expect(log, "po-1", 4, 5)
    expect(log, "po-2", 5, 6)
    result = reserve(log, "r", quantity, "any", partial=partial)
    assert found == (None if result["reservation"] is None else (held(result), claims(result)))


def test_without_stock_the_largest_announced_goods_are_taken_in_part(log):
    rules(log, split=False)
    for name, quantity, days in (("po-1", 4, 5), ("po-3", 5, 7), ("po-2", 5, 6)):
        expect(log, name, quantity, days)
    assert reserve(log, "r", 9)["available"] == 5
    assert claims(reserve(log, "r", 9, partial=True)) == [("po-2", 5, 6)]


def test_growing_adds_to_claims_in_their_places_and_says_the_date(log, monkeypatch):
    rules(log, backorder_limit=9)
    expect(log, "po-1", 4, 5)
    expect(log, "po-2", 1, 6)
    assert claims(reserve(log, "r", 7, "any")) == [("po-1", 4, 5), ("po-2", 1, 6), (None, 2, None)]
    log.do("amend_inbound", inbound_id="po-1", quantity=2)
    monkeypatch.setattr("audit.model.tail.WORK", 0)
    log.do("amend_inbound", inbound_id="po-2", quantity=9, eta_at=T0 + 3 * DAY)
    log.do("amend_inbound", inbound_id="po-1", eta_at=T0 + 7 * DAY)
    # Of the 8 units of po-2 that nobody claims, 7 are due to those that wait.
    result = log.result("amend", reservation_id="r", quantity=9, wait="any")
    assert claims(result) == [("po-1", 2, 5), ("po-2", 2, 3), (None, 5, None)]


@pytest.mark.parametrize(
    ("quantity", "held_then", "claims_then"),
    [
        (8, [("leeds", 2)], [("po-1", 3, 5), (None, 3, None)]),
        (6, [("leeds", 2)], [("po-1", 3, 5), (None, 1, None)]),
        (4, [("leeds", 2)], [("po-1", 2, 5)]),
        (1, [("leeds", 1)], []),
    ],
)
def test_units_are_given_back_from_the_last_claim_to_the_first_allocation(log, quantity, held_then, claims_then):
    expect(rules(log.stocked(leeds=2), backorder_limit=4), "po-1", 3, 5)
    reserve(log, "r", 8, "any")
    result = log.result("amend", reservation_id="r", quantity=quantity)
    assert (held(result), claims(result)) == (held_then, claims_then)
    reserve(log, "s", 1, "any")


def test_claims_go_with_a_release_and_with_an_expiry(log):
    expect(rules(log), "po-1", 6, 5)
    reserve(log, "r", 4)
    reserve(log, "s", 2, ttl_ms=1000)
    expected = log.do("release", reservation_id="r", quantity=3)
    assert changes(expected) == [("", {"promised": -3})]
    assert inbounds(log) == {"po-1": (6, 3, 0)}
    expected = log.do("tick", 1000)
    assert (changes(expected), inbounds(log)) == ([("", {"promised": -2})], {"po-1": (6, 1, 0)})
    assert row(log, b"RS\0s")[:3] == [2, "expired", 2]  # its rank stays


def test_what_may_not_be_split_grows_where_its_goods_come(log):
    rules(log.stocked(main=9), split=False)
    expect(log, "po-1", 3, 5, "leeds")
    expect(log, "po-2", 4, 6, "leeds")
    expect(log, "po-3", 9, 4, "main")
    log.do("reserve", reservation_id="all", quantity=9, channel="web")
    assert claims(reserve(log, "r", 2, promise_by=T0 + 4 * DAY)) == [("po-3", 2, 4)]
    assert claims(log.result("amend", reservation_id="r", quantity=4, wait="inbound")) == [("po-3", 4, 4)]
    log.do("amend_inbound", inbound_id="po-3", quantity=4)
    refused = log.result("amend", reservation_id="r", quantity=5, wait="inbound")
    assert (refused["code"], refused["available"]) == ("insufficient_stock", 4)


def test_growing_asks_for_goods_by_a_date(log):
    rules(log.stocked(leeds=1))
    reserve(log, "r", 1)
    expect(log, "po-1", 3, 5)
    fields = {"reservation_id": "r", "quantity": 2, "wait": "inbound"}
    assert log.result("amend", **fields, promise_by=T0 + 5 * DAY - 1)["code"] == "insufficient_stock"
    assert claims(log.result("amend", **fields, promise_by=T0 + 5 * DAY)) == [("po-1", 1, 5)]


def test_a_claim_that_takes_the_place_of_one_that_is_gone_keeps_the_rank(log):
    expect(rules(log), "po-1", 9, 5)
    reserve(log, "r", 1)
    reserve(log, "s", 1)
    log.do("receive_inbound", inbound_id="po-1", quantity=2)
    ranked = row(log, b"RS\0s")[13:16]
    assert ranked == [100, log.next_offset - 2, T0]
    log.do("amend", reservation_id="s", quantity=2, wait="inbound", at=50)
    assert row(log, b"RS\0s")[13:16] == ranked
    assert row(log, b"RS\0s")[10] == [["po-1", 1, T0 + 5 * DAY]]


def test_only_so_many_classes_may_wait_for_announced_goods(log):
    expect(rules(log, "*"), "po-1", 999, 5)
    for number in range(256):
        reserve(log, f"r{number}", 1, channel=f"c{number}")
    assert reserve(log, "one-too-many", 1)["code"] == "limit_exceeded"
    assert reserve(log, "another", 1, channel="c7")["code"] is None
    log.do("release", reservation_id="r9")
    assert reserve(log, "last", 1)["code"] is None
