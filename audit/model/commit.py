"""Owns the model's rule for `commit`."""

from audit.model.documents import cause_of, draw_from
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from audit.model.units import allocate
from schemas.codes import Code
from schemas.commands import Commit


def commit(state: PartitionState, command: Commit) -> Effect:
    """Take held units out of stock, from the first allocation on; those that wait stay."""
    sku = command.sku
    item, key, hold, _ = state.find_hold(command, command.quantity)
    allocated = hold.left - hold.waiting
    quantity = allocated if command.quantity is None else command.quantity
    if quantity > allocated or allocated == 0:
        raise CommandRefused(Code.RESERVATION_WAITING)
    taken = draw_from(hold.allocations, quantity)
    rows = [(warehouse, item.rows[warehouse]) for warehouse, _ in taken]
    if any(row.on_hand < part for (_, row), (_, part) in zip(rows, taken, strict=True)):
        raise CommandRefused(Code.NEGATIVE_STOCK)
    cause = cause_of(command, "commit")
    state.discount(sku, key, hold)
    for (warehouse, row), (_, part) in zip(rows, taken, strict=True):
        row.on_hand -= part
        row.reserved -= part
        allocate(hold, warehouse, -part)
        state.change(sku, item, warehouse, row, cause, {"on_hand": -part, "reserved": -part})
    hold.committed += quantity
    state.recount(sku, key, hold, cause, "committed")
    return hold, rows


def _content(command: Commit) -> tuple[object, ...]:
    return (command.reservation_id, command.quantity)


RULE = Rule(Commit, commit, _content)
