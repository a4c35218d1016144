"""Owns how long the ledger remembers, by the clock of the log."""

from tables.core.decision import Rows
from tables.core.rows import Reservation, Seen

_HOUR_MS = 60 * 60 * 1000
DEDUPLICATION_WINDOW_MS = 24 * _HOUR_MS
CLOSED_RESERVATION_MS = 7 * 24 * _HOUR_MS


def remembered_until(row: Seen | Reservation) -> int | None:
    """Return the time (ms) at which the row is forgotten; None while a reservation is held."""
    if isinstance(row, Seen):
        return row.at + DEDUPLICATION_WINDOW_MS
    return None if row.closed_at is None else row.closed_at + CLOSED_RESERVATION_MS


def find_seen(rows: Rows, key: bytes, now_ms: int) -> Seen | None:
    """Return the row of a command that is still remembered."""
    seen = rows.seen(key)
    if seen is None or seen.at + DEDUPLICATION_WINDOW_MS <= now_ms:
        return None
    return seen


def find_reservation(rows: Rows, key: bytes, now_ms: int) -> Reservation | None:
    """Return a reservation that is still known, in whatever state."""
    reservation = rows.reservation(key)
    if reservation is None or reservation.closed_at is None:
        return reservation
    return reservation if reservation.closed_at + CLOSED_RESERVATION_MS > now_ms else None
