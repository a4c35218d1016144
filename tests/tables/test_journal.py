"""A journal is read as one, whether its entries are in the store or of the open transaction."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.core.decision import JournalEntry
from tables.core.rows import JournalRow, journal_key, journal_prefix
from tables.journal import Fresh, StoredJournal, note
from tables.store import MemoryStore

ENTRIES = [JournalEntry(at, seq, JournalRow(seq, 0, 0)) for at, seq in ((5, 0), (5, 1), (7, 2), (7, 3), (9, 4))]


def journal(stored, added=(), removed=()):
    store, fresh = MemoryStore(), Fresh()
    for it in (*stored, JournalEntry(1, 9, JournalRow(0, 0, 0))):
        where = "leeds" if it in ENTRIES else "leed"
        store.write([(journal_key("S", where, it.at, it.seq), msgspec.msgpack.encode(it.row))])
    for it in added:
        note(fresh, journal_key("S", "leeds", it.at, it.seq), it.row)
    for it in removed:
        note(fresh, journal_key("S", "leeds", it.at, it.seq), None)
    return StoredJournal(store, fresh, journal_prefix("S", "leeds"))


@pytest.mark.parametrize("stored", range(len(ENTRIES) + 1))
def test_the_last_entry_of_a_time_is_found_wherever_it_is(stored):
    found = journal(ENTRIES[:stored], ENTRIES[stored:])
    assert [found.last(at) for at in (4, 5, 6, 7, 8, 9, 99)] == [
        None, ENTRIES[1], ENTRIES[1], ENTRIES[3], ENTRIES[3], ENTRIES[4], ENTRIES[4],
    ]  # fmt: skip
    assert [found.find(*place) for place in ((5, 0), (7, 3), (7, 9))] == [ENTRIES[0], ENTRIES[3], None]


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 9), st.integers(-1, 9))
def test_the_first_entries_are_those_that_nobody_removed(stored, removed, count, after):
    found = journal(ENTRIES[:stored], ENTRIES[stored:], ENTRIES[:removed])
    assert found.first(count, after) == [it for it in ENTRIES[removed:] if it.at > after][:count]
