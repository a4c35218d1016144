"""Owns the list of the view's SKUs in byte order: all, or those that begin so, lie there, or are short."""

import asyncio
import re
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.availability import AvailabilityView, Available
from gateway.incoming import HttpRequest, Query
from gateway.problems import RequestRefused, ViewNotReady
from gateway.replies import Reply
from gateway.view_answer import Lag, LagMs, Next, Stale, ViewState, page_of
from schemas.codec import MAX_ECHO
from schemas.codes import Code, Problem
from schemas.fields import PLACE_PATTERN

MOST_SKUS = 1_000
# SKUs that one request looks at; then it answers what it found, and `next` goes on. 20,000 take about 20 ms.
MOST_LOOKED_AT = 20_000
MOST_CHARACTERS = 64  # of a SKU
_is_place = re.compile(PLACE_PATTERN).fullmatch
# SKUs that are looked at before other requests may run.
_SLICE = 1_000
# Items that are made before other requests may run.
_MADE = 200


class Skus(msgspec.Struct, kw_only=True):
    """SKUs of the view in byte order, as availability shows them.

    A page may have fewer items than `limit`, or none, and still go on: of a rare kind only so many SKUs are looked at.
    """

    items: list[Available]
    next: Next
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class _Wanted(NamedTuple):
    prefix: str
    warehouse: str | None
    short: bool


class SkuRoutes:
    """The route of the list of SKUs.

    Args:
        view: the availability view.
        state: how far it is behind.
    """

    def __init__(self, view: AvailabilityView, state: ViewState) -> None:
        self._view = view
        self._state = state

    async def skus(self, request: HttpRequest, query: Query) -> Reply:
        """Answer with a page of SKUs."""
        limit = query.integer("limit", least=1, most=MOST_SKUS) or MOST_SKUS
        wanted = _Wanted(_prefix(query), _place(query, "warehouse"), _flag(query, "shortfall"))
        after = query.one("cursor")
        age = self._state.asked(query)
        await self._view.put_in_order()
        names, goes_on = await self._find(wanted, "" if after is None else f"{after}\0", limit)
        items = []
        for made, name in enumerate(names, start=1):
            items.append(self._view.written(name))
            if made % _MADE == 0:
                await asyncio.sleep(0)
        self._state.check()  # meanwhile the view may have been emptied, to be read anew
        return page_of(request, query, Raw(b"[%b]" % b",".join(items)), goes_on, age)

    async def _find(self, wanted: _Wanted, least: str, limit: int) -> tuple[list[str], str | None]:
        """Return SKUs, and the last one that was looked at if others may follow."""
        found: list[str] = []
        least = max(least, wanted.prefix)
        for _ in range(0, MOST_LOOKED_AT, _SLICE):
            names = self._names(wanted, least)
            for name in names:
                if not name.startswith(wanted.prefix):
                    return found, None
                if not self._fits(wanted, name):
                    continue
                if len(found) == limit:
                    return found, found[-1]
                found.append(name)
            if len(names) < _SLICE:
                return found, None
            least = f"{names[-1]}\0"
            await asyncio.sleep(0)
            if not self._view:
                raise ViewNotReady
        return found, names[-1]

    def _names(self, wanted: _Wanted, least: str) -> list[str]:
        return (self._view.short_skus_from if wanted.short else self._view.skus_from)(least, _SLICE)

    def _fits(self, wanted: _Wanted, name: str) -> bool:
        return wanted.warehouse is None or self._view.has_row(name, wanted.warehouse, short=wanted.short)


def _prefix(query: Query) -> str:
    prefix = query.one("prefix") or ""
    if len(prefix) > MOST_CHARACTERS:
        detail = f"prefix has at most {MOST_CHARACTERS} characters, as a SKU has: {len(prefix)} are too many."
        raise RequestRefused(Code.INVALID_FIELD, detail=detail, field="prefix", problem=Problem.TOO_LONG)
    return prefix


def _place(query: Query, name: str) -> str | None:
    given = query.one(name)
    if given is not None and _is_place(given) is None:
        detail = f"{name} must be 1 to 32 letters, digits and . _ -: {given[:MAX_ECHO]!a} is not."
        raise RequestRefused(Code.INVALID_FIELD, detail=detail, field=name, problem=Problem.BAD_CHARACTERS)
    return given


def _flag(query: Query, name: str) -> bool:
    text = query.one(name)
    if text not in {None, "true", "false"}:
        detail = f"{name} must be true or false: {(text or '')[:MAX_ECHO]} is neither."
        raise RequestRefused(Code.INVALID_FIELD, detail=detail, field=name, problem=Problem.WRONG_TYPE)
    return text == "true"
