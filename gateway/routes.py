"""Owns the table of routes: method, path, parameters, body, answers, codes, and the function that answers.

The handlers (`gateway/endpoint.py`) and the OpenAPI document (`gateway/openapi.py`) come from it. One call of
`_command` declares a command's route: its body is the command's type without the fields that the route gives.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

import msgspec

from gateway import parameters
from gateway.announced import AnnouncedRoutes, Inbounds, Promises
from gateway.availability_routes import Availability, AvailabilityBody, AvailabilityRoutes
from gateway.backorders import Backorders
from gateway.command_routes import Act, CommandRoutes
from gateway.incoming import HttpRequest, Query
from gateway.operations import Live, Operations, Readiness
from gateway.parameters import Parameter
from gateway.problems import AnyCode, GatewayCode
from gateway.reference_routes import Channels, Everywhere, Feeds, Policies, ReferenceRoutes, Warehouses
from gateway.replies import Reply
from gateway.rules import Kind
from gateway.shortfalls import ShortfallRoutes, Shortfalls
from gateway.stock_change_stream import StockChangeStreams
from schemas.codes import Code
from schemas.commands import Adjust, Amend, Commit, Extend, Reallocate, Release, Reserve, SetPolicy, SkuCommand, tag_of
from schemas.inbound import AmendInbound, CancelInbound, ExpectInbound, ReceiveInbound
from schemas.movements import Move, Reconcile, Return, Transfer
from schemas.reference import Channel, ReferenceCommand, SetChannel, SetWarehouse, Warehouse
from schemas.results import Result
from schemas.stock_changes import StockChange

# Routes with a query string get it parsed, so that only the parameters of the table are accepted.
Read = Callable[[HttpRequest, Query], Awaitable[Reply]]


class Parts(NamedTuple):
    """The objects that answer."""

    commands: CommandRoutes
    availability: AvailabilityRoutes
    announced: AnnouncedRoutes
    shortfalls: ShortfallRoutes
    reference: ReferenceRoutes
    streams: StockChangeStreams
    operations: Operations


class Route(NamedTuple):
    """One route.

    `answer` is the type of the answer's JSON document, else its media type, and `data` then the type of its content.
    `body` is the type of the body, for a command's route that of the command.
    """

    method: Literal["GET", "POST", "PUT"]
    path: str
    summary: str
    answer: type[msgspec.Struct] | str
    act: Callable[[Parts], Act] | None = None
    read: Callable[[Parts], Read] | None = None
    codes: tuple[AnyCode, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None
    data: type[msgspec.Struct] | None = None
    status: int = 200
    other: tuple[int, str] | None = None  # another status with the same document, and its meaning
    tag: str = "operations"

    @property
    def name(self) -> str:
        """Return method and path."""
        return f"{self.method} {self.path}"

    def bound(self, parts: Parts) -> Act:
        """Return the function that answers a request of this route."""
        if self.read is None:
            assert self.act is not None  # noqa: S101 - checked at import
            return self.act(parts)
        read = self.read(parts)
        known = frozenset(parameter.name for parameter in self.parameters if parameter.where == "query")

        async def act(request: HttpRequest) -> Reply:
            return await read(request, Query(request, known))

        return act


_READ = (Code.MALFORMED, Code.INVALID_FIELD, GatewayCode.STOPPING)
_LEDGER = (*_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.KAFKA_UNAVAILABLE, GatewayCode.RESULT_TIMEOUT)
_COMMAND = (*_LEDGER, Code.IDEMPOTENCY_MISMATCH, GatewayCode.BODY_TOO_LARGE)
_STEP = (
    Code.UNKNOWN_SKU,
    Code.UNKNOWN_RESERVATION,
    Code.RESERVATION_COMMITTED,
    Code.RESERVATION_RELEASED,
    Code.RESERVATION_EXPIRED,
)
_VIEW = (*_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.VIEW_NOT_READY, GatewayCode.VIEW_BEHIND)
_INBOUND_STEP = (Code.UNKNOWN_SKU, Code.UNKNOWN_INBOUND, Code.INBOUND_CLOSED)
_RESERVATION = "/v1/reservations/{id}"
_INBOUND = "/v1/inbounds/{id}"


def _command(
    command: type[SkuCommand],
    path: str,
    summary: str,
    codes: tuple[Code, ...],
    *,
    in_path: tuple[Parameter, ...] = (),
    status: int = 200,
    method: Literal["POST", "PUT"] = "POST",
) -> Route:
    """Declare the route of a command; `codes` are those of its rule."""
    id_field = in_path[0].field if in_path else None
    return Route(
        method,
        path,
        summary,
        Result,
        act=lambda parts: parts.commands.sender(tag_of(command), status, id_field),
        codes=(*_COMMAND, *codes),
        parameters=(*in_path, parameters.IDEMPOTENCY_KEY, parameters.PREFER),
        body=command,
        status=status,
        tag="commands",
    )


_COMMAND_ROUTES = (
    _command(
        Adjust,
        "/v1/adjustments",
        "Change a stock row by a difference or set it to a count",
        (Code.LIMIT_EXCEEDED, Code.STALE_EXPECTATION, Code.NEGATIVE_STOCK, Code.UNKNOWN_WAREHOUSE),
    ),
    _command(
        Reserve,
        "/v1/reservations",
        "Hold a quantity of a SKU",
        (
            Code.UNKNOWN_SKU,
            Code.UNKNOWN_WAREHOUSE,
            Code.RESERVATION_EXISTS,
            Code.CHANNEL_NOT_ALLOWED,
            Code.WAREHOUSE_DISABLED,
            Code.QUANTITY_ABOVE_LIMIT,
            Code.CHANNEL_CAP_EXCEEDED,
            Code.LIMIT_EXCEEDED,
            Code.INSUFFICIENT_STOCK,
        ),
        status=201,
    ),
    _command(
        Amend,
        f"{_RESERVATION}/amend",
        "Change the quantity of a reservation",
        (
            *_STEP,
            Code.CHANNEL_NOT_ALLOWED,
            Code.QUANTITY_ABOVE_LIMIT,
            Code.QUANTITY_EXCEEDS_RESERVATION,
            Code.CHANNEL_CAP_EXCEEDED,
            Code.LIMIT_EXCEEDED,
            Code.INSUFFICIENT_STOCK,
        ),
        in_path=(parameters.RESERVATION_ID,),
    ),
    _command(
        Reallocate,
        f"{_RESERVATION}/reallocate",
        "Hold units of a reservation in another warehouse",
        (
            *_STEP,
            Code.UNKNOWN_WAREHOUSE,
            Code.CHANNEL_NOT_ALLOWED,
            Code.WAREHOUSE_DISABLED,
            Code.QUANTITY_EXCEEDS_RESERVATION,
            Code.INSUFFICIENT_STOCK,
        ),
        in_path=(parameters.RESERVATION_ID,),
    ),
    _command(
        Commit,
        f"{_RESERVATION}/commit",
        "Take reserved goods out of stock",
        (*_STEP, Code.QUANTITY_EXCEEDS_RESERVATION, Code.RESERVATION_WAITING, Code.NEGATIVE_STOCK),
        in_path=(parameters.RESERVATION_ID,),
    ),
    _command(
        Release,
        f"{_RESERVATION}/release",
        "Release reserved goods",
        (*_STEP, Code.QUANTITY_EXCEEDS_RESERVATION),
        in_path=(parameters.RESERVATION_ID,),
    ),
    _command(
        Extend,
        f"{_RESERVATION}/extend",
        "Give a reservation a new time to live",
        _STEP,
        in_path=(parameters.RESERVATION_ID,),
    ),
    _command(
        ExpectInbound,
        "/v1/inbounds",
        "Announce goods",
        (Code.UNKNOWN_WAREHOUSE, Code.INBOUND_EXISTS, Code.LIMIT_EXCEEDED),
        status=201,
    ),
    _command(
        AmendInbound,
        f"{_INBOUND}/amend",
        "Change how many announced goods come, or when",
        _INBOUND_STEP,
        in_path=(parameters.INBOUND_ID,),
    ),
    _command(
        ReceiveInbound,
        f"{_INBOUND}/receive",
        "Take announced goods into stock",
        (*_INBOUND_STEP, Code.LIMIT_EXCEEDED),
        in_path=(parameters.INBOUND_ID,),
    ),
    _command(
        CancelInbound,
        f"{_INBOUND}/cancel",
        "Say that no more of announced goods will come",
        _INBOUND_STEP,
        in_path=(parameters.INBOUND_ID,),
    ),
    _command(
        Return,
        "/v1/returns",
        "Take goods back",
        (Code.UNKNOWN_WAREHOUSE, Code.UNKNOWN_RESERVATION, Code.QUANTITY_EXCEEDS_RESERVATION, Code.LIMIT_EXCEEDED),
    ),
    _command(
        Move,
        "/v1/moves",
        "Move goods of a warehouse from one bucket to another",
        (Code.UNKNOWN_SKU, Code.UNKNOWN_WAREHOUSE, Code.LIMIT_EXCEEDED, Code.NEGATIVE_STOCK),
    ),
    _command(
        Transfer,
        "/v1/transfers",
        "Move goods to another warehouse, at once or as a shipment",
        (
            Code.UNKNOWN_SKU,
            Code.UNKNOWN_WAREHOUSE,
            Code.INBOUND_EXISTS,
            Code.LIMIT_EXCEEDED,
            Code.INSUFFICIENT_STOCK,
        ),
    ),
    _command(
        Reconcile,
        "/v1/reconciliations",
        "Bring a count into the ledger",
        (
            Code.UNKNOWN_WAREHOUSE,
            Code.LIMIT_EXCEEDED,
            Code.STALE_COUNT,
            Code.AS_OF_TOO_OLD,
            Code.DRIFT_ABOVE_TOLERANCE,
            Code.NEGATIVE_STOCK,
        ),
    ),
    _command(
        SetPolicy,
        "/v1/policies",
        "Set the policy of a channel for a SKU, as a whole; without any field it is removed",
        (Code.LIMIT_EXCEEDED,),
        method="PUT",
    ),
)

_READ_ROUTES = (
    Route(
        "GET",
        _RESERVATION,
        "Read a reservation, linearizably",
        Result,
        read=lambda parts: parts.commands.reservation,
        codes=(*_LEDGER, Code.UNKNOWN_SKU, Code.UNKNOWN_RESERVATION),
        parameters=(parameters.RESERVATION_ID, parameters.SKU),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/stock",
        "Read a SKU's stock rows, linearizably",
        Result,
        read=lambda parts: parts.commands.stock,
        codes=(*_LEDGER, Code.UNKNOWN_SKU),
        parameters=(parameters.SKU,),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/backorders",
        "List the reservations that wait for a SKU by rank, linearizably",
        Backorders,
        read=lambda parts: parts.commands.backorders,
        codes=(*_LEDGER, Code.UNKNOWN_SKU),
        parameters=(parameters.SKU, parameters.WAITING_LIMIT),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/commands/{id}",
        "Read the result of a command",
        Result,
        read=lambda parts: parts.commands.command,
        codes=(*_LEDGER, Code.UNKNOWN_SKU, GatewayCode.UNKNOWN_COMMAND),
        parameters=(parameters.COMMAND_ID, parameters.SKU),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/availability",
        "Read the availability of up to 1,000 SKUs from the local view (as many as fit into a URL of 64 KiB)",
        Availability,
        read=lambda parts: parts.availability.get,
        codes=_VIEW,
        parameters=(parameters.SKUS, parameters.CHANNEL, parameters.MIN_SEQ),
        tag="reads",
    ),
    Route(
        "POST",
        "/v1/availability",
        "Read the availability of up to 1,000 SKUs from the local view",
        Availability,
        act=lambda parts: parts.availability.post,
        codes=(*_VIEW, GatewayCode.BODY_TOO_LARGE),
        body=AvailabilityBody,
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/inbounds",
        "List the announced goods of a SKU from the local view",
        Inbounds,
        read=lambda parts: parts.announced.inbounds,
        codes=(*_READ, GatewayCode.VIEW_NOT_READY),
        parameters=(parameters.SKU,),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/promises",
        "Read by when a channel can be promised a quantity, from the local view",
        Promises,
        read=lambda parts: parts.announced.promises,
        codes=(*_READ, GatewayCode.VIEW_NOT_READY),
        parameters=(parameters.SKU, parameters.SELLING_CHANNEL, parameters.WANTED, parameters.BY),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/shortfalls",
        "List the stock rows where more is reserved than on hand, from the local view",
        Shortfalls,
        read=lambda parts: parts.shortfalls.shortfalls,
        codes=(*_READ, GatewayCode.VIEW_NOT_READY),
        parameters=(parameters.PAGE_LIMIT, parameters.CURSOR),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/stock-changes",
        "Follow the stock changes as server-sent events (data: StockChange)",
        "text/event-stream",
        read=lambda parts: parts.streams.stream,
        codes=(*_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.KAFKA_UNAVAILABLE),
        parameters=(parameters.SKUS_WANTED, parameters.LAST_EVENT_ID),
        data=StockChange,
        tag="reads",
    ),
)


def _setter(command: type[ReferenceCommand], kind: Kind, path: str, summary: str, in_path: Parameter) -> Route:
    """Declare the route of a reference command."""
    return Route(
        "PUT",
        path,
        summary,
        Everywhere,
        act=lambda parts: parts.reference.setter(tag_of(command), kind),
        codes=(
            *_LEDGER,
            GatewayCode.BODY_TOO_LARGE,
            GatewayCode.VIEW_NOT_READY,
            Code.STALE_VERSION,
            Code.LIMIT_EXCEEDED,
        ),
        parameters=(in_path, parameters.IDEMPOTENCY_KEY),
        body=command,
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
    codes = (*_READ, GatewayCode.VIEW_NOT_READY, *missing)
    return Route("GET", path, summary, answer, read=read, codes=codes, parameters=known, tag="rules")


_PAGED = (parameters.PAGE_LIMIT, parameters.CURSOR)
_RULE_ROUTES = (
    _setter(
        SetWarehouse, "warehouse", "/v1/warehouses/{id}", "Set a warehouse in every partition", parameters.WAREHOUSE_ID
    ),
    _setter(
        SetChannel, "channel", "/v1/channels/{id}", "Set a channel's policy in every partition", parameters.CHANNEL_ID
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

_OPERATION_ROUTES = (
    Route("GET", "/health/live", "Whether the process runs", Live, act=lambda parts: parts.operations.live),
    Route(
        "GET",
        "/health/ready",
        "Whether requests can be served (503 while not)",
        Readiness,
        act=lambda parts: parts.operations.ready,
        other=(503, "Not ready, with the reasons."),
    ),
    Route("GET", "/metrics", "Metrics in Prometheus' format", "text/plain", act=lambda parts: parts.operations.metrics),
    Route(
        "GET", "/openapi.json", "The OpenAPI document", "application/json", act=lambda parts: parts.operations.openapi
    ),
    Route("GET", "/docs", "The OpenAPI document as a page", "text/html", act=lambda parts: parts.operations.docs),
)

ROUTES: tuple[Route, ...] = (*_COMMAND_ROUTES, *_READ_ROUTES, *_RULE_ROUTES, *_OPERATION_ROUTES)


def check_routes(routes: tuple[Route, ...]) -> None:
    """Check that every route is complete and declared once.

    Raises:
        RuntimeError: names the route and what is wrong.
    """
    seen: set[str] = set()
    for route in routes:
        in_path = {f"{{{parameter.name}}}" for parameter in route.parameters if parameter.where == "path"}
        if in_path != {part for part in route.path.split("/") if part.startswith("{")}:
            raise RuntimeError(f"gateway/routes.py: the path of {route.name} and its parameters differ")
        if (route.act is None) == (route.read is None):
            raise RuntimeError(f"gateway/routes.py: {route.name} needs `act` or `read`, one of the two")
        if route.name in seen:
            raise RuntimeError(f"gateway/routes.py: {route.name} stands twice")
        seen.add(route.name)


check_routes(ROUTES)
