"""Owns the queue of a SKU: its reservations that wait, in classes and by rank. It follows from their rows."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from tables.core.rows import FullReservation, Reservation

# Reservations of one channel that may wait for the same goods: (channel, the warehouse that they named or None).
Class = tuple[str, str | None]
MAX_CLASSES = 256


class Rank(NamedTuple):
    """The place of a reservation in the queue; lower is better. `placed` is the offset at which it was given."""

    priority: int
    placed: int
    reservation_id: str


def rank_of(reservation_id: str, row: Reservation) -> tuple[Class, Rank] | None:
    """Return the class and rank of a reservation, also when it does not wait any more; None if it never did."""
    if not isinstance(row, FullReservation) or row.priority is None or row.placed is None:
        return None
    return (row.channel, row.only), Rank(row.priority, row.placed, reservation_id)


class Queue:
    """The reservations of one SKU that wait."""

    def __init__(self) -> None:
        self.classes: dict[Class, list[Rank]] = {}
        self.size = 0

    def put(self, of: Class, rank: Rank) -> None:
        """Add a reservation; one that is there stays where it is."""
        ranks = self.classes.setdefault(of, [])
        place = bisect_left(ranks, rank)
        if place == len(ranks) or ranks[place] != rank:
            insort(ranks, rank)
            self.size += 1

    def remove(self, of: Class, rank: Rank) -> None:
        """Remove a reservation; one that is not there is no error."""
        ranks = self.classes.get(of, [])
        place = bisect_left(ranks, rank)
        if place < len(ranks) and ranks[place] == rank:
            del ranks[place]
            self.size -= 1
            if not ranks:
                del self.classes[of]

    def heads(self) -> list[Rank]:
        """Return the best of each class, by rank."""
        return sorted(ranks[0] for ranks in self.classes.values())

    def first(self, count: int) -> Iterator[Rank]:
        """Yield the first so many of all classes, by rank."""
        for number, rank in enumerate(merge(*self.classes.values())):
            if number == count:
                return
            yield rank
