"""Placing gives what the strategies, limits and dates of the contract's examples give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.model.placing import Offer, Wish, offer_to, place
from audit.model.policies import (
    OpenInbound,
    PolicyInForce,
    Supply,
    WarehouseInForce,
    available_to,
    open_rows,
    room_of,
)

DAY = 24 * 60 * 60 * 1000
NOW = 1_764_000_000_000
IN_ORDER = ["hull", "leeds", "main", "york"]
FREE = {"hull": 4, "leeds": 6, "main": 9, "york": 5}
NORTH = {"leeds": WarehouseInForce(region="north"), "york": WarehouseInForce(region="north")}
WEB = PolicyInForce(presell_horizon_ms=30 * DAY)


def placed(quantity, supply, policy, *, warehouses=None, partial=False, **wish):
    offer = offer_to(Wish(**wish), supply, policy, warehouses or {}, NOW)
    return place(quantity, offer, policy, partial=partial)


def rows_of(placing):
    return " ".join(f"{name} {units}" for name, units in placing.rows)


STRATEGIES = [
    ("priority", "leeds 5", "main 8", "hull 4 leeds 6 main 2"),
    ("most_stock", "main 5", "main 8", "main 9 leeds 3"),
    ("fewest_splits", "leeds 5", "main 8", "main 9 leeds 3"),
    ("region", "leeds 5", "leeds 6 york 2", "leeds 6 york 5 hull 1"),
]


@pytest.mark.parametrize(("strategy", "five", "eight", "twelve"), STRATEGIES)
def test_the_strategies_place_as_in_the_example(strategy, five, eight, twelve):
    policy = PolicyInForce(strategy=strategy, warehouses=IN_ORDER)
    got = [placed(n, Supply(FREE), policy, warehouses=NORTH, region="north") for n in (5, 8, 12)]
    assert [rows_of(one) for one in got] == [five, eight, twelve]


def test_without_a_region_in_the_reservation_the_strategy_region_is_priority():
    policy = PolicyInForce(strategy="region", warehouses=IN_ORDER)
    assert rows_of(placed(12, Supply(FREE), policy, warehouses=NORTH)) == "hull 4 leeds 6 main 2"


def test_a_region_without_enough_is_emptied_first():
    policy = PolicyInForce(strategy="region", warehouses=IN_ORDER)
    assert rows_of(placed(9, Supply(FREE), policy, warehouses={"main": WarehouseInForce(region="s")}, region="s")) == (
        "main 9"
    )
    assert rows_of(placed(10, Supply(FREE), policy, warehouses={"hull": WarehouseInForce(region="s")}, region="s")) == (
        "hull 4 leeds 6"
    )


def test_equals_stay_in_base_order_when_the_most_goes_first():
    policy = PolicyInForce(strategy="most_stock", warehouses=["b", "a", "c"])
    assert rows_of(placed(8, Supply({"a": 5, "b": 5, "c": 6}), policy)) == "c 6 b 2"


def test_without_an_allow_list_rows_go_by_the_priority_of_the_warehouse_then_by_id():
    warehouses = {"z": WarehouseInForce(priority=10), "a": WarehouseInForce(enabled=False)}
    assert open_rows({"a": 1, "b": 2, "c": 3, "z": 4}, PolicyInForce(), warehouses) == [("z", 4), ("b", 2), ("c", 3)]


def test_an_allow_list_is_the_order_and_names_no_row_that_is_not_there_or_disabled():
    policy = PolicyInForce(warehouses=["c", "x", "a", "b"])
    warehouses = {"a": WarehouseInForce(enabled=False), "b": WarehouseInForce(priority=1)}
    assert open_rows({"a": 1, "b": 2, "c": 3, "z": 4}, policy, warehouses) == [("c", 3), ("b", 2)]


def test_the_limits_of_the_example():
    web = PolicyInForce(buffer=3, cap=12)
    fresh = Supply({"leeds": 8, "main": 6})
    assert available_to(fresh, web, {}, NOW)[:3] == (True, 11, 11)
    assert rows_of(placed(9, fresh, web)) == "leeds 8 main 1"
    after = Supply({"leeds": 0, "main": 5}, held=9)
    assert room_of(web, after.held) == 3
    assert placed(3, after, web).given() == 2
    assert rows_of(placed(3, after, web, partial=True)) == "main 2"
    later = Supply({"leeds": 0, "main": 3})
    assert rows_of(placed(3, later, PolicyInForce())) == "main 3"


def test_the_shelf_of_a_channel_binds_a_reserve_that_names_a_warehouse():
    assert placed(8, Supply({"leeds": 8, "main": 6}), PolicyInForce(buffer=8), only="leeds").given() == 6
    assert placed(8, Supply({"leeds": 8, "main": 6}), PolicyInForce(buffer=3), only="main").given() == 6


def test_a_reservation_in_one_piece_takes_the_first_row_that_has_it_within_the_shelf():
    policy = PolicyInForce(split=False, warehouses=IN_ORDER)
    assert rows_of(placed(6, Supply(FREE), policy)) == "leeds 6"
    assert placed(10, Supply(FREE), policy).given() == 0
    assert rows_of(placed(10, Supply(FREE), policy, partial=True)) == "main 9"
    tight = policy._replace(buffer=20)
    assert placed(6, Supply(FREE), tight).given() == 0
    assert rows_of(placed(6, Supply(FREE), tight, partial=True)) == "hull 4"
    assert rows_of(placed(9, Supply(FREE), policy._replace(strategy="most_stock", buffer=20), partial=True)) == "main 4"


def test_a_reservation_in_one_piece_waits_in_one_piece():
    policy = PolicyInForce(split=False, presell_horizon_ms=30 * DAY, backorder_limit=7)
    inbounds = [OpenInbound(NOW + DAY, "po-1", "main", 3), OpenInbound(NOW + 2 * DAY, "po-2", "main", 5)]
    supply = Supply({"main": 2}, inbounds)
    assert placed(4, supply, policy, wait="inbound") == ([], [("po-2", 4)], 0)
    assert placed(7, supply, policy, wait="any") == ([], [], 7)
    assert placed(8, supply, policy, wait="any") == ([], [], 0)
    assert placed(8, supply, policy, wait="any", partial=True) == ([("main", 2)], [], 0)
    assert placed(8, Supply({"main": 0}, inbounds), policy, wait="any", partial=True) == ([], [("po-2", 5)], 0)
    assert placed(8, Supply({"main": 0}), policy, wait="any", partial=True) == ([], [], 7)
    assert placed(8, Supply({"main": 0}), policy, wait="inbound", partial=True) == ([], [], 0)


def test_announced_goods_are_taken_as_in_the_example():
    po_7 = OpenInbound(NOW + 10 * DAY, "po-7", "leeds", 10)
    assert placed(4, Supply({"leeds": 0}, [po_7]), WEB, wait="inbound") == ([], [("po-7", 4)], 0)
    one_left = po_7._replace(free=1)
    assert placed(2, Supply({"leeds": 0}, [one_left]), WEB, wait="inbound").given() == 1
    po_8 = OpenInbound(NOW + 20 * DAY, "po-8", "leeds", 6)
    assert placed(3, Supply({"leeds": 0}, [po_8, one_left]), WEB, wait="inbound") == ([], [("po-8", 3)], 0)
    assert placed(7, Supply({"leeds": 0}, [po_8, one_left]), WEB, wait="inbound") == (
        [],
        [("po-7", 1), ("po-8", 6)],
        0,
    )


def test_who_does_not_wait_for_announced_goods_gets_none_and_backorders_are_for_who_waits_for_anything():
    supply = Supply({"leeds": 1}, [OpenInbound(NOW + DAY, "po", "leeds", 2)], backordered=4)
    policy = WEB._replace(backorder_limit=9)
    assert placed(20, supply, policy) == ([("leeds", 1)], [], 0)
    assert placed(20, supply, policy, wait="inbound") == ([("leeds", 1)], [("po", 2)], 0)
    assert placed(20, supply, policy, wait="any") == ([("leeds", 1)], [("po", 2)], 5)


DATES = [
    # eta_at after now, promise_by after now, then: is it near with a horizon of 30 days
    (0, None, False),
    (1, None, True),
    (30 * DAY, None, True),
    (30 * DAY + 1, None, False),
    (5 * DAY, 5 * DAY, True),
    (5 * DAY, 5 * DAY - 1, False),
]


@pytest.mark.parametrize(("eta", "by", "near"), DATES)
def test_announced_goods_are_near_from_after_now_up_to_the_horizon_and_the_wished_date(eta, by, near):
    supply = Supply({}, [OpenInbound(NOW + eta, "po", "leeds", 2)])
    promise_by = None if by is None else NOW + by
    assert placed(2, supply, WEB, wait="inbound", promise_by=promise_by).given() == (2 if near else 0)


def test_announced_goods_are_open_like_rows():
    inbound = OpenInbound(NOW + DAY, "po", "leeds", 2)
    supply = Supply({}, [inbound])
    assert placed(2, supply, WEB, wait="inbound", only="main").given() == 0
    assert placed(2, supply, WEB, wait="inbound", warehouses={"leeds": WarehouseInForce(enabled=False)}).given() == 0
    assert placed(2, supply, WEB._replace(warehouses=["main"]), wait="inbound").given() == 0
    assert placed(2, supply, WEB._replace(warehouses=["leeds"]), wait="inbound", only="leeds").given() == 2


UNITS = st.integers(0, 9)
POLICIES = st.builds(
    PolicyInForce,
    enabled=st.just(True),
    warehouses=st.none() | st.lists(st.sampled_from(IN_ORDER), unique=True),
    strategy=st.sampled_from(["priority", "most_stock", "fewest_splits", "region"]),
    split=st.booleans(),
    buffer=st.integers(0, 5),
    cap=st.none() | st.integers(0, 20),
    max_per_reservation=st.none() | st.integers(1, 20),
)


@given(
    free=st.dictionaries(st.sampled_from(IN_ORDER), UNITS),
    policy=POLICIES,
    held=UNITS,
    region=st.sampled_from([None, "north", "south"]),
)
def test_what_availability_says_is_what_placing_gives(free, policy, held, region):
    supply = Supply(free, held=held)
    most = available_to(supply, policy, NORTH, NOW).most_per_reservation
    offer = offer_to(Wish(region=region), supply, policy, NORTH, NOW)

    def is_given(quantity):
        room = room_of(policy, held)
        return (
            policy.warehouses != []
            and quantity <= (policy.max_per_reservation or quantity)
            and (room is None or quantity <= room)
            and place(quantity, offer, policy, partial=False).given() == quantity
        )

    assert most == 0 or is_given(most)
    assert not is_given(most + 1)


@given(free=st.dictionaries(st.sampled_from(IN_ORDER), UNITS), policy=POLICIES, quantity=st.integers(1, 40), near=UNITS)
def test_a_placing_never_takes_more_than_there_is(free, policy, quantity, near):
    offer = offer_to(Wish(region="north"), Supply(free), policy, NORTH, NOW)
    offer = Offer(offer.rows, offer.local, offer.shelf, [("po", near)], 3)
    placing = place(quantity, offer, policy, partial=True)
    assert placing.given() <= quantity
    assert all(0 < units <= free[name] for name, units in placing.rows)
    assert len(dict(placing.rows)) == len(placing.rows)
    assert sum(units for _, units in placing.rows) <= offer.shelf
    assert policy.split or len(placing.rows) + len(placing.inbounds) + bool(placing.backordered) <= 1
