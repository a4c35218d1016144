"""Owns the last stock changes that a gateway has read: so many of all SKUs together, found by SKU."""

from array import array
from typing import NamedTuple

import msgspec

MOST_RECENT = 1_000  # that one answer lists
USUAL_RECENT = 100


class Read(msgspec.Struct, gc=False):
    """A stock change as it was read.

    `follows` says that the one before it, of the sequence number before, was read as well or that there is none: in a
    compacted topic changes may be missing between two that are there.
    """

    sku: str
    partition: int
    seq: int
    at: int
    follows: bool
    value: bytes


class Recent(NamedTuple):
    """The last changes of a SKU in their order, JSON. None after `from_at` (ms) is missing; 0: none at all is."""

    values: list[bytes]
    from_at: int


class RecentChanges:
    """The last changes of all SKUs.

    Args:
        most: how many in all.
        partitions: of how many partitions; while all records are read anew, each has its share.
    """

    def __init__(self, most: int, partitions: int = 1) -> None:
        self._most = most
        self._share = max(1, most // partitions)
        self.clear()

    def clear(self) -> None:
        """Forget everything, before the topic is read again from its beginning."""
        self._count = 0
        self._held: list[Read] = []  # the change of number n lies at n modulo `most`
        self._before = array("q")  # the number of the same SKU's change before it; -1 when that was never held
        self._last: dict[str, int] = {}  # by SKU
        self._dropped_at: dict[int, int] = {}  # by partition: when the last change was made that is not held any more

    def wants(self, to_end: int) -> bool:
        """Return whether records are to be put of which so many follow in the same partition."""
        return to_end <= self._share

    def pass_over(self, partition: int, at: int) -> None:
        """Note that changes of a partition were not put, the last one of a time (ms)."""
        self._dropped_at[partition] = max(at, self._dropped_at.get(partition, 0))

    def put(self, change: Read) -> None:
        """Add a change, and drop the oldest one if there are too many."""
        number, before = self._count, self._last.get(change.sku, -1)
        self._count += 1
        self._last[change.sku] = number
        if number < self._most:
            self._held.append(change)
            self._before.append(before)
            return
        place = number % self._most
        oldest = self._held[place]
        self._dropped_at[oldest.partition] = oldest.at
        if self._last[oldest.sku] == number - self._most:
            del self._last[oldest.sku]
        self._held[place], self._before[place] = change, before

    def of(self, sku: str, limit: int, last_at: int) -> Recent:
        """Return the last changes of a SKU that are held without a gap.

        Args:
            sku: the SKU.
            limit: how many at most, 1 or more.
            last_at: the time (ms) of its last change, held or not; 0 when it has none.
        """
        values: list[bytes] = []
        number = self._last.get(sku, -1)
        while self._is_held(number):
            change = self._held[number % self._most]
            if len(values) == limit:
                return Recent(values[::-1], change.at)
            values.append(change.value)
            if not change.follows:
                return Recent(values[::-1], change.at)
            if change.seq == 1:
                return Recent(values[::-1], 0)
            last_at = self._dropped_at.get(change.partition, change.at)
            number = self._before[number % self._most]
        return Recent(values[::-1], last_at)

    def _is_held(self, number: int) -> bool:
        return number >= max(0, self._count - self._most)
