"""Owns the policy in force for a SKU and a channel, and what the channel may sell under it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from audit.model.documents import CLOSED_MS, Holding

# A policy as it was set: its fields in this order, None where a field was not given.
POLICY_FIELDS = (
    "enabled",
    "warehouses",
    "strategy",
    "split",
    "buffer",
    "cap",
    "max_per_reservation",
    "backorder_limit",
    "presell_horizon_ms",
    "priority",
    "return_window_ms",
)
PolicyAsSet = tuple[Any, ...]
EVERY_CHANNEL = "*"


class PolicyInForce(NamedTuple):
    """All fields of the policy of a SKU and a channel; None: every warehouse, no cap, no maximum."""

    enabled: bool = True
    warehouses: list[str] | None = None
    strategy: str = "priority"
    split: bool = True
    buffer: int = 0
    cap: int | None = None
    max_per_reservation: int | None = None
    backorder_limit: int = 0
    presell_horizon_ms: int = 0
    priority: int = 100
    return_window_ms: int = CLOSED_MS


UNSET_POLICY = PolicyInForce()


class WarehouseInForce(NamedTuple):
    """What `set_warehouse` says about a warehouse; without one, the defaults hold."""

    enabled: bool = True
    priority: int = 100
    region: str | None = None
    journal_ms: int = 0
    journal_since: int | None = None


UNSET_WAREHOUSE = WarehouseInForce()


class OpenInbound(NamedTuple):
    """Announced goods: the units that are free of claims, and when and where they come."""

    eta_at: int
    inbound_id: str
    warehouse: str
    free: int


class Supply(NamedTuple):
    """What of a SKU one channel finds.

    Args:
        free: warehouse -> units that may still be reserved there, never below 0.
        inbounds: in any order.
        held: units that the channel's counted reservations have left.
        backordered: units of the channel that wait without a date.
    """

    free: Mapping[str, int]
    inbounds: Iterable[OpenInbound] = ()
    held: int = 0
    backordered: int = 0


class AvailableTo(NamedTuple):
    """What a channel may sell of a SKU now; `promises` are (date, units available to promise by it)."""

    allowed: bool
    available: int
    most_per_reservation: int
    backorder_room: int
    promises: list[tuple[int, int]]


def policy_as_set(command: Any) -> PolicyAsSet:
    """Return the policy fields of a `set_channel` or `set_policy`."""
    return tuple(getattr(command, name) for name in POLICY_FIELDS)


def resolve(*as_set: PolicyAsSet | None) -> PolicyInForce:
    """Return the policy in force: each field from the first that gives it, else its default.

    Args:
        as_set: of (channel, SKU), (`*`, SKU), the channel and `*`, in this order; None where there is none.
    """
    policy = UNSET_POLICY
    for one in reversed(as_set):
        if one is not None:
            given = {name: value for name, value in zip(POLICY_FIELDS, one, strict=True) if value is not None}
            policy = policy._replace(**given)
    return policy


def is_allowed(policy: PolicyInForce) -> bool:
    """Return whether the channel may sell at all."""
    return policy.enabled and policy.warehouses != []


def open_rows(
    free: Mapping[str, int], policy: PolicyInForce, warehouses: Mapping[str, WarehouseInForce]
) -> list[Holding]:
    """Return the rows open to a channel with their free units, in base order."""
    names = policy.warehouses
    if names is None:
        names = sorted(free, key=lambda name: (warehouses.get(name, UNSET_WAREHOUSE).priority, name))
    return [(name, free[name]) for name in names if name in free and _is_open(name, policy, warehouses)]


def shelf_of(rows: Iterable[Holding], policy: PolicyInForce) -> int:
    """Return the units on all rows open to a channel, without its buffer."""
    return max(0, sum(free for _, free in rows) - policy.buffer)


def room_of(policy: PolicyInForce, held: int) -> int | None:
    """Return how many units the channel may still take on; None without a cap."""
    return None if policy.cap is None else max(0, policy.cap - held)


def backorder_room_of(policy: PolicyInForce, backordered: int) -> int:
    """Return how many more units of the channel may wait without a date."""
    return max(0, policy.backorder_limit - backordered) if is_allowed(policy) else 0


def near_inbounds(
    inbounds: Iterable[OpenInbound],
    policy: PolicyInForce,
    warehouses: Mapping[str, WarehouseInForce],
    now_ms: int,
    promise_by: int | None = None,
    only: str | None = None,
) -> list[OpenInbound]:
    """Return the inbounds that a channel may sell now, by (`eta_at`, id).

    Args:
        inbounds: all of the SKU.
        policy: of the channel.
        warehouses: those that were set.
        now_ms: the clock.
        promise_by: the last date that will do; None: any.
        only: the warehouse that a `reserve` names.
    """
    until = now_ms + policy.presell_horizon_ms
    if promise_by is not None:
        until = min(until, promise_by)
    coming = open_inbounds(inbounds, policy, warehouses, now_ms, only)
    return [inbound for inbound in coming if inbound.eta_at <= until]


def open_inbounds(
    inbounds: Iterable[OpenInbound],
    policy: PolicyInForce,
    warehouses: Mapping[str, WarehouseInForce],
    now_ms: int,
    only: str | None = None,
) -> list[OpenInbound]:
    """Return the inbounds that are open to a channel and not overdue, whatever its horizon, by (`eta_at`, id)."""
    return sorted(
        inbound
        for inbound in inbounds
        if now_ms < inbound.eta_at
        and only in {None, inbound.warehouse}
        and _is_open(inbound.warehouse, policy, warehouses)
    )


def available_to(
    supply: Supply, policy: PolicyInForce, warehouses: Mapping[str, WarehouseInForce], now_ms: int
) -> AvailableTo:
    """Return what a channel may sell of a SKU now."""
    if not is_allowed(policy):
        return AvailableTo(allowed=False, available=0, most_per_reservation=0, backorder_room=0, promises=[])
    rows = open_rows(supply.free, policy, warehouses)
    shelf = shelf_of(rows, policy)
    room = room_of(policy, supply.held)
    available = _at_most(shelf, room)
    most = _at_most(available, policy.max_per_reservation)
    if not policy.split:
        most = min(most, max((min(free, shelf) for _, free in rows), default=0))
    promises: dict[int, int] = {}
    announced = 0
    for inbound in near_inbounds(supply.inbounds, policy, warehouses, now_ms):
        if inbound.free > 0:
            announced += inbound.free
            promises[inbound.eta_at] = _at_most(shelf + announced, room)
    return AvailableTo(True, available, most, backorder_room_of(policy, supply.backordered), list(promises.items()))


def _is_open(warehouse: str, policy: PolicyInForce, warehouses: Mapping[str, WarehouseInForce]) -> bool:
    enabled = warehouses.get(warehouse, UNSET_WAREHOUSE).enabled
    return enabled and (policy.warehouses is None or warehouse in policy.warehouses)


def _at_most(units: int, limit: int | None) -> int:
    return units if limit is None else min(units, limit)
