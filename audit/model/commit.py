"""Owns the model's rule for `commit`."""

from audit.model.documents import cause_of, draw_from
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import Commit


def commit(state: PartitionState, command: Commit) -> Effect:
    """Take held units out of stock, from the first allocation on."""
    sku = command.sku
    item, key, hold, quantity = state.find_hold(command, command.quantity)
    taken = draw_from(hold.allocations, quantity)
    rows = []
    for warehouse, part in taken:
        row = item.rows[warehouse]
        if row.on_hand < part:
            raise CommandRefused(Code.NEGATIVE_STOCK)
        rows.append((warehouse, row))
    cause = cause_of(command, "commit")
    for warehouse, part in taken:
        row = item.rows[warehouse]
        row.on_hand -= part
        row.reserved -= part
        state.change(sku, item, warehouse, row, cause, {"on_hand": -part, "reserved": -part})
    hold.committed += quantity
    state.take_from(item, key, hold, taken, "committed", cause)
    return hold, rows


def _content(command: Commit) -> tuple[object, ...]:
    return (command.reservation_id, command.quantity)


RULE = Rule(Commit, commit, _content)
