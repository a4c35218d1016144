"""Owns what commit, release, extend and expiry share: finding the hold, and taking from its allocations."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from schemas.codes import Code
from tables.core.book import book_after
from tables.core.decision import Beside, KeyedRow, Outcome, Refusal, Rows, Sku, StockRows
from tables.core.retention import find_reservation
from tables.core.rows import CLOSED_RESERVATION_MS, FullReservation, Reservation, book_key, full, reservation_key

_CLOSED = {
    "committed": Code.RESERVATION_COMMITTED,
    "released": Code.RESERVATION_RELEASED,
    "expired": Code.RESERVATION_EXPIRED,
}

Allocations = tuple[tuple[str, int], ...]
_PLAIN_FIELDS = len(Reservation.__struct_fields__)


class HoldCommand(Protocol):
    """A command that steps on a reservation."""

    sku: str
    reservation_id: str
    channels: list[str] | None


def find_hold(
    rows: Rows, sku: Sku | None, command: HoldCommand, now_ms: int
) -> tuple[Sku, bytes, Reservation] | Refusal:
    """Return the SKU, and the key and row of the command's held reservation; a `Refusal` when it is not held."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    key = reservation_key(command.sku, command.reservation_id)
    reservation = find_reservation(rows, key, now_ms)
    if reservation is None or (command.channels is not None and reservation.channel not in command.channels):
        return Refusal(Code.UNKNOWN_RESERVATION)
    if reservation.state != "held":
        return Refusal(_CLOSED[reservation.state])
    return sku, key, reservation


def draw_from(allocations: Iterable[tuple[str, int]], quantity: int) -> list[tuple[str, int]]:
    """Take a quantity from allocations in the given order.

    Returns:
        (warehouse, units taken) for each allocation that gives some, in the given order.
    """
    taken = []
    for warehouse, held in allocations:
        part = min(held, quantity)
        if part:
            taken.append((warehouse, part))
            quantity -= part
    return taken


def without(allocations: Allocations, taken: Iterable[tuple[str, int]]) -> Allocations:
    """Return the allocations minus what was taken, without those that hold nothing."""
    less = dict(taken)
    return tuple(
        (warehouse, held - less.get(warehouse, 0)) for warehouse, held in allocations if held > less.get(warehouse, 0)
    )


def after_rules(
    rows: Rows,
    sku: Sku,
    sku_id: str,
    reservation_id: str,
    held: Reservation,
    plain: Reservation,
    changes: tuple[StockRows, tuple[dict[str, int], ...]],
) -> Outcome:
    """Return the outcome after units left a reservation, where rules or the reservation's own extras matter.

    Args:
        rows: the ledger.
        sku: before it.
        sku_id: its id.
        reservation_id: the reservation's id.
        held: the reservation before it.
        plain: the reservation after it, without what few have.
        changes: the stock rows after it, and their deltas.
    """
    reservation = plain
    kept_ms = _kept_ms(rows, sku, plain)
    if type(held) is not Reservation or kept_ms is not None:
        reservation = FullReservation(
            *msgspec.structs.astuple(plain), *msgspec.structs.astuple(full(held))[_PLAIN_FIELDS:]
        )
        reservation = msgspec.structs.replace(reservation, kept_ms=kept_ms)
    key = reservation_key(sku_id, reservation_id)
    stock, deltas = changes
    seq = sku.seq + len(stock)
    book = book_after(sku.book, seq, reservation, held.left - plain.left)
    writes: tuple[KeyedRow, ...] = ((key, reservation),)
    if book is not None:
        writes = (*writes, (book_key(sku_id), book))
    return Outcome(stock, deltas, reservation_id, reservation, writes, None, None if book is None else Beside(book))


def _kept_ms(rows: Rows, sku: Sku, ended: Reservation) -> int | None:
    """Return how long an ended reservation is known, if not as long as others are: its channel's return window."""
    if ended.closed_at is None or not ended.committed:
        return None
    window_ms = rows.register.policy(ended.channel, sku.policies).return_window_ms
    return None if window_ms == CLOSED_RESERVATION_MS else window_ms
