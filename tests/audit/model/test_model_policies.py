"""A policy is resolved field by field, and availability says what the contract says."""

from types import SimpleNamespace

import pytest

from audit.model.policies import (
    POLICY_FIELDS,
    AvailableTo,
    OpenInbound,
    PolicyInForce,
    Supply,
    available_to,
    policy_as_set,
    resolve,
)

DAY = 24 * 60 * 60 * 1000
NOW = 1_764_000_000_000


def as_set(**fields):
    return policy_as_set(SimpleNamespace(**(dict.fromkeys(POLICY_FIELDS) | fields)))


def test_nothing_set_gives_the_defaults_of_the_contract():
    defaults = (True, None, "priority", True, 0, None, None, 0, 0, 100, 604_800_000)
    assert resolve(None, None, None, None) == PolicyInForce() == defaults


def test_each_field_comes_from_the_first_that_gives_it():
    got = resolve(
        as_set(buffer=0),
        as_set(buffer=1, cap=1),
        as_set(buffer=2, cap=2, priority=2),
        as_set(buffer=3, cap=3, priority=3, split=False),
    )
    assert (got.buffer, got.cap, got.priority, got.split) == (0, 1, 2, False)


def test_what_is_false_zero_or_an_empty_list_is_given():
    got = resolve(as_set(enabled=False, warehouses=[], cap=0), as_set(enabled=True, warehouses=["a"], cap=5))
    assert (got.enabled, got.warehouses, got.cap) == (False, [], 0)


@pytest.mark.parametrize("fields", [{"enabled": False}, {"warehouses": []}])
def test_a_channel_that_may_not_sell_has_nothing(fields):
    policy = PolicyInForce(backorder_limit=5, presell_horizon_ms=30 * DAY)._replace(**fields)
    supply = Supply({"a": 5}, [OpenInbound(NOW + DAY, "po", "a", 5)])
    assert available_to(supply, policy, {}, NOW) == (False, 0, 0, 0, [])


ROOMS = [
    # fields of the policy, held; then available and most_per_reservation of rows a 5, b 3
    ({}, 0, 8, 8),
    ({"buffer": 3}, 0, 5, 5),
    ({"buffer": 9}, 0, 0, 0),
    ({"cap": 4}, 0, 4, 4),
    ({"cap": 4}, 3, 1, 1),
    ({"cap": 4}, 9, 0, 0),
    ({"max_per_reservation": 2}, 0, 8, 2),
    ({"split": False}, 0, 8, 5),
    ({"split": False, "buffer": 4}, 0, 4, 4),
    ({"split": False, "cap": 2}, 0, 2, 2),
    ({"warehouses": ["b"]}, 0, 3, 3),
    ({"warehouses": ["x"]}, 0, 0, 0),
]


@pytest.mark.parametrize(("fields", "held", "available", "most"), ROOMS)
def test_what_a_channel_may_have(fields, held, available, most):
    got = available_to(Supply({"a": 5, "b": 3}, held=held), PolicyInForce(**fields), {}, NOW)
    assert (got.available, got.most_per_reservation) == (available, most)


def test_promises_add_up_by_date_within_the_room_and_skip_dates_without_free_goods():
    inbounds = [
        OpenInbound(NOW + 3 * DAY, "c", "a", 4),
        OpenInbound(NOW + DAY, "b", "a", 2),
        OpenInbound(NOW + DAY, "a", "a", 1),
        OpenInbound(NOW + 2 * DAY, "d", "a", 0),
        OpenInbound(NOW - DAY, "overdue", "a", 7),
        OpenInbound(NOW + 31 * DAY, "far", "a", 7),
    ]
    policy = PolicyInForce(buffer=2, cap=9, presell_horizon_ms=30 * DAY, backorder_limit=6)
    assert available_to(Supply({"a": 5}, inbounds, held=1, backordered=4), policy, {}, NOW) == AvailableTo(
        allowed=True,
        available=3,
        most_per_reservation=3,
        backorder_room=2,
        promises=[(NOW + DAY, 6), (NOW + 3 * DAY, 8)],
    )
