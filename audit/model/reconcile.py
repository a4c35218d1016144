"""Owns the model's rule for `reconcile`."""

from audit.model.adjust import MAX_UNITS, check_warehouses
from audit.model.documents import Json, StockRow, cause_of
from audit.model.journal import PHYSICAL, Counted, Units, units_of
from audit.model.parts import CommandRefused
from audit.model.policies import UNSET_WAREHOUSE
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.movements import Reconcile


def reconcile(state: PartitionState, command: Reconcile) -> Effect:
    """Add to a row, as it is now, by how much a count differs from the ledger as of the time of the count."""
    sku, warehouse = command.sku, command.warehouse
    place = f"{sku}\0{warehouse}"
    check_warehouses(state, sku, warehouse)
    time = _time_of(state, command, place)
    ledger = _as_of(state, sku, warehouse, time)
    counted = (command.counted_on_hand, command.counted_damaged, command.counted_quarantine)
    pairs = zip(counted, ledger, strict=True)
    on_hand, damaged, quarantine = (0 if count is None else count - units for count, units in pairs)
    drift = (on_hand, damaged, quarantine)
    now = units_of(_row_of(state, sku, warehouse))
    if any(units + by > MAX_UNITS for units, by in zip(now, drift, strict=True)):
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    before = state.counted.get(place)
    state.shown["reconciliation"] = {
        "warehouse": warehouse,
        "as_of_at": time,
        "since": None if before is None else before.as_of_at,
        "ledger": _show(ledger, counted),
        "counted": _show(counted, counted),
        "drift": _show(drift, counted),
    }
    if command.tolerance is not None and max(map(abs, drift)) > command.tolerance:
        raise CommandRefused(Code.DRIFT_ABOVE_TOLERANCE)
    if any(units + by < 0 for units, by in zip(now, drift, strict=True)):
        raise CommandRefused(Code.NEGATIVE_STOCK)
    journal_ms = state.register.warehouses.get(warehouse, UNSET_WAREHOUSE).journal_ms
    state.counted[place] = (before or Counted(time, ())).with_count(time, state.now, drift, journal_ms)
    state.touch(f"F{place}")
    if not any(drift):
        return None, []
    delta = {name: units for name, units in zip(PHYSICAL, drift, strict=True) if units}
    return None, [state.change_row(sku, warehouse, cause_of(command, "reconcile", None, command.reference), delta)]


def _time_of(state: PartitionState, command: Reconcile, place: str) -> int:
    """Return when it was counted, or refuse a count that is not the latest or that the journal does not reach."""
    now = state.now
    time = now if command.as_of_at is None else min(command.as_of_at, now)
    if place in state.counted and time <= state.counted[place].as_of_at:
        raise CommandRefused(Code.STALE_COUNT)
    rules = state.register.warehouses.get(command.warehouse, UNSET_WAREHOUSE)
    since = rules.journal_since
    if time < now and (since is None or time < since or time <= now - rules.journal_ms):
        raise CommandRefused(Code.AS_OF_TOO_OLD)
    return time


def _as_of(state: PartitionState, sku: str, warehouse: str, time: int) -> Units:
    """Return what the ledger has as of a time, with what later counts of the time before it have corrected."""
    place = f"{sku}\0{warehouse}"
    rules = state.register.warehouses.get(warehouse, UNSET_WAREHOUSE)
    units = state.journals[place].as_of(time, rules) if place in state.journals else None
    if units is None:
        return units_of(_row_of(state, sku, warehouse))
    on_hand, damaged, quarantine = units
    for correction in state.counted[place].corrections if place in state.counted else ():
        if correction.as_of_at <= time < correction.applied_at:
            on_hand += correction.units[0]
            damaged += correction.units[1]
            quarantine += correction.units[2]
    return on_hand, damaged, quarantine


def _row_of(state: PartitionState, sku: str, warehouse: str) -> StockRow:
    return state.items[sku].rows.get(warehouse, StockRow()) if sku in state.items else StockRow()


def _show(units: tuple[int | None, ...], counted: tuple[int | None, ...]) -> Json:
    """Return units by bucket, of those that were counted."""
    buckets = zip(PHYSICAL, units, counted, strict=True)
    return {name: number for name, number, count in buckets if count is not None}


def _content(command: Reconcile) -> tuple[object, ...]:
    counted = (command.counted_on_hand, command.counted_damaged, command.counted_quarantine)
    return (command.warehouse, *counted, command.as_of_at, command.tolerance, command.reference)


RULE = Rule(Reconcile, reconcile, _content)
