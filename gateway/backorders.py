"""Owns the list of those who wait for a SKU, as the answer to a `query` with `waiting`."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.results import Waiting
from schemas.stock_changes import BookView

MOST_WAITING = 100  # that one query lists


class Backorders(msgspec.Struct, kw_only=True):
    """The reservations of a SKU that wait, in the order in which they are filled."""

    sku: Annotated[str, Meta(description="The SKU.")]
    items: Annotated[list[Waiting], Meta(description="The first that wait, by rank.")]
    backordered: Annotated[int, Meta(description="Units of the SKU that wait without a date, in all.")]
    promised: Annotated[int, Meta(description="Units of the SKU that wait for announced goods, in all.")]
    settling: Annotated[bool, Meta(description="Whether the queue is still being given what is there.")]
    seq: Annotated[int, Meta(description="The SKU's sequence number.")]
    at: Annotated[int, Meta(description="The partition's clock, ms since the Unix epoch.")]


class _Answered(msgspec.Struct):
    sku: str
    seq: int
    at: int
    waiting: list[Waiting] = []
    book: BookView | None = None


_answer_of = msgspec.json.Decoder(_Answered).decode


def backorders_of(result: bytes) -> Backorders:
    """Return who waits, from the JSON of an accepted result of a `query` with `waiting`."""
    answer = _answer_of(result)
    book = answer.book or BookView(0, 0)
    return Backorders(
        sku=answer.sku,
        items=answer.waiting,
        backordered=book.backordered,
        promised=book.promised,
        settling=book.settling is True,
        seq=answer.seq,
        at=answer.at,
    )
