"""Owns the filters of streams: SKUs, a warehouse, a channel; and the partitions that a filter needs."""

from collections.abc import Callable, Iterable
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from gateway.access.channels import shown
from gateway.access.credential import Credential
from gateway.incoming import Query
from gateway.problems import RequestRefused
from gateway.rules import ReferenceView
from gateway.streams.events import Event, document_of, with_document
from schemas.characters import first_bad_field
from schemas.codec import encode
from schemas.codes import Code, Problem
from schemas.explain import explain
from schemas.field_errors import field_of, problem_of
from schemas.fields import Place, Sku
from schemas.partitioner import partition_of

MOST_STREAMED = 100


class _Asked(msgspec.Struct):
    sku: Annotated[list[Sku], Meta(max_length=MOST_STREAMED)] = []
    warehouse: Place | None = None
    channel: Place | None = None


class StreamFilter(NamedTuple):
    """What a stream sends: events of these SKUs (None: all), of this warehouse and of this channel (None: any).

    `partitions` are those that can have such events, in order. `sees` are the only channels of a caller (None: all) who
    gets what a book has of them.
    """

    partitions: tuple[int, ...]
    skus: frozenset[str] | None = None
    warehouse: str | None = None
    channel: str | None = None
    sees: tuple[str, ...] | None = None


# Tells whether an event passes a filter by warehouse and channel; SKUs have been looked at.
Passes = Callable[[StreamFilter, Event], bool]


def wanted_by(query: Query, partitions: int, credential: Credential) -> StreamFilter:
    """Return the filter in a query string.

    Args:
        query: the query string; which parameters it may have is the route's.
        partitions: how many the topic has.
        credential: the caller's; one with a single channel gets that one.

    Raises:
        RequestRefused: a value is not allowed, there are too many SKUs, or the caller may not have the channel.
    """
    given: dict[str, object] = {"sku": query.all("sku")}
    given |= {name: value for name in ("warehouse", "channel") if (value := query.one(name)) is not None}
    document = encode(given)
    try:
        asked = msgspec.json.decode(document, type=_Asked)
    except msgspec.ValidationError as error:
        field = field_of(error)
        raise _wrong(field, document, problem_of(error, field, None)) from None
    if (bad := first_bad_field(asked)) is not None:
        raise _wrong(bad, document, Problem.BAD_CHARACTERS)
    skus = frozenset(asked.sku) or None
    needed = range(partitions) if skus is None else {partition_of(sku, partitions) for sku in skus}
    channel = credential.channel_for(asked.channel)
    return StreamFilter(tuple(sorted(needed)), skus, asked.warehouse, channel, credential.channels)


def passes_for_changes(rules: ReferenceView) -> Passes:
    """Return the filter of stock changes: a channel's are those of warehouses that its policy lets it sell from."""

    def passes(wanted: StreamFilter, event: Event) -> bool:
        if event.of == "":  # the SKU's book is of no warehouse, and of all channels
            return True
        if wanted.warehouse is not None and wanted.warehouse != event.of:
            return False
        if wanted.channel is None:
            return True
        policy = rules.of[event.partition].policy(wanted.channel, event.sku)
        return policy.enabled and (policy.warehouses is None or event.of in policy.warehouses)

    return passes


def passes_for_results(wanted: StreamFilter, event: Event) -> bool:
    """Tell whether a result passes a filter by channel: that of its reservation."""
    return wanted.channel is None or wanted.channel == event.of


def those_wanted(wanted: StreamFilter, events: Iterable[Event], passes: Passes) -> list[Event]:
    """Return the events that pass a filter."""
    skus = wanted.skus
    if skus is not None:
        events = [event for event in events if event.sku in skus]
    if wanted.warehouse is not None or wanted.channel is not None:
        events = [event for event in events if passes(wanted, event)]
    channels = wanted.sees
    return list(events) if channels is None else [_as_seen(event, channels) for event in events]


def _as_seen(event: Event, channels: tuple[str, ...]) -> Event:
    if b'"book"' not in event.block:
        return event
    return with_document(event, shown(channels, document_of(event)))


def _wrong(field: str, document: bytes, problem: Problem | None) -> RequestRefused:
    detail = explain(field, problem, document, kind=_Asked, name=field)
    return RequestRefused(Code.INVALID_FIELD, detail=detail, field=field, problem=problem)
