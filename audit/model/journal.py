"""Owns what was physically in a warehouse at times past: the journal of a stock row, and its counts."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from audit.model.documents import ROW_VERSION, StockRow, encode_row
from audit.model.policies import WarehouseInForce

PHYSICAL = ("on_hand", "damaged", "quarantine")  # the buckets whose units can be counted
Units = tuple[int, int, int]  # of these buckets
_AT_DIGITS = 13  # of the time in the key of an entry, hexadecimal


class Entry(NamedTuple):
    """What was there after a change; with sequence number 0, what was there before the first that is known."""

    at: int
    seq: int
    units: Units


class Correction(NamedTuple):
    """What a count found to be different, and when that was added to the row."""

    as_of_at: int
    applied_at: int
    units: Units


class Counted(NamedTuple):
    """The last accepted count of a row, and the corrections that later counts of the past have to know."""

    as_of_at: int
    corrections: tuple[Correction, ...]

    def with_count(self, as_of_at: int, applied_at: int, drift: Units, journal_ms: int) -> "Counted":
        """Return it after a further count."""
        kept = [it for it in self.corrections if applied_at < it.applied_at + journal_ms]
        if as_of_at < applied_at and any(drift):
            kept.append(Correction(as_of_at, applied_at, drift))
        return Counted(as_of_at, tuple(kept))

    def row(self) -> bytes:
        """Return its row of the ledger."""
        corrections = [[it.as_of_at, it.applied_at, *it.units] for it in self.corrections]
        return encode_row((ROW_VERSION, self.as_of_at, corrections))


def units_of(row: StockRow) -> Units:
    """Return what is physically there."""
    return row.on_hand, row.damaged, row.quarantine


class Journal:
    """The entries of one stock row, in their order. When its warehouse's journal begins anew, all of them are void.

    An entry counts until the clock has passed the next one by the time that is journalled; some may be kept longer.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def write(self, rules: WarehouseInForce, entry: Entry, before: Units) -> list[Entry]:
        """Add a change, unless the warehouse's journal begins later, and return what was added.

        Args:
            rules: of the warehouse.
            entry: the change.
            before: what was there before it.
        """
        since = rules.journal_since
        if since is None or entry.at <= since:
            return []
        if not self._counts(rules):
            self.entries.clear()
        half = len(self.entries) // 2
        if half and self.entries[half].at + rules.journal_ms < entry.at:
            del self.entries[:half]
        new = [entry] if self.entries else [Entry(since, 0, before), entry]
        self.entries += new
        return new

    def live(self, rules: WarehouseInForce, now: int) -> Iterator[Entry]:
        """Yield the entries that count."""
        if self._counts(rules):
            for entry, next_one in pairwise(self.entries):
                if now <= next_one.at + rules.journal_ms:
                    yield entry
            yield self.entries[-1]

    def find(self, at: int, seq: int, rules: WarehouseInForce, now: int) -> Entry | None:
        """Return an entry that counts; None when there is none of this time and number."""
        place = bisect_left(self.entries, (at, seq))
        found = self.entries[place : place + 2]
        if not found or found[0][:2] != (at, seq) or not self._counts(rules):
            return None
        return found[0] if found[-1] is found[0] or now <= found[-1].at + rules.journal_ms else None

    def as_of(self, time: int, rules: WarehouseInForce) -> Units | None:
        """Return what the last entry up to a time says; None without one."""
        place = bisect_left(self.entries, (time + 1,))
        return self.entries[place - 1].units if place and self._counts(rules) else None

    def is_over(self, at: int, seq: int, rules: WarehouseInForce, now: int) -> bool:
        """Return whether an entry that a ledger still has does not count: it is void, or its time is over."""
        if _is_void(at, seq, rules):
            return True
        later = self.entries[bisect_left(self.entries, (at, seq + 1)) :][:1]
        return bool(later) and later[0].at + rules.journal_ms < now

    def _counts(self, rules: WarehouseInForce) -> bool:
        return bool(self.entries) and not _is_void(self.entries[-1].at, self.entries[-1].seq, rules)


def _is_void(at: int, seq: int, rules: WarehouseInForce) -> bool:
    since = rules.journal_since
    return since is None or at < since or (at == since and seq != 0)


def entry_key(place: str, entry: Entry) -> str:
    """Return the key of an entry's row, without the letter of its kind."""
    return f"{place}\0{entry.at:0{_AT_DIGITS}x}{entry.seq:016x}"


def place_of(key: str) -> tuple[str, int, int]:
    """Return the stock row, the time and the number that the key of an entry's row says."""
    place, _, number = key.rpartition("\0")
    return place, int(number[:_AT_DIGITS], 16), int(number[_AT_DIGITS:], 16)


def entry_row(entry: Entry) -> bytes:
    """Return the ledger's row of an entry."""
    return encode_row((ROW_VERSION, *entry.units))
