"""Owns the placing of a quantity: which warehouses give how much of it, by a channel's policy and strategy.

What a channel may have is decided in `schemas/availability.py`; here it is only divided.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.availability import may_sell, open_warehouses, shelf_of
from schemas.policies import Policy
from tables.core.book import NO_BOOK
from tables.core.register import Register
from tables.core.rows import BookRow, Inbound, Stock

Parts = tuple[tuple[str, int], ...]


class Demand(NamedTuple):
    """What is to be placed.

    Args:
        quantity: units, 1 or more.
        only: the one warehouse that may give; None: all that are open.
        region: whose warehouses come first, with the strategy `region`.
        partial: whether less than the quantity will do.
        supplies: announced goods that it may wait for, in the order in which they are asked.
        backorders: units that may wait without a date.
        owed: units that the SKU's queue is due; nobody else gets them.
        first: warehouses that come before all others, such as those of its allocations.
        home: where a reservation that may not be split grows; None: anywhere.
    """

    quantity: int
    only: str | None = None
    region: str | None = None
    partial: bool = False
    supplies: tuple[Inbound, ...] = ()
    backorders: int = 0
    owed: int = 0
    first: tuple[str, ...] = ()
    home: str | None = None


class Placing(NamedTuple):
    """Where units come from, which announced goods they wait for, and how many wait without a date.

    If too few could be had, nothing of this is given, and `possible` says how many there would have been.
    """

    parts: Parts
    possible: int
    claims: Parts = ()
    backordered: int = 0

    @property
    def waits(self) -> bool:
        """Whether any of it waits."""
        return bool(self.claims or self.backordered)

    @property
    def is_given(self) -> bool:
        """Whether anything is given."""
        return bool(self.parts or self.waits)


def free_of(row: Stock, owed: int = 0) -> int:
    """Return the units of a row that are neither held, kept back nor due to the SKU's queue."""
    return max(0, row.on_hand - row.reserved - row.safety_stock - owed)


def free_of_inbound(inbound: Inbound, owed: int = 0) -> int:
    """Return the units of announced goods that nobody waits for and that are not due to the SKU's queue."""
    return max(0, inbound.remaining - inbound.claimed - owed)


def open_inbounds(
    book: BookRow | None, policy: Policy, register: Register, now_ms: int, *, until: int | None, only: str | None = None
) -> tuple[Inbound, ...]:
    """Return the announced goods that are open to a channel and still to come, by date and id.

    Args:
        book: the SKU's.
        policy: the channel's for the SKU.
        register: the warehouses in force.
        now_ms: the clock; overdue goods promise nothing.
        until: the last date that counts (ms); None: any.
        only: the one warehouse that counts; None: all that are open.
    """
    return tuple(
        inbound
        for inbound in (book or NO_BOOK).inbounds
        if (only is None or inbound.warehouse == only) and may_sell(inbound, policy, register.warehouses, now_ms, until)
    )


def free_by_warehouse(policy: Policy, stock: Mapping[str, Stock], register: Register, owed: int = 0) -> dict[str, int]:
    """Return the free units of each warehouse that is open to a channel, in its base order."""
    return {name: free_of(stock[name], owed) for name in open_warehouses(policy, stock, register.warehouses)}


def place(demand: Demand, policy: Policy, stock: Mapping[str, Stock], register: Register) -> Placing:
    """Divide a quantity among the warehouses that are open to a channel.

    Args:
        demand: what is to be placed.
        policy: the channel's for the SKU.
        stock: the SKU's rows.
        register: the warehouses in force.
    """
    free = free_by_warehouse(policy, stock, register, demand.owed)
    shelf = shelf_of(policy, list(free.values()))
    if demand.only is not None:
        free = {name: units for name, units in free.items() if name == demand.only}
    limit = min(shelf, sum(free.values()))
    region = demand.region if policy.strategy == "region" else None
    supply = {it.inbound_id: free_of_inbound(it, demand.owed) for it in demand.supplies}
    if not policy.split:
        if demand.home is not None:
            free = {name: units for name, units in free.items() if name == demand.home}
            at_home = (it.inbound_id for it in demand.supplies if it.warehouse == demand.home)
            supply = {name: supply[name] for name in at_home}
        whole = _first(demand.first, _whole(policy, free, _in_region(free, region, register)))
        return _place_whole(demand, whole, free, limit, supply)
    units = min(demand.quantity, limit)
    promised = min(demand.quantity - units, sum(supply.values()))
    backordered = min(demand.quantity - units - promised, demand.backorders)
    given = units + promised + backordered
    if not given or (given < demand.quantity and not demand.partial):
        return Placing((), given)
    claims = take(promised, tuple(supply), tuple(supply), supply) if promised else ()
    if not units:
        return Placing((), given, claims, backordered)
    regional = _first(demand.first, _in_region(free, region, register))
    if regional and sum(free[name] for name in regional) >= units:
        return Placing(take(units, regional, regional, free), given, claims, backordered)
    whole = _whole(policy, free, regional)
    parts = _by_free(free) if policy.strategy == "fewest_splits" else whole  # with `most_stock` both are that
    taken = take(units, _first(demand.first, whole), _first(demand.first, parts), free)
    return Placing(taken, given, claims, backordered)


def _first(first: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names with some of them before all others."""
    if not first:
        return list(names)
    known, before = {*names}, {*first}
    return [*(name for name in first if name in known), *(name for name in names if name not in before)]


def _in_region(free: Mapping[str, int], region: str | None, register: Register) -> list[str]:
    """Return the warehouses of a region, in base order; none without a region."""
    if region is None:
        return []
    found = ((name, register.warehouses.get(name)) for name in free)
    return [name for name, warehouse in found if warehouse is not None and warehouse.region == region]


def _whole(policy: Policy, free: Mapping[str, int], regional: Sequence[str]) -> list[str]:
    """Return the order in which warehouses are asked for all of it."""
    if policy.strategy == "most_stock":
        return _by_free(free)
    first = {*regional}
    return [*regional, *(name for name in free if name not in first)]


def _by_free(free: Mapping[str, int]) -> list[str]:
    # `sorted` keeps the base order of equals.
    return sorted(free, key=lambda name: -free[name])


def take(quantity: int, whole: Sequence[str], parts: Sequence[str], free: Mapping[str, int]) -> Parts:
    """Return who gives how much of a quantity: the first of `whole` that has it all, else several of `parts`."""
    for name in whole:
        if free[name] >= quantity:
            return ((name, quantity),)
    taken = []
    for name in parts:
        units = min(free[name], quantity)
        if units:
            taken.append((name, units))
            quantity -= units
            if not quantity:
                break
    return tuple(taken)


def _place_whole(
    demand: Demand, whole: Sequence[str], free: Mapping[str, int], limit: int, supply: Mapping[str, int]
) -> Placing:
    """Place all of it in one warehouse, in one delivery or in the queue; else, if that will do, the most of one."""
    quantity = demand.quantity
    here = {name: min(free[name], limit) for name in whole}
    for name, units in here.items():
        if units >= quantity:
            return Placing(((name, quantity),), quantity)
    for name, units in supply.items():
        if units >= quantity:
            return Placing((), quantity, ((name, quantity),))
    if quantity <= demand.backorders:
        return Placing((), quantity, (), quantity)
    most = _most_of(here)
    if most is not None:
        return Placing((most,) if demand.partial else (), most[1])
    most = _most_of(supply)
    if most is not None:
        return Placing((), most[1], (most,) if demand.partial else ())
    return Placing((), demand.backorders, (), demand.backorders if demand.partial else 0)


def _most_of(units_of: Mapping[str, int]) -> tuple[str, int] | None:
    """Return the first of those that have the most, with its units; None when none has any."""
    name = max(units_of, key=lambda name: units_of[name], default=None)
    return None if name is None or not units_of[name] else (name, units_of[name])
