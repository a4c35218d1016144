"""Owns the model's rule for `return`."""

from audit.model.adjust import MAX_UNITS, check_warehouses
from audit.model.documents import Hold, StockRow, cause_of, decode_hold, encode_row
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState, is_of
from schemas.codes import Code
from schemas.movements import Return

_BUCKETS = {"restock": "on_hand", "damaged": "damaged", "inspect": "quarantine"}


def take_back(state: PartitionState, command: Return) -> Effect:
    """Take goods back that had left the building; with a reservation, no more than it committed."""
    sku, warehouse, quantity = command.sku, command.warehouse, command.quantity
    check_warehouses(state, sku, warehouse)
    hold = None if command.reservation_id is None else _find(state, command, f"{sku}\0{command.reservation_id}")
    if hold is not None and quantity > hold.committed - hold.returned:
        raise CommandRefused(Code.QUANTITY_EXCEEDS_RESERVATION)
    bucket = _BUCKETS[command.disposition]
    row = state.items[sku].rows.get(warehouse, StockRow()) if sku in state.items else StockRow()
    if getattr(row, bucket) + quantity > MAX_UNITS:
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    if hold is not None:
        _note(state, f"{sku}\0{command.reservation_id}", hold, quantity)
    cause = cause_of(command, "return", command.disposition, command.reference)
    return hold, [state.change_row(sku, warehouse, cause, {bucket: quantity})]


def _find(state: PartitionState, command: Return, key: str) -> Hold:
    """Return a reservation in whatever state, or refuse."""
    hold = state.holds.get(key)
    if hold is None:
        raise CommandRefused(Code.UNKNOWN_RESERVATION)
    hold = hold if isinstance(hold, Hold) else decode_hold(hold)
    if not is_of(command.channels, hold):
        raise CommandRefused(Code.UNKNOWN_RESERVATION)
    return hold


def _note(state: PartitionState, key: str, hold: Hold, quantity: int) -> None:
    """Let more units of a reservation have come back; nothing else of it changes."""
    hold.returned += quantity
    if hold.closed_at is not None:
        state.holds[key] = encode_row(hold.row())
    state.touch(f"R{key}")


def _content(command: Return) -> tuple[object, ...]:
    given = (command.warehouse, command.quantity, command.disposition)
    return (*given, command.reservation_id, command.reference)


RULE = Rule(Return, take_back, _content)
