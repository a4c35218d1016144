"""Owns the routes of reference data: warehouses and channels are set in every partition, and read from the view."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.access.credential import credential_of
from gateway.compose import compose, compose_query, idempotency_key
from gateway.config import GatewayConfig
from gateway.incoming import HttpRequest, Query, header, read_body
from gateway.problems import REFUSALS, GatewayCode, RequestRefused, ViewNotReady, problem_body
from gateway.replies import Reply, document, problem
from gateway.requests import LedgerClient
from gateway.rules import MOST_LISTED, Kind, ReferenceView
from gateway.view_answer import Lag, LagMs, Next, Stale, ViewState, answer_of, page_of
from gateway.view_reader import ViewReader
from schemas.codec import encode
from schemas.codes import Code
from schemas.partitioner import partition_of
from schemas.policies import POLICY_FIELDS, Policy
from schemas.reference import MAX_CHANNELS, MAX_WAREHOUSES, Channel, FeedState, SkuPolicy, Warehouse

Act = Callable[[HttpRequest], Awaitable[Reply]]


class Everywhere(msgspec.Struct):
    """The answer to a reference command: the result of every partition, by its number."""

    results: list[Raw]


class Warehouses(msgspec.Struct):
    """All warehouses that somebody set; any other one is enabled, with priority 100."""

    items: list[Warehouse]
    next: Next
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class Channels(msgspec.Struct):
    """All channels that somebody set."""

    items: list[Channel]
    next: Next
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class Feeds(msgspec.Struct):
    """All feeds of counts."""

    items: list[FeedState]
    next: Next
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET


class ResolvedField(msgspec.Struct):
    """One field of a resolved policy: its value, and the key of the record that gives it; null for the default."""

    value: Any
    given_by: str | None


class Policies(msgspec.Struct):
    """The policies of a SKU, and what they resolve to for a channel."""

    sku: str
    items: list[SkuPolicy]
    lag: Lag
    lag_ms: LagMs
    stale: Stale | UnsetType = UNSET
    channel: str | UnsetType = UNSET
    resolved: dict[str, ResolvedField] | UnsetType = UNSET


class ReferenceRoutes:
    """The routes of reference data.

    Args:
        config: the limits.
        ledger: the client of the ledger.
        view: the reference data in force.
        reader: feeds it.
        state: how far the views of the gateway are behind.
    """

    def __init__(
        self,
        config: GatewayConfig,
        ledger: LedgerClient,
        view: ReferenceView,
        reader: ViewReader,
        state: ViewState,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._view = view
        self._reader = reader
        self._state = state

    def setter(self, type_: str, kind: Kind) -> Act:
        """Return a function that sends a reference command to every partition and answers with all results.

        Args:
            type_: the command's type.
            kind: what it sets, and the command's field that is in the path.
        """
        return lambda request: self._set(request, type_, kind)

    async def warehouse(self, request: HttpRequest, query: Query) -> Reply:
        """Read a warehouse."""
        return self._one("warehouse", request, query)

    async def channel(self, request: HttpRequest, query: Query) -> Reply:
        """Read a channel."""
        _check_policy(request, request.path_params["id"])
        return self._one("channel", request, query)

    async def warehouses(self, request: HttpRequest, query: Query) -> Reply:
        """List the warehouses."""
        return self._page("warehouse", request, query)

    async def channels(self, request: HttpRequest, query: Query) -> Reply:
        """List the channels."""
        return self._page("channel", request, query)

    async def feeds(self, request: HttpRequest, query: Query) -> Reply:
        """List the feeds."""
        return self._page("feed", request, query)

    async def policies(self, request: HttpRequest, query: Query) -> Reply:
        """Read the policies of a SKU."""
        sku, channel = query.needed("sku"), query.one("channel")
        # It refuses what no SKU or channel can be.
        compose_query(sku, credential_of(request), channel=None if channel == "*" else channel)
        if channel is not None:
            _check_policy(request, channel)
        age = self._state.asked(query)
        rules = self._view.of[partition_of(sku, self._config.partitions)]
        own = [policy for policy in rules.own_policies(sku) if _sees_policy(request, policy.channel)]
        found = Policies(sku, own, *age)
        if channel is not None:
            found.channel = channel
            found.resolved = _resolved(rules.policy(channel, sku), [*rules.layers(channel, sku)])
        return answer_of(found, age)

    def _one(self, kind: Kind, request: HttpRequest, query: Query) -> Reply:
        age = self._state.asked(query)
        found = self._view.find(kind, request.path_params["id"])
        if found is None:
            raise RequestRefused(GatewayCode.NOT_FOUND, detail=f"Nobody set this {kind}: it has all defaults.")
        return answer_of(found, age)

    def _page(self, kind: Kind, request: HttpRequest, query: Query) -> Reply:
        limit = query.integer("limit", least=1, most=MOST_LISTED) or MOST_LISTED
        age = self._state.asked(query)
        items, goes_on = self._view.page(kind, query.one("cursor") or "", limit)
        if kind == "channel":
            items = [item for item in items if _sees_policy(request, item.id)]
        return page_of(request, query, Raw(encode(items)), goes_on, age)

    async def _set(self, request: HttpRequest, type_: str, kind: Kind) -> Reply:
        key = idempotency_key(header(request, b"idempotency-key"))
        body = await read_body(request, self._config.max_availability_bytes)
        command = compose(type_, body, credential_of(request), key=key, in_path={kind: request.path_params["id"]})
        self._check_limit(kind, request.path_params["id"], command.command_id)
        answers = await self._ledger.ask_everywhere(command)
        for answer in answers:
            if (code := answer.head.code) is not None:
                refused = problem_body(code, result=answer.document)
                return problem(REFUSALS[code].status, refused, command.command_id)
        everywhere = Everywhere([Raw(answer.document) for answer in answers])
        return document(200, encode(everywhere), command.command_id)

    def _check_limit(self, kind: Kind, name: str, command_id: str) -> None:
        if not self._reader.complete.is_set():
            raise ViewNotReady
        view = self._view
        most = MAX_WAREHOUSES if kind == "warehouse" else MAX_CHANNELS
        if view.count(kind) >= most and view.find(kind, name) is None:
            detail = f"There are {most:,} of them, which is the most."
            raise RequestRefused(Code.LIMIT_EXCEEDED, detail=detail, command_id=command_id)


def _sees_policy(request: HttpRequest, channel: str) -> bool:
    """Return whether a policy may be shown: what holds for all channels holds for those of a credential as well."""
    return channel == "*" or credential_of(request).sees(channel)


def _check_policy(request: HttpRequest, channel: str) -> None:
    if channel != "*":
        credential_of(request).check_channel(channel)


def _resolved(policy: Policy, layers: list[tuple[str, SkuPolicy | Channel]]) -> dict[str, ResolvedField]:
    fields = {}
    for name in POLICY_FIELDS:
        giving = (key for key, document in layers if getattr(document, name) is not UNSET)
        fields[name] = ResolvedField(getattr(policy, name), next(giving, None))
    return fields
