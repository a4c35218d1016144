"""The model decides as the contract says; every expectation here is computed by hand from the contract."""

import json

import pytest

from schemas.partitioner import partition_of


def stock(result):
    """Sum up a result's rows: warehouse -> (on_hand, reserved, damaged, safety_stock, available)."""
    names = ("on_hand", "reserved", "damaged", "safety_stock", "available")
    return {row["warehouse"]: tuple(row[name] for name in names) for row in result["stock"]}


def reservation(result):
    """Sum up a result's reservation: state, committed, released, then what each warehouse holds."""
    view = result["reservation"]
    held = " ".join(f"{part['warehouse']}:{part['quantity']}" for part in view["allocations"])
    return f"{view['state']} {view['committed']} {view['released']} {held}".strip()


def changes(expected):
    """Sum up stock changes: seq, warehouse, delta."""
    return [(change["seq"], change["warehouse"], change["delta"]) for change in expected.stock_changes]


def test_the_round_trip_of_the_contract(new_log):
    log = new_log(partition_of("85123A", 4), 4)
    log.do("adjust", sku="85123A", warehouse="leeds", delta=10, reason="receipt")
    log.do("adjust", sku="85123A", warehouse="leeds", count=2, bucket="safety_stock", reason="correction")
    command = (
        b'{"command_id":"0192f3c2-1a","type":"reserve","sku":"85123A","reservation_id":"cart-77","quantity":3,'
        b'"channel":"web","ttl_ms":900000}'
    )
    expected = log.send(command)
    after = {"on_hand": 10, "reserved": 3, "damaged": 0, "safety_stock": 2, "inbound": 0, "available": 5}
    assert expected.results == [
        {
            "command_id": "0192f3c2-1a",
            "type": "reserve",
            "sku": "85123A",
            "status": "accepted",
            "code": None,
            "replayed": False,
            "reservation": {
                "reservation_id": "cart-77",
                "state": "held",
                "quantity": 3,
                "committed": 0,
                "released": 0,
                "allocations": [{"warehouse": "leeds", "quantity": 3}],
                "channel": "web",
                "order_id": None,
                "expires_at": 1764000900000,
            },
            "stock": [{"warehouse": "leeds", **after}],
            "shortfall": False,
            "seq": 3,
            "at": 1764000000000,
            "partition": partition_of("85123A", 4),
            "offset": 2,
        }
    ]
    assert expected.stock_changes == [
        {
            "sku": "85123A",
            "warehouse": "leeds",
            "seq": 3,
            "at": 1764000000000,
            "cause": {"type": "reserve", "command_id": "0192f3c2-1a", "reservation_id": "cart-77"},
            "delta": {"reserved": 3},
            "after": after,
            "shortfall": False,
        }
    ]


ADJUSTMENTS = [
    # fields, then: code, (on_hand, reserved, damaged, safety_stock, available), seq; on a row of 10, seq 1
    ({"delta": 5}, None, (15, 0, 0, 0, 15), 2),
    ({"delta": -10}, None, (0, 0, 0, 0, 0), 2),
    ({"delta": -11}, "negative_stock", None, 1),
    ({"count": 7}, None, (7, 0, 0, 0, 7), 2),
    ({"count": 10}, None, (10, 0, 0, 0, 10), 1),
    ({"delta": 4, "bucket": "damaged"}, None, (10, 0, 4, 0, 10), 2),
    ({"delta": -1, "bucket": "damaged"}, "negative_stock", None, 1),
    ({"count": 3, "bucket": "safety_stock"}, None, (10, 0, 0, 3, 7), 2),
    ({"count": 12, "bucket": "safety_stock"}, None, (10, 0, 0, 12, -2), 2),
    ({"delta": 1, "expected_on_hand": 10}, None, (11, 0, 0, 0, 11), 2),
    ({"delta": 1, "expected_on_hand": 9}, "stale_expectation", None, 1),
    ({"delta": 1, "bucket": "damaged", "expected_on_hand": 9}, "stale_expectation", None, 1),
    ({"count": 10, "expected_on_hand": 9}, "stale_expectation", None, 1),
    ({"delta": -99, "expected_on_hand": 9}, "stale_expectation", None, 1),
]


@pytest.mark.parametrize(("fields", "code", "row", "seq"), ADJUSTMENTS)
def test_an_adjustment(log, fields, code, row, seq):
    result = log.stocked(leeds=10).result("adjust", warehouse="leeds", reason="correction", **fields)
    assert (result["code"], result["seq"]) == (code, seq)
    assert stock(result) == ({} if code else {"leeds": row})
    assert (result["reservation"], result["shortfall"]) == (None, False)


def test_an_adjustment_tells_its_change_by_bucket_with_reason_reference_actor_and_source(log):
    (change,) = log.do(
        "adjust", warehouse="leeds", delta=2, reason="return", reference="rma 1", actor="ann", source="wms"
    ).stock_changes
    assert change["delta"] == {"on_hand": 2}
    assert change["cause"] == {
        "type": "adjust",
        "command_id": "c0",
        "reason": "return",
        "reference": "rma 1",
        "actor": "ann",
        "source": "wms",
    }


def test_a_count_of_zero_makes_no_row(log):
    expected = log.do("adjust", warehouse="leeds", count=0, reason="cycle_count")
    assert (stock(expected.results[0]), expected.results[0]["seq"]) == ({"leeds": (0, 0, 0, 0, 0)}, 0)
    assert expected.stock_changes == []
    assert log.result("query")["code"] == "unknown_sku"


def test_a_count_below_what_is_reserved_is_accepted_and_flagged(log):
    log.stocked(leeds=10).do("reserve", reservation_id="r", quantity=6)
    expected = log.do("adjust", warehouse="leeds", count=4, reason="cycle_count")
    assert stock(expected.results[0]) == {"leeds": (4, 6, 0, 0, -2)}
    assert expected.results[0]["shortfall"] is True
    assert expected.stock_changes[0]["shortfall"] is True


def test_a_sku_has_at_most_1000_warehouses(log):
    log.stocked(**{f"w{number}": 1 for number in range(1000)})
    assert log.result("adjust", warehouse="one-more", delta=1, reason="receipt")["code"] == "unknown_warehouse"
    assert log.result("adjust", warehouse="one-more", count=0, reason="receipt")["code"] is None
    assert log.result("adjust", warehouse="w999", delta=1, reason="receipt")["code"] is None


ALLOCATIONS = [
    # on hand, quantity, fields, then: the parts in order of allocation, or what `insufficient_stock` says
    ({"a": 5, "b": 9}, 5, {}, "a:5"),
    ({"b": 9, "a": 5}, 6, {}, "b:6"),
    ({"b": 9, "a": 5}, 12, {}, "a:5 b:7"),
    ({"b": 9, "a": 5}, 15, {}, (15, 14)),
    ({"a": 5, "b": 9}, 6, {"warehouse": "a"}, (6, 5)),
    ({"a": 5, "b": 9}, 2, {"warehouse": "b"}, "b:2"),
    ({"B": 1, "a": 1, "A": 1}, 3, {}, "A:1 B:1 a:1"),
]


@pytest.mark.parametrize(("on_hand", "quantity", "fields", "outcome"), ALLOCATIONS)
def test_an_allocation(log, on_hand, quantity, fields, outcome):
    expected = log.stocked(**on_hand).do("reserve", reservation_id="r", quantity=quantity, **fields)
    (result,) = expected.results
    if isinstance(outcome, tuple):
        assert (result["code"], result["requested"], result["available"]) == ("insufficient_stock", *outcome)
        assert (expected.stock_changes, result["reservation"], result["stock"]) == ([], None, [])
    else:
        assert reservation(result) == f"held 0 0 {outcome}"
        assert [f"{warehouse}:{delta['reserved']}" for _, warehouse, delta in changes(expected)] == outcome.split()
        assert list(stock(result)) == [part.split(":")[0] for part in outcome.split()]
        assert result["seq"] == expected.stock_changes[-1]["seq"] == len(on_hand) + len(outcome.split())


def test_what_is_short_or_kept_back_is_not_available_and_does_not_lessen_what_others_have(log):
    log.stocked(a=5, b=5)
    log.do("adjust", warehouse="a", count=9, bucket="safety_stock", reason="correction")
    result = log.result("reserve", reservation_id="r", quantity=6)
    assert (result["code"], result["available"]) == ("insufficient_stock", 5)


def test_a_reservation_has_defaults(log):
    view = log.stocked(a=5).result("reserve", reservation_id="r", quantity=1)["reservation"]
    assert (view["channel"], view["order_id"], view["expires_at"]) == ("default", None, 1764000000000 + 900_000)


def test_a_ttl_of_zero_never_expires(log):
    view = log.stocked(a=5).result("reserve", reservation_id="r", quantity=1, ttl_ms=0, order_id="o:1")["reservation"]
    assert (view["order_id"], view["expires_at"]) == ("o:1", None)


@pytest.fixture
def split(log):
    """Return a log with a reservation of 9 split over a (2), b (3) and c (4); the SKU's sequence is 6."""
    log.stocked(a=2, b=3, c=4).do("reserve", reservation_id="r", quantity=9, ttl_ms=0)
    return log


def test_a_commit_takes_from_the_first_allocation_on(split):
    expected = split.do("commit", reservation_id="r", quantity=4)
    assert reservation(expected.results[0]) == "held 4 0 b:1 c:4"
    assert changes(expected) == [
        (7, "a", {"on_hand": -2, "reserved": -2}),
        (8, "b", {"on_hand": -2, "reserved": -2}),
    ]
    assert stock(expected.results[0]) == {"a": (0, 0, 0, 0, 0), "b": (1, 1, 0, 0, 0)}


def test_a_release_takes_from_the_last_allocation_on_and_tells_it_in_the_order_of_allocation(split):
    expected = split.do("release", reservation_id="r", quantity=6, reason="changed his mind")
    assert reservation(expected.results[0]) == "held 0 6 a:2 b:1"
    assert changes(expected) == [(7, "b", {"reserved": -2}), (8, "c", {"reserved": -4})]
    assert expected.stock_changes[0]["cause"] == {
        "type": "release",
        "command_id": "c4",
        "reservation_id": "r",
        "reason": "changed his mind",
    }
    assert (list(stock(expected.results[0])), expected.results[0]["seq"]) == (["b", "c"], 8)


@pytest.mark.parametrize(
    ("last", "first", "summary"), [("commit", "release", "committed 5 4"), ("release", "commit", "released 4 5")]
)
def test_the_last_step_decides_how_a_reservation_ends(split, last, first, summary):
    split.do(first, reservation_id="r", quantity=4)
    assert reservation(split.result(last, reservation_id="r")) == summary


def test_a_commit_of_goods_that_a_count_found_missing_is_refused_whole(split):
    split.do("adjust", warehouse="b", count=1, reason="cycle_count")
    assert split.result("commit", reservation_id="r")["code"] == "negative_stock"
    assert split.result("commit", reservation_id="r", quantity=3)["code"] is None


def test_an_extension_counts_from_now_and_touches_no_row(log):
    log.stocked(a=5).do("reserve", reservation_id="r", quantity=1)
    expected = log.do("extend", at=1000, reservation_id="r", ttl_ms=5000)
    (result,) = expected.results
    assert result["reservation"]["expires_at"] == 1764000000000 + 6000
    assert (result["stock"], expected.stock_changes, result["seq"]) == ([], [], 2)
    assert log.result("extend", at=1000, reservation_id="r", ttl_ms=0)["reservation"]["expires_at"] is None


def test_a_query_shows_all_rows_by_warehouse_id_and_the_reservation_in_any_state(split):
    split.do("commit", reservation_id="r")
    result = split.result("query", reservation_id="r")
    assert reservation(result) == "committed 9 0"
    assert stock(result) == {"a": (0, 0, 0, 0, 0), "b": (0, 0, 0, 0, 0), "c": (0, 0, 0, 0, 0)}
    assert split.result("query")["reservation"] is None


def test_a_query_carries_the_result_that_an_earlier_command_got(log):
    log.stocked(a=5)
    refused = log.result("commit", reservation_id="r")
    assert log.result("query", of_command_id="c1")["of_command"] == refused
    assert log.result("query", of_command_id="c9")["of_command"] is None
    assert "of_command" not in log.result("query")


def test_a_query_for_some_channels_carries_no_result_with_a_reservation_of_another(log):
    log.stocked(a=5)
    reserved = log.result("reserve", command_id="k", reservation_id="r", quantity=2, channel="web")
    assert log.result("query", of_command_id="k", channels=["shop"])["of_command"] is None
    assert log.result("query", of_command_id="k", channels=["web"])["of_command"] == reserved
    refused = log.result("reserve", command_id="m", reservation_id="r", quantity=2, channel="web")
    assert log.result("query", of_command_id="m", channels=["shop"])["of_command"] == refused


def test_a_refused_query_carries_it_too(log):
    refused = log.result("commit", reservation_id="r")
    result = log.result("query", of_command_id="c0")
    assert (result["code"], result["of_command"]) == ("unknown_sku", refused)


PRECEDENCE = [
    # on a SKU with 5 in warehouse a, `held` of 2, and one reservation in each ended state; by type, in order
    ("reserve", {"sku": "other", "reservation_id": "held", "quantity": 9, "warehouse": "no"}, "unknown_sku"),
    ("reserve", {"reservation_id": "held", "quantity": 9, "warehouse": "no"}, "unknown_warehouse"),
    ("reserve", {"reservation_id": "held", "quantity": 9}, "reservation_exists"),
    ("reserve", {"reservation_id": "committed", "quantity": 1}, "reservation_exists"),
    ("reserve", {"reservation_id": "new", "quantity": 9}, "insufficient_stock"),
    *[
        row
        for type_, more in (("commit", {"quantity": 9}), ("release", {"quantity": 9}), ("extend", {"ttl_ms": 1}))
        for row in (
            (type_, {"sku": "other", "reservation_id": "held"} | more, "unknown_sku"),
            (type_, {"reservation_id": "no"} | more, "unknown_reservation"),
            (type_, {"reservation_id": "committed"} | more, "reservation_committed"),
            (type_, {"reservation_id": "released"} | more, "reservation_released"),
            (type_, {"reservation_id": "expired"} | more, "reservation_expired"),
        )
    ],
    ("commit", {"reservation_id": "held", "quantity": 3}, "quantity_exceeds_reservation"),
    ("release", {"reservation_id": "held", "quantity": 3}, "quantity_exceeds_reservation"),
    ("query", {"sku": "other", "reservation_id": "no"}, "unknown_sku"),
    ("query", {"reservation_id": "no"}, "unknown_reservation"),
]


@pytest.mark.parametrize(("type_", "fields", "code"), PRECEDENCE)
def test_codes_in_their_order(log, type_, fields, code):
    log.stocked(a=6).do("reserve", reservation_id="expired", quantity=1, ttl_ms=1)
    log.do("reserve", at=1, reservation_id="committed", quantity=1)
    log.do("commit", at=1, reservation_id="committed")
    log.do("reserve", at=1, reservation_id="released", quantity=1)
    log.do("release", at=1, reservation_id="released")
    log.do("reserve", at=1, reservation_id="held", quantity=2)
    expected = log.do(type_, at=1, **fields)
    (result,) = expected.results
    assert (result["code"], result["status"]) == (code, "rejected")
    assert (result["stock"], result["reservation"], result["shortfall"]) == ([], None, False)
    assert result["seq"] == (0 if fields.get("sku") else 8)
    assert expected.stock_changes == []


def test_a_command_in_another_partition_than_its_own_is_refused_and_not_remembered(new_log):
    sku = next(sku for sku in "ABCDEFGH" if partition_of(sku, 4) == 1)
    log = new_log(partition=0, partitions=4)
    fields = {"sku": sku, "command_id": "x", "warehouse": "a", "reason": "receipt"}
    first = log.result("adjust", delta=1, **fields)
    assert (first["code"], first["seq"], first["partition"]) == ("wrong_partition", 0, 0)
    assert log.result("adjust", delta=2, **fields)["code"] == "wrong_partition"


UNREADABLE = [
    # value, then: the dead letter's reason, and the result's type and field if there is a result
    (b"{", "malformed", None),
    (None, "malformed", None),
    (b"[1]", "malformed", None),
    (b'{"type":"tick","surprise":1}', "invalid_field:surprise", None),
    (b'{"type":"query","sku":"S"}', "invalid_field:command_id", None),
    (b'{"type":"query","command_id":"c 1","sku":"S"}', "invalid_field:command_id", None),
    (b'{"type":"query","command_id":"x","sku":"S","more":1}', "invalid_field:more", ("query", "more")),
    (b'{"type":"querx","command_id":"x","sku":"S"}', "invalid_field:type", ("querx", "type")),
    (b'{"type":7,"command_id":"x","sku":"S"}', "invalid_field:type", (None, "type")),
    (
        b'{"type":"reserve","command_id":"x","sku":"S","reservation_id":"r","quantity":3.0}',
        "invalid_field:quantity",
        ("reserve", "quantity"),
    ),
]


@pytest.mark.parametrize(("value", "reason", "answer"), UNREADABLE)
def test_what_cannot_be_read_goes_to_the_dead_letters_and_is_answered_if_it_can_be(log, value, reason, answer):
    log.stocked(a=5)
    expected = log.send(value, key=b"key")
    whole = {"cut_key": None, "cut_value": None, "last_offset": None}
    letter = {"key": b"key", "value": value, "reason": reason, "partition": 0, "offset": 1} | whole
    assert expected.dead_letters == [letter]
    if answer is None:
        assert expected.results == []
    else:
        (result,) = expected.results
        assert (result["type"], result["field"], result["code"]) == (*answer, "invalid_field")
        assert (result["command_id"], result["status"], result["seq"]) == ("x", "rejected", 1)


def test_the_fields_that_not_every_result_has_are_left_out(log):
    log.stocked(a=5)
    assert not {"field", "requested", "available", "of_command"} & set(log.result("query"))
    assert "field" not in log.result("commit", reservation_id="r")


def test_a_tick_has_no_result(log):
    assert log.do("tick", at=5) == ([], [], [], [])
    assert log.model.now == 1764000000005


def test_every_document_is_written_as_the_wire_contract_says(split):
    split.do("commit", reservation_id="r")
    for document in (split.expected[-1].results[0], split.expected[-1].stock_changes[0]):
        assert json.loads(json.dumps(document)) == document


def test_a_bucket_holds_at_most_what_every_reader_of_json_can_represent(new_log):
    log = new_log()
    log.do("adjust", warehouse="leeds", delta=1_000_000_000, reason="receipt")
    log.model.items["S"].rows["leeds"].on_hand = (1 << 53) - 2
    over = log.do("adjust", warehouse="leeds", delta=2, reason="receipt", expected_on_hand=1)
    full = log.do("adjust", warehouse="leeds", delta=1, reason="receipt")
    assert over.results[0]["code"] == "limit_exceeded"
    assert full.results[0]["stock"][0]["on_hand"] == (1 << 53) - 1
