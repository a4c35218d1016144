"""Owns the routes of commands: a route's body is the command's type without the fields that the route gives."""

from typing import Literal

from gateway import parameters
from gateway.access.scopes import ADJUST, ADMIN, ANY_COMMAND, READ, RESERVE, Needed
from gateway.bulk_routes import MOST_COMMANDS, CommandList, CommandResults, InList
from gateway.parameters import Parameter
from gateway.problems import GatewayCode
from gateway.routes.route import ANY_READ, LEDGER, Example, Route
from schemas.codes import Code
from schemas.commands import (
    Adjust,
    Amend,
    Commit,
    Extend,
    Query,
    Reallocate,
    Release,
    Reserve,
    SetPolicy,
    Settle,
    SkuCommand,
    tag_of,
)
from schemas.inbound import AmendInbound, CancelInbound, ExpectInbound, ReceiveInbound
from schemas.movements import Move, Reconcile, Return, Transfer
from schemas.results import Result

_EVERY = (*LEDGER, Code.IDEMPOTENCY_MISMATCH)
_STEP = (
    Code.UNKNOWN_SKU,
    Code.UNKNOWN_RESERVATION,
    Code.RESERVATION_COMMITTED,
    Code.RESERVATION_RELEASED,
    Code.RESERVATION_EXPIRED,
)
_INBOUND_STEP = (Code.UNKNOWN_SKU, Code.UNKNOWN_INBOUND, Code.INBOUND_CLOSED)
# What the path gives is left out of examples.
_OF_LEEDS = {"sku": "85123A", "warehouse": "leeds"}
_IN_NOVEMBER_2027 = 1_826_323_200_000
_RESERVATION = "/v1/reservations/{id}"
_INBOUND = "/v1/inbounds/{id}"


def _command(
    command: type[SkuCommand],
    path: str,
    summary: str,
    codes: tuple[Code, ...],
    *,
    scope: Needed,
    example: Example,
    in_path: tuple[Parameter, ...] = (),
    status: int = 200,
    method: Literal["POST", "PUT"] = "POST",
) -> Route:
    """Declare the route of a command; `codes` are those of its rule, `example` is a body."""
    id_field = in_path[0].field if in_path else None
    return Route(
        method,
        path,
        summary,
        Result,
        scope=scope,
        act=lambda parts: parts.commands.sender(tag_of(command), status, id_field),
        codes=(*_EVERY, *codes),
        parameters=(*in_path, parameters.IDEMPOTENCY_KEY, parameters.PREFER),
        body=command,
        example=example,
        status=status,
        tag="commands",
    )


_SINGLE_ROUTES = (
    _command(
        Adjust,
        "/v1/adjustments",
        "Change a stock row by a difference or set it to a count",
        (Code.LIMIT_EXCEEDED, Code.STALE_EXPECTATION, Code.NEGATIVE_STOCK, Code.UNKNOWN_WAREHOUSE),
        scope=ADJUST,
        example={**_OF_LEEDS, "delta": 12, "reason": "receipt", "reference": "delivery note 4711"},
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
        scope=RESERVE,
        status=201,
        example={"sku": "85123A", "quantity": 2, "channel": "web", "ttl_ms": 900_000, "order_id": "order-1001"},
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
        scope=RESERVE,
        in_path=(parameters.RESERVATION_ID,),
        example={"sku": "85123A", "quantity": 3},
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
        scope=RESERVE,
        in_path=(parameters.RESERVATION_ID,),
        example={"sku": "85123A", "from": "leeds", "to": "york", "quantity": 1},
    ),
    _command(
        Commit,
        f"{_RESERVATION}/commit",
        "Take reserved goods out of stock",
        (*_STEP, Code.QUANTITY_EXCEEDS_RESERVATION, Code.RESERVATION_WAITING, Code.NEGATIVE_STOCK),
        scope=RESERVE,
        in_path=(parameters.RESERVATION_ID,),
        example={"sku": "85123A"},
    ),
    _command(
        Release,
        f"{_RESERVATION}/release",
        "Release reserved goods",
        (*_STEP, Code.QUANTITY_EXCEEDS_RESERVATION),
        scope=RESERVE,
        in_path=(parameters.RESERVATION_ID,),
        example={"sku": "85123A", "quantity": 1, "reason": "customer changed the order"},
    ),
    _command(
        Extend,
        f"{_RESERVATION}/extend",
        "Give a reservation a new time to live",
        _STEP,
        scope=RESERVE,
        in_path=(parameters.RESERVATION_ID,),
        example={"sku": "85123A", "ttl_ms": 900_000},
    ),
    _command(
        ExpectInbound,
        "/v1/inbounds",
        "Announce goods",
        (Code.UNKNOWN_WAREHOUSE, Code.INBOUND_EXISTS, Code.LIMIT_EXCEEDED),
        scope=ADJUST,
        status=201,
        example={**_OF_LEEDS, "inbound_id": "po-2001", "quantity": 100, "eta_at": _IN_NOVEMBER_2027},
    ),
    _command(
        AmendInbound,
        f"{_INBOUND}/amend",
        "Change how many announced goods come, or when",
        _INBOUND_STEP,
        scope=ADJUST,
        in_path=(parameters.INBOUND_ID,),
        example={"sku": "85123A", "quantity": 80},
    ),
    _command(
        ReceiveInbound,
        f"{_INBOUND}/receive",
        "Take announced goods into stock",
        (*_INBOUND_STEP, Code.LIMIT_EXCEEDED),
        scope=ADJUST,
        in_path=(parameters.INBOUND_ID,),
        example={"sku": "85123A", "quantity": 78, "damaged": 2, "final": True},
    ),
    _command(
        CancelInbound,
        f"{_INBOUND}/cancel",
        "Say that no more of announced goods will come",
        _INBOUND_STEP,
        scope=ADJUST,
        in_path=(parameters.INBOUND_ID,),
        example={"sku": "85123A", "reason": "supplier is out of stock"},
    ),
    _command(
        Return,
        "/v1/returns",
        "Take goods back",
        (Code.UNKNOWN_WAREHOUSE, Code.UNKNOWN_RESERVATION, Code.QUANTITY_EXCEEDS_RESERVATION, Code.LIMIT_EXCEEDED),
        scope=ADJUST,
        example={**_OF_LEEDS, "quantity": 1, "disposition": "inspect"},
    ),
    _command(
        Move,
        "/v1/moves",
        "Move goods of a warehouse from one bucket to another",
        (Code.UNKNOWN_SKU, Code.UNKNOWN_WAREHOUSE, Code.LIMIT_EXCEEDED, Code.NEGATIVE_STOCK),
        scope=ADJUST,
        example={**_OF_LEEDS, "quantity": 1, "from": "quarantine", "to": "on_hand"},
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
        scope=ADJUST,
        example={"sku": "85123A", "quantity": 10, "from": "leeds", "to": "york"},
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
        scope=ADJUST,
        example={**_OF_LEEDS, "counted_on_hand": 42, "tolerance": 2},
    ),
    _command(
        SetPolicy,
        "/v1/policies",
        "Set the policy of a channel for a SKU, as a whole; without any field it is removed",
        (Code.LIMIT_EXCEEDED,),
        scope=ADMIN,
        method="PUT",
        example={"sku": "85123A", "channel": "web", "buffer": 2, "max_per_reservation": 10},
    ),
)

# The two commands of one SKU that have no route of their own.
_WITHOUT_ROUTE = {tag_of(Query): InList(200, READ), tag_of(Settle): InList(200, ADMIN)}
IN_LISTS = _WITHOUT_ROUTE | {
    tag_of(route.body): InList(route.status, route.scope)
    for route in _SINGLE_ROUTES
    if route.body is not None and isinstance(route.scope, frozenset)
}
_BULK_ROUTE = Route(
    "POST",
    "/v1/commands",
    f"Send up to {MOST_COMMANDS:,} commands of one SKU each; the results come in their order",
    CommandResults,
    scope=ANY_COMMAND,
    act=lambda parts: parts.bulk.sender(IN_LISTS),
    codes=(
        *ANY_READ,
        GatewayCode.TOO_MANY_REQUESTS,
        GatewayCode.KAFKA_UNAVAILABLE,
    ),
    parameters=(parameters.BULK_KEY, parameters.PREFER),
    body=CommandList,
    example={
        "commands": [
            {"type": "adjust", **_OF_LEEDS, "delta": 12, "reason": "receipt"},
            {"type": "reserve", "sku": "22423", "quantity": 1, "ttl_ms": 900_000},
        ]
    },
    tag="commands",
)
COMMAND_ROUTES = (*_SINGLE_ROUTES, _BULK_ROUTE)
