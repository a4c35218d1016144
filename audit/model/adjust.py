"""Owns the model's rule for `adjust`."""

from audit.model.documents import StockRow, cause_of
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import Adjust

MAX_WAREHOUSES = 1_000
MAX_UNITS = (1 << 53) - 1  # the largest integer that every JSON reader can represent


def adjust(state: PartitionState, command: Adjust) -> Effect:
    """Set a bucket of a row, or change it by a difference; make the row when it is missing."""
    sku, warehouse, bucket = command.sku, command.warehouse, command.bucket or "on_hand"
    item = state.items.get(sku)
    row = None if item is None else item.rows.get(warehouse)
    if command.count != 0:
        check_warehouses(state, sku, warehouse)
    on_hand, holds = (0, 0) if row is None else (row.on_hand, getattr(row, bucket))
    delta = command.delta if command.delta is not None else (command.count or 0) - holds
    if holds + delta > MAX_UNITS:
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    if command.expected_on_hand is not None and command.expected_on_hand != on_hand:
        raise CommandRefused(Code.STALE_EXPECTATION)
    if holds + delta < 0:
        raise CommandRefused(Code.NEGATIVE_STOCK)
    if delta == 0:
        return None, [(warehouse, row or StockRow())]
    cause = cause_of(command, "adjust", command.reason, command.reference)
    return None, [state.change_row(sku, warehouse, cause, {bucket: delta})]


def check_warehouses(state: PartitionState, sku: str, warehouse: str) -> None:
    """Refuse a row that would be one too many for the SKU."""
    rows = state.items[sku].rows if sku in state.items else {}
    if warehouse not in rows and len(rows) >= MAX_WAREHOUSES:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)


def _content(command: Adjust) -> tuple[object, ...]:
    bucket = command.bucket or "on_hand"
    given = (command.warehouse, command.delta, command.count, bucket, command.reason)
    return (*given, command.reference, command.expected_on_hand)


RULE = Rule(Adjust, adjust, _content)
