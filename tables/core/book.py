"""Owns the book of a SKU: what channels hold under their caps, and how it is published."""

from bisect import bisect_left

import msgspec
from msgspec import UNSET

from schemas.stock_changes import BookInbound, BookView, ChannelUnits
from tables.core.rows import BookRow, Inbound

NO_BOOK = BookRow()
# As many as channels may be set. Each takes about 72 bytes of every change of the book, so a change stays under 80 kB.
MAX_CHANNELS = 1_000
_MANY_CHANNELS = 16


def held_of(book: BookRow | None, channel: str) -> int:
    """Return what the counted reservations of a channel have left."""
    if book is None:
        return 0
    at = _place_of(book, channel)
    return book.channels[at][1] if _is_at(book, at, channel) else 0


def backordered_of(book: BookRow | None, channel: str) -> int:
    """Return what waits for a channel without a date."""
    if book is None:
        return 0
    at = _place_of(book, channel)
    return book.channels[at][2] if _is_at(book, at, channel) else 0


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


def inbound_of(book: BookRow | None, inbound_id: str) -> Inbound | None:
    """Return announced goods; None when the book has none of this name."""
    if book is not None:
        for inbound in book.inbounds:
            if inbound.inbound_id == inbound_id:
                return inbound
    return None


def counted_in(before: BookRow, channel: str, held: int, backordered: int) -> BookRow:
    """Return the book after a change of what a channel has.

    Args:
        before: the book before it.
        channel: whose counts change.
        held: by how much what it holds under its cap changes.
        backordered: by how much what waits for it without a date changes.
    """
    if not (held or backordered):
        return before
    channels, at = before.channels, _place_of(before, channel)
    is_known = _is_at(before, at, channel)
    _, units, waiting = channels[at] if is_known else (channel, 0, 0)
    units, waiting = units + held, waiting + backordered
    entry = ((channel, units, waiting),) if units or waiting else ()
    channels = channels[:at] + entry + channels[at + is_known :]
    return msgspec.structs.replace(before, backordered=before.backordered + backordered, channels=channels)


def owed_to_queue(book: BookRow | None) -> int:
    """Return the units that a SKU's queue is due: all that wait, while the SKU is pending."""
    return 0 if book is None or book.since is None else book.backordered + book.promised


def waits(book: BookRow | None) -> bool:
    """Return whether anybody waits for the SKU."""
    return book is not None and bool(book.backordered or book.promised)


def published_book(book: BookRow) -> BookView:
    """Return the book as stock changes and queries show it."""
    inbounds = [BookInbound(*shown[:5], UNSET if shown[5] is None else shown[5]) for shown in _shown_inbounds(book)]
    if len(book.channels) > _MANY_CHANNELS:
        # Few of them change at a time, so most were shown before.
        if len(_shown) > 8 * MAX_CHANNELS:
            _shown.clear()
        channels = [_shown.get(entry) or _show(entry) for entry in book.channels]
    else:
        channels = [ChannelUnits(*entry) for entry in book.channels]
    return BookView(book.backordered, book.promised, True if book.settling else UNSET, inbounds, channels)


_shown: dict[tuple[str, int, int], ChannelUnits] = {}


def _show(entry: tuple[str, int, int]) -> ChannelUnits:
    shown = _shown[entry] = ChannelUnits(*entry)
    return shown


def shows_the_same(one: BookRow, other: BookRow) -> bool:
    """Return whether the same is published of two books."""
    return (
        one.backordered == other.backordered
        and one.promised == other.promised
        and one.settling == other.settling
        and one.channels == other.channels
        and (one.inbounds is other.inbounds or _shown_inbounds(one) == _shown_inbounds(other))
    )


def _shown_inbounds(book: BookRow) -> list[tuple[str, str, int, int, int, str | None]]:
    return [(it.inbound_id, it.warehouse, it.eta_at, it.remaining, it.claimed, it.from_) for it in book.inbounds]


def shows_anything(book: BookRow | None) -> bool:
    """Return whether what is published of a book is anything but zeros and empty lists."""
    return book is not None and bool(book.backordered or book.promised or book.inbounds or book.channels)
