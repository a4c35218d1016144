"""Owns the journal of stock rows: what a row had after each movement, so that a count of the past can be compared.

It is kept for warehouses whose `journal_ms` is not 0. An entry is dropped when its successor is older than that; the
last one stays. Entries from before the journal began anew are void.
"""

from collections.abc import Mapping

from tables.core.decision import JournalEntry, KeyedRow, Rows, StockRows
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
        if valid(journal.last(now_ms), rule) is None:
            before = JournalRow(*(units - delta.get(name, 0) for name, units in zip(MOVED, _units(row), strict=True)))
            writes.append((journal_key(sku_id, warehouse, rule.journal_since, 0), before))
        writes.append((journal_key(sku_id, warehouse, now_ms, row.seq), JournalRow(*_units(row))))
        # Two for one, so that what a pause left behind goes too.
        first, second, third = [*journal.oldest(3), None, None, None][:3]
        if first is not None and _is_over(second, rule, now_ms):
            writes.append((journal_key(sku_id, warehouse, first.at, first.seq), None))
            if second is not None and _is_over(third, rule, now_ms):
                writes.append((journal_key(sku_id, warehouse, second.at, second.seq), None))
    return writes


def valid(entry: JournalEntry | None, rule: WarehouseRow) -> JournalEntry | None:
    """Return an entry if it counts; None when it is void, or there is none."""
    since = rule.journal_since
    if entry is None or since is None or entry.at < since or (entry.at == since and entry.seq != 0):
        return None
    return entry


def _is_over(successor: JournalEntry | None, rule: WarehouseRow, now_ms: int) -> bool:
    return successor is not None and successor.at + rule.journal_ms < now_ms


def _units(row: Stock) -> tuple[int, int, int]:
    return row.on_hand, row.damaged, quarantine_of(row)
