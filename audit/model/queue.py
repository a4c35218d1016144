"""Owns the queue of a SKU: the reservations that wait, by class and rank."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import merge

from audit.model.documents import Hold

MAX_CLASSES = 256

Class = tuple[str, str | None]  # a channel, and the warehouse that the `reserve` named
Ranked = tuple[int | None, int | None, str]  # priority, offset of the record that placed it, the reservation's key


class Queue:
    """The reservations of a SKU that wait. It follows from their rows."""

    def __init__(self) -> None:
        self._classes: dict[Class, list[Ranked]] = {}  # each by rank, the best first; none is empty

    def add(self, key: str, hold: Hold) -> None:
        """Let a reservation wait."""
        insort(self._classes.setdefault((hold.channel, hold.only), []), ranked(key, hold))

    def remove(self, key: str, hold: Hold) -> None:
        """Let a reservation wait no longer."""
        waiting = self._classes[hold.channel, hold.only]
        del waiting[bisect_left(waiting, ranked(key, hold))]
        if not waiting:
            del self._classes[hold.channel, hold.only]

    def has_room_for(self, channel: str, only: str | None) -> bool:
        """Return whether a reservation of this class may wait."""
        return (channel, only) in self._classes or len(self._classes) < MAX_CLASSES

    def heads(self) -> list[str]:
        """Return the key of the best of each class, the best first."""
        return [key for _, _, key in sorted(waiting[0] for waiting in self._classes.values())]

    def by_rank(self) -> Iterator[str]:
        """Yield the keys of all that wait, the best first."""
        return (key for _, _, key in merge(*self._classes.values()))


def ranked(key: str, hold: Hold) -> Ranked:
    """Return a reservation with its rank; the smaller goes first."""
    return hold.priority, hold.placed, key
