"""Owns the routes of announced goods that are answered from the view: which there are, and what can be promised."""

import time
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.access.credential import credential_of
from gateway.availability import AvailabilityView, Wanted
from gateway.compose import compose_query
from gateway.incoming import HttpRequest, Query
from gateway.replies import Reply
from gateway.rules import ReferenceView
from gateway.view_answer import Lag, LagMs, Stale, ViewState, answer_of
from schemas.availability import Promise
from schemas.fields import MAX_QUANTITY, MAX_TIME_MS
from schemas.partitioner import partition_of
from schemas.stock_changes import BookInbound

SkuOfAnswer = Annotated[str, Meta(description="The SKU.")]
Seq = Annotated[int, Meta(description="The SKU's sequence number; 0 when the view does not know it.")]
At = Annotated[int, Meta(description="The partition's clock at its last change (ms).")]


class Inbounds(msgspec.Struct, kw_only=True):
    """The announced goods of a SKU of which more may come, or which reservations still wait for, by date and id."""

    sku: SkuOfAnswer
    items: list[BookInbound]
    seq: Seq
    at: At | None
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class Promises(msgspec.Struct, kw_only=True):
    """By when a channel can be promised a quantity of a SKU."""

    sku: SkuOfAnswer
    channel: Annotated[str, Meta(description="Which channel.")]
    quantity: Annotated[int, Meta(description="The units that were asked for.")]
    available: Annotated[int, Meta(description="Units that the channel may have now.")]
    promises: Annotated[list[Promise], Meta(description="For each date on which announced goods come, up to `by`.")]
    promised_at: (
        Annotated[
            int,
            Meta(description="The first date by which the quantity can be promised (ms): the present time when now."),
        ]
        | None
    )
    seq: Seq
    at: At | None
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class AnnouncedRoutes:
    """The routes of announced goods.

    Args:
        view: the availability view.
        rules: the reference data in force, of as many partitions as there are.
        state: how far both are behind.
    """

    def __init__(self, view: AvailabilityView, rules: ReferenceView, state: ViewState) -> None:
        self._view = view
        self._rules = rules
        self._state = state

    async def inbounds(self, request: HttpRequest, query: Query) -> Reply:
        """Answer with the announced goods of a SKU."""
        sku = query.needed("sku")
        compose_query(sku, credential_of(request))  # it refuses what no SKU can be
        age = self._state.asked(query)
        found = self._view.available(sku)
        answer = Inbounds(
            sku=sku,
            items=[*self._view.inbounds(sku)],
            seq=found.seq,
            at=found.at,
            lag=age.lag,
            lag_ms=age.lag_ms,
            stale=age.stale,
        )
        return answer_of(answer, age)

    async def promises(self, request: HttpRequest, query: Query) -> Reply:
        """Answer by when a channel can be promised a quantity of a SKU."""
        sku, channel = query.needed("sku"), query.needed("channel")
        quantity = query.needed_integer("quantity", least=1, most=MAX_QUANTITY)
        compose_query(sku, credential_of(request), channel=channel)  # it refuses what no SKU or channel can be
        credential_of(request).check_channel(channel)
        wanted = Wanted(sku, channel, quantity, query.integer("by", least=0, most=MAX_TIME_MS))
        age = self._state.asked(query)
        rules = self._rules.of[partition_of(sku, len(self._rules.of))]
        may_have, promised_at = self._view.promise(wanted, rules, time.time_ns() // 1_000_000)
        known = self._view.available(sku)
        answer = Promises(
            sku=sku,
            channel=channel,
            quantity=quantity,
            available=may_have.available,
            promises=may_have.promises,
            promised_at=promised_at,
            seq=known.seq,
            at=known.at,
            lag=age.lag,
            lag_ms=age.lag_ms,
            stale=age.stale,
        )
        return answer_of(answer, age)
