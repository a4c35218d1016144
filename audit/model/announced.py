"""Owns what the rules of announced goods share: finding them, and publishing what became of them."""

from typing import Any, Protocol

from audit.model.documents import cause_of
from audit.model.inbounds import Inbound
from audit.model.parts import CommandRefused
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
