"""Owns shelves: what the rows of a SKU that are open to a channel have free, in the channel's base order.

A shelf is kept with its SKU and follows the changes of its rows. So a SKU in a thousand warehouses is placed without a
walk over all of them: their units are in blocks, each with the most that one of its rows has.
"""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush

from tables.core.register import Register
from tables.core.rows import Class, Stock

# Rows in a block: with 1,000 rows there are 32 blocks, so a look at each block and at one block's rows costs least.
BLOCK = 32
MAX_UNITS = 1 << 62  # more than there can be

TOTAL, MOST = -1, -2  # stand for all rows together, and for the row that has most, in a hurdle
# Of which row, and how many units there have to be before there is anything to give. None: it will never be enough.
Hurdle = tuple[int, int] | None


def free_of(row: Stock, owed: int = 0) -> int:
    """Return the units of a row that are neither held, kept back nor due to the SKU's queue."""
    return max(0, row.on_hand - row.reserved - row.safety_stock - owed)


class _Waiting:
    """The classes that wait for units of one row, or of all."""

    __slots__ = ("least", "lowest")

    def __init__(self) -> None:
        self.least: dict[Class, int] = {}
        self.lowest = MAX_UNITS

    def pop_up_to(self, units: int) -> list[Class]:
        """Remove and return those for which so many units are enough."""
        passed = [of for of, least in self.least.items() if least <= units]
        for of in passed:
            del self.least[of]
        self.lowest = min(self.least.values(), default=MAX_UNITS)
        return passed


class Shelf:
    """Free units of warehouses, in an order.

    Args:
        names: the warehouses.
        units: what each has free.
        edition: the state of the reference data that the order follows from.

    Attributes:
        names: the warehouses, in order.
        units: what each has free, in the same order.
        total: what all have together.
        most: the most that one of them has.
        edition: as given.
        passed: the classes whose hurdles have been passed.
    """

    __slots__ = ("_hurdles", "_most", "_places", "_regions", "edition", "most", "names", "passed", "total", "units")

    def __init__(self, names: Sequence[str], units: list[int], edition: object = None) -> None:
        self.names = names
        self.units = units
        self.edition = edition
        self._places = {name: place for place, name in enumerate(names)}
        self._most = [max(units[start : start + BLOCK]) for start in range(0, len(units), BLOCK)]
        self.total = sum(units)
        self.most = max(self._most, default=0)
        self._regions: dict[str, Shelf] = {}
        self._hurdles: dict[int, _Waiting] = {}
        self.passed: list[Class] = []

    def has(self, name: str) -> bool:
        """Return whether a warehouse is one of them."""
        return name in self._places

    def of(self, name: str) -> int:
        """Return what a warehouse has free; 0 for one that is not here."""
        place = self._places.get(name)
        return 0 if place is None else self.units[place]

    def hurdle(self, name: str | None, least: int, buffer: int) -> Hurdle:
        """Return what is missing first before units can be taken, as far as it is.

        Args:
            name: the warehouse that has to have them; None: any.
            least: how many units, 1 or more.
            buffer: how many have to stay, of all rows together.
        """
        if name is None:
            return (MOST, least) if self.most < least else (TOTAL, least + buffer)
        place = self._places.get(name)
        if place is None:
            return None
        return (place, least) if self.units[place] < least else (TOTAL, least + buffer)

    def is_passed(self, hurdle: Hurdle) -> bool:
        """Return whether there is enough."""
        return hurdle is not None and self._has(hurdle[0]) >= hurdle[1]

    def wait_for(self, hurdle: Hurdle, of: Class) -> None:
        """Put a class among the `passed` as soon as there is enough for it."""
        if hurdle is not None:
            place, least = hurdle
            waiting = self._hurdles.get(place)
            if waiting is None:
                waiting = self._hurdles[place] = _Waiting()
            waiting.least[of] = least
            waiting.lowest = min(waiting.lowest, least)

    def _has(self, place: int) -> int:
        if place >= 0:
            return self.units[place]
        return self.total if place == TOTAL else self.most

    def put(self, name: str, units: int) -> None:
        """Note what a warehouse has free now; nothing happens for one that is not here."""
        place = self._places.get(name)
        if place is None or self.units[place] == units:
            return
        more = units - self.units[place]
        self.units[place] = units
        self.total += more
        block = place // BLOCK
        self._most[block] = max(self.units[block * BLOCK : (block + 1) * BLOCK])
        self.most = max(self._most)
        for region in self._regions.values():
            region.put(name, units)
        if more > 0 and self._hurdles:
            for at in (place, TOTAL, MOST):
                waiting = self._hurdles.get(at)
                if waiting is not None and waiting.lowest <= (units := self._has(at)):
                    self.passed += waiting.pop_up_to(units)

    def less(self, owed: int) -> "Shelf":
        """Return the shelf as it is when each row keeps so many units back."""
        if not owed:
            return self
        left = [(name, units - owed) for name, units in self.in_order(owed)]
        return Shelf([name for name, _ in left], [units for _, units in left])

    def alone(self, name: str) -> "Shelf":
        """Return the shelf of one of the warehouses; an empty one when it is not here."""
        return Shelf([name], [self.of(name)]) if self.has(name) else Shelf([], [])

    def in_region(self, region: str, register: Register) -> "Shelf":
        """Return the shelf of a region's warehouses."""
        found = self._regions.get(region)
        if found is None:
            warehouses = ((name, register.warehouses.get(name)) for name in self.names)
            names = [name for name, it in warehouses if it is not None and it.region == region]
            found = self._regions[region] = Shelf(names, [self.of(name) for name in names])
        return found

    def first_with(self, units: int) -> str | None:
        """Return the first warehouse that has so many units, 1 or more; None when none has."""
        for block, most in enumerate(self._most):
            if most >= units:
                start = block * BLOCK
                in_block = self.units[start : start + BLOCK]
                return self.names[start + next(place for place, has in enumerate(in_block) if has >= units)]
        return None

    def in_order(self, above: int = 0) -> Iterator[tuple[str, int]]:
        """Yield the warehouses that have more than so many units, and what they have."""
        for block, most in enumerate(self._most):
            if most > above:
                start = block * BLOCK
                for place, units in enumerate(self.units[start : start + BLOCK], start):
                    if units > above:
                        yield self.names[place], units

    def richest_first(self) -> Iterator[tuple[str, int]]:
        """Yield the warehouses that have anything, those that have most first, equals in order."""
        # A block stands in the heap for its rows, before all of them, until it comes first.
        heap = [(-most, block * BLOCK, True) for block, most in enumerate(self._most) if most]
        heapify(heap)
        while heap:
            units, place, is_block = heappop(heap)
            if not is_block:
                yield self.names[place], -units
                continue
            for at, has in enumerate(self.units[place : place + BLOCK], place):
                if has:
                    heappush(heap, (-has, at, False))
