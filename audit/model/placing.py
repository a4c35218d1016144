"""Owns the placing of units: which rows, announced goods and backorders give what a reservation asks for."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from audit.model.book import Book
from audit.model.documents import Hold, Holding, draw_from
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
    """What a reservation says about where its units come from.

    Args:
        only: the warehouse that its `reserve` named.
        region: the region that it named.
        wait: what units may wait for: `none`, `inbound` or `any`.
        promise_by: the last date that will do.
        has: the warehouses where it has allocations, in their order.
        awaits: where the announced goods of its first dated claim come.
    """

    only: str | None = None
    region: str | None = None
    wait: str = "none"
    promise_by: int | None = None
    has: tuple[str, ...] = ()
    awaits: str | None = None

    @property
    def home(self) -> str | None:
        """The warehouse at which a reservation that may not be split grows; None: it may choose one."""
        return self.only or (self.has[0] if self.has else self.awaits)

    def place(self, policy: PolicyInForce) -> str | None:
        """Return the one warehouse that may give or await its units; None: it may choose."""
        return self.only if policy.split else self.home


class Offer(NamedTuple):
    """What a reservation may be given.

    Args:
        rows: the rows with their free units, in base order.
        local: those of its region, if the strategy goes by region; else none.
        shelf: the most units that all rows together give.
        near: inbounds with their free units, in the order in which they are taken.
        backorders: how many units may wait without a date.
        has: the warehouses that come first, whatever the strategy: those where the reservation has allocations.
    """

    rows: list[Holding]
    local: list[Holding]
    shelf: int
    near: list[Holding]
    backorders: int
    has: tuple[str, ...] = ()


class Placing(NamedTuple):
    """What a reservation is given: units of rows, units of inbounds, and units that wait without a date."""

    rows: list[Holding]
    inbounds: list[Holding]
    backordered: int

    def given(self) -> int:
        """Return the units given."""
        return sum(units for _, units in (*self.rows, *self.inbounds)) + self.backordered


def wish_of(hold: Hold, book: Book | None, wait: str = "none", promise_by: int | None = None) -> Wish:
    """Return the wish of a reservation that there is, which may grow or waits."""
    has = tuple(warehouse for warehouse, _ in hold.allocations)
    dated = [inbound_id for inbound_id, _, _ in hold.claims if inbound_id is not None]
    awaits = book.inbounds[dated[0]].warehouse if book and dated else None
    return Wish(hold.only, hold.region, wait, promise_by, has, awaits)


def offer_to(
    wish: Wish, supply: Supply, policy: PolicyInForce, warehouses: Mapping[str, WarehouseInForce], now_ms: int
) -> Offer:
    """Return what a reservation of the channel may be given."""
    mine = open_rows(supply.free, policy, warehouses)
    at = wish.place(policy)
    rows = mine if at is None else [row for row in mine if row[0] == at]
    local: list[Holding] = []
    if policy.strategy == "region" and wish.region is not None:
        local = [row for row in rows if warehouses.get(row[0], UNSET_WAREHOUSE).region == wish.region]
    shelf = min(shelf_of(mine, policy), sum(free for _, free in rows))
    near: list[Holding] = []
    if wish.wait != "none":
        inbounds = near_inbounds(supply.inbounds, policy, warehouses, now_ms, wish.promise_by, at)
        near = [(inbound.inbound_id, inbound.free) for inbound in inbounds]
    backorders = backorder_room_of(policy, supply.backordered) if wish.wait == "any" else 0
    return Offer(rows, local, shelf, near, backorders, wish.has)


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
        local = _first(offer.has, offer.local)
        return take(quantity, local, local)
    return take(quantity, *_orders(offer, strategy))


def _orders(offer: Offer, strategy: str) -> tuple[list[Holding], list[Holding]]:
    """Return the rows in the orders `whole` and `parts` of the strategy."""
    whole = parts = offer.rows
    if strategy == "region":
        whole = parts = offer.local + [row for row in offer.rows if row not in offer.local]
    elif strategy != "priority":
        parts = sorted(offer.rows, key=lambda row: -row[1])  # equals stay in base order
        whole = parts if strategy == "most_stock" else offer.rows
    return _first(offer.has, whole), _first(offer.has, parts)


def _first(names: Iterable[str], rows: list[Holding]) -> list[Holding]:
    """Return rows with those of some warehouses first, in the order of these."""
    free = dict(rows)
    first = [(name, free.pop(name)) for name in names if name in free]
    return first + list(free.items())


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
