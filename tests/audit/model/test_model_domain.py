"""Reference data, policies and caps decide as the contract's examples say, record by record."""

import json

import msgspec
import pytest

DAY = 24 * 60 * 60 * 1000
T0 = 1_764_000_000_000
LEEDS = {"warehouse": "leeds", "priority": 10, "region": "north", "journal_ms": 86_400_000}


def refer(log, type_, at=0, **fields):
    """Send a reference command, which has no SKU."""
    return log.do(type_, at, sku=None, **fields)


def limits(log):
    """Stock leeds 10 (2 kept back) and main 6, and give `web` a buffer of 3 and a cap of 12."""
    log.stocked(leeds=10, main=6)
    log.do("adjust", warehouse="leeds", count=2, bucket="safety_stock", reason="correction")
    refer(log, "set_channel", channel="web", version=1, buffer=3, cap=12)
    return log


def held(result):
    """Return what a result's reservation holds where."""
    return " ".join(f"{part['warehouse']} {part['quantity']}" for part in result["reservation"]["allocations"])


def published(expected):
    """Return what is published as reference data, as (key, value)."""
    return [(record["key"], record["value"]) for record in expected.reference]


def row(log, key):
    value = log.model.row(key)
    return None if value is None else msgspec.msgpack.decode(value)


# Section 3: reference data.


def test_a_warehouse_is_set_in_the_partition_in_which_the_command_is(new_log):
    results = []
    for partition in range(4):
        log = new_log(partition, 4)
        expected = refer(log, "set_warehouse", command_id="adm-9", version=7, **LEEDS)
        (result,) = expected.results
        assert published(expected) == [("warehouse/leeds", result["reference"])]
        assert expected.stock_changes == expected.dead_letters == []
        results.append(result)
        (again,) = refer(log, "set_warehouse", 5, command_id="adm-9", version=7, **LEEDS).results
        assert (again["status"], again["replayed"], again["reference"]) == ("accepted", False, result["reference"])
        late = refer(log, "set_warehouse", 6, command_id="adm-8", version=6, warehouse="leeds")
        assert (late.results[0]["code"], late.results[0]["reference"]["version"]) == ("stale_version", 7)
        assert late.reference == []
    assert results[2] == {
        "command_id": "adm-9",
        "type": "set_warehouse",
        "sku": "",
        "status": "accepted",
        "code": None,
        "replayed": False,
        "reservation": None,
        "stock": [],
        "shortfall": False,
        "seq": 0,
        "at": T0,
        "partition": 2,
        "offset": 0,
        "reference": {
            "kind": "warehouse",
            "id": "leeds",
            "version": 7,
            "command_id": "adm-9",
            "at": T0,
            "enabled": True,
            "priority": 10,
            "region": "north",
            "journal_ms": 86_400_000,
            "name": None,
            "journal_since": T0,
        },
    }


def test_only_the_register_remembers_a_reference_command(log):
    refer(log, "set_warehouse", command_id="k", version=1, warehouse="a")
    (result,) = refer(log, "set_channel", command_id="k", version=1, channel="a").results
    assert (result["status"], result["reference"]["kind"]) == ("accepted", "channel")
    assert [key for key, _ in log.model.rows()] == [b"K\0warehouse/a", b"K\0channel/a"]
    assert log.stocked(a=1).result("query", of_command_id="k")["of_command"] is None


@pytest.mark.parametrize(("fields", "wrong"), [({"version": 0}, "version"), ({"version": 1, "sku": "S"}, "sku")])
def test_a_wrong_reference_command_is_a_dead_letter_and_answered_without_a_sku(log, fields, wrong):
    expected = log.do("set_warehouse", **({"sku": None, "warehouse": "a"} | fields))
    (result,), (letter,) = expected.results, expected.dead_letters
    assert (result["sku"], result["code"], result["field"]) == ("", "invalid_field", wrong)
    assert (letter["reason"], expected.reference) == (f"invalid_field:{wrong}", [])


def test_nothing_new_is_allocated_to_a_disabled_warehouse_and_what_is_there_goes_on(log):
    log.stocked(a=5, b=5).do("reserve", reservation_id="r", quantity=4)
    refer(log, "set_warehouse", warehouse="a", version=1, enabled=False)
    assert log.result("reserve", reservation_id="x", quantity=1, warehouse="a")["code"] == "warehouse_disabled"
    assert held(log.result("reserve", reservation_id="y", quantity=5)) == "b 5"
    assert log.result("reserve", reservation_id="z", quantity=1)["available"] == 0
    assert log.result("commit", reservation_id="r", quantity=3)["status"] == "accepted"
    assert log.result("release", reservation_id="r")["status"] == "accepted"
    assert log.result("adjust", warehouse="a", delta=1, reason="receipt")["status"] == "accepted"


def test_warehouses_of_lower_priority_go_first(log):
    refer(log, "set_warehouse", warehouse="b", version=1, priority=99)
    refer(log, "set_warehouse", warehouse="c", version=1, priority=101)
    assert held(log.stocked(a=1, b=1, c=1).result("reserve", reservation_id="r", quantity=3)) == "b 1 a 1 c 1"


# `set_policy`.


def test_a_policy_is_shown_published_and_kept(log):
    expected = log.do("set_policy", 7, channel="web", split=False, buffer=0)
    document = {"kind": "policy", "channel": "web", "sku": "S", "at": T0 + 7, "split": False, "buffer": 0}
    (result,) = expected.results
    assert (result["status"], result["stock"], result["seq"], result["reference"]) == ("accepted", [], 0, document)
    assert (published(expected), expected.stock_changes) == ([("policy/web/S", document)], [])
    assert row(log, b"KS\0web") == [1, None, None, None, False, 0, *[None] * 6]
    assert row(log, b"SS\0") == [1, 0, None, False, 0, 0, 1, [], []]
    assert row(log, b"CS\0c0")[0] == 2
    assert json.loads(row(log, b"CS\0c0")[13]) == {"reference": document}
    assert log.result("query")["code"] == "unknown_sku"


def test_a_policy_without_a_field_is_removed_and_its_book_stays(log):
    log.do("set_policy", channel="*", cap=5)
    expected = log.do("set_policy", channel="*")
    assert (expected.results[0]["reference"], published(expected)) == (None, [("policy/*/S", None)])
    assert row(log, b"KS\0*") is None
    assert row(log, b"SS\0") == [1, 0, None, False, 0, 0, 0, [], []]
    assert json.loads(row(log, b"CS\0c1")[13]) == {"reference": None}


def test_a_policy_that_is_not_there_is_removed_without_a_book(log):
    assert published(log.do("set_policy", channel="web")) == [("policy/web/S", None)]
    assert row(log, b"SS\0") is None


def test_the_same_policy_again_is_published_again_and_the_same_command_is_not(log):
    log.do("set_policy", command_id="k", channel="web", cap=5)
    again = log.do("set_policy", 3, channel="web", cap=5)
    assert published(again)[0][1]["at"] == T0 + 3
    repeated = log.do("set_policy", 9, command_id="k", channel="web", cap=5)
    assert (repeated.results[0]["replayed"], repeated.results[0]["reference"]["at"]) == (True, T0)
    assert repeated.reference == []
    other = log.do("set_policy", command_id="k", channel="web", cap=6).results[0]
    assert (other["code"], "reference" in other) == ("idempotency_mismatch", False)


def test_a_sku_has_at_most_100_policies(log):
    for number in range(100):
        log.do("set_policy", channel=f"c{number}", cap=1)
    expected = log.do("set_policy", command_id="k", channel="more", cap=1)
    assert (expected.results[0]["code"], expected.results[0]["reference"]) == ("limit_exceeded", None)
    assert expected.reference == []
    assert log.result("set_policy", channel="c7", cap=2)["status"] == "accepted"
    assert log.result("set_policy", channel="more")["status"] == "accepted"
    log.do("set_policy", channel="c7")
    assert log.result("set_policy", command_id="k", channel="more", cap=1)["replayed"] is True
    assert log.result("set_policy", channel="more", cap=1)["status"] == "accepted"


# Section 4: policy and availability.


def test_the_limits_of_the_contracts_example(log):
    limits(log)
    assert log.result("query", channel="web")["availability"] == {
        "channel": "web",
        "allowed": True,
        "available": 11,
        "most_per_reservation": 11,
        "backorder_room": 0,
        "promises": [],
    }
    expected = log.do("reserve", command_id="k", reservation_id="r9", channel="web", quantity=9, ttl_ms=0)
    assert held(expected.results[0]) == "leeds 8 main 1"
    assert [(c["seq"], c["warehouse"], c["delta"]) for c in expected.stock_changes] == [
        (4, "leeds", {"reserved": 8}),
        (5, "main", {"reserved": 1}),
        (6, "", {}),
    ]
    book = {"backordered": 0, "promised": 0, "inbounds": []}
    book["channels"] = [{"channel": "web", "held": 9, "backordered": 0}]
    assert expected.stock_changes[2] == {
        "sku": "S",
        "warehouse": "",
        "seq": 6,
        "at": T0,
        "cause": {"type": "reserve", "command_id": "k", "reservation_id": "r9"},
        "delta": {},
        "after": dict.fromkeys(("on_hand", "reserved", "damaged", "safety_stock", "inbound", "available"), 0),
        "shortfall": False,
        "book": book,
    }
    assert ([part["warehouse"] for part in expected.results[0]["stock"]], expected.results[0]["seq"]) == (
        ["leeds", "main"],
        6,
    )
    assert log.result("query")["book"] == book
    assert row(log, b"SS\0") == [1, 6, None, False, 0, 0, 0, [], [["web", 9, 0]]]
    short = [2, "held", 9, 0, 0, [["leeds", 8], ["main", 1]], "web", None, None, None]
    assert row(log, b"RS\0r9") == [*short, [], None, None, None, None, None, True, 0, None]
    four = log.result("reserve", reservation_id="r4", channel="web", quantity=4)
    assert (four["code"], four["requested"], four["available"]) == ("channel_cap_exceeded", 4, 3)
    three = log.result("reserve", reservation_id="r3", channel="web", quantity=3)
    assert (three["code"], three["requested"], three["available"]) == ("insufficient_stock", 3, 2)
    part = log.result("reserve", command_id="p", reservation_id="rp", channel="web", quantity=4, partial=True)
    assert (held(part), part["reservation"]["quantity"], part["requested"]) == ("main 2", 2, 4)
    assert "available" not in part
    assert (row(log, b"CS\0p")[0], row(log, b"CS\0p")[10:]) == (1, [4, None, None])
    assert log.result("query", channel="shop")["availability"]["available"] == 3
    assert held(log.result("reserve", reservation_id="s", channel="shop", quantity=3)) == "main 3"


def test_a_reserve_under_a_region_goes_there_first_and_keeps_it(log):
    for warehouse in ("leeds", "york"):
        refer(log, "set_warehouse", warehouse=warehouse, version=1, region="north")
    log.do("set_policy", channel="*", strategy="region", warehouses=["hull", "leeds", "main", "york"])
    log.stocked(hull=4, leeds=6, main=9, york=5)
    result = log.result("reserve", reservation_id="r", quantity=12, region="north", ttl_ms=0)
    assert held(result) == "leeds 6 york 5 hull 1"
    assert row(log, b"RS\0r")[10:] == [[], None, "north", None, None, None, False, 0, None]


def test_a_policy_of_the_sku_goes_before_that_of_the_channel_field_by_field(log):
    log.stocked(a=100)
    refer(log, "set_channel", channel="*", version=1, cap=40, buffer=1, max_per_reservation=9)
    refer(log, "set_channel", channel="web", version=1, cap=30, buffer=2)
    log.do("set_policy", channel="*", cap=20)
    log.do("set_policy", channel="web", buffer=98)
    availability = log.result("query", channel="web")["availability"]
    assert (availability["available"], availability["most_per_reservation"]) == (2, 2)
    availability = log.result("query", channel="shop")["availability"]
    assert (availability["available"], availability["most_per_reservation"]) == (20, 9)


REFUSED = [
    # what is wrong with the reserve, beside everything below it; then its code
    ({"warehouse": "nowhere", "reservation_id": "there"}, "unknown_warehouse"),
    ({"reservation_id": "there", "warehouse": "a"}, "reservation_exists"),
    ({"warehouse": "a", "channel": "off"}, "channel_not_allowed"),
    ({"warehouse": "a", "channel": "none"}, "channel_not_allowed"),
    ({"warehouse": "a", "channel": "only-b"}, "channel_not_allowed"),
    ({"warehouse": "a"}, "warehouse_disabled"),
    ({"warehouse": "a", "partial": True}, "warehouse_disabled"),
    ({"warehouse": "b"}, "quantity_above_limit"),
    ({"warehouse": "b", "partial": True}, "quantity_above_limit"),
    ({"quantity": 8}, "channel_cap_exceeded"),
    ({"quantity": 7}, "insufficient_stock"),
]


@pytest.mark.parametrize(("fields", "code"), REFUSED)
def test_the_first_code_that_applies_is_given(log, fields, code):
    log.stocked(a=1, b=1).do("reserve", reservation_id="there", quantity=1, warehouse="a")
    refer(log, "set_warehouse", warehouse="a", version=1, enabled=False)
    refer(log, "set_channel", channel="*", version=1, cap=7, max_per_reservation=8)
    refer(log, "set_channel", channel="off", version=1, enabled=False)
    refer(log, "set_channel", channel="none", version=1, warehouses=[])
    refer(log, "set_channel", channel="only-b", version=1, warehouses=["b"])
    fields = {"reservation_id": "r", "quantity": 9} | fields
    assert log.result("reserve", **fields)["code"] == code


def test_a_cap_without_room_refuses_a_partial_reserve_too(log):
    log.stocked(a=5).do("set_policy", channel="default", cap=2)
    assert log.result("reserve", reservation_id="r", quantity=3, partial=True)["reservation"]["quantity"] == 2
    result = log.result("reserve", reservation_id="x", quantity=1, partial=True)
    assert (result["code"], result["requested"], result["available"]) == ("channel_cap_exceeded", 1, 0)


def test_a_partial_reserve_of_nothing_is_refused(log):
    result = log.stocked(a=0, b=1).result("reserve", reservation_id="r", quantity=2, warehouse="b", partial=True)
    assert (held(result), result["requested"]) == ("b 1", 2)
    result = log.result("reserve", reservation_id="x", quantity=2, partial=True)
    assert (result["code"], result["requested"], result["available"]) == ("insufficient_stock", 2, 0)


def test_what_is_given_in_full_is_not_said_to_be_less(log):
    result = log.stocked(a=5).result("reserve", reservation_id="r", quantity=5, partial=True)
    assert "requested" not in result


# The cap's count.


def channels(log):
    return {entry["channel"]: entry["held"] for entry in log.result("query").get("book", {}).get("channels", [])}


def test_a_channel_holds_what_its_counted_reservations_have_left(log):
    log.stocked(a=5, b=5).do("set_policy", channel="default", cap=9)
    log.do("reserve", reservation_id="r", quantity=8, ttl_ms=1000)
    expected = log.do("commit", reservation_id="r", quantity=6)
    assert [c["warehouse"] for c in expected.stock_changes] == ["a", "b", ""]
    assert channels(log) == {"default": 2}
    log.do("release", reservation_id="r", quantity=1)
    assert channels(log) == {"default": 1}
    expected = log.do("tick", 1000)
    assert [(c["warehouse"], c["cause"]["type"]) for c in expected.stock_changes] == [("b", "expire"), ("", "expire")]
    assert expected.results[0]["seq"] == expected.stock_changes[-1]["seq"] == 12
    assert expected.stock_changes[-1]["book"]["channels"] == []
    assert ("book" in log.result("query"), row(log, b"SS\0")[1]) == (False, 12)


def test_a_book_counts_a_thousand_channels_at_most(log):
    log.stocked(a=9).do("set_policy", channel="*", cap=5)
    log.do("reserve", command_id="k", reservation_id="r", quantity=2, channel="web")
    log.model.books["S"].held |= {f"c{number:03}": 1 for number in range(999)}
    refused = [log.result("reserve", reservation_id="x", quantity=q, channel="new") for q in (6, 5)]
    assert [(result["code"], "requested" in result) for result in refused] == [
        ("channel_cap_exceeded", True),
        ("limit_exceeded", False),
    ]
    assert log.result("reserve", reservation_id="y", quantity=1, channel="c500")["status"] == "accepted"
    log.do("commit", reservation_id="r")
    assert log.result("reserve", reservation_id="z", quantity=1, channel="new")["status"] == "accepted"


def test_a_hold_from_before_the_cap_is_not_counted_and_never_lowers_what_is_held(log):
    log.stocked(a=9).do("reserve", reservation_id="old", quantity=3)
    log.do("set_policy", channel="default", cap=4)
    log.do("reserve", reservation_id="new", quantity=3)
    assert log.result("reserve", reservation_id="x", quantity=2)["available"] == 1
    assert [c["warehouse"] for c in log.do("release", reservation_id="old").stock_changes] == ["a"]
    assert channels(log) == {"default": 3}


def test_a_counted_reservation_stays_counted_when_the_cap_is_gone(log):
    log.stocked(a=9).do("set_policy", channel="default", cap=4)
    log.do("reserve", reservation_id="r", quantity=3)
    log.do("set_policy", channel="default")
    log.do("reserve", reservation_id="free", quantity=2)
    assert channels(log) == {"default": 3}
    log.do("commit", reservation_id="r", quantity=1)
    assert channels(log) == {"default": 2}


def test_a_cap_is_a_cap_even_where_it_limits_nothing(log):
    log.stocked(a=9).do("set_policy", channel="default", cap=1_000_000_000)
    log.do("reserve", reservation_id="r", quantity=3)
    assert channels(log) == {"default": 3}


# Rows and content.


def test_a_reservation_that_names_a_warehouse_has_the_longer_row(log):
    log.stocked(a=5).do("reserve", reservation_id="r", quantity=1, warehouse="a", ttl_ms=0)
    log.do("reserve", reservation_id="s", quantity=1, ttl_ms=0)
    short = [["a", 1]], "default", None, None, None
    assert row(log, b"RS\0r") == [2, "held", 1, 0, 0, *short, [], "a", None, None, None, None, False, 0, None]
    assert row(log, b"RS\0s") == [1, "held", 1, 0, 0, *short]
    assert row(log, b"CS\0c1")[0] == 1
    assert row(log, b"CS\0c1")[8] == row(log, b"RS\0r")


def test_defaults_of_new_fields_are_no_part_of_the_content(log):
    log.stocked(a=5).do("reserve", command_id="k", reservation_id="r", quantity=1)
    assert log.result("reserve", command_id="k", reservation_id="r", quantity=1, partial=False)["replayed"] is True


@pytest.mark.parametrize(
    "fields",
    [{"partial": True}, {"region": "n"}, {"partial": True, "region": "n"}],
)
def test_a_new_field_is_part_of_the_content(log, fields):
    log.stocked(a=5).do("reserve", command_id="k", reservation_id="r", quantity=1, **fields)
    assert log.result("reserve", command_id="k", reservation_id="r", quantity=1, **fields)["replayed"] is True
    assert log.result("reserve", command_id="k", reservation_id="r", quantity=1)["code"] == "idempotency_mismatch"


# How long a closed reservation is known.

WINDOW = 30 * DAY


def known(log, at):
    return log.result("query", at, reservation_id="r")["code"] is None


def test_a_reservation_with_something_committed_is_known_for_the_return_window_of_its_channel(log):
    log.stocked(a=5).do("set_policy", channel="default", return_window_ms=WINDOW)
    log.do("reserve", reservation_id="r", quantity=2)
    log.do("commit", reservation_id="r", quantity=1)
    log.do("release", 5, reservation_id="r")
    assert row(log, b"RS\0r")[-1] == WINDOW
    log.do("set_policy", 6, channel="default")
    assert known(log, 5 + WINDOW - 1)
    assert not known(log, 5 + WINDOW)


def test_a_reservation_that_expires_with_something_committed_is_known_for_the_return_window(log):
    log.stocked(a=5).do("set_policy", channel="*", return_window_ms=WINDOW)
    log.do("reserve", reservation_id="r", quantity=2, ttl_ms=10)
    log.do("commit", reservation_id="r", quantity=1)
    log.do("tick", 10)
    assert known(log, 10 + WINDOW - 1)
    assert not known(log, 10 + WINDOW)


def test_a_reservation_with_nothing_committed_is_known_for_a_week(log):
    log.stocked(a=5).do("set_policy", channel="default", return_window_ms=WINDOW)
    log.do("reserve", reservation_id="r", quantity=2)
    log.do("release", reservation_id="r")
    assert row(log, b"RS\0r")[0] == 1
    assert known(log, 7 * DAY - 1)
    assert not known(log, 7 * DAY)


def test_a_window_of_a_week_is_not_written_down(log):
    log.stocked(a=5).do("set_policy", channel="default", return_window_ms=7 * DAY)
    log.do("reserve", reservation_id="r", quantity=2)
    log.do("commit", reservation_id="r")
    assert row(log, b"RS\0r")[0] == 1


def test_a_later_closing_may_be_forgotten_before_an_earlier_one(log):
    log.stocked(a=5).do("set_policy", channel="web", return_window_ms=WINDOW)
    log.do("reserve", reservation_id="long", quantity=1, channel="web")
    log.do("reserve", reservation_id="r", quantity=1)
    log.do("commit", reservation_id="long")
    log.do("commit", 1, reservation_id="r")
    assert not known(log, 1 + 7 * DAY)
    assert log.result("query", 2 + 7 * DAY, reservation_id="long")["code"] is None
