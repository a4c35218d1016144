"""Owns the book of a SKU: what channels hold under their caps, and how it is published."""

from bisect import bisect_left

import msgspec

from schemas.stock_changes import BookView, ChannelUnits
from tables.core.rows import BookRow, Reservation, full

NO_BOOK = BookRow()
# As many as channels may be set. Each takes about 72 bytes of every change of the book, so a change stays under 80 kB.
MAX_CHANNELS = 1_000


def held_of(book: BookRow | None, channel: str) -> int:
    """Return what the counted reservations of a channel have left."""
    if book is None:
        return 0
    at = _place_of(book, channel)
    return book.channels[at][1] if _is_at(book, at, channel) else 0


def with_held(book: BookRow | None, seq: int, channel: str, units: int) -> BookRow:
    """Return the book after a channel holds more units, or fewer; `seq` is that of the book's change."""
    before = book or NO_BOOK
    channels, at = before.channels, _place_of(before, channel)
    is_known = _is_at(before, at, channel)
    _, held, backordered = channels[at] if is_known else (channel, 0, 0)
    held += units
    entry = ((channel, held, backordered),) if held or backordered else ()
    return msgspec.structs.replace(before, seq=seq, channels=channels[:at] + entry + channels[at + is_known :])


def has_place_for(book: BookRow | None, channel: str) -> bool:
    """Return whether the book counts a channel already, or may count one more."""
    if book is None or len(book.channels) < MAX_CHANNELS:
        return True
    return _is_at(book, _place_of(book, channel), channel)


def _place_of(book: BookRow, channel: str) -> int:
    """Return where the channel's entry is, or would be: entries are in the order of their channels."""
    return bisect_left(book.channels, (channel,))


def _is_at(book: BookRow, at: int, channel: str) -> bool:
    return at < len(book.channels) and book.channels[at][0] == channel


def book_after(book: BookRow | None, seq: int, reservation: Reservation, given_back: int) -> BookRow | None:
    """Return the book after units of a reservation left or were given back; None when that does not change it.

    Args:
        book: before it.
        seq: of the last change of a row that goes with it.
        reservation: whose units they were.
        given_back: how many.
    """
    if not full(reservation).counted:
        return None
    return with_held(book, seq + 1, reservation.channel, -given_back)


def published_book(book: BookRow) -> BookView:
    """Return the book as stock changes and queries show it."""
    channels = [ChannelUnits(name, held, backordered) for name, held, backordered in book.channels]
    return BookView(book.backordered, book.promised, [], channels)


def shows_anything(book: BookRow | None) -> bool:
    """Return whether what is published of a book is anything but zeros and empty lists."""
    return book is not None and bool(book.backordered or book.promised or book.inbounds or book.channels)
