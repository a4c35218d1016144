"""Reservations wait without a date, grow, shrink and move as the contract's section on reservations says."""

import msgspec
import pytest

T0 = 1_764_000_000_000


def policy(log, channel="web", **fields):
    """Set a channel's policy for the SKU; 100 of its units may wait unless the fields say otherwise."""
    log.do("set_policy", channel=channel, **({"backorder_limit": 100} | fields))
    return log


def reserve(log, name, quantity, **fields):
    """Return the result of a `reserve` of `web` whose units may wait for any goods."""
    fields = {"reservation_id": name, "quantity": quantity, "channel": "web", "wait": "any"} | fields
    return log.result("reserve", **fields)


def held(result):
    """Return where a result's reservation has units, those that wait last."""
    reservation = result["reservation"]
    parts = [f"{part['warehouse']} {part['quantity']}" for part in reservation["allocations"]]
    return " ".join(parts + [f"{claim['inbound_id']} {claim['quantity']}" for claim in reservation.get("claims", [])])


def changed(expected):
    """Return a record's stock changes as (warehouse, delta, cause)."""
    return [(change["warehouse"], change["delta"], change["cause"]["type"]) for change in expected.stock_changes]


def row(log, key):
    return msgspec.msgpack.decode(log.model.row(key))


def book(log):
    return log.result("query")["book"]


# `reserve` with `wait`.


def test_what_is_not_there_waits_without_a_date(log):
    policy(log.stocked(leeds=3), priority=7)
    expected = log.do("reserve", 5, reservation_id="r", quantity=5, channel="web", wait="any", order_id="o")
    (result,) = expected.results
    assert result["reservation"] == {
        "reservation_id": "r",
        "state": "held",
        "quantity": 5,
        "committed": 0,
        "released": 0,
        "allocations": [{"warehouse": "leeds", "quantity": 3}],
        "channel": "web",
        "order_id": "o",
        "expires_at": T0 + 5 + 900_000,
        "waiting": 2,
        "promised_at": None,
        "claims": [{"inbound_id": None, "quantity": 2, "promised_at": None}],
    }
    assert "requested" not in result
    assert changed(expected) == [("leeds", {"reserved": 3}, "reserve"), ("", {"backordered": 2}, "reserve")]
    assert expected.stock_changes[1]["book"] == {
        "backordered": 2,
        "promised": 0,
        "inbounds": [],
        "channels": [{"channel": "web", "held": 0, "backordered": 2}],
    }
    assert (expected.stock_changes[1]["after"]["reserved"], expected.stock_changes[1]["shortfall"]) == (0, False)
    assert result["seq"] == expected.stock_changes[1]["seq"] == 3
    assert row(log, b"SS\0") == [1, 3, None, False, 2, 0, 1, [], [["web", 0, 2]]]
    version, *values = row(log, b"RS\0r")
    assert (version, values[4], values[9:]) == (
        2,
        [["leeds", 3]],
        [[[None, 2, None]], None, None, 7, 2, T0 + 5, False, 0, None],
    )
    assert book(log)["backordered"] == 2


def test_a_reservation_that_only_waits_touches_no_row(log):
    expected = policy(log.stocked(a=1)).do("reserve", reservation_id="x", quantity=1, channel="web")
    assert expected.results[0]["status"] == "accepted"
    expected = log.do("reserve", reservation_id="r", quantity=4, channel="web", wait="any")
    assert (expected.results[0]["stock"], changed(expected)) == ([], [("", {"backordered": 4}, "reserve")])


@pytest.mark.parametrize("wait", [None, "none", "inbound"])
def test_nothing_waits_without_a_date_unless_any_goods_will_do(log, wait):
    result = reserve(policy(log.stocked(a=3)), "r", 5, wait=wait)
    assert (result["code"], result["requested"], result["available"]) == ("insufficient_stock", 5, 3)


def test_a_channel_lets_no_more_wait_than_its_limit(log):
    policy(log.stocked(a=3), backorder_limit=4)
    assert reserve(log, "r", 8)["available"] == 7
    result = reserve(log, "r", 8, partial=True)
    assert (held(result), result["requested"], result["reservation"]["quantity"]) == ("a 3 None 4", 8, 7)
    assert reserve(log, "s", 1)["available"] == 0
    policy(log, channel="shop", backorder_limit=1)
    assert held(reserve(log, "t", 1, channel="shop")) == "None 1"
    assert [entry["backordered"] for entry in book(log)["channels"]] == [1, 4]


def test_one_that_may_not_be_split_waits_as_a_whole(log):
    policy(log.stocked(a=3, b=4), split=False, backorder_limit=5)
    assert held(reserve(log, "r", 5)) == "None 5"
    policy(log, split=False, backorder_limit=0)
    assert reserve(log, "s", 5)["available"] == 4


def test_those_that_wait_count_in_the_cap(log):
    policy(log.stocked(a=3), cap=6)
    assert held(reserve(log, "r", 5)) == "a 3 None 2"
    assert book(log)["channels"] == [{"channel": "web", "held": 5, "backordered": 2}]
    refused = reserve(log, "s", 2)
    assert (refused["code"], refused["available"]) == ("channel_cap_exceeded", 1)


def test_how_much_more_may_wait_is_part_of_the_availability(log):
    policy(log.stocked(a=1), backorder_limit=4)
    assert log.result("query", channel="web")["availability"]["backorder_room"] == 4
    reserve(log, "r", 4)
    assert log.result("query", channel="web")["availability"]["backorder_room"] == 1
    policy(log, backorder_limit=4, enabled=False)
    assert log.result("query", channel="web")["availability"]["backorder_room"] == 0


def test_256_classes_wait_and_not_one_more(log):
    log.stocked(a=1).do("set_policy", channel="*", backorder_limit=9)
    for number in range(256):
        assert reserve(log, f"r{number}", 2, channel=f"c{number}", partial=True)["status"] == "accepted"
    refused = reserve(log, "x", 1, channel="more")
    assert (refused["code"], "available" in refused) == ("limit_exceeded", False)
    assert reserve(log, "x", 1, channel="c7")["status"] == "accepted"
    assert reserve(log, "y", 1, channel="c7", warehouse="a")["code"] == "limit_exceeded"
    assert reserve(log, "y", 100, channel="more")["code"] == "insufficient_stock"
    log.do("release", reservation_id="r9")
    assert reserve(log, "y", 1, channel="c7", warehouse="a")["status"] == "accepted"


def test_an_amend_that_would_let_another_class_wait_is_refused_and_one_that_waits_already_is_not(log):
    log.stocked(a=3).do("set_policy", channel="*", backorder_limit=9)
    assert held(reserve(log, "mine", 3, channel="more")) == "a 3"
    for number in range(256):
        reserve(log, f"r{number}", 1, channel=f"c{number}")
    assert log.result("amend", reservation_id="mine", quantity=4, wait="any")["code"] == "limit_exceeded"
    assert held(log.result("amend", reservation_id="r7", quantity=4, wait="any")) == "None 4"


def test_the_counters_of_a_capped_channel_follow_its_reservations(log):
    def counters():
        return [tuple(entry.values())[1:] for entry in log.result("query", 5).get("book", {"channels": []})["channels"]]

    policy(log.stocked(a=3), cap=20)
    assert held(reserve(log, "r", 5, ttl_ms=50)) == "a 3 None 2"
    assert counters() == [(5, 2)]
    log.do("amend", 5, reservation_id="r", quantity=9, wait="any")
    assert counters() == [(9, 6)]
    assert log.result("commit", 5, reservation_id="r", quantity=2)["status"] == "accepted"
    assert counters() == [(7, 6)]
    log.do("adjust", 5, warehouse="a", delta=4, reason="receipt")  # fills 4
    assert counters() == [(7, 2)]
    log.do("amend", 5, reservation_id="r", quantity=8)
    assert counters() == [(6, 1)]
    log.do("release", 5, reservation_id="r", quantity=2)
    assert counters() == [(4, 0)]
    log.do("amend", 5, reservation_id="r", quantity=40, wait="any", partial=True)
    assert counters() == [(20, 15)]
    expected = log.do("tick", 50)
    assert [change["delta"] for change in expected.stock_changes] == [{"reserved": -5}, {"backordered": -15}]
    assert counters() == []


def test_what_a_reserve_may_wait_for_is_part_of_its_content(log):
    policy(log.stocked(a=1))
    first = log.do("reserve", command_id="k", reservation_id="r", quantity=2, channel="web", wait="any")
    again = log.do("reserve", command_id="k", reservation_id="r", quantity=2, channel="web", wait="any")
    assert again.results[0] == first.results[0] | {"replayed": True}
    assert log.result("reserve", command_id="k", reservation_id="r", quantity=2, channel="web")["code"] == (
        "idempotency_mismatch"
    )
    content = msgspec.msgpack.decode(row(log, b"CS\0k")[1])
    assert content[7:] == [False, None, "any"]


def test_defaults_at_the_end_are_no_part_of_the_content(log):
    log.stocked(a=1).do("reserve", command_id="k", reservation_id="r", quantity=1, wait="none", partial=False)
    assert len(msgspec.msgpack.decode(row(log, b"CS\0k")[1])) == 7


# `commit`, `release`, expiry.


def test_only_what_is_allocated_is_committed(log):
    policy(log.stocked(a=3))
    reserve(log, "r", 5)
    refused = log.result("commit", reservation_id="r", quantity=4)
    assert refused["code"] == "reservation_waiting"
    assert log.result("commit", reservation_id="r", quantity=6)["code"] == "quantity_exceeds_reservation"
    done = log.result("commit", reservation_id="r")
    assert (done["reservation"]["state"], done["reservation"]["committed"], held(done)) == ("held", 3, "None 2")
    assert log.result("commit", reservation_id="r")["code"] == "reservation_waiting"
    assert log.result("release", reservation_id="r")["reservation"]["state"] == "released"


def test_a_release_takes_what_waits_first(log):
    policy(log.stocked(a=3, b=1))
    reserve(log, "r", 9)
    expected = log.do("release", reservation_id="r", quantity=2)
    assert (held(expected.results[0]), expected.results[0]["stock"]) == ("a 3 b 1 None 3", [])
    assert changed(expected) == [("", {"backordered": -2}, "release")]
    expected = log.do("release", reservation_id="r", quantity=5)
    assert held(expected.results[0]) == "a 2"
    assert changed(expected) == [
        ("a", {"reserved": -1}, "release"),
        ("b", {"reserved": -1}, "release"),
        ("", {"backordered": -3}, "release"),
    ]
    assert "waiting" not in expected.results[0]["reservation"]
    # Its rank stays, so its row stays long.
    assert row(log, b"RS\0r")[0] == 2


def test_those_that_wait_expire_like_any_hold(log):
    policy(log.stocked(a=3), cap=10)
    reserve(log, "r", 5, ttl_ms=10)
    expected = log.do("tick", 10)
    (result,) = expected.results
    assert (result["type"], result["reservation"]["state"], result["reservation"]["released"]) == (
        "expire",
        "expired",
        5,
    )
    assert changed(expected) == [("a", {"reserved": -3}, "expire"), ("", {"backordered": -2}, "expire")]
    assert expected.stock_changes[1]["book"]["channels"] == []
    assert "book" not in log.result("query", 11)


# `amend` and `reallocate`.


@pytest.fixture
def c1(log):
    """Return a log in which `c1` holds leeds 8, main 1, and `c3` main 2."""
    log.stocked(leeds=10, main=6).do("adjust", warehouse="leeds", count=2, bucket="safety_stock", reason="correction")
    log.do("set_channel", sku=None, channel="web", version=1, buffer=3, cap=12)
    log.do("reserve", reservation_id="c1", quantity=9, channel="web")
    log.do("reserve", reservation_id="c3", quantity=4, channel="web", partial=True)
    return log


def test_the_example_of_amend_and_reallocate(c1):
    expected = c1.do("amend", reservation_id="c1", quantity=6)
    (result,) = expected.results
    assert (held(result), result["reservation"]["quantity"], result["reservation"]["released"]) == ("leeds 6", 6, 0)
    assert changed(expected) == [
        ("leeds", {"reserved": -2}, "amend"),
        ("main", {"reserved": -1}, "amend"),
        ("", {}, "amend"),
    ]
    assert expected.stock_changes[2]["book"]["channels"] == [{"channel": "web", "held": 8, "backordered": 0}]
    expected = c1.do("reallocate", **{"reservation_id": "c1", "from": "leeds", "to": "main", "quantity": 2})
    assert [(view["warehouse"], view["reserved"]) for view in expected.results[0]["stock"]] == [
        ("leeds", 4),
        ("main", 4),
    ]
    assert changed(expected) == [("leeds", {"reserved": -2}, "reallocate"), ("main", {"reserved": 2}, "reallocate")]
    assert held(expected.results[0]) == "leeds 4 main 2"
    assert held(c1.result("query", reservation_id="c3")) == "main 2"


def test_amend_to_the_present_quantity_changes_nothing(c1):
    expected = c1.do("amend", reservation_id="c1", quantity=9)
    assert (held(expected.results[0]), expected.results[0]["stock"], expected.stock_changes) == (
        "leeds 8 main 1",
        [],
        [],
    )


def test_amend_leaves_at_least_one_unit(c1):
    c1.do("commit", reservation_id="c1", quantity=4)
    assert c1.result("amend", reservation_id="c1", quantity=4)["code"] == "quantity_exceeds_reservation"
    result = c1.result("amend", reservation_id="c1", quantity=5)
    assert (held(result), result["reservation"]["quantity"], result["reservation"]["committed"]) == ("leeds 1", 5, 4)


def test_amend_takes_back_what_waits_first(log):
    policy(log.stocked(a=3))
    reserve(log, "r", 5)
    expected = log.do("amend", reservation_id="r", quantity=2)
    assert held(expected.results[0]) == "a 2"
    assert changed(expected) == [("a", {"reserved": -1}, "amend"), ("", {"backordered": -2}, "amend")]


def test_amend_grows_where_the_reservation_is_first_and_then_waits(log):
    policy(log.stocked(a=2, b=9), backorder_limit=3)
    log.do("set_policy", channel="web", warehouses=["b", "a"], backorder_limit=3)
    reserve(log, "r", 2, warehouse=None)
    log.do("reallocate", **{"reservation_id": "r", "from": "b", "to": "a", "quantity": 1})
    log.do("reallocate", **{"reservation_id": "r", "from": "b", "to": "a"})
    # It is at `a`, which is full now, and `b` is first only for others.
    log.do("adjust", warehouse="a", delta=1, reason="receipt")
    assert held(log.result("amend", reservation_id="r", quantity=3)) == "a 3"
    expected = log.do("amend", reservation_id="r", quantity=14, wait="any")
    assert held(expected.results[0]) == "a 3 b 9 None 2"
    assert changed(expected) == [("b", {"reserved": 9}, "amend"), ("", {"backordered": 2}, "amend")]
    assert row(log, b"RS\0r")[13:16] == [100, log.next_offset - 1, T0]


def test_amend_says_the_largest_total_that_it_would_have_given(log):
    policy(log.stocked(a=5), backorder_limit=3)
    reserve(log, "r", 4)
    refused = log.result("amend", reservation_id="r", quantity=9)
    assert (refused["code"], refused["requested"], refused["available"]) == ("insufficient_stock", 9, 5)
    refused = log.result("amend", reservation_id="r", quantity=9, wait="any")
    assert (refused["requested"], refused["available"]) == (9, 8)
    result = log.result("amend", reservation_id="r", quantity=9, wait="any", partial=True)
    assert (held(result), result["requested"], result["reservation"]["quantity"]) == ("a 5 None 3", 9, 8)
    again = log.result("query", of_command_id=f"c{log.next_offset - 1}")["of_command"]
    assert again["requested"] == 9
    refused = log.result("amend", reservation_id="r", quantity=9, wait="any", partial=True)
    assert (refused["code"], refused["available"]) == ("insufficient_stock", 8)


def test_amend_upwards_under_a_cap_counts_the_reservation_whole(log):
    log.stocked(a=9).do("reserve", reservation_id="old", quantity=4, channel="web")
    policy(log, cap=5, backorder_limit=0)
    assert "book" not in log.result("query")
    refused = log.result("amend", reservation_id="old", quantity=6)
    assert (refused["code"], refused["requested"], refused["available"]) == ("channel_cap_exceeded", 6, 5)
    result = log.result("amend", reservation_id="old", quantity=6, partial=True)
    assert (result["requested"], result["reservation"]["quantity"]) == (6, 5)
    assert book(log)["channels"] == [{"channel": "web", "held": 5, "backordered": 0}]
    log.do("amend", reservation_id="old", quantity=3)
    assert book(log)["channels"] == [{"channel": "web", "held": 3, "backordered": 0}]


def test_amend_says_its_present_total_when_the_cap_leaves_no_room_for_it(log):
    log.stocked(a=9).do("reserve", reservation_id="old", quantity=4, channel="web")
    policy(log, cap=2)
    refused = log.result("amend", reservation_id="old", quantity=6, partial=True)
    assert (refused["code"], refused["available"]) == ("channel_cap_exceeded", 4)


def test_amend_is_refused_in_the_order_of_the_codes(log):
    policy(log.stocked(a=9), max_per_reservation=5)
    assert log.result("amend", reservation_id="r", quantity=2)["code"] == "unknown_reservation"
    reserve(log, "r", 3, warehouse="a")
    assert log.result("amend", reservation_id="r", quantity=2, channels=["shop"])["code"] == "unknown_reservation"
    assert log.result("amend", reservation_id="r", quantity=6)["code"] == "quantity_above_limit"
    policy(log, max_per_reservation=5, warehouses=["b"])
    assert log.result("amend", reservation_id="r", quantity=6)["code"] == "channel_not_allowed"
    assert log.result("amend", reservation_id="r", quantity=2)["status"] == "accepted"
    log.do("release", reservation_id="r")
    assert log.result("amend", reservation_id="r", quantity=6)["code"] == "reservation_released"
    assert log.result("amend", sku="T", reservation_id="r", quantity=6)["code"] == "unknown_sku"


def test_nothing_is_placed_in_a_named_warehouse_that_is_disabled_but_units_may_wait(log):
    policy(log.stocked(a=9, b=9))
    reserve(log, "r", 3, warehouse="a")
    log.do("set_warehouse", sku=None, version=1, warehouse="a", enabled=False)
    assert log.result("amend", reservation_id="r", quantity=5)["code"] == "insufficient_stock"
    assert held(log.result("amend", reservation_id="r", quantity=5, wait="any")) == "a 3 None 2"


def test_one_that_may_not_be_split_grows_only_at_its_home(log):
    policy(log.stocked(a=3, b=9), split=False)
    reserve(log, "r", 2)
    refused = log.result("amend", reservation_id="r", quantity=5)
    assert (refused["code"], refused["available"]) == ("insufficient_stock", 3)
    assert held(log.result("amend", reservation_id="r", quantity=5, wait="any")) == "a 2 None 3"
    log.do("adjust", warehouse="a", delta=2, reason="receipt")
    assert held(log.result("query", reservation_id="r")) == "a 5"


def test_a_growing_reservation_has_its_region_and_its_own_warehouses_first(log):
    for number, name in enumerate(("a", "b", "c")):
        region = None if name == "a" else "n"
        log.do("set_warehouse", sku=None, command_id=f"w{number}", version=1, warehouse=name, region=region)
    log.stocked(a=9, b=9, c=9)
    policy(log, strategy="region")
    reserve(log, "r", 2, warehouse=None, region="n")
    log.do("reallocate", **{"reservation_id": "r", "from": "b", "to": "c"})
    assert held(log.result("amend", reservation_id="r", quantity=5)) == "c 5"
    assert held(log.result("amend", reservation_id="r", quantity=15)) == "c 9 b 6"
    # The region has 3 left, so all rows are asked, and `a` alone has 4.
    assert held(log.result("amend", reservation_id="r", quantity=19)) == "c 9 b 6 a 4"


def test_reallocate_is_refused_in_the_order_of_the_codes(log):
    def move(reservation_id="r", **fields):
        return log.result("reallocate", **({"reservation_id": reservation_id, "from": "a", "to": "b"} | fields))

    assert move()["code"] == "unknown_sku"
    policy(log.stocked(a=9, b=2))
    assert (move(to="x")["code"], move(**{"from": "x"})["code"]) == ("unknown_warehouse", "unknown_warehouse")
    assert move()["code"] == "unknown_reservation"
    reserve(log, "r", 4)
    assert move(channels=["shop"])["code"] == "unknown_reservation"
    refused = move(quantity=3)
    assert (refused["code"], refused["requested"], refused["available"]) == ("insufficient_stock", 3, 2)
    assert move()["requested"] == 4
    assert move(quantity=5)["code"] == "quantity_exceeds_reservation"
    assert move(**{"from": "b", "to": "a"})["code"] == "quantity_exceeds_reservation"
    log.do("set_warehouse", sku=None, version=1, warehouse="b", enabled=False)
    assert move(quantity=5)["code"] == "warehouse_disabled"
    policy(log, warehouses=["a"])
    assert move(quantity=5)["code"] == "channel_not_allowed"
    log.do("release", reservation_id="r")
    assert move(quantity=5)["code"] == "reservation_released"


def test_the_contents_of_the_new_commands(log):
    policy(log.stocked(a=5, b=5))
    reserve(log, "r", 2)
    log.do("amend", command_id="k1", reservation_id="r", quantity=3)
    log.do("reallocate", **{"command_id": "k2", "reservation_id": "r", "from": "a", "to": "b"})
    log.do("settle", command_id="k3")
    contents = [msgspec.msgpack.decode(row(log, b"CS\0" + key)[1]) for key in (b"k1", b"k2", b"k3")]
    assert contents == [["amend", "r", 3, False, "none", None], ["reallocate", "r", "a", "b", None], ["settle"]]
