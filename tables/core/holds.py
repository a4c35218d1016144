"""Owns what commit, release, extend and expiry share: finding the hold, and taking from its allocations."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from schemas.codes import Code
from schemas.results import State
from tables.core.decision import Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.retention import find_reservation
from tables.core.rows import CLOSED_RESERVATION_MS, FullReservation, Reservation, full, reservation_key

_CLOSED = {
    "committed": Code.RESERVATION_COMMITTED,
    "released": Code.RESERVATION_RELEASED,
    "expired": Code.RESERVATION_EXPIRED,
}

Allocations = tuple[tuple[str, int], ...]


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


def is_plain(rows: Rows, sku: Sku, held: Reservation) -> bool:
    """Return whether a reservation has nothing but allocations, and no rule or book matters to it: by far the most."""
    return type(held) is Reservation and sku.book is None and not rows.register.has_rules


def shaped(row: FullReservation) -> Reservation:
    """Return a reservation in the layout that it must have: the plain one if it has nothing else."""
    if any(getattr(row, name) != default for name, default in _EXTRAS):
        return row
    return Reservation(*(getattr(row, name) for name in Reservation.__struct_fields__))


def stepped(rows: Rows, sku: Sku, row: FullReservation, ends_as: State, now_ms: int) -> Reservation:
    """Return a reservation after a step; it ends when nothing is left, and its time in memory is fixed then.

    Args:
        rows: the ledger.
        sku: of the reservation.
        row: the reservation with its new quantities and parts.
        ends_as: its state if it ends.
        now_ms: the clock.
    """
    if row.left:
        return shaped(row)
    kept_ms = None
    if row.committed:
        window_ms = rows.register.policy(row.channel, sku.policies).return_window_ms
        kept_ms = None if window_ms == CLOSED_RESERVATION_MS else window_ms
    return shaped(msgspec.structs.replace(row, state=ends_as, closed_at=now_ms, kept_ms=kept_ms))


def give_back(draft: Draft, row: FullReservation, quantity: int) -> FullReservation:
    """Return a reservation without units that are given back: claims first, then allocations from the last.

    Args:
        draft: where the changes of rows and book go.
        row: before it.
        quantity: at most what is left.
    """
    waiting = min(quantity, row.waiting)
    taken = draw_from(reversed(row.allocations), quantity - waiting)[::-1]
    for warehouse, units in taken:
        draft.move(warehouse, reserved=-units)
    draft.count(row.channel, held=-quantity if row.counted else 0, backordered=-waiting)
    allocations = without(row.allocations, taken)
    return msgspec.structs.replace(row, allocations=allocations, claims=claims_of(row.waiting - waiting))


def claims_of(waiting: int) -> tuple[tuple[None, int, None], ...]:
    """Return the claims of units that wait without a date."""
    return ((None, waiting, None),) if waiting else ()


_EXTRAS = tuple(
    (name, getattr(full(Reservation("held", 0, 0, 0, (), "", None, None, None)), name))
    for name in FullReservation.__struct_fields__[len(Reservation.__struct_fields__) :]
)
