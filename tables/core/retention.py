"""Owns whether a row is still remembered, by the clock of the log; the kinds of rows declare for how long."""

from tables.core.decision import Rows
from tables.core.rows import (
    CLOSED_RESERVATION_MS,
    DEDUPLICATION_WINDOW_MS,
    INBOUND,
    RESERVATION,
    SEEN,
    ClosedInbound,
    FullReservation,
    Reservation,
    Seen,
)


def find_seen(rows: Rows, key: bytes, now_ms: int) -> Seen | None:
    """Return the row of a command; None when it is not remembered any more."""
    seen = rows.row(SEEN, key)
    if seen is None or seen.at + DEDUPLICATION_WINDOW_MS <= now_ms:
        return None
    return seen


def find_reservation(rows: Rows, key: bytes, now_ms: int) -> Reservation | None:
    """Return a reservation in any state; None when it is unknown or forgotten."""
    reservation = rows.row(RESERVATION, key)
    if reservation is None or reservation.closed_at is None:
        return reservation
    return None if is_forgotten(reservation, now_ms) else reservation


def is_forgotten(reservation: Reservation, now_ms: int) -> bool:
    """Return whether a reservation closed so long ago that its id may be used again."""
    if reservation.closed_at is None:
        return False
    kept_ms = reservation.kept_ms if isinstance(reservation, FullReservation) else None
    return reservation.closed_at + (kept_ms or CLOSED_RESERVATION_MS) <= now_ms


def find_closed_inbound(rows: Rows, key: bytes, now_ms: int) -> ClosedInbound | None:
    """Return announced goods of which no more will come; None when they are unknown or forgotten."""
    closed = rows.row(INBOUND, key)
    return None if closed is None or closed.closed_at + CLOSED_RESERVATION_MS <= now_ms else closed
