"""Owns the book of a SKU: what channels hold under their caps, and how it is published."""

import msgspec

from schemas.stock_changes import BookView, ChannelUnits
from tables.core.rows import BookRow, Reservation, full

NO_BOOK = BookRow()


def held_of(book: BookRow | None, channel: str) -> int:
    """Return what the counted reservations of a channel have left."""
    if book is not None:
        for name, held, _ in book.channels:
            if name == channel:
                return held
    return 0


def with_held(book: BookRow | None, seq: int, channel: str, units: int) -> BookRow:
    """Return the book after a channel holds more units, or fewer; `seq` is that of the book's change."""
    before = book or NO_BOOK
    channels = {name: (held, backordered) for name, held, backordered in before.channels}
    held, backordered = channels.get(channel, (0, 0))
    channels[channel] = held + units, backordered
    left = tuple((name, *counts) for name, counts in sorted(channels.items()) if counts != (0, 0))
    return msgspec.structs.replace(before, seq=seq, channels=left)


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
