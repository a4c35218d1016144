"""Owns what the rules of announced goods share: finding them, and publishing what became of them."""

from typing import Any, Protocol

from audit.model.book import Book
from audit.model.documents import StockRow, cause_of
from audit.model.inbounds import MAX_INBOUNDS, Inbound
from audit.model.parts import CommandRefused, Item
from audit.model.rule import Effect
from audit.model.state import PartitionState
from schemas.codes import Code


class OfInbound(Protocol):
    """A command about announced goods."""

    sku: str
    inbound_id: str


def find_inbound(state: PartitionState, command: OfInbound) -> Inbound:
    """Return announced goods that are open, or refuse."""
    sku, inbound_id = command.sku, command.inbound_id
    if sku not in state.items:
        raise CommandRefused(Code.UNKNOWN_SKU)
    inbound = state.books[sku].inbounds.get(inbound_id) if sku in state.books else None
    if inbound is not None and inbound.remaining:
        return inbound
    is_known = inbound is not None or f"{sku}\0{inbound_id}" in state.closed_inbounds
    raise CommandRefused(Code.INBOUND_CLOSED if is_known else Code.UNKNOWN_INBOUND)


def check_new_inbound(state: PartitionState, sku: str, inbound_id: str) -> None:
    """Refuse to announce goods under an id that is known, or one too many for the SKU."""
    announced = state.books[sku].inbounds if sku in state.books else {}
    if inbound_id in announced or f"{sku}\0{inbound_id}" in state.closed_inbounds:
        raise CommandRefused(Code.INBOUND_EXISTS)
    if len(announced) >= MAX_INBOUNDS:
        raise CommandRefused(Code.LIMIT_EXCEEDED)


def begin_inbound(state: PartitionState, command: Any, inbound: Inbound) -> Effect:
    """Announce goods that come to a warehouse, and publish its row, which is made when it is missing, and the book."""
    item = state.items.setdefault(command.sku, Item(command.sku))
    if inbound.warehouse not in item.rows:
        item.add_row(inbound.warehouse, StockRow())
    state.books.setdefault(command.sku, Book()).inbounds[inbound.inbound_id] = inbound
    return publish_inbound(state, command, inbound, coming=inbound.quantity)


def publish_inbound(
    state: PartitionState,
    command: Any,
    inbound: Inbound,
    *,
    coming: int,
    on_hand: int = 0,
    damaged: int = 0,
    reason: str | None = None,
) -> Effect:
    """Close announced goods of which nothing remains, and publish their warehouse's row and then the book.

    Args:
        state: of the partition.
        command: what changed them.
        inbound: after the command.
        coming: by how much more units, or fewer, remain to come.
        on_hand: how many good units came.
        damaged: how many damaged ones came.
        reason: of the command.
    """
    sku, warehouse = command.sku, inbound.warehouse
    type_ = str(command.__struct_config__.tag)
    reference = getattr(command, "reference", None) or inbound.inbound_id
    cause = cause_of(command, type_, reason, reference)
    state.shown["inbound"] = inbound.view()
    item = state.items[sku]
    row = item.rows[warehouse]
    units = {"on_hand": on_hand, "damaged": damaged, "inbound": coming}
    delta = {name: by for name, by in units.items() if by}
    for name, by in delta.items():
        setattr(row, name, getattr(row, name) + by)
    if delta:
        state.change(sku, item, warehouse, row, cause, delta)
    if not inbound.remaining:
        state.close_inbound(sku, inbound)
    state.publish_book(sku, cause)
    return None, [(warehouse, row)] if delta else []
