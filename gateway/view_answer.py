"""Owns what every answer from a view has beside its items: how far the view is behind, entity tag, link to the rest."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, NamedTuple
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from gateway.incoming import HttpRequest, Query, header
from gateway.problems import ViewNotReady, ViewTooOld
from gateway.replies import JSON, NO_STORE, REVALIDATED, Headers, Reply
from gateway.view_reader import ViewReader
from schemas.codec import encode
from schemas.stock_changes import MAX_SEQ

Lag = Annotated[int, Meta(description="How many records the view is behind.")]
LagMs = Annotated[
    int,
    Meta(description="For how long it has been behind (ms); 0 while it held everything within the last second."),
]
Stale = Annotated[bool, Meta(description="True when it has been behind for longer than it should; absent otherwise.")]
Next = Annotated[str | None, Meta(description="`cursor` of the request that goes on; null at the end.")]
"""The fields of an answer from the view."""

_TAG_BYTES = 12


class Age(NamedTuple):
    """How far the view is behind: in records, and for how long (ms); `stale` is set when that is too long."""

    lag: int
    lag_ms: int
    stale: bool | UnsetType

    @property
    def header(self) -> tuple[bytes, bytes]:
        """Return the header that says so."""
        return b"holdfast-view-lag-ms", b"%d" % self.lag_ms


class _Listed(msgspec.Struct, gc=False):
    items: Raw
    lag: int
    lag_ms: int
    next: str | None | UnsetType = UNSET
    stale: bool | UnsetType = UNSET


class ViewState:
    """What the views are fed by: the stock changes and the reference data.

    Args:
        readers: those who feed them.
        most_lag_ms: an older view is called stale.
    """

    def __init__(self, readers: Sequence[ViewReader], most_lag_ms: int) -> None:
        self._readers = readers
        self._most_lag_ms = most_lag_ms

    def check(self, max_lag_ms: int | None = None) -> Age:
        """Return how far the views are behind.

        Raises:
            ViewNotReady: one of them is still being read from the topic's beginning.
            ViewTooOld: they have been behind for longer than the caller allows.
        """
        lag = lag_ms = 0
        for reader in self._readers:
            if not reader.complete.is_set():
                raise ViewNotReady(
                    sum(each.read for each in self._readers), sum(each.read + each.lag for each in self._readers)
                )
            lag += reader.lag
            lag_ms = max(lag_ms, reader.lag_ms)
        if max_lag_ms is not None and lag_ms > max_lag_ms:
            raise ViewTooOld(lag_ms, max_lag_ms)
        return Age(lag, lag_ms, True if lag_ms > self._most_lag_ms else UNSET)

    def asked(self, query: Query) -> Age:
        """Return the same for a request, which may say `max_lag_ms`."""
        return self.check(query.integer("max_lag_ms", least=0, most=MAX_SEQ))


def answer_of(document: msgspec.Struct, age: Age) -> Reply:
    """Return the answer with a document from the view."""
    return Reply(200, encode(document), [JSON, age.header])


def items_of(request: HttpRequest, items: Raw, age: Age) -> Reply:
    """Return the answer with items from the view, or 304 when the caller has them already.

    Args:
        request: the request; a `GET` may have `If-None-Match`.
        items: a list, JSON.
        age: how far the view is behind.
    """
    return _tagged(request, _Listed(items, age.lag, age.lag_ms, stale=age.stale), [age.header])


def page_of(request: HttpRequest, query: Query, items: Raw, goes_on: str | None, age: Age) -> Reply:
    """Return the answer with a part of a list from the view, or 304 when the caller has it already.

    Args:
        request: the request.
        query: its parameters, which the next request has as well.
        items: a list, JSON.
        goes_on: `cursor` of the request that goes on; None at the end.
        age: how far the view is behind.
    """
    headers = [age.header]
    if goes_on is not None:
        headers.append(link_to_next(request, query, goes_on))
    return _tagged(request, _Listed(items, age.lag, age.lag_ms, goes_on, age.stale), headers)


def link_to_next(request: HttpRequest, query: Query, cursor: str) -> tuple[bytes, bytes]:
    """Return the header `Link` that leads to the next page of a list: the same request with another cursor."""
    goes_on = urlencode([*query.without("cursor"), ("cursor", cursor)])
    return b"link", f'<{request.scope["path"]}?{goes_on}>; rel="next"'.encode()


def _tagged(request: HttpRequest, listed: _Listed, headers: Headers) -> Reply:
    standing = REVALIDATED if listed.next is UNSET else NO_STORE  # a page of a list is kept by nobody
    if request.scope["method"] == "POST":
        return Reply(200, encode(listed), [JSON, *headers], standing)
    digest = blake2b(bytes(listed.items), digest_size=_TAG_BYTES)
    if listed.next is not UNSET:  # it is part of what a page says
        digest.update(b"|" if listed.next is None else listed.next.encode())
    tag = b'W/"%b"' % digest.hexdigest().encode()
    headers.append((b"etag", tag))
    known = header(request, b"if-none-match")
    if known is not None and _names(known, tag):
        return Reply(304, b"", headers, standing)
    return Reply(200, encode(listed), [JSON, *headers], standing)


def _names(condition: bytes, tag: bytes) -> bool:
    """Return whether `If-None-Match` names a tag; weak or not makes no difference (RFC 9110, 13.1.2)."""
    opaque = tag.removeprefix(b"W/")
    return any(each.strip().removeprefix(b"W/") in {opaque, b"*"} for each in condition.split(b","))
