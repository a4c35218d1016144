"""Owns the model's rule for `query`."""

from audit.model.documents import Hold, decode_hold
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import Query


def query(state: PartitionState, command: Query) -> Effect:
    """Show a SKU's rows, and a reservation if one is named."""
    item = state.items.get(command.sku)
    if item is None:
        raise CommandRefused(Code.UNKNOWN_SKU)
    rows = list(item.rows.items())
    if command.reservation_id is None:
        return None, rows
    hold = state.holds.get(f"{command.sku}\0{command.reservation_id}")
    if hold is None:
        raise CommandRefused(Code.UNKNOWN_RESERVATION)
    return hold if isinstance(hold, Hold) else decode_hold(hold), rows


def _content(command: Query) -> tuple[object, ...]:
    return (command.reservation_id, command.of_command_id)


RULE = Rule(Query, query, _content)
