"""Owns the list of stock rows where more is reserved than on hand, answered from the view."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from gateway.announced import SkuOfAnswer
from gateway.availability import AvailabilityView, RowKey
from gateway.incoming import HttpRequest, Query
from gateway.problems import RequestRefused
from gateway.replies import Reply
from gateway.rules import MOST_LISTED
from gateway.view_answer import Lag, LagMs, Next, Stale, ViewState, page_of
from schemas.codec import encode
from schemas.codes import Code, Problem
from schemas.results import StockView


class Short(msgspec.Struct, kw_only=True, gc=False):
    """A stock row that is short."""

    sku: SkuOfAnswer
    warehouse: Annotated[str, Meta(description="Where.")]
    on_hand: Annotated[int, Meta(description="Good units that are there.")]
    reserved: Annotated[int, Meta(description="Units that are held there.")]
    short: Annotated[int, Meta(description="How many are held and not there: `reserved - on_hand`.")]
    seq: Annotated[int, Meta(description="The SKU's sequence number.")]
    at: Annotated[int, Meta(description="The partition's clock at the SKU's last change (ms).")]


class Shortfalls(msgspec.Struct, kw_only=True):
    """The stock rows that are short, by SKU and warehouse."""

    items: list[Short]
    next: Next
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class ShortfallRoutes:
    """The route of rows that are short.

    Args:
        view: the availability view.
        state: how far it is behind.
    """

    def __init__(self, view: AvailabilityView, state: ViewState) -> None:
        self._view = view
        self._state = state

    async def shortfalls(self, request: HttpRequest, query: Query) -> Reply:
        """Answer with the rows that are short."""
        limit = query.integer("limit", least=1, most=MOST_LISTED) or MOST_LISTED
        after = _key_of(query.one("cursor"))
        age = self._state.asked(query)
        keys, goes_on = self._view.short_rows(after, limit)
        items = Raw(encode([_short_in(self._view, key) for key in keys]))
        return page_of(request, query, items, "/".join(keys[-1]) if goes_on else None, age)


def every_short_row(view: AvailabilityView) -> list[Short]:
    """Return all rows of a view that are short, by SKU and warehouse."""
    keys, _ = view.short_rows()
    return [_short_in(view, key) for key in keys]


def short_row(sku: str, row: StockView, seq: int, at: int) -> Short:
    """Return how a short row is shown; `seq` and `at` are those of the SKU."""
    short = row.reserved - row.on_hand
    return Short(
        sku=sku, warehouse=row.warehouse, on_hand=row.on_hand, reserved=row.reserved, short=short, seq=seq, at=at
    )


def _short_in(view: AvailabilityView, key: RowKey) -> Short:
    sku, _ = key
    return short_row(sku, view.row(key), *view.last_change(sku))


def _key_of(cursor: str | None) -> RowKey:
    """Return the row that a page begins after; a warehouse's id has no slash, a SKU may have some."""
    if cursor is None:
        return "", ""
    sku, slash, warehouse = cursor.rpartition("/")
    if not slash:
        detail = "cursor must be `next` of an answer."
        raise RequestRefused(Code.INVALID_FIELD, detail=detail, field="cursor", problem=Problem.NOT_ALLOWED)
    return sku, warehouse
