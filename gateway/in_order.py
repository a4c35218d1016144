"""Owns an ordered set of keys: inserting and finding take O(log n) (the library `sortedcontainers`, ADR 0006)."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from sortedcontainers import SortedList

K = TypeVar("K", bound=str | tuple[str, str])


class InOrder(Generic[K]):
    """Keys in order; each may be added once only.

    Strings are compared by code point, which is the byte order of their UTF-8.
    """

    def __init__(self, keys: Iterable[K] = ()) -> None:
        self._keys = SortedList(keys)
        self.add = self._keys.add
        self.discard = self._keys.discard
        self.clear = self._keys.clear

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: K) -> bool:
        return key in self._keys

    def since(self, least: K) -> Iterator[K]:
        """Iterate over the keys from `least` on; nothing may be added or removed meanwhile."""
        found: Iterator[K] = self._keys.irange(least)
        return found
