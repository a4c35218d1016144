"""Owns the model's rule for `transfer`."""

from audit.model.adjust import MAX_UNITS, check_warehouses
from audit.model.announced import begin_inbound, check_new_inbound
from audit.model.documents import StockRow, cause_of
from audit.model.inbounds import Inbound
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.movements import Transfer


def transfer(state: PartitionState, command: Transfer) -> Effect:
    """Move goods that are promised to nobody to another warehouse: at once, or as goods that are announced there."""
    sku, source, target, quantity = command.sku, command.from_, command.to, command.quantity
    _check(state, command)
    # Past here it must succeed.
    cause = cause_of(command, "transfer", reference=command.reference or command.inbound_id)
    left = state.change_row(sku, source, cause, {"on_hand": -quantity})
    if command.inbound_id is None or command.eta_at is None:
        return None, [left, state.change_row(sku, target, cause, {"on_hand": quantity})]
    inbound = Inbound(command.inbound_id, target, command.eta_at, quantity, source, command.reference)
    _, awaited = begin_inbound(state, command, inbound)
    return None, [left, *awaited]


def _check(state: PartitionState, command: Transfer) -> None:
    sku, source, target, quantity = command.sku, command.from_, command.to, command.quantity
    if sku not in state.items:
        raise CommandRefused(Code.UNKNOWN_SKU)
    rows = state.items[sku].rows
    if source not in rows:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)
    check_warehouses(state, sku, target)
    if command.inbound_id is not None:
        check_new_inbound(state, sku, command.inbound_id)
    elif rows.get(target, StockRow()).on_hand + quantity > MAX_UNITS:
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    owed = state.books[sku].owed if sku in state.books else 0
    unpromised = max(0, rows[source].on_hand - rows[source].reserved - owed)
    if quantity > unpromised:
        raise CommandRefused(Code.INSUFFICIENT_STOCK, quantity, unpromised)


def _content(command: Transfer) -> tuple[object, ...]:
    given = (command.from_, command.to, command.quantity)
    return (*given, command.inbound_id, command.eta_at, command.reference)


RULE = Rule(Transfer, transfer, _content)
