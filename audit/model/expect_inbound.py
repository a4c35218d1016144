"""Owns the model's rule for `expect_inbound`."""

from audit.model.adjust import MAX_WAREHOUSES
from audit.model.announced import publish_inbound
from audit.model.book import Book
from audit.model.documents import StockRow
from audit.model.inbounds import MAX_INBOUNDS, Inbound
from audit.model.parts import CommandRefused, Item
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.inbound import ExpectInbound


def expect_inbound(state: PartitionState, command: ExpectInbound) -> Effect:
    """Announce goods that come to a warehouse; make its row when it is missing."""
    sku, inbound_id, warehouse = command.sku, command.inbound_id, command.warehouse
    rows = state.items[sku].rows if sku in state.items else {}
    if warehouse not in rows and len(rows) >= MAX_WAREHOUSES:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)
    announced = state.books[sku].inbounds if sku in state.books else {}
    if inbound_id in announced or f"{sku}\0{inbound_id}" in state.closed_inbounds:
        raise CommandRefused(Code.INBOUND_EXISTS)
    if len(announced) >= MAX_INBOUNDS:
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    if warehouse not in rows:
        state.items.setdefault(sku, Item(sku)).add_row(warehouse, StockRow())
    inbound = Inbound(inbound_id, warehouse, command.eta_at, command.quantity, None, command.reference)
    state.books.setdefault(sku, Book()).inbounds[inbound_id] = inbound
    return publish_inbound(state, command, inbound, coming=command.quantity)


def _content(command: ExpectInbound) -> tuple[object, ...]:
    return (command.inbound_id, command.warehouse, command.quantity, command.eta_at, command.reference)


RULE = Rule(ExpectInbound, expect_inbound, _content)
