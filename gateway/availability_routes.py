"""Owns the routes that are answered from the availability view, without the ledger."""

import asyncio
import re
import time
from collections.abc import Container
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from gateway.access.credential import credential_of
from gateway.availability import AvailabilityView, Available
from gateway.config import GatewayConfig
from gateway.incoming import HttpRequest, Query, read_body
from gateway.problems import RequestRefused, TooManyRequests, ViewBehind
from gateway.replies import Reply
from gateway.rules import ReferenceView
from gateway.view_answer import Lag, LagMs, Stale, ViewState, items_of
from schemas.characters import first_bad_field
from schemas.codec import MAX_ECHO, encode
from schemas.codes import Code, Problem
from schemas.explain import explain
from schemas.field_errors import field_of, problem_of
from schemas.fields import Place, Sku
from schemas.partitioner import partition_of
from schemas.stock_changes import MAX_SEQ

# How many SKUs are looked up before other requests may run; 200 with one warehouse each take about 0.5 ms.
_SLICE = 200

Seq = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
_INTEGERS = ("min_seq", "max_lag_ms")
_is_integer = re.compile(r"-?[0-9]+").fullmatch
_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class AvailabilityBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/availability`.

    `min_seq` is allowed with exactly one SKU. With `channel` the answer is what that channel may have. A view that has
    been behind for longer than `max_lag_ms` does not answer.
    """

    skus: list[Sku]
    min_seq: Seq | None = None
    channel: Place | None = None
    max_lag_ms: Seq | None = None


class Availability(msgspec.Struct, kw_only=True):
    """The available quantity of each requested SKU, in the order of the request."""

    items: list[Available]
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class _One(msgspec.Struct, kw_only=True):
    sku: Sku
    channel: Place | None = None


class AvailabilityRoutes:
    """The routes of the availability view.

    Args:
        config: the limits.
        view: the view.
        rules: the reference data in force.
        state: how far both are behind.
    """

    def __init__(self, config: GatewayConfig, view: AvailabilityView, rules: ReferenceView, state: ViewState) -> None:
        self._config = config
        self._rules = rules
        self._view = view
        self._state = state
        self._waiting = 0

    async def get(self, request: HttpRequest, query: Query) -> Reply:
        """Answer with the availability of the SKUs in the query string."""
        document: dict[str, object] = {"skus": query.all("sku")}
        if (channel := query.one("channel")) is not None:
            document["channel"] = channel
        for name in _INTEGERS:
            if (text := query.digits(name)) is not None:
                document[name] = _as_json(text) if _is_integer(text) else text
        return await self._answer(request, encode(document), sku_field="sku")

    async def post(self, request: HttpRequest) -> Reply:
        """Answer with the availability of the SKUs in the body."""
        body = await read_body(request, self._config.max_availability_bytes)
        return await self._answer(request, body, sku_field="skus")

    async def _answer(self, request: HttpRequest, body: bytes, *, sku_field: str) -> Reply:
        asked = _asked_for(body, sku_field, self._config.max_availability_skus, self._view)
        channel = credential_of(request).channel_for(asked.channel)
        age = self._state.check(asked.max_lag_ms)
        if asked.min_seq:
            await self._reach(asked.skus[0], asked.min_seq)
            age = self._state.check(asked.max_lag_ms)
        items: list[bytes] = []
        for sku in asked.skus:
            items.append(self._available(sku, channel))
            if len(items) % _SLICE == 0:
                await asyncio.sleep(0)
        return items_of(request, Raw(b"[%b]" % b",".join(items)), age)

    def _available(self, sku: str, channel: str | None) -> bytes:
        if channel is None:
            return self._view.written(sku)
        rules = self._rules.of[partition_of(sku, self._config.partitions)]
        return self._view.written_to(sku, channel, rules, time.time_ns() // 1_000_000)

    async def _reach(self, sku: str, min_seq: int) -> None:
        if self._waiting >= self._config.max_in_flight:
            raise TooManyRequests(self._config.max_in_flight)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                await self._view.reach(sku, min_seq)
        except TimeoutError:
            raise ViewBehind(min_seq, self._view.seq_of(sku)) from None
        finally:
            self._waiting -= 1


def _asked_for(body: bytes, sku_field: str, max_skus: int, known: Container[str]) -> AvailabilityBody:
    try:
        asked = msgspec.json.decode(body, type=AvailabilityBody)
    except msgspec.ValidationError as error:
        field = field_of(error)[:MAX_ECHO]  # a caller's field name may be very long
        if field == "$":  # not an object
            raise RequestRefused(Code.MALFORMED) from None
        raise _wrong(field, body, sku_field, _problem_of(error, field, body)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestRefused(Code.MALFORMED) from None
    if not 1 <= len(asked.skus) <= max_skus:
        problem = Problem.TOO_LONG if asked.skus else Problem.TOO_SMALL
        raise _invalid(sku_field, f"1 to {max_skus} SKUs are allowed per request, not {len(asked.skus)}.", problem)
    if asked.min_seq is not None and len(asked.skus) != 1:
        detail = "min_seq is allowed with one SKU only: each SKU has its own sequence numbers."
        raise _invalid("min_seq", detail, Problem.NOT_ALLOWED)
    for i, sku in enumerate(asked.skus):
        if i and sku in known:  # what a stock change has is a SKU, and the first look was at the channel too
            continue
        if (bad := first_bad_field(_One(sku=sku, channel=asked.channel))) is not None:
            raise _wrong(f"skus[{i}]" if bad == "sku" else bad, body, sku_field, Problem.BAD_CHARACTERS)
    return asked


def _as_json(integer: str) -> msgspec.Raw:
    """Return digits with or without a sign as a JSON number, without the leading zeros that JSON does not allow."""
    sign = "-" if integer.startswith("-") else ""
    return msgspec.Raw((sign + (integer.lstrip("-0") or "0")).encode())


def _problem_of(error: msgspec.ValidationError, field: str, body: bytes) -> Problem | None:
    # Not decoded: neither msgspec nor Python makes an integer from more than 4,300 digits.
    try:
        is_negative = bytes(_fields_of(body).get(field, b"")).startswith(b"-")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # after the wrong field the body is no JSON
        is_negative = False
    return problem_of(error, field, -1 if is_negative else 1, integers=frozenset(_INTEGERS))


def _wrong(field: str, body: bytes, sku_field: str, problem: Problem | None) -> RequestRefused:
    name = field.replace("skus", sku_field, 1)
    return _invalid(name, explain(field, problem, body, kind=AvailabilityBody, name=name), problem)


def _invalid(field: str, detail: str, problem: Problem | None) -> RequestRefused:
    return RequestRefused(Code.INVALID_FIELD, detail=detail, field=field, problem=problem)
