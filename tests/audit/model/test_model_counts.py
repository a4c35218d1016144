"""Counts are compared with what the ledger had when they were made, as the contract's section 11 says."""

import json

import msgspec
import pytest

from tests.audit.ledger import T0

HOUR = 60 * 60 * 1000
DAY = 24 * HOUR
MOST = (1 << 53) - 1


def row(log, key):
    value = log.model.row(key)
    return None if value is None else msgspec.msgpack.decode(value)


def journal_of(log, warehouse="leeds"):
    """Return the entries of a row's journal as (ms since T0, seq, on hand, damaged, quarantine)."""
    prefix = f"JS\0{warehouse}\0".encode()
    found = {key: msgspec.msgpack.decode(value) for key, value in log.model.rows() if key.startswith(prefix)}
    assert all(log.model.row(key) is not None and len(key) == len(prefix) + 29 for key in found)
    parts = [(key.removeprefix(prefix), value) for key, value in sorted(found.items())]
    return [(int(key[:13], 16) - T0, int(key[13:], 16), *units) for key, (version, *units) in parts if version == 1]


def keep_journal(log, journal_ms=DAY, at=0, version=1, warehouse="leeds", **fields):
    log.do("set_warehouse", at, sku=None, warehouse=warehouse, version=version, journal_ms=journal_ms, **fields)


def receive(log, delta, at=0, bucket="on_hand", warehouse="leeds"):
    log.do("adjust", at, warehouse=warehouse, bucket=bucket, delta=delta, reason="receipt")


def count(log, on_hand, at=0, as_of=None, warehouse="leeds", **fields):
    """Return the result of a count; `as_of` is in ms since T0, `damaged` and `quarantine` are counts too."""
    counted = {f"counted_{name}": fields.pop(name, None) for name in ("damaged", "quarantine")}
    as_of_at = None if as_of is None else T0 + as_of
    return log.result(
        "reconcile", at, warehouse=warehouse, counted_on_hand=on_hand, as_of_at=as_of_at, **counted, **fields
    )


def drift(result):
    return result["reconciliation"]["drift"]["on_hand"]


@pytest.fixture
def night(log):
    """Return a log of a journalled warehouse with 100 units at 02:00, and 115 at 06:00."""
    keep_journal(log)
    receive(log, 100, HOUR)
    log.do("reserve", HOUR, reservation_id="r", quantity=5, ttl_ms=0)
    log.do("commit", 3 * HOUR, reservation_id="r")
    receive(log, 20, 4 * HOUR)
    return log


def test_the_example_of_a_count_that_comes_late(night):
    first = count(night, 97, 6 * HOUR, 2 * HOUR, tolerance=2)
    assert (first["code"], drift(first), first["stock"]) == ("drift_above_tolerance", -3, [])
    second = count(night, 97, 6 * HOUR, 2 * HOUR)
    assert (second["code"], drift(second), second["stock"][0]["on_hand"]) == (None, -3, 112)
    assert count(night, 96, 7 * HOUR, HOUR)["code"] == "stale_count"


def test_a_count_says_what_it_found(night):
    result = count(night, 97, 6 * HOUR, 2 * HOUR, damaged=1, quarantine=0, reference="WMS 4")
    assert list(result)[-2:] == ["offset", "reconciliation"]
    assert list(result["reconciliation"].items()) == [
        ("warehouse", "leeds"),
        ("as_of_at", T0 + 2 * HOUR),
        ("since", None),
        ("ledger", {"on_hand": 100, "damaged": 0, "quarantine": 0}),
        ("counted", {"on_hand": 97, "damaged": 1, "quarantine": 0}),
        ("drift", {"on_hand": -3, "damaged": 1, "quarantine": 0}),
    ]
    (change,) = night.expected[-1].stock_changes
    assert list(change["delta"].items()) == [("on_hand", -3), ("damaged", 1)]
    assert change["cause"] == {"type": "reconcile", "command_id": "c5", "reference": "WMS 4"}
    assert row(night, b"FS\0leeds") == [1, T0 + 2 * HOUR, [[T0 + 2 * HOUR, T0 + 6 * HOUR, -3, 1, 0]]]
    seen = row(night, b"CS\0c5")
    assert (seen[0], json.loads(seen[-1])) == (2, {"reconciliation": result["reconciliation"]})
    later = count(night, 112, 8 * HOUR)
    assert later["reconciliation"]["since"] == T0 + 2 * HOUR
    assert later["reconciliation"]["ledger"] == {"on_hand": 112}
    assert (later["stock"], night.expected[-1].stock_changes) == ([], [])
    again = count(night, 97, 8 * HOUR, 2 * HOUR, command_id="c5", damaged=1, quarantine=0, reference="WMS 4")
    assert again == result | {"replayed": True}


def test_a_drift_is_not_found_twice(night):
    assert drift(count(night, 97, 6 * HOUR, 2 * HOUR)) == -3
    assert drift(count(night, 92, 6 * HOUR, 3 * HOUR)) == 0
    assert drift(count(night, 113, 7 * HOUR, 5 * HOUR)) == 1
    assert drift(count(night, 113, 8 * HOUR, 6 * HOUR)) == 0
    assert drift(count(night, 113, 8 * HOUR)) == 0


def test_a_correction_counts_from_the_time_of_its_count(night):
    assert drift(count(night, 97, 6 * HOUR, 2 * HOUR, damaged=2, quarantine=3)) == -3
    result = count(night, 92, 6 * HOUR, 3 * HOUR, damaged=0, quarantine=0)
    assert result["reconciliation"]["ledger"] == {"on_hand": 92, "damaged": 2, "quarantine": 3}
    # The second count took away at 3 what the first had found at 2, so at 5 there is nothing left of it.
    result = count(night, 112, 7 * HOUR, 5 * HOUR, damaged=0, quarantine=0)
    assert result["reconciliation"]["drift"] == {"on_hand": 0, "damaged": 0, "quarantine": 0}


def test_what_was_applied_in_the_same_millisecond_is_in_the_entry_already(log):
    keep_journal(log)
    receive(log, 10, 5)
    assert drift(count(log, 9, 8, 6)) == -1
    assert drift(count(log, 9, 9, 8)) == 0
    receive(log, 1, 9)
    assert drift(count(log, 10, 9)) == 0


def test_movements_of_the_same_millisecond_come_before_the_count(log):
    keep_journal(log)
    receive(log, 10, 5)
    receive(log, 10, 5)
    receive(log, 10, 6)
    assert count(log, 20, 7, 5)["reconciliation"]["ledger"] == {"on_hand": 20}
    assert row(log, b"SS\0leeds")[2] == 30


def test_before_the_first_entry_it_is_what_was_there_before(log):
    receive(log, 10)
    keep_journal(log, at=5)
    receive(log, 2, 5)
    receive(log, 3, 9)
    assert journal_of(log) == [(5, 0, 12, 0, 0), (9, 3, 15, 0, 0)]
    assert drift(count(log, 12, 10, 5)) == 0
    assert drift(count(log, 12, 10, 8)) == 0
    assert drift(count(log, 15, 10, 9)) == 0


def test_without_an_entry_it_is_the_row_as_it_is(log):
    receive(log, 10)
    keep_journal(log, at=5)
    assert drift(count(log, 12, 20, 7)) == 2
    assert journal_of(log) == [(5, 0, 10, 0, 0), (20, 2, 12, 0, 0)]
    assert drift(count(log, 12, 21, 10)) == 0


def test_a_time_to_come_is_now(log):
    receive(log, 10)
    result = count(log, 9, 5, DAY)
    assert (result["reconciliation"]["as_of_at"], drift(result)) == (T0 + 5, -1)
    assert row(log, b"FS\0leeds") == [1, T0 + 5, []]
    assert count(log, 9, 5)["code"] == "stale_count"
    assert count(log, 9, 6)["code"] is None


def test_a_count_of_nothing_makes_no_row_and_is_kept(log):
    result = count(log, 0, damaged=0, quarantine=0)
    assert (result["code"], result["stock"], result["seq"], log.expected[-1].stock_changes) == (None, [], 0, [])
    assert row(log, b"FS\0leeds") == [1, T0, []]
    assert log.result("query")["code"] == "unknown_sku"
    assert count(log, 0)["code"] == "stale_count"
    assert count(log, 0, 1, quarantine=4)["stock"][0]["quarantine"] == 4
    assert row(log, b"SS\0leeds") == [2, 1, 0, 0, 0, 0, 0, 4]


def test_a_bucket_that_was_not_counted_stays(log):
    receive(log, 3, bucket="damaged")
    receive(log, 3, bucket="quarantine")
    result = count(log, 5, damaged=1)
    assert result["reconciliation"]["drift"] == {"on_hand": 5, "damaged": -2}
    assert row(log, b"SS\0leeds") == [2, 3, 5, 0, 1, 0, 0, 3]


@pytest.mark.parametrize(
    ("found", "tolerance", "code"),
    [
        ({"on_hand": 7}, 0, "drift_above_tolerance"),
        ({"on_hand": 7}, 2, "drift_above_tolerance"),
        ({"on_hand": 7}, 3, None),
        ({"on_hand": 13}, 2, "drift_above_tolerance"),
        ({"on_hand": 13}, 3, None),
        ({"on_hand": 10}, 0, None),
        ({"on_hand": 0}, None, None),
        ({"on_hand": 10, "damaged": 3}, 2, "drift_above_tolerance"),
        ({"on_hand": 9, "damaged": 1, "quarantine": 1}, 1, None),
        ({"on_hand": 10, "quarantine": 2}, 1, "drift_above_tolerance"),
    ],
)
def test_the_largest_drift_is_held_against_the_tolerance(log, found, tolerance, code):
    receive(log, 10)
    result = count(log, tolerance=tolerance, **found)
    assert (result["code"], "reconciliation" in result) == (code, True)
    assert (row(log, b"FS\0leeds") is None) == (code is not None)
    assert row(log, b"SS\0leeds")[2] == (10 if code else found["on_hand"])


def test_a_refusal_does_not_move_the_last_count_and_the_same_count_may_be_approved(night):
    for tolerance in (0, 1, 2):
        assert count(night, 97, 6 * HOUR, 2 * HOUR, tolerance=tolerance)["code"] == "drift_above_tolerance"
    assert count(night, 97, 7 * HOUR, 2 * HOUR, tolerance=3)["reconciliation"]["since"] is None
    assert count(night, 97, 7 * HOUR, 2 * HOUR)["code"] == "stale_count"


def test_a_count_is_refused_in_the_order_of_the_codes(log):
    for number in range(1000):
        receive(log, 5, warehouse=f"w{number:03}")
    receive(log, 5, warehouse="w000")
    assert count(log, 0, warehouse="one-too-many")["code"] == "unknown_warehouse"
    count(log, 10, 5, warehouse="w000")
    refused = count(log, 0, 5, 4, warehouse="w000", tolerance=0)
    assert (refused["code"], "reconciliation" in refused) == ("stale_count", False)
    refused = count(log, 0, 9, 6, warehouse="w000", tolerance=0)
    assert (refused["code"], "reconciliation" in refused) == ("as_of_too_old", False)
    keep_journal(log, at=9, warehouse="w000")
    log.do("adjust", 11, warehouse="w000", delta=-8, reason="shrinkage")
    refused = count(log, 0, 12, 10, warehouse="w000", tolerance=9)
    assert (refused["code"], drift(refused)) == ("drift_above_tolerance", -10)
    refused = count(log, 0, 12, 10, warehouse="w000", tolerance=10)
    assert (refused["code"], drift(refused), refused["stock"]) == ("negative_stock", -10, [])
    assert count(log, 8, 12, 10, warehouse="w000", tolerance=2)["stock"][0]["on_hand"] == 0


def test_a_count_fills_no_bucket_beyond_the_largest_number(log):
    keep_journal(log)
    receive(log, 5, 1)
    log.model.items["S"].rows["leeds"].on_hand = MOST - 2
    receive(log, 1, 2)
    assert count(log, 7, 3, 1, tolerance=0)["code"] == "limit_exceeded"
    assert count(log, 6, 3, 1)["code"] is None


@pytest.mark.parametrize(
    ("as_of", "code"),
    [(99, "as_of_too_old"), (100, "as_of_too_old"), (101, None), (109, None)],
)
def test_a_count_is_not_older_than_the_journal_is_long(log, as_of, code):
    keep_journal(log, journal_ms=10)
    receive(log, 5, 1)
    assert count(log, 5, 110, as_of)["code"] == code


@pytest.mark.parametrize(("as_of", "code"), [(49, "as_of_too_old"), (50, None), (51, None)])
def test_a_count_is_not_older_than_the_journals_beginning(log, as_of, code):
    keep_journal(log)
    receive(log, 5, 1)
    keep_journal(log, DAY + 1, at=50, version=2)
    assert count(log, 5, 60, as_of)["code"] == code


def test_other_changes_of_a_warehouse_do_not_begin_its_journal_anew(log):
    keep_journal(log)
    receive(log, 5, 1)
    keep_journal(log, at=50, version=2, priority=5, enabled=False)
    assert count(log, 5, 60, 1)["code"] is None


def test_without_a_journal_only_now_can_be_counted(log):
    receive(log, 5)
    assert count(log, 5, 10, 9)["code"] == "as_of_too_old"
    assert drift(count(log, 6, 10, 10)) == 1
    keep_journal(log, at=20)
    receive(log, 1, 21)
    keep_journal(log, journal_ms=0, at=22, version=2)
    receive(log, 1, 30)
    assert count(log, 8, 30, 29)["code"] == "as_of_too_old"
    assert drift(count(log, 8, 30)) == 0
    assert journal_of(log) == []


def test_a_journal_that_begins_anew_knows_nothing_of_before(log):
    keep_journal(log)
    receive(log, 5, 1)
    receive(log, 1, 9)
    keep_journal(log, 10, at=9, version=2)
    assert journal_of(log) == []
    assert drift(count(log, 6, 12, 9)) == 0
    receive(log, 4, 12)
    receive(log, 4, 13)
    assert journal_of(log) == [(9, 0, 6, 0, 0), (12, 3, 10, 0, 0), (13, 4, 14, 0, 0)]


def test_every_change_of_what_is_there_has_an_entry_and_no_other(log):
    keep_journal(log)
    receive(log, 10, 1)
    receive(log, 2, 2, bucket="safety_stock")
    log.do("reserve", 3, reservation_id="r", quantity=3, ttl_ms=0)
    log.do("commit", 4, reservation_id="r")
    log.do("return", 5, warehouse="leeds", quantity=2, disposition="inspect", reservation_id="r")
    log.do("move", 6, warehouse="leeds", quantity=1, **{"from": "quarantine", "to": "damaged"})
    log.do("transfer", 7, quantity=4, **{"from": "leeds", "to": "york"})
    log.do("expect_inbound", 8, inbound_id="po", warehouse="leeds", quantity=9, eta_at=T0)
    log.do("receive_inbound", 9, inbound_id="po", quantity=6, damaged=1)
    count(log, 8, 10)
    count(log, 8, 11)
    assert journal_of(log) == [
        (0, 0, 0, 0, 0),
        (1, 1, 10, 0, 0),
        (4, 4, 7, 0, 0),
        (5, 5, 7, 0, 2),
        (6, 6, 7, 1, 1),
        (7, 7, 3, 1, 1),
        (9, 11, 9, 2, 1),
        (10, 13, 8, 2, 1),
    ]
    assert journal_of(log, "york") == []


def test_an_entry_is_dropped_when_the_next_one_is_older_than_the_journal_is_long(log):
    keep_journal(log, 10)
    for at in (1, 2, 5):
        receive(log, 1, at)
    assert [entry[0] for entry in journal_of(log)] == [0, 1, 2, 5]
    log.do("tick", 11)
    assert [entry[0] for entry in journal_of(log)] == [0, 1, 2, 5]
    log.do("tick", 12)
    assert [entry[0] for entry in journal_of(log)] == [1, 2, 5]
    log.do("tick", 15)
    assert [entry[0] for entry in journal_of(log)] == [2, 5]
    log.do("tick", 16)
    assert [entry[0] for entry in journal_of(log)] == [5]
    assert drift(count(log, 3, 100, 99)) == 0
    receive(log, 1, 200)
    assert [entry[0] for entry in journal_of(log)] == [5, 200]


def test_a_journal_does_not_grow_for_ever(log):
    keep_journal(log, 10)
    for at in range(1, 200):
        receive(log, 1, at)
    assert len(log.model.journals["S\0leeds"].entries) < 50
    assert [entry[0] for entry in journal_of(log)] == list(range(188, 200))


def test_corrections_are_left_out_when_their_time_is_over_and_the_row_is_written(log):
    keep_journal(log, 10)
    receive(log, 10, 1)
    count(log, 9, 5, 3)
    count(log, 9, 6, 4)
    count(log, 8, 8, 5)
    first, second = [T0 + 3, T0 + 5, -1, 0, 0], [T0 + 5, T0 + 8, -1, 0, 0]
    assert row(log, b"FS\0leeds") == [1, T0 + 5, [first, second]]
    count(log, 8, 14)
    assert row(log, b"FS\0leeds") == [1, T0 + 14, [first, second]]
    log.do("tick", 15)
    assert row(log, b"FS\0leeds") == [1, T0 + 14, [first, second]]
    count(log, 8, 15)
    assert row(log, b"FS\0leeds") == [1, T0 + 15, [second]]
    assert count(log, 9, 16, tolerance=0)["code"] == "drift_above_tolerance"
    count(log, 8, 18)
    assert row(log, b"FS\0leeds") == [1, T0 + 18, []]


def test_a_count_below_what_is_reserved_is_a_shortfall_and_gives_no_units_to_anybody(night):
    night.do("reserve", 5 * HOUR, reservation_id="q", quantity=115, ttl_ms=0)
    result = count(night, 97, 6 * HOUR, 2 * HOUR)
    assert (result["shortfall"], result["stock"][0]["available"]) == (True, -3)


def test_goods_that_were_found_fill_the_queue_in_the_same_record(log):
    log.do("set_channel", sku=None, channel="web", version=1, backorder_limit=9)
    receive(log, 1)
    log.do("reserve", reservation_id="b", quantity=4, channel="web", wait="any")
    expected = log.do("reconcile", warehouse="leeds", counted_on_hand=3)
    assert [(result["type"], result["stock"][0]["reserved"]) for result in expected.results] == [
        ("reconcile", 1),
        ("fill", 3),
    ]


def test_rows_are_counted_apart(log):
    for warehouse in ("leeds", "york"):
        keep_journal(log, warehouse=warehouse)
        receive(log, 5, 1, warehouse=warehouse)
    assert drift(count(log, 4, 5, 2)) == -1
    result = count(log, 5, 5, 2, warehouse="york")
    assert (result["reconciliation"]["since"], drift(result)) == (None, 0)
    assert count(log, 5, 5, 2, warehouse="york", sku="T")["reconciliation"]["ledger"] == {"on_hand": 0}


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({}, [None, None, None, None, None]),
        ({"counted_damaged": 0, "as_of_at": 0, "tolerance": 0}, [0, None, 0, 0, None]),
        ({"counted_quarantine": 2, "tolerance": 3, "reference": "R"}, [None, 2, None, 3, "R"]),
    ],
)
def test_the_content_of_a_count_has_its_fields_in_their_order(log, fields, content):
    log.do("reconcile", warehouse="w", counted_on_hand=4, **fields)
    assert msgspec.msgpack.decode(row(log, b"CS\0c0")[1]) == ["reconcile", "w", 4, *content]
