"""Owns the placing of a quantity: which warehouses give how much of it, by a channel's policy and strategy.

What a channel may have is decided in `schemas/availability.py`; here it is only divided.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.availability import open_warehouses, shelf_of
from schemas.policies import Policy
from tables.core.register import Register
from tables.core.rows import Stock

Parts = tuple[tuple[str, int], ...]


class Demand(NamedTuple):
    """What is to be placed.

    Args:
        quantity: units, 1 or more.
        only: the one warehouse that may give; None: all that are open.
        region: whose warehouses come first, with the strategy `region`.
        partial: whether less than the quantity will do.
        backorders: units that may wait instead, as long as no other goods are there.
        owed: units that the SKU's queue is due; nobody else gets them.
        first: warehouses that come before all others, such as those of its allocations.
        home: where a reservation that may not be split grows; None: anywhere.
    """

    quantity: int
    only: str | None = None
    region: str | None = None
    partial: bool = False
    backorders: int = 0
    owed: int = 0
    first: tuple[str, ...] = ()
    home: str | None = None


class Placing(NamedTuple):
    """Where units come from, and how many wait.

    If too few could be had, `parts` and `waiting` are empty, and `possible` says how many there would have been.
    """

    parts: Parts
    possible: int
    waiting: int = 0

    @property
    def is_given(self) -> bool:
        """Whether anything is given."""
        return bool(self.parts or self.waiting)


def free_of(row: Stock, owed: int = 0) -> int:
    """Return the units of a row that are neither held, kept back nor due to the SKU's queue."""
    return max(0, row.on_hand - row.reserved - row.safety_stock - owed)


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
    if not policy.split:
        if demand.home is not None:
            free = {name: units for name, units in free.items() if name == demand.home}
        whole = _first(demand.first, _whole(policy, free, _in_region(free, region, register)))
        return _place_whole(demand, whole, free, limit)
    units = min(demand.quantity, limit)
    waiting = min(demand.quantity - units, demand.backorders)
    if not units + waiting or (units + waiting < demand.quantity and not demand.partial):
        return Placing((), units + waiting)
    if not units:
        return Placing((), waiting, waiting)
    regional = _first(demand.first, _in_region(free, region, register))
    if regional and sum(free[name] for name in regional) >= units:
        return Placing(_take(units, regional, regional, free), units + waiting, waiting)
    whole = _whole(policy, free, regional)
    parts = _by_free(free) if policy.strategy == "fewest_splits" else whole  # with `most_stock` both are that
    taken = _take(units, _first(demand.first, whole), _first(demand.first, parts), free)
    return Placing(taken, units + waiting, waiting)


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


def _take(quantity: int, whole: Sequence[str], parts: Sequence[str], free: Mapping[str, int]) -> Parts:
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


def _place_whole(demand: Demand, whole: Sequence[str], free: Mapping[str, int], limit: int) -> Placing:
    """Place all of it in one warehouse or in the queue; else, if that will do, the most that one of them has."""
    best, most = None, 0
    for name in whole:
        units = min(free[name], limit)
        if units >= demand.quantity:
            return Placing(((name, demand.quantity),), demand.quantity)
        if units > most:
            best, most = name, units
    if demand.quantity <= demand.backorders:
        return Placing((), demand.quantity, demand.quantity)
    if best is None:
        return Placing((), demand.backorders, demand.backorders if demand.partial else 0)
    return Placing(((best, most),) if demand.partial else (), most)
