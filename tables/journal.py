"""Owns the reading of journals: the entries in the store and those of the open transaction, as one."""

from bisect import bisect_right

from tables.core.decision import JournalEntry
from tables.core.rows import JOURNAL, JournalRow, Row, journal_id, journal_place
from tables.store import Store

_PLACE = 13 + 16  # hexadecimal digits of time and sequence number


class _Fresh:
    """What the open transaction did to one journal: entries are added at the end and removed from the beginning."""

    def __init__(self) -> None:
        self.added: list[JournalEntry] = []
        self.removed = b""  # the last key that was removed


Fresh = dict[bytes, _Fresh]  # by the beginning of a journal's keys


def note(fresh: Fresh, key: bytes, row: Row | None) -> None:
    """Note an entry that the open transaction writes or removes."""
    changes = fresh.setdefault(key[:-_PLACE], _Fresh())
    if isinstance(row, JournalRow):
        changes.added.append(JournalEntry(*journal_place(key), row))
    else:
        changes.removed = max(changes.removed, key)


class StoredJournal:
    """The journal of one stock row; see `tables.core.decision.Journal`.

    An entry is removed only when no count can ask for it any more, so `last` need not know which ones were.
    """

    def __init__(self, store: Store, fresh: Fresh, prefix: bytes) -> None:
        self._store = store
        self._changes = fresh.get(prefix) or _Fresh()
        self._prefix = prefix

    def last(self, at: int) -> JournalEntry | None:
        """Return the last entry that is not after a time (ms); None when there is none."""
        added = self._changes.added
        place = bisect_right(added, at, key=lambda entry: entry.at)
        if place:
            return added[place - 1]
        found = self._store.last(self._prefix, self._prefix + f"{at + 1:013x}".encode())
        return None if found is None else JournalEntry(*journal_place(found[0]), JOURNAL.decode(found[1]))

    def find(self, at: int, seq: int) -> JournalEntry | None:
        """Return the entry of a time and sequence number; None when there is none."""
        added = next((entry for entry in self._changes.added if entry[:2] == (at, seq)), None)
        if added is not None:
            return added
        value = self._store.get(self._prefix + journal_id(at, seq))
        return None if value is None else JournalEntry(at, seq, JOURNAL.decode(value))

    def first(self, count: int, after: int = -1) -> list[JournalEntry]:
        """Return the first so many entries that are after a time (ms)."""
        start = max(self._prefix + journal_id(after + 1, 0), self._changes.removed + b"\0")
        entries: list[JournalEntry] = []
        for key, value in self._store.scan(start, self._prefix[:-1] + b"\x01"):
            entries.append(JournalEntry(*journal_place(key), JOURNAL.decode(value)))
            if len(entries) == count:
                return entries
        removed = journal_place(self._changes.removed) if self._changes.removed else (-1, -1)
        added = self._changes.added
        return (entries + [entry for entry in added if entry[:2] > removed and entry.at > after])[:count]
