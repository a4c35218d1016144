"""Owns the queue of a SKU: its reservations that wait, in classes and by rank. It follows from their rows."""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import chain
from operator import is_not
from typing import Generic, NamedTuple, Self, TypeVar

from tables.core.rows import Claims, Class, FullReservation, Reservation

MAX_CLASSES = 256
# Ranks in a piece, at most: with 50,000 there are some 100 pieces, and moving half of one takes 0.2 us.
_PIECE = 1_000
# So many heads are sorted sooner than they are found among 256.
_FEW = 16


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
    return tuple([(inbound_id, date) for inbound_id, _, date in claims])  # sooner done than by a generator


class Ranks:
    """Ranks in order, in pieces, so that adding or removing one moves few of the others."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[list[Rank]] = [[]]

    def __bool__(self) -> bool:
        return bool(self._pieces[0])

    def __iter__(self) -> Iterator[Rank]:
        return chain.from_iterable(self._pieces)

    @property
    def best(self) -> Rank:
        """The first; there has to be one."""
        return self._pieces[0][0]

    @property
    def worst(self) -> Rank:
        """The last; there has to be one."""
        return self._pieces[-1][-1]

    def add(self, rank: Rank) -> None:
        """Add a rank that is not there."""
        at = self._find(rank)
        piece = self._pieces[at]
        insort(piece, rank)
        if len(piece) > _PIECE:
            self._pieces[at : at + 1] = [piece[: _PIECE // 2], piece[_PIECE // 2 :]]

    def remove(self, rank: Rank) -> None:
        """Remove a rank that is there."""
        at = self._find(rank)
        piece = self._pieces[at]
        del piece[bisect_left(piece, rank)]
        if not piece and len(self._pieces) > 1:
            del self._pieces[at]

    def _find(self, rank: Rank) -> int:
        """Return which piece a rank is in, or belongs to."""
        pieces = self._pieces
        last = len(pieces) - 1
        return last if not last or rank > pieces[last - 1][-1] else bisect_left(pieces, rank, key=_last)


def _last(piece: list[Rank]) -> Rank:
    return piece[-1]


K = TypeVar("K", bound=Hashable)


class _Ranked(Generic[K]):
    """Ranks in groups, sorted in each; a group without any is not there.

    Attributes:
        groups: the ranks of each.
        heads: the best of each group and the group, by rank.
    """

    def __init__(self) -> None:
        self.groups: dict[K, Ranks] = {}
        self.heads: list[tuple[Rank, K]] = []

    def add(self, group: K, rank: Rank) -> None:
        ranks = self.groups.get(group)
        if ranks is None:
            ranks = self.groups[group] = Ranks()
        elif ranks.best < rank:
            ranks.add(rank)
            return
        else:
            self._drop_head(ranks.best)
        ranks.add(rank)
        insort(self.heads, (rank, group), key=_rank)

    def remove(self, group: K, rank: Rank) -> None:
        ranks = self.groups[group]
        was_head = ranks.best == rank
        ranks.remove(rank)
        if was_head:
            self._drop_head(rank)
            if ranks:
                insort(self.heads, (ranks.best, group), key=_rank)
            else:
                del self.groups[group]

    def _drop_head(self, rank: Rank) -> None:
        del self.heads[bisect_left(self.heads, rank, key=_rank)]

    def first(self, count: int, among: Callable[[K], bool] | None = None) -> Iterator[Rank]:
        """Yield the first so many, by rank.

        Args:
            count: how many.
            among: whether a group counts; None: all do.
        """
        # A group is looked into only when its head comes first.
        coming: list[tuple[Rank, Iterator[Rank]]] = []
        found = self.heads if among is None else [head for head in self.heads if among(head[1])]
        heads = iter([*found[:count]])
        head = next(heads, None)
        for _ in range(count):
            if head is not None and (not coming or head[0] < coming[0][0]):
                rank, ranks = head[0], iter(self.groups[head[1]])
                next(ranks)
                head = next(heads, None)
            elif coming:
                rank, ranks = heappop(coming)
            else:
                return
            yield rank
            following = next(ranks, None)
            if following is not None:
                heappush(coming, (following, ranks))


def _rank(head: tuple[Rank, object]) -> Rank:
    return head[0]


class Asking:
    """The classes whose heads may get something: all, but for those that were asked in vain and what it rests on stays.

    Args:
        ranked: who waits, by class.

    Attributes:
        classes: those to ask.
    """

    def __init__(self, ranked: _Ranked[Class]) -> None:
        self._ranked = ranked
        self.classes: set[Class] = set()
        self._rests_on: tuple[object, ...] = ()

    def resting_on(self, *objects: object) -> Self:
        """Return it; all are to be asked if any of these objects is another one than before."""
        if len(objects) != len(self._rests_on) or any(map(is_not, objects, self._rests_on)):
            self._rests_on = objects
            self.classes.update(self._ranked.groups)
        return self

    def heads(self) -> Iterator[tuple[Rank, Class]]:
        """Return the heads to ask, by rank; a class may be taken out when it has been asked."""
        classes, groups = self.classes, self._ranked.groups
        if len(classes) > _FEW:
            return (head for head in self._ranked.heads if head[1] in classes)
        return iter(sorted([(groups[of].best, of) for of in classes if of in groups]))


class Queue:
    """The reservations of one SKU that wait.

    Attributes:
        unfilled: the classes to which what is there may be given.
        undated: the classes to which a date may be given.
    """

    def __init__(self) -> None:
        self._waiting: dict[Rank, WaitsFor] = {}
        self._all: _Ranked[Class] = _Ranked()
        self._undated: _Ranked[Class] = _Ranked()
        self._claimants: dict[str, _Ranked[int | None]] = {}  # by inbound, in groups by the date that was said
        self.unfilled, self.undated = Asking(self._all), Asking(self._undated)

    @property
    def size(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def classes(self) -> Mapping[Class, Ranks]:
        """The ranks of each class."""
        return self._all.groups

    def put(self, rank: Rank, waiting: WaitsFor) -> None:
        """Add a reservation, or note that it changed."""
        self._ask_again(waiting.of)
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
        self._ask_again(waiting.of)
        self._all.remove(waiting.of, rank)
        for inbound_id, date in waiting.claims:
            if inbound_id is None:
                self._undated.remove(waiting.of, rank)
            else:
                self._claimants[inbound_id].remove(date, rank)
                if not self._claimants[inbound_id].groups:
                    del self._claimants[inbound_id]

    def _ask_again(self, of: Class) -> None:
        self.unfilled.classes.add(of)
        self.undated.classes.add(of)

    def best_claimant(self, inbound_id: str) -> Rank:
        """Return the best rank that waits for announced goods; there has to be one."""
        return self._claimants[inbound_id].heads[0][0]

    def worst_claimant(self, inbound_id: str) -> Rank:
        """Return the worst rank that waits for announced goods; there has to be one."""
        return max(ranks.worst for ranks in self._claimants[inbound_id].groups.values())

    def untold(self, inbound_id: str, eta_at: int) -> Rank | None:
        """Return the best rank that waits for announced goods and was told another date; None when nobody was."""
        claimants = self._claimants.get(inbound_id)
        if claimants is None:
            return None
        return next((rank for rank, date in claimants.heads if date != eta_at), None)

    def first(self, count: int, channels: Collection[str] | None = None) -> Iterator[Rank]:
        """Yield the first so many of all classes, or of those of some channels, by rank."""
        return self._all.first(count, None if channels is None else lambda of: of[0] in channels)
