"""Owns the placing of units: which rows, announced goods and backorders give what a reservation asks for."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from audit.model.documents import Holding, draw_from
from audit.model.policies import (
    UNSET_WAREHOUSE,
    PolicyInForce,
    Supply,
    WarehouseInForce,
    backorder_room_of,
    near_inbounds,
    open_rows,
    shelf_of,
)


class Wish(NamedTuple):
    """What a `reserve` says about where its units come from; `only` is the warehouse that it names."""

    only: str | None = None
    region: str | None = None
    wait: str = "none"
    promise_by: int | None = None


class Offer(NamedTuple):
    """What a reservation may be given.

    Args:
        rows: the rows with their free units, in base order.
        local: those of its region, if the strategy goes by region; else none.
        shelf: the most units that all rows together give.
        near: inbounds with their free units, in the order in which they are taken.
        backorders: how many units may wait without a date.
    """

    rows: list[Holding]
    local: list[Holding]
    shelf: int
    near: list[Holding]
    backorders: int


class Placing(NamedTuple):
    """What a reservation is given: units of rows, units of inbounds, and units that wait without a date."""

    rows: list[Holding]
    inbounds: list[Holding]
    backordered: int

    def given(self) -> int:
        """Return the units given."""
        return sum(units for _, units in (*self.rows, *self.inbounds)) + self.backordered


def offer_to(
    wish: Wish, supply: Supply, policy: PolicyInForce, warehouses: Mapping[str, WarehouseInForce], now_ms: int
) -> Offer:
    """Return what a new reservation of the channel may be given."""
    mine = open_rows(supply.free, policy, warehouses)
    rows = mine if wish.only is None else [row for row in mine if row[0] == wish.only]
    local: list[Holding] = []
    if policy.strategy == "region" and wish.region is not None:
        local = [row for row in rows if warehouses.get(row[0], UNSET_WAREHOUSE).region == wish.region]
    shelf = min(shelf_of(mine, policy), sum(free for _, free in rows))
    near: list[Holding] = []
    if wish.wait != "none":
        inbounds = near_inbounds(supply.inbounds, policy, warehouses, now_ms, wish.promise_by, wish.only)
        near = [(inbound.inbound_id, inbound.free) for inbound in inbounds]
    backorders = backorder_room_of(policy, supply.backordered) if wish.wait == "any" else 0
    return Offer(rows, local, shelf, near, backorders)


def place(quantity: int, offer: Offer, policy: PolicyInForce, *, partial: bool) -> Placing:
    """Return what of a quantity can be given; less than the quantity, or nothing, when there is too little."""
    if not policy.split:
        return _place_together(quantity, offer, policy, partial=partial)
    from_rows = min(quantity, offer.shelf)
    rows = _take_from_rows(from_rows, offer, policy.strategy)
    rest = quantity - from_rows
    from_inbounds = min(rest, sum(free for _, free in offer.near))
    inbounds = take(from_inbounds, offer.near, offer.near)
    return Placing(rows, inbounds, min(rest - from_inbounds, offer.backorders))


def take(quantity: int, whole: Iterable[Holding], parts: Iterable[Holding]) -> list[Holding]:
    """Take a quantity from the first of `whole` that has all of it, else as much as there is along `parts`."""
    if quantity == 0:
        return []
    for name, free in whole:
        if free >= quantity:
            return [(name, quantity)]
    return [(name, units) for name, units in draw_from(parts, quantity) if units]


def _take_from_rows(quantity: int, offer: Offer, strategy: str) -> list[Holding]:
    if sum(free for _, free in offer.local) >= quantity:
        return take(quantity, offer.local, offer.local)
    return take(quantity, *_orders(offer, strategy))


def _orders(offer: Offer, strategy: str) -> tuple[list[Holding], list[Holding]]:
    """Return the rows in the orders `whole` and `parts` of the strategy."""
    if strategy == "priority":
        return offer.rows, offer.rows
    if strategy == "region":
        local_first = offer.local + [row for row in offer.rows if row not in offer.local]
        return local_first, local_first
    most_first = sorted(offer.rows, key=lambda row: -row[1])  # equals stay in base order
    return (most_first if strategy == "most_stock" else offer.rows), most_first


def _place_together(quantity: int, offer: Offer, policy: PolicyInForce, *, partial: bool) -> Placing:
    """Place all units on one row or one inbound, or let all of them wait without a date."""
    whole, _ = _orders(offer, policy.strategy)
    rows = [(name, min(free, offer.shelf)) for name, free in whole]
    # What would do, the best first.
    pieces = [Placing([(name, quantity)], [], 0) for name, free in rows if free >= quantity]
    pieces += [Placing([], [(name, quantity)], 0) for name, free in offer.near if free >= quantity]
    pieces += [Placing([], [], quantity)] if quantity <= offer.backorders else []
    if partial:
        pieces += [Placing([row], [], 0) for row in _largest(rows)]
        pieces += [Placing([], [inbound], 0) for inbound in _largest(offer.near)]
        pieces += [Placing([], [], min(quantity, offer.backorders))]
    return pieces[0] if pieces else Placing([], [], 0)


def _largest(holdings: list[Holding]) -> list[Holding]:
    """Return the first holding with the most units; none when all are empty."""
    most_first = sorted(holdings, key=lambda holding: -holding[1])
    return [holding for holding in most_first[:1] if holding[1] > 0]
