"""Owns the placing of a quantity: which warehouses give how much of it, by a channel's policy and strategy.

What a channel may have is decided in `schemas/availability.py`; here it is only divided.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from schemas.availability import may_sell, open_warehouses, shelf_of
from schemas.policies import Policy
from tables.core.book import waits
from tables.core.decision import Sku
from tables.core.register import Register
from tables.core.rows import BookRow, Class, FullReservation, Inbound
from tables.core.shelf import Hurdle, Shelf, free_of

# Shelves of so few rows are made anew, unless somebody waits: each takes about 700 bytes, and 150 for each row.
FEW_ROWS = 8
# A SKU's shelves are kept while they have so many times its rows, each shelf counted as `_EMPTY_SHELF` rows more. There
# are more lists of warehouses than rows allow only where many channels list many: their shelves are made for each look.
_KEPT_TIMES = 32
_EMPTY_SHELF = 5
# And so many at most, as each change of a row goes to each of them; so many classes may wait.
_KEPT_SHELVES = 256

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
    if book is None or not book.inbounds:
        return ()
    return tuple(
        inbound
        for inbound in book.inbounds
        if (only is None or inbound.warehouse == only) and may_sell(inbound, policy, register.warehouses, now_ms, until)
    )


def shelf_for(sku: Sku, policy: Policy, register: Register) -> Shelf:
    """Return the shelf of a SKU's rows that are open to a channel.

    Args:
        sku: the SKU's rows.
        policy: the channel's for the SKU.
        register: the warehouses in force.
    """
    shelves = sku.shelves
    found = None if shelves is None else shelves.get(policy.warehouses)
    if found is None or found.edition is not register.edition:
        names = open_warehouses(policy, sku.stock, register.warehouses)
        found = Shelf(names, [free_of(sku.stock[name]) for name in names], register.edition)
        if len(sku.stock) <= FEW_ROWS and not waits(sku.book):
            return found
        if shelves is None or not _is_room(shelves.values(), len(names), len(sku.stock)):
            shelves = sku.shelves = {}
        shelves[policy.warehouses] = found
    return found


def _is_room(shelves: Collection[Shelf], names: int, rows: int) -> bool:
    """Return whether a shelf of so many warehouses may be kept beside others, for a SKU of so many rows."""
    kept = names + sum(len(shelf.names) for shelf in shelves) + _EMPTY_SHELF * (len(shelves) + 1)
    return len(shelves) < _KEPT_SHELVES and kept <= _KEPT_TIMES * (rows + _EMPTY_SHELF)


def classes_with_goods(sku: Sku) -> list[Class]:
    """Return the classes that waited for a hurdle of the SKU's shelves to be passed, each time it was, once."""
    found: list[Class] = []
    for shelf in (sku.shelves or {}).values():
        if shelf.passed:
            found += shelf.passed
            shelf.passed = []
    return found


def place(demand: Demand, policy: Policy, sku: Sku, register: Register) -> Placing:
    """Divide a quantity among the warehouses that are open to a channel.

    Args:
        demand: what is to be placed.
        policy: the channel's for the SKU.
        sku: the SKU's rows.
        register: the warehouses in force.
    """
    shelf = shelf_for(sku, policy, register)
    open_, only = shelf.less(demand.owed), demand.only
    limit = min(shelf_of(policy, (open_.total,)), open_.total if only is None else open_.of(only))
    regional = None
    if policy.strategy == "region" and demand.region is not None:
        regional = shelf.in_region(demand.region, register).less(demand.owed)
    supply = {it.inbound_id: free_of_inbound(it, demand.owed) for it in demand.supplies}
    if not policy.split:
        named = only if demand.home is None else demand.home
        if named is not None:
            open_, regional = open_.alone(named), None
        if demand.home is not None:
            at_home = (it.inbound_id for it in demand.supplies if it.warehouse == demand.home)
            supply = {name: supply[name] for name in at_home}
        return _place_whole(demand, _Order(policy, demand.first, open_, regional), limit, supply)
    units = min(demand.quantity, limit)
    promised = min(demand.quantity - units, sum(supply.values()))
    backordered = min(demand.quantity - units - promised, demand.backorders)
    given = units + promised + backordered
    if not given or (given < demand.quantity and not demand.partial):
        return Placing((), given)
    claims = take(promised, tuple(supply), tuple(supply), supply) if promised else ()
    if not units:
        return Placing((), given, claims, backordered)
    if only is not None:
        return Placing(((only, units),), given, claims, backordered)
    if regional is not None and regional.total >= units:
        return Placing(_Order(policy, demand.first, regional).take(units), given, claims, backordered)
    return Placing(_Order(policy, demand.first, open_, regional).take(units), given, claims, backordered)


def hurdle_of(row: FullReservation, home: str | None, policy: Policy, shelf: Shelf) -> Hurdle:
    """Return what has to be there before a reservation that waits can have anything; if it is there, it can.

    Args:
        row: the reservation.
        home: where it grows if it may not be split; None: anywhere.
        policy: the channel's for the SKU.
        shelf: what is open to it.
    """
    if not policy.enabled:
        return None
    if policy.split:
        return shelf.hurdle(row.only, 1, policy.buffer)
    return shelf.hurdle(home, row.waiting, policy.buffer)


class _Order:
    """The order in which warehouses are asked for units.

    Args:
        policy: of the channel; its strategy says the order.
        first: those that come before all others, as far as they are on the shelf.
        shelf: all that are asked.
        regional: those of the reservation's region, which come next.
    """

    def __init__(self, policy: Policy, first: Sequence[str], shelf: Shelf, regional: Shelf | None = None) -> None:
        self._strategy = policy.strategy
        self._first = [name for name in first if shelf.has(name)]
        self._shelf = shelf
        self._regional = regional

    @property
    def most(self) -> int:
        """The most that one of them has."""
        return self._shelf.most

    def first_with(self, units: int) -> str | None:
        """Return the first that has so many units, 1 or more; None when none has."""
        for name in self._first:
            if self._shelf.of(name) >= units:
                return name
        if self._strategy == "most_stock" and self._shelf.most >= units:
            return self._shelf.first_with(self._shelf.most)
        found = None if self._regional is None else self._regional.first_with(units)
        return self._shelf.first_with(units) if found is None else found

    def take(self, units: int) -> Parts:
        """Return who gives how much of units that are there: the first that has all, else several in order."""
        whole = self.first_with(units)
        if whole is not None:
            return ((whole, units),)
        taken: dict[str, int] = {}
        for name, has in self._parts():
            if name not in taken:
                taken[name] = min(has, units)
                units -= taken[name]
                if not units:
                    break
        return tuple(taken.items())

    def _parts(self) -> Iterator[tuple[str, int]]:
        """Yield who has anything in the order in which they give a part; some of them more than once."""
        yield from ((name, units) for name in self._first if (units := self._shelf.of(name)))
        if self._strategy in {"most_stock", "fewest_splits"}:
            yield from self._shelf.richest_first()
            return
        if self._regional is not None:
            yield from self._regional.in_order()
        yield from self._shelf.in_order()


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


def _place_whole(demand: Demand, order: _Order, limit: int, supply: Mapping[str, int]) -> Placing:
    """Place all of it in one warehouse, in one delivery or in the queue; else, if that will do, the most of one."""
    quantity = demand.quantity
    name = order.first_with(quantity) if quantity <= limit else None
    if name is not None:
        return Placing(((name, quantity),), quantity)
    for inbound_id, units in supply.items():
        if units >= quantity:
            return Placing((), quantity, ((inbound_id, quantity),))
    if quantity <= demand.backorders:
        return Placing((), quantity, (), quantity)
    most = min(order.most, limit)
    if most and (name := order.first_with(most)) is not None:
        return Placing(((name, most),) if demand.partial else (), most)
    best = _most_of(supply)
    if best is not None:
        return Placing((), best[1], (best,) if demand.partial else ())
    return Placing((), demand.backorders, (), demand.backorders if demand.partial else 0)


def _most_of(units_of: Mapping[str, int]) -> tuple[str, int] | None:
    """Return the first of those that have the most, with its units; None when none has any."""
    name = max(units_of, key=lambda name: units_of[name], default=None)
    return None if name is None or not units_of[name] else (name, units_of[name])
