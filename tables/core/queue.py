"""Owns the queue of a SKU: its reservations that wait, in classes and by rank. It follows from their rows."""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from heapq import merge
from typing import Generic, NamedTuple, TypeVar

from tables.core.rows import Claims, FullReservation, Reservation

# Reservations of one channel that may wait for the same goods: (channel, the warehouse that they named or None).
Class = tuple[str, str | None]
MAX_CLASSES = 256


class Rank(NamedTuple):
    """The place of a reservation in the queue; lower is better. `placed` is the offset at which it was given."""

    priority: int
    placed: int
    reservation_id: str


class WaitsFor(NamedTuple):
    """What the queue knows of one that waits: for each of its claims (inbound id or None, promised date or None)."""

    of: Class
    claims: tuple[tuple[str | None, int | None], ...]


def rank_of(reservation_id: str, row: Reservation) -> tuple[Class, Rank] | None:
    """Return the class and rank of a reservation, also when it does not wait any more; None if it never did."""
    if not isinstance(row, FullReservation) or row.priority is None or row.placed is None:
        return None
    return (row.channel, row.only), Rank(row.priority, row.placed, reservation_id)


def waiting_for(claims: Claims) -> tuple[tuple[str | None, int | None], ...]:
    """Return what the claims of a reservation wait for."""
    return tuple((inbound_id, date) for inbound_id, _, date in claims)


K = TypeVar("K", bound=Hashable)


class _Ranked(Generic[K]):
    """Ranks in groups, sorted in each; a group without any is not there."""

    def __init__(self) -> None:
        self.groups: dict[K, list[Rank]] = {}

    def add(self, group: K, rank: Rank) -> None:
        insort(self.groups.setdefault(group, []), rank)

    def remove(self, group: K, rank: Rank) -> None:
        ranks = self.groups[group]
        del ranks[bisect_left(ranks, rank)]
        if not ranks:
            del self.groups[group]

    def heads(self) -> list[Rank]:
        return sorted(ranks[0] for ranks in self.groups.values())


class Queue:
    """The reservations of one SKU that wait."""

    def __init__(self) -> None:
        self._waiting: dict[Rank, WaitsFor] = {}
        self._all: _Ranked[Class] = _Ranked()
        self._undated: _Ranked[Class] = _Ranked()
        self._claimants: dict[str, _Ranked[int | None]] = {}  # by inbound, in groups by the date that was said

    @property
    def size(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def classes(self) -> dict[Class, list[Rank]]:
        """The ranks of each class."""
        return self._all.groups

    def put(self, rank: Rank, waiting: WaitsFor) -> None:
        """Add a reservation, or change what it waits for."""
        if self._waiting.get(rank) != waiting:
            self.remove(rank)
            self._waiting[rank] = waiting
            self._all.add(waiting.of, rank)
            for inbound_id, date in waiting.claims:
                if inbound_id is None:
                    self._undated.add(waiting.of, rank)
                else:
                    self._claimants.setdefault(inbound_id, _Ranked()).add(date, rank)

    def remove(self, rank: Rank) -> None:
        """Remove a reservation; one that is not there is no error."""
        waiting = self._waiting.pop(rank, None)
        if waiting is None:
            return
        self._all.remove(waiting.of, rank)
        for inbound_id, date in waiting.claims:
            if inbound_id is None:
                self._undated.remove(waiting.of, rank)
            else:
                self._claimants[inbound_id].remove(date, rank)
                if not self._claimants[inbound_id].groups:
                    del self._claimants[inbound_id]

    def heads(self, *, undated: bool = False) -> list[Rank]:
        """Return the best of each class, by rank; with `undated` of those who wait without a date."""
        return (self._undated if undated else self._all).heads()

    def best_claimant(self, inbound_id: str) -> Rank:
        """Return the best rank that waits for announced goods; there has to be one."""
        return min(ranks[0] for ranks in self._claimants[inbound_id].groups.values())

    def worst_claimant(self, inbound_id: str) -> Rank:
        """Return the worst rank that waits for announced goods; there has to be one."""
        return max(ranks[-1] for ranks in self._claimants[inbound_id].groups.values())

    def untold(self, inbound_id: str, eta_at: int) -> Rank | None:
        """Return the best rank that waits for announced goods and was told another date; None when nobody was."""
        claimants = self._claimants.get(inbound_id)
        groups = {} if claimants is None else claimants.groups
        return min((ranks[0] for date, ranks in groups.items() if date != eta_at), default=None)

    def first(self, count: int) -> Iterator[Rank]:
        """Yield the first so many of all classes, by rank."""
        for number, rank in enumerate(merge(*self._all.groups.values())):
            if number == count:
                return
            yield rank
