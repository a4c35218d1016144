"""Goods are announced, changed, received and cancelled as the contract says."""

import json

import msgspec
import pytest

from tests.audit.announced import DAY, WEEK, changes, do, expect, reserve, row, rules
from tests.audit.ledger import T0


def test_an_announcement_says_itself_to_the_row_the_book_and_the_result(log):
    expected = expect(log, "po-1", 10, 5, reference="PO 17")
    assert changes(expected) == [("leeds", {"inbound": 10}), ("", {})]
    assert [change["cause"] for change in expected.stock_changes] == [
        {"type": "expect_inbound", "command_id": "c0", "reference": "PO 17"}
    ] * 2
    (result,) = expected.results
    assert list(result)[-2:] == ["offset", "inbound"]
    assert list(result["inbound"].items()) == [
        ("inbound_id", "po-1"),
        ("warehouse", "leeds"),
        ("quantity", 10),
        ("received", 0),
        ("damaged", 0),
        ("remaining", 10),
        ("claimed", 0),
        ("eta_at", T0 + 5 * DAY),
        ("from", None),
        ("reference", "PO 17"),
        ("state", "open"),
    ]
    assert [(view["warehouse"], view["inbound"], view["available"]) for view in result["stock"]] == [("leeds", 10, 0)]
    assert result["seq"] == 2
    assert row(log, b"SS\0leeds") == [1, 1, 0, 0, 0, 0, 10]
    entry = ["po-1", "leeds", T0 + 5 * DAY, 10, 0, 0, 0, 0, None, "PO 17"]
    assert row(log, b"SS\0") == [1, 2, None, False, 0, 0, 0, [entry], []]
    assert row(log, b"IS\0po-1") is None
    seen = row(log, b"CS\0c0")
    assert (seen[0], json.loads(seen[-1])) == (2, {"inbound": result["inbound"]})


def test_a_repeated_announcement_is_answered_as_before(log):
    first = expect(log, "po-1", 10, 5, command_id="k").results[0]
    do(log, "receive_inbound", quantity=10)
    again = expect(log, "po-1", 10, 5, command_id="k").results[0]
    assert again == first | {"replayed": True}


@pytest.mark.parametrize(
    ("type_", "fields", "content"),
    [
        ("expect_inbound", {"warehouse": "a", "quantity": 3, "eta_at": 9}, ["a", 3, 9, None]),
        ("expect_inbound", {"warehouse": "a", "quantity": 3, "eta_at": 9, "reference": "R"}, ["a", 3, 9, "R"]),
        ("amend_inbound", {"quantity": 0}, [0, None]),
        ("amend_inbound", {"eta_at": 0}, [None, 0]),
        ("receive_inbound", {"quantity": 2}, [2, 0, False, None]),
        ("receive_inbound", {"quantity": 0, "damaged": 1, "final": True, "reference": "R"}, [0, 1, True, "R"]),
        ("cancel_inbound", {}, [None]),
        ("cancel_inbound", {"reason": "late"}, ["late"]),
    ],
)
def test_the_content_of_a_command_has_its_defaults(log, type_, fields, content):
    do(log, type_, **fields)
    assert msgspec.msgpack.decode(row(log, b"CS\0c0")[1]) == [type_, "po-1", *content]


@pytest.mark.parametrize(
    ("type_", "fields", "cause"),
    [
        ("amend_inbound", {"quantity": 9}, {"reference": "po-1"}),
        ("receive_inbound", {"quantity": 9}, {"reference": "po-1"}),
        ("receive_inbound", {"quantity": 9, "reference": "note"}, {"reference": "note"}),
        ("cancel_inbound", {}, {"reference": "po-1"}),
        ("cancel_inbound", {"reason": "late"}, {"reason": "late", "reference": "po-1"}),
    ],
)
def test_the_cause_names_the_document_or_the_goods(log, type_, fields, cause):
    expect(log, "po-1", 10, 5, reference="PO 17")
    expected = log.do(type_, inbound_id="po-1", actor="ann", **fields)
    causes = [change["cause"] for change in expected.stock_changes]
    assert causes == [{"type": type_, "command_id": "c1"} | cause | {"actor": "ann"}] * 2
    assert expected.results[0]["inbound"]["reference"] == "PO 17"


@pytest.mark.parametrize(
    ("type_", "fields"),
    [("amend_inbound", {"quantity": 1}), ("receive_inbound", {"quantity": 1}), ("cancel_inbound", {})],
)
def test_what_is_not_there_is_refused_in_the_order_of_the_codes(log, type_, fields):
    assert do(log, type_, **fields)["code"] == "unknown_sku"
    log.stocked(leeds=1)
    refused = do(log, type_, **fields)
    assert (refused["code"], "inbound" in refused, refused["stock"]) == ("unknown_inbound", False, [])
    expect(log, "po-1", 4, 5)
    do(log, "cancel_inbound")
    assert do(log, type_, **fields)["code"] == "inbound_closed"
    assert do(log, type_, WEEK - 1, **fields)["code"] == "inbound_closed"
    assert do(log, type_, WEEK, **fields)["code"] == "unknown_inbound"


def test_an_announcement_is_refused_in_the_order_of_the_codes(log):
    for number in range(1000):
        log.stocked(**{f"w{number}": 1})
    for number in range(100):
        expect(log, f"po-{number}", 1, 5, "w0")
    assert expect(log, "po-1", 1, 5, "one-too-many").results[0]["code"] == "unknown_warehouse"
    assert expect(log, "po-1", 1, 5, "w0").results[0]["code"] == "inbound_exists"
    assert expect(log, "new", 1, 5, "w0").results[0]["code"] == "limit_exceeded"
    do(log, "receive_inbound", quantity=1)
    assert expect(log, "po-1", 1, 5, "w0").results[0]["code"] == "inbound_exists"
    assert expect(log, "new", 1, 5, "w0").results[0]["code"] is None
    assert expect(log, "new", 1, 5, "w0").results[0]["code"] == "inbound_exists"
    do(log, "cancel_inbound", inbound_id="po-2")
    assert expect(log, "po-1", 1, 5, "w0", at=WEEK).results[0]["code"] is None


def test_a_bucket_does_not_pass_the_largest_number(log):
    most = (1 << 53) - 1
    log.stocked(leeds=10)
    item = log.model.items["S"].rows["leeds"]
    item.on_hand, item.damaged = most - 5, most - 5
    expect(log, "po-1", 100, 5)
    assert do(log, "receive_inbound", quantity=6)["code"] == "limit_exceeded"
    assert do(log, "receive_inbound", quantity=0, damaged=6)["code"] == "limit_exceeded"
    assert row(log, b"SS\0")[7][0][3:6] == [100, 0, 0]
    assert do(log, "receive_inbound", quantity=5, damaged=5)["code"] is None


@pytest.mark.parametrize(
    ("commands", "state", "row_of_stock"),
    [
        ([("receive_inbound", {"quantity": 10})], (10, 10, 0, "received"), (10, 0, 0)),
        ([("receive_inbound", {"quantity": 12, "damaged": 1})], (10, 12, 1, "received"), (12, 1, 0)),
        ([("receive_inbound", {"quantity": 12, "final": True})], (12, 12, 0, "received"), (12, 0, 0)),
        ([("receive_inbound", {"quantity": 0, "damaged": 10})], (10, 0, 10, "received"), (0, 10, 0)),
        ([("receive_inbound", {"quantity": 3, "final": True})], (3, 3, 0, "received"), (3, 0, 0)),
        ([("receive_inbound", {"quantity": 0, "final": True})], (0, 0, 0, "cancelled"), (0, 0, 0)),
        ([("receive_inbound", {"quantity": 3}), ("cancel_inbound", {})], (3, 3, 0, "received"), (3, 0, 0)),
        ([("cancel_inbound", {})], (0, 0, 0, "cancelled"), (0, 0, 0)),
        ([("amend_inbound", {"quantity": 0})], (0, 0, 0, "cancelled"), (0, 0, 0)),
        ([("receive_inbound", {"quantity": 3}), ("amend_inbound", {"quantity": 2})], (2, 3, 0, "received"), (3, 0, 0)),
        ([("amend_inbound", {"eta_at": 7, "quantity": 2}), ("cancel_inbound", {})], (0, 0, 0, "cancelled"), (0, 0, 0)),
    ],
)
def test_goods_are_closed_when_nothing_remains(log, commands, state, row_of_stock):
    expect(log, "po-1", 10, 5, reference="R")
    for type_, fields in commands:
        assert row(log, b"IS\0po-1") is None
        inbound = do(log, type_, 100, **fields)["inbound"]
    shown = ("quantity", "received", "damaged", "state")
    assert (*(inbound[name] for name in shown), inbound["remaining"]) == (*state, 0)
    *quantities, name = state
    assert row(log, b"IS\0po-1") == [1, "leeds", *quantities, inbound["eta_at"], None, "R", name, T0 + 100]
    stock = row(log, b"SS\0leeds")
    assert (stock[2], stock[4], stock[6]) == row_of_stock
    assert row(log, b"SS\0")[7] == []
    log.do("tick", WEEK + 99)
    assert row(log, b"IS\0po-1") is not None
    log.do("tick", WEEK + 100)
    assert row(log, b"IS\0po-1") is None
    assert b"IS\0po-1" not in dict(log.model.rows())


def test_a_change_that_changes_nothing_is_not_published(log):
    expect(log, "po-1", 10, 5)
    expected = log.do("amend_inbound", inbound_id="po-1", quantity=10, eta_at=T0 + 5 * DAY)
    (result,) = expected.results
    assert (expected.stock_changes, result["stock"], result["seq"], result["code"]) == ([], [], 2, None)
    expected = log.do("amend_inbound", inbound_id="po-1", eta_at=T0 + 6 * DAY)
    assert (changes(expected), expected.results[0]["stock"]) == ([("", {})], [])
    assert expected.stock_changes[0]["book"]["inbounds"][0]["eta_at"] == T0 + 6 * DAY


def test_inbounds_are_published_by_date_and_id(log):
    for name, days in (("c", 5), ("b", 7), ("a", 7), ("d", 1)):
        expected = expect(log, name, 1, days)
    order = ["d", "c", "a", "b"]
    assert [it["inbound_id"] for it in expected.stock_changes[-1]["book"]["inbounds"]] == order
    assert [it[0] for it in row(log, b"SS\0")[7]] == order
    assert [it["inbound_id"] for it in log.result("query")["book"]["inbounds"]] == order


def test_a_query_shows_promises_by_date(log):
    rules(log.stocked(leeds=3), buffer=1)
    for name, quantity, days in (("a", 2, 5), ("b", 4, 5), ("c", 1, 40), ("d", 5, 7), ("e", 9, 0)):
        expect(log, name, quantity, days)
    reserve(log, "r", 5, promise_by=T0 + 5 * DAY)
    reserve(log, "s", 3, warehouse="leeds", promise_by=T0 + 5 * DAY)
    availability = log.result("query", channel="web")["availability"]
    assert (availability["available"], availability["most_per_reservation"]) == (0, 0)
    assert availability["promises"] == [{"at": T0 + 7 * DAY, "available_to_promise": 5}]
    log.do("release", reservation_id="s")
    assert log.result("query", channel="web")["availability"]["promises"] == [
        {"at": T0 + 5 * DAY, "available_to_promise": 3},
        {"at": T0 + 7 * DAY, "available_to_promise": 8},
    ]
    assert log.result("query", channel="other")["availability"]["promises"] == []


def test_the_list_of_those_that_wait_says_the_date(log):
    expect(rules(log, backorder_limit=9), "po-1", 3, 5)
    reserve(log, "r", 2)
    reserve(log, "s", 2, "any")
    (first, second) = log.result("query", waiting=2)["waiting"]
    assert (first["promised_at"], second["promised_at"], second["quantity"]) == (T0 + 5 * DAY, None, 2)
