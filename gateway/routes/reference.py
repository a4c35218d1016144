"""Owns the routes of warehouses, channels, policies and feeds."""

from collections.abc import Callable

import msgspec

from gateway import parameters
from gateway.access.scopes import ADMIN, READ
from gateway.parameters import Parameter
from gateway.problems import GatewayCode
from gateway.reference_routes import Channels, Everywhere, Feeds, Policies, Warehouses
from gateway.routes.route import LEDGER, VIEW, Example, Parts, Read, Route
from gateway.rules import Kind
from schemas.codes import Code
from schemas.commands import tag_of
from schemas.reference import Channel, ReferenceCommand, SetChannel, SetWarehouse, Warehouse


def _setter(
    command: type[ReferenceCommand], kind: Kind, path: str, summary: str, in_path: Parameter, example: Example
) -> Route:
    """Declare the route of a reference command; `example` is a body."""
    return Route(
        "PUT",
        path,
        summary,
        Everywhere,
        scope=ADMIN,
        act=lambda parts: parts.reference.setter(tag_of(command), kind),
        codes=(
            *LEDGER,
            GatewayCode.VIEW_NOT_READY,
            Code.STALE_VERSION,
            Code.LIMIT_EXCEEDED,
        ),
        parameters=(in_path, parameters.IDEMPOTENCY_KEY),
        body=command,
        example=example,
        tag="rules",
    )


def _rules(
    path: str,
    summary: str,
    answer: type[msgspec.Struct],
    read: Callable[[Parts], Read],
    known: tuple[Parameter, ...] = (),
) -> Route:
    """Declare a route that is answered from the view of reference data."""
    missing = (GatewayCode.NOT_FOUND,) if path.endswith("}") else ()
    codes, known = (*VIEW, *missing), (*known, parameters.MAX_LAG_MS)
    return Route("GET", path, summary, answer, scope=READ, read=read, codes=codes, parameters=known, tag="rules")


_PAGED = (parameters.PAGE_LIMIT, parameters.CURSOR, parameters.IF_NONE_MATCH)
REFERENCE_ROUTES = (
    _setter(
        SetWarehouse,
        "warehouse",
        "/v1/warehouses/{id}",
        "Set a warehouse in every partition",
        parameters.WAREHOUSE_ID,
        {"version": 1, "name": "Leeds", "priority": 10, "region": "north"},
    ),
    _setter(
        SetChannel,
        "channel",
        "/v1/channels/{id}",
        "Set a channel's policy in every partition",
        parameters.CHANNEL_ID,
        {"version": 1, "name": "Web shop", "warehouses": ["leeds", "york"], "buffer": 2},
    ),
    _rules("/v1/warehouses", "List the warehouses", Warehouses, lambda parts: parts.reference.warehouses, _PAGED),
    _rules("/v1/channels", "List the channels", Channels, lambda parts: parts.reference.channels, _PAGED),
    _rules("/v1/feeds", "List the feeds of counts", Feeds, lambda parts: parts.reference.feeds, _PAGED),
    _rules(
        "/v1/warehouses/{id}",
        "Read a warehouse",
        Warehouse,
        lambda parts: parts.reference.warehouse,
        (parameters.WAREHOUSE_ID,),
    ),
    _rules(
        "/v1/channels/{id}", "Read a channel", Channel, lambda parts: parts.reference.channel, (parameters.CHANNEL_ID,)
    ),
    _rules(
        "/v1/policies",
        "Read the policies of a SKU, and with a channel what they resolve to",
        Policies,
        lambda parts: parts.reference.policies,
        (parameters.SKU, parameters.POLICY_CHANNEL),
    ),
)
