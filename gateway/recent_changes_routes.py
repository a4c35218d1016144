"""Owns the route that lists the last changes of a SKU, as far as this gateway still holds them."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from gateway.access.credential import credential_of
from gateway.availability import AvailabilityView
from gateway.compose import compose_query
from gateway.incoming import HttpRequest, Query
from gateway.recent_changes import MOST_RECENT, USUAL_RECENT, RecentChanges
from gateway.replies import Reply
from gateway.view_answer import Lag, LagMs, Stale, ViewState, answer_of
from schemas.stock_changes import StockChange


class RecentlyChanged(msgspec.Struct, kw_only=True):
    """The last changes of a SKU that this gateway still holds, in their order and without a gap."""

    sku: Annotated[str, Meta(description="The SKU.")]
    items: list[StockChange]
    from_at: Annotated[
        int, Meta(description="Every change after this time (ms) is in `items`; 0: every one that there ever was.")
    ]
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class _Answer(msgspec.Struct, gc=False):
    sku: str
    items: Raw
    from_at: int
    lag: int
    lag_ms: int
    stale: bool | UnsetType


class RecentChangesRoutes:
    """The route of recent changes.

    Args:
        recent: what is held.
        view: knows when a SKU changed last, also when that change is not held any more.
        state: how far both are behind.
    """

    def __init__(self, recent: RecentChanges, view: AvailabilityView, state: ViewState) -> None:
        self._recent = recent
        self._view = view
        self._state = state

    async def recent(self, request: HttpRequest, query: Query) -> Reply:
        """Answer with the last changes of a SKU."""
        sku = query.needed("sku")
        limit = query.integer("limit", least=1, most=MOST_RECENT) or USUAL_RECENT
        compose_query(sku, credential_of(request))  # it refuses what no SKU can be
        age = self._state.asked(query)
        values, from_at = self._recent.of(sku, limit, self._view.last_change(sku)[1])
        items = Raw(b"[%b]" % b",".join(map(credential_of(request).shown, values)))
        return answer_of(_Answer(sku, items, from_at, age.lag, age.lag_ms, age.stale), age)
