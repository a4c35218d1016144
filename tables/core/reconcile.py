"""Owns the rule for `reconcile`: what a count finds is compared with the ledger as of the count's time.

What differs is added to the row as it is now, so movements after the count are kept.
"""

from schemas.codes import Code
from schemas.movements import CountedUnits, Reconcile, ReconciliationView
from tables.core.adjust import MAX_BUCKET, has_no_place_for
from tables.core.decision import KeyedRow, Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.journal import MOVED, entry_at
from tables.core.movements import units_of
from tables.core.rows import COUNT, Correction, CountRow, Stock, WarehouseRow, count_key
from tables.core.rule import Rule

_NO_STOCK = Stock()
_NEVER = CountRow(-1)
Units = dict[str, int]  # by bucket, in the order of `MOVED`


def reconcile(rows: Rows, sku: Sku | None, command: Reconcile, record: Record) -> Outcome | Refusal:
    """Add to the row what the count found more, or take away what it missed."""
    sku = sku or rows.sku_or_book(command.sku) or Sku(0, {})
    warehouse, now_ms = command.warehouse, record.now_ms
    if has_no_place_for(sku, warehouse):
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    key, rule = count_key(command.sku, warehouse), rows.register.journalled.get(warehouse)
    last = rows.row(COUNT, key) or _NEVER
    at = now_ms if command.as_of_at is None else min(command.as_of_at, now_ms)
    code = _unusable(at, last, rule, now_ms)
    if code is not None:
        return Refusal(code)
    row = sku.stock.get(warehouse, _NO_STOCK)
    counted = _counted(command)
    then = _as_of(rows, command, row, last, at)
    drift = {name: units - then[name] for name, units in counted.items()}
    extra = {"reconciliation": _view(command, at, last, then, counted, drift)}
    refused = _refused(command, row, drift)
    if refused is not None:
        return Refusal(refused, extra=None if refused is Code.LIMIT_EXCEEDED else extra)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    draft.move(warehouse, **drift)
    writes: list[KeyedRow] = [(key, _row(last, at, drift, rule, now_ms))]
    return draft.outcome(writes=writes, extra=extra)


def _unusable(at: int, last: CountRow, rule: WarehouseRow | None, now_ms: int) -> Code | None:
    """Return why a count of this time cannot be compared; None when it can."""
    if at <= last.as_of_at:
        return Code.STALE_COUNT
    if at == now_ms:
        return None
    if rule is None or rule.journal_since is None or at < rule.journal_since or at <= now_ms - rule.journal_ms:
        return Code.AS_OF_TOO_OLD
    return None


def _refused(command: Reconcile, row: Stock, drift: Units) -> Code | None:
    """Return why what a count found is not applied; None when it is."""
    after = [units_of(row, name) + units for name, units in drift.items()]
    if max(after) > MAX_BUCKET:
        return Code.LIMIT_EXCEEDED
    if command.tolerance is not None and max(map(abs, drift.values())) > command.tolerance:
        return Code.DRIFT_ABOVE_TOLERANCE
    return Code.NEGATIVE_STOCK if min(after) < 0 else None


def _counted(command: Reconcile) -> Units:
    given = (command.counted_on_hand, command.counted_damaged, command.counted_quarantine)
    return {name: units for name, units in zip(MOVED, given, strict=True) if units is not None}


def _as_of(rows: Rows, command: Reconcile, row: Stock, last: CountRow, at: int) -> Units:
    """Return what the ledger had at a time, with the corrections that count from before it."""
    entry, rule = None, rows.register.journalled.get(command.warehouse)
    if rule is not None:
        entry = entry_at(rows.journal(command.sku, command.warehouse), rule, at)
    then = {name: units_of(row, name) if entry is None else getattr(entry.row, name) for name in MOVED}
    for counted_at, applied_at, *drifts in last.corrections:
        if counted_at <= at < applied_at:
            for name, units in zip(MOVED, drifts, strict=True):
                then[name] += units
    return then


def _row(last: CountRow, at: int, drift: Units, rule: WarehouseRow | None, now_ms: int) -> CountRow:
    """Return the row's last count, with the corrections that still reach back."""
    kept_ms = 0 if rule is None else rule.journal_ms
    corrections = last.corrections
    if at < now_ms and any(drift.values()):
        correction: Correction = (at, now_ms, *(drift.get(name, 0) for name in MOVED))  # type: ignore[assignment]
        corrections = (*corrections, correction)
    return CountRow(at, tuple(each for each in corrections if now_ms < each[1] + kept_ms))


def _view(command: Reconcile, at: int, last: CountRow, then: Units, counted: Units, drift: Units) -> ReconciliationView:
    since = None if last is _NEVER else last.as_of_at
    ledger = {name: then[name] for name in counted}
    return ReconciliationView(
        command.warehouse, at, since, CountedUnits(**ledger), CountedUnits(**counted), CountedUnits(**drift)
    )


def _content(c: Reconcile) -> tuple[object, ...]:
    counted = (c.counted_on_hand, c.counted_damaged, c.counted_quarantine)
    return ("reconcile", c.warehouse, *counted, c.as_of_at, c.tolerance, c.reference)


RULE = Rule(Reconcile, reconcile, content=_content, cause=("reference",))
