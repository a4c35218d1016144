"""Owns the journal of stock rows: what a row had after each movement, so that a count of the past can be compared.

It is kept for warehouses whose `journal_ms` is not 0. An entry is dropped when its successor is older than that; the
last one stays. Entries from before the journal began anew are void.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from tables.core.decision import Journal, JournalEntry, KeyedRow, Rows, StockRows
from tables.core.rows import JournalRow, Stock, WarehouseRow, journal_key, quarantine_of

MOVED = ("on_hand", "damaged", "quarantine")


def entries_of(
    rows: Rows, sku_id: str, stock: StockRows, deltas: tuple[Mapping[str, int], ...], now_ms: int
) -> list[KeyedRow]:
    """Return the journal entries that a decision writes and removes.

    Args:
        rows: the ledger before the decision.
        sku_id: the SKU.
        stock: its changed rows after the decision.
        deltas: what changed in each.
        now_ms: the clock.
    """
    writes: list[KeyedRow] = []
    for (warehouse, row), delta in zip(stock, deltas, strict=True):
        rule = rows.register.journalled.get(warehouse)
        if rule is None or not any(name in delta for name in MOVED):
            continue
        assert rule.journal_since is not None  # noqa: S101 - it is journalled
        if now_ms <= rule.journal_since:
            continue
        journal = rows.journal(sku_id, warehouse)
        if entry_at(journal, rule, now_ms) is None:
            before = JournalRow(*(units - delta.get(name, 0) for name, units in zip(MOVED, _units(row), strict=True)))
            writes.append((journal_key(sku_id, warehouse, rule.journal_since, 0), before))
        writes.append((journal_key(sku_id, warehouse, now_ms, row.seq), JournalRow(*_units(row))))
        writes += ((journal_key(sku_id, warehouse, over.at, over.seq), None) for over in _over(journal, rule, now_ms))
    return writes


def entry_at(journal: Journal, rule: WarehouseRow, at: int) -> JournalEntry | None:
    """Return the last entry that is not after a time (ms) and not void; None when there is none.

    Void are entries from before the journal began anew, and those of movements in the very millisecond in which it did:
    what the row had then is in the entry with sequence number 0.
    """
    entry, since = journal.last(at), rule.journal_since
    if entry is None or since is None or entry.at < since:
        return None
    return journal.find(since, 0) if entry.at == since else entry


def _over(journal: Journal, rule: WarehouseRow, now_ms: int) -> Iterator[JournalEntry]:
    """Yield the oldest entries that no count can ask for: two at most, so that what a pause left behind goes too."""
    oldest = [*journal.first(3)]
    for entry, following in pairwise(oldest):
        # Void ones of the millisecond in which the journal began are no successors.
        later = journal.first(1, after=entry.at) if entry.at == rule.journal_since else [following]
        if not later or later[0].at + rule.journal_ms >= now_ms:
            return
        yield entry


def _units(row: Stock) -> tuple[int, int, int]:
    return row.on_hand, row.damaged, quarantine_of(row)
