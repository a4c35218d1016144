"""Owns the model's rule for `move`."""

from audit.model.adjust import MAX_UNITS
from audit.model.documents import QUANTITIES, cause_of
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.movements import Move


def move(state: PartitionState, command: Move) -> Effect:
    """Move goods of a warehouse from one bucket to another; out of `on_hand`, it may leave the row short."""
    sku, warehouse, quantity = command.sku, command.warehouse, command.quantity
    if sku not in state.items:
        raise CommandRefused(Code.UNKNOWN_SKU)
    row = state.items[sku].rows.get(warehouse)
    if row is None:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)
    if getattr(row, command.to) + quantity > MAX_UNITS:
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    if getattr(row, command.from_) < quantity:
        raise CommandRefused(Code.NEGATIVE_STOCK)
    units: dict[str, int] = {command.from_: -quantity, command.to: quantity}
    delta = {name: units[name] for name in QUANTITIES if name in units}
    cause = cause_of(command, "move", command.reason, command.reference)
    return None, [state.change_row(sku, warehouse, cause, delta)]


def _content(command: Move) -> tuple[object, ...]:
    given = (command.warehouse, command.quantity, command.from_, command.to)
    return (*given, command.reason, command.reference)


RULE = Rule(Move, move, _content)
