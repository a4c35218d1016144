"""Owns the rules for goods that move: they come back, change their bucket, or go to another warehouse."""

import msgspec

from schemas.codes import Code
from schemas.movements import Move, Return, Transfer
from tables.core.adjust import MAX_BUCKET, has_no_place_for
from tables.core.book import owed_to_queue
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import shaped
from tables.core.inbound import cannot_announce, inbound_view
from tables.core.retention import find_reservation
from tables.core.rows import Inbound, Reservation, Stock, full, quarantine_of, reservation_key
from tables.core.rule import Rule

_INTO = {"restock": "on_hand", "damaged": "damaged", "inspect": "quarantine"}
_NO_STOCK = Stock()


def units_of(row: Stock, bucket: str) -> int:
    """Return the units in a bucket of a stock row."""
    units: int = quarantine_of(row) if bucket == "quarantine" else getattr(row, bucket)
    return units


def return_goods(rows: Rows, sku: Sku | None, command: Return, record: Record) -> Outcome | Refusal:
    """Take goods back; of a reservation no more than it committed. The SKU and its row need not exist."""
    sku = sku or rows.sku_or_book(command.sku) or Sku(0, {})
    if has_no_place_for(sku, command.warehouse):
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    reservation: Reservation | None = None
    if command.reservation_id is not None:
        before = find_reservation(rows, reservation_key(command.sku, command.reservation_id), record.now_ms)
        if before is None or (command.channels is not None and before.channel not in command.channels):
            return Refusal(Code.UNKNOWN_RESERVATION)
        row = full(before)
        if command.quantity > row.committed - row.returned:
            return Refusal(Code.QUANTITY_EXCEEDS_RESERVATION)
        reservation = shaped(msgspec.structs.replace(row, returned=row.returned + command.quantity))
    bucket = _INTO[command.disposition]
    if units_of(sku.stock.get(command.warehouse, _NO_STOCK), bucket) + command.quantity > MAX_BUCKET:
        return Refusal(Code.LIMIT_EXCEEDED)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    draft.move(command.warehouse, **{bucket: command.quantity})
    return draft.outcome(command.reservation_id, reservation)


def move(_rows: Rows, sku: Sku | None, command: Move, _record: Record) -> Outcome | Refusal:
    """Move goods from one bucket to another; out of `on_hand` that may leave a shortfall, as a count may."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    row = sku.stock.get(command.warehouse)
    if row is None:
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    if units_of(row, command.to) + command.quantity > MAX_BUCKET:
        return Refusal(Code.LIMIT_EXCEEDED)
    if units_of(row, command.from_) < command.quantity:
        return Refusal(Code.NEGATIVE_STOCK)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    draft.move(command.warehouse, **{command.from_: -command.quantity, command.to: command.quantity})
    return draft.outcome()


def transfer(rows: Rows, sku: Sku | None, command: Transfer, record: Record) -> Outcome | Refusal:
    """Move goods to another warehouse, at once or as announced goods. What is held or due to the queue stays."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    leaves, quantity = sku.stock.get(command.from_), command.quantity
    if leaves is None or has_no_place_for(sku, command.to):
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    cannot = _cannot_arrive(rows, sku, command, record.now_ms)
    if cannot is not None:
        return Refusal(cannot)
    available = max(0, leaves.on_hand - leaves.reserved - owed_to_queue(sku.book))
    if available < quantity:
        return Refusal(Code.INSUFFICIENT_STOCK, quantity, available)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    draft.move(command.from_, on_hand=-quantity)
    if command.inbound_id is None or command.eta_at is None:
        draft.move(command.to, on_hand=quantity)
        return draft.outcome()
    inbound = Inbound(
        command.inbound_id, command.to, command.eta_at, quantity, from_=command.from_, reference=command.reference
    )
    draft.move(command.to, inbound=quantity)
    draft.put_inbound(inbound)
    return draft.outcome(extra={"inbound": inbound_view(inbound)})


def _cannot_arrive(rows: Rows, sku: Sku, command: Transfer, now_ms: int) -> Code | None:
    """Return why the goods cannot be added or announced where they go; None when they can."""
    if command.inbound_id is not None:
        return cannot_announce(rows, sku, command.sku, command.inbound_id, now_ms)
    there = sku.stock.get(command.to, _NO_STOCK).on_hand
    return Code.LIMIT_EXCEEDED if there + command.quantity > MAX_BUCKET else None


RETURN = Rule(
    Return,
    return_goods,
    content=lambda c: ("return", c.warehouse, c.quantity, c.disposition, c.reservation_id, c.reference),
    cause=(("reason", "disposition"), "reference"),
)
MOVE = Rule(
    Move,
    move,
    content=lambda c: ("move", c.warehouse, c.quantity, c.from_, c.to, c.reason, c.reference),
    cause=("reason", "reference"),
)
TRANSFER = Rule(
    Transfer,
    transfer,
    content=lambda c: ("transfer", c.from_, c.to, c.quantity, c.inbound_id, c.eta_at, c.reference),
    cause=(("reference", "inbound_id"), "reference"),
)
