"""Owns what commit, release, extend and expiry share: finding the hold, and taking from its allocations."""

from collections.abc import Iterable
from typing import Protocol

from schemas.codes import Code
from tables.core.decision import Refusal, Rows, Sku
from tables.core.retention import find_reservation
from tables.core.rows import Reservation, reservation_key

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
