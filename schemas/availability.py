"""Owns the availability of a SKU for a channel: the one function behind reads and decisions, over plain numbers.

`free` of a row is what it has above its holds and its safety stock, never below 0. Rows that are open to the channel
come in its base order: that of the policy's `warehouses`, else by the warehouses' priority and id.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from schemas.policies import Policy
from schemas.stock_changes import BookInbound

DEFAULT_PRIORITY = 100


class Promise(msgspec.Struct, gc=False):
    """What can be promised by a date."""

    at: Annotated[int, Meta(description="By when, ms since the Unix epoch.")]
    available_to_promise: Annotated[int, Meta(description="Units that may be reserved by then, in all.")]


class ChannelAvailability(msgspec.Struct, gc=False):
    """What a channel may have of a SKU now."""

    channel: Annotated[str, Meta(description="Which channel.")]
    allowed: Annotated[bool, Meta(description="Whether the channel may sell at all.")]
    available: Annotated[int, Meta(description="Units that it may reserve in all.")]
    most_per_reservation: Annotated[int, Meta(description="Units that one `reserve` would be given now, at most.")]
    backorder_room: Annotated[int, Meta(description="Units that may wait without a date.")]
    promises: Annotated[list[Promise], Meta(description="For each date on which announced goods come.")]


class _Warehouse(Protocol):
    """What the order of rows depends on."""

    @property
    def enabled(self) -> bool:
        """Whether anything may be allocated to it."""

    @property
    def priority(self) -> int:
        """Lower goes first."""


class _Announced(Protocol):
    """Announced goods, as far as it matters who may have them."""

    @property
    def warehouse(self) -> str:
        """Where they go."""

    @property
    def eta_at(self) -> int:
        """When they come, ms since the Unix epoch."""


class Supply(NamedTuple):
    """Announced goods that a channel may have: when they come (ms), and how many are free."""

    eta_at: int
    free: int


def is_allowed(policy: Policy) -> bool:
    """Return whether a channel may sell at all."""
    return policy.enabled and policy.warehouses != ()


def open_warehouses(policy: Policy, known: Collection[str], warehouses: Mapping[str, _Warehouse]) -> Sequence[str]:
    """Return the warehouses that are open to a channel, in its base order.

    Args:
        policy: the channel's.
        known: the warehouses where the SKU has a row.
        warehouses: those that somebody set; any other one is enabled, with priority 100.
    """
    if policy.warehouses is not None:
        return [name for name in policy.warehouses if name in known and _is_enabled(name, warehouses)]
    enabled = [name for name in known if _is_enabled(name, warehouses)]
    return sorted(enabled, key=lambda name: (_priority(name, warehouses), name))


def _is_enabled(name: str, warehouses: Mapping[str, _Warehouse]) -> bool:
    found = warehouses.get(name)
    return found is None or found.enabled


def _priority(name: str, warehouses: Mapping[str, _Warehouse]) -> int:
    found = warehouses.get(name)
    return DEFAULT_PRIORITY if found is None else found.priority


def may_sell(
    inbound: _Announced, policy: Policy, warehouses: Mapping[str, _Warehouse], now_ms: int, until: int | None
) -> bool:
    """Return whether announced goods are open to a channel and still to come; overdue ones promise nothing.

    Args:
        inbound: the goods.
        policy: the channel's for the SKU.
        warehouses: those that somebody set.
        now_ms: the clock.
        until: the last date that counts (ms); None: any.
    """
    name = inbound.warehouse
    return (
        inbound.eta_at > now_ms
        and (until is None or inbound.eta_at <= until)
        and (policy.warehouses is None or name in policy.warehouses)
        and _is_enabled(name, warehouses)
    )


def supplies_of(
    inbounds: Iterable[BookInbound], policy: Policy, warehouses: Mapping[str, _Warehouse], now_ms: int, owed: int = 0
) -> list[Supply]:
    """Return what a channel may sell now of the announced goods in a SKU's book.

    Args:
        inbounds: the goods.
        policy: the channel's for the SKU.
        warehouses: those that somebody set.
        now_ms: the clock.
        owed: units that the SKU's queue is due.
    """
    until = now_ms + policy.presell_horizon_ms
    return [
        Supply(it.eta_at, max(0, it.remaining - it.claimed - owed))
        for it in inbounds
        if may_sell(it, policy, warehouses, now_ms, until)
    ]


def shelf_of(policy: Policy, free: Sequence[int]) -> int:
    """Return what a channel may have of its open rows together; `free` is that of each."""
    return max(0, sum(free) - policy.buffer)


def room_of(policy: Policy, held: int) -> int | None:
    """Return how many units a channel may hold beside those it holds; None without a cap."""
    return None if policy.cap is None else max(0, policy.cap - held)


def availability(
    channel: str,
    policy: Policy,
    free: Sequence[int],
    *,
    held: int = 0,
    backordered: int = 0,
    supplies: Sequence[Supply] = (),
) -> ChannelAvailability:
    """Return the availability of a SKU for a channel.

    Args:
        channel: its id.
        policy: its resolved policy for the SKU.
        free: of each row that is open to it.
        held: what its counted reservations have left.
        backordered: what waits for it without a date.
        supplies: the announced goods that it may sell now.
    """
    if not is_allowed(policy):
        return ChannelAvailability(channel, False, 0, 0, 0, [])
    shelf, room = shelf_of(policy, free), room_of(policy, held)
    available = _at_most(shelf, room)
    most = _at_most(available, policy.max_per_reservation)
    if not policy.split:
        most = min(most, max((min(units, shelf) for units in free), default=0))
    promises, units = [], shelf
    for eta_at in sorted({supply.eta_at for supply in supplies if supply.free > 0}):
        units += sum(supply.free for supply in supplies if supply.eta_at == eta_at)
        promises.append(Promise(eta_at, _at_most(units, room)))
    return ChannelAvailability(channel, True, available, most, max(0, policy.backorder_limit - backordered), promises)


def earliest_promise(
    policy: Policy, may_have: ChannelAvailability, supplies: Sequence[Supply], quantity: int, now_ms: int
) -> int | None:
    """Return the first `promise_by` (ms) with which a `reserve` that waits would be given a quantity; None: none.

    Args:
        policy: the channel's for the SKU.
        may_have: what the channel may have; only its `promises` are looked at for later dates.
        supplies: the announced goods that it may sell now.
        quantity: units.
        now_ms: the clock: the answer when that many are on the shelf.
    """
    if quantity <= may_have.most_per_reservation:
        return now_ms
    if policy.max_per_reservation is not None and quantity > policy.max_per_reservation:
        return None
    for promise in may_have.promises:
        if promise.available_to_promise >= quantity and (
            policy.split or any(it.eta_at == promise.at and it.free >= quantity for it in supplies)
        ):
            return promise.at
    return None


def _at_most(units: int, limit: int | None) -> int:
    return units if limit is None else min(units, limit)
