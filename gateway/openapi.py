"""Owns the OpenAPI document: every route with its parameters, body, answers and refusals.

The bodies of commands are the commands of `schemas/commands.py` without what the route gives; nothing is said twice.
"""

from collections.abc import Iterable
from importlib import metadata
from typing import Any, NamedTuple

import msgspec

from gateway.availability_routes import Availability, AvailabilityBody
from gateway.command_routes import Sent
from gateway.operations import Live, Readiness
from gateway.problems import STATUS_OF, GatewayCode, Problem
from schemas.codec import encode
from schemas.codes import Code
from schemas.commands import Adjust, Commit, Extend, Release, Reserve
from schemas.results import Result
from schemas.stock_changes import StockChange

Schema = dict[str, Any]
AnyCode = Code | GatewayCode

_READ = (Code.MALFORMED, Code.INVALID_FIELD)
_LEDGER = (
    *_READ,
    GatewayCode.TOO_MANY_REQUESTS,
    GatewayCode.KAFKA_UNAVAILABLE,
    GatewayCode.RESULT_TIMEOUT,
)
_COMMAND = (*_LEDGER, Code.IDEMPOTENCY_MISMATCH, GatewayCode.BODY_TOO_LARGE)
_STEP = (
    *_COMMAND,
    Code.UNKNOWN_SKU,
    Code.UNKNOWN_RESERVATION,
    Code.RESERVATION_COMMITTED,
    Code.RESERVATION_RELEASED,
    Code.RESERVATION_EXPIRED,
)


class _Operation(NamedTuple):
    """One route as its callers see it."""

    method: str
    path: str
    summary: str
    answer: str  # the schema of the answer, or a media type
    codes: tuple[AnyCode, ...] = ()
    parameters: tuple[str, ...] = ()
    body: str | None = None
    status: int = 200
    tag: str = "operations"


_RESERVATION = "/v1/reservations/{id}"
_KEYED = ("Idempotency-Key", "Prefer")

_OPERATIONS = (
    _Operation(
        "post",
        "/v1/adjustments",
        "Change a stock row by a difference or to a count",
        "Result",
        tag="commands",
        codes=(*_COMMAND, Code.STALE_EXPECTATION, Code.NEGATIVE_STOCK, Code.UNKNOWN_WAREHOUSE),
        parameters=_KEYED,
        body="AdjustBody",
    ),
    _Operation(
        "post",
        "/v1/reservations",
        "Hold a quantity of a SKU",
        "Result",
        tag="commands",
        status=201,
        codes=(
            *_COMMAND,
            Code.UNKNOWN_SKU,
            Code.UNKNOWN_WAREHOUSE,
            Code.RESERVATION_EXISTS,
            Code.INSUFFICIENT_STOCK,
        ),
        parameters=_KEYED,
        body="ReserveBody",
    ),
    _Operation(
        "post",
        f"{_RESERVATION}/commit",
        "Take reserved goods out of stock",
        "Result",
        tag="commands",
        codes=(*_STEP, Code.QUANTITY_EXCEEDS_RESERVATION, Code.NEGATIVE_STOCK),
        parameters=("reservation_id", *_KEYED),
        body="CommitBody",
    ),
    _Operation(
        "post",
        f"{_RESERVATION}/release",
        "Give reserved goods back",
        "Result",
        tag="commands",
        codes=(*_STEP, Code.QUANTITY_EXCEEDS_RESERVATION),
        parameters=("reservation_id", *_KEYED),
        body="ReleaseBody",
    ),
    _Operation(
        "post",
        f"{_RESERVATION}/extend",
        "Let a reservation live longer",
        "Result",
        tag="commands",
        codes=_STEP,
        parameters=("reservation_id", *_KEYED),
        body="ExtendBody",
    ),
    _Operation(
        "get",
        _RESERVATION,
        "Read a reservation, linearizably",
        "Result",
        tag="reads",
        codes=(*_LEDGER, Code.UNKNOWN_SKU, Code.UNKNOWN_RESERVATION),
        parameters=("reservation_id", "sku"),
    ),
    _Operation(
        "get",
        "/v1/stock",
        "Read a SKU's stock rows, linearizably",
        "Result",
        tag="reads",
        codes=(*_LEDGER, Code.UNKNOWN_SKU),
        parameters=("sku",),
    ),
    _Operation(
        "get",
        "/v1/commands/{id}",
        "Read the result that a command got",
        "Result",
        tag="reads",
        codes=(*_LEDGER, Code.UNKNOWN_SKU, GatewayCode.UNKNOWN_COMMAND),
        parameters=("command_id", "sku"),
    ),
    _Operation(
        "get",
        "/v1/availability",
        "Read what is available, from the local view",
        "Availability",
        tag="reads",
        codes=(*_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.VIEW_NOT_READY, GatewayCode.VIEW_BEHIND),
        parameters=("skus", "channel", "min_seq"),
    ),
    _Operation(
        "post",
        "/v1/availability",
        "Read what is available of many SKUs, from the local view",
        "Availability",
        tag="reads",
        body="AvailabilityBody",
        codes=(
            *_READ,
            GatewayCode.BODY_TOO_LARGE,
            GatewayCode.TOO_MANY_REQUESTS,
            GatewayCode.VIEW_NOT_READY,
            GatewayCode.VIEW_BEHIND,
        ),
    ),
    _Operation(
        "get",
        "/v1/stock-changes",
        "Follow the stock changes as server-sent events (data: StockChange)",
        "text/event-stream",
        tag="reads",
        codes=(*_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.KAFKA_UNAVAILABLE),
        parameters=("skus_wanted", "Last-Event-ID"),
    ),
    _Operation("get", "/health/live", "Whether the process runs", "Live"),
    _Operation("get", "/health/ready", "Whether requests can be served (503 while not)", "Readiness"),
    _Operation("get", "/metrics", "Metrics in Prometheus' format", "text/plain"),
    _Operation("get", "/openapi.json", "This document", "application/json"),
    _Operation("get", "/docs", "This document as a page", "text/html"),
)

_STRING: Schema = {"type": "string"}
_SKU: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
_IDENTIFIER: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"}


def _parameter(name: str, where: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": where, "schema": schema, "description": description, "required": required}


_PARAMETERS: dict[str, Schema] = {
    "Idempotency-Key": _parameter(
        "Idempotency-Key",
        "header",
        _IDENTIFIER,
        "The command's id. The same key and content again gets the first result again, with `replayed: true`. Made and "
        "returned in the same header when absent.",
    ),
    "Prefer": _parameter(
        "Prefer", "header", _STRING, "`respond-async`: answered 202 as soon as Kafka has the command."
    ),
    "reservation_id": _parameter("id", "path", _IDENTIFIER, "The reservation's id.", required=True),
    "command_id": _parameter("id", "path", _IDENTIFIER, "The command's id.", required=True),
    "sku": _parameter("sku", "query", _SKU, "The SKU.", required=True),
    "skus": _parameter(
        "sku", "query", {"type": "array", "items": _SKU, "minItems": 1}, "A SKU; may be repeated.", required=True
    ),
    "skus_wanted": _parameter(
        "sku", "query", {"type": "array", "items": _SKU}, "Only these SKUs' changes; all when absent."
    ),
    "channel": _parameter("channel", "query", _STRING, "Accepted, and without effect: there are no policies yet."),
    "min_seq": _parameter(
        "min_seq",
        "query",
        {"type": "integer", "minimum": 0},
        "With one SKU: wait until the view has the change of this sequence number.",
    ),
    "Last-Event-ID": _parameter(
        "Last-Event-ID", "header", _STRING, "The id of the last event that was seen: the stream goes on after it."
    ),
}


def openapi_document() -> bytes:
    """Write the OpenAPI 3.1 document, JSON."""
    paths: dict[str, Schema] = {}
    for operation in _OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Holdfast",
                "version": _version(),
                "description": "Exactly-once inventory: reserve, commit, release and adjust stock, and read it.",
            },
            "tags": [{"name": name} for name in ("commands", "reads", "operations")],
            "paths": paths,
            "components": {"schemas": _schemas()},
        }
    )


def _version() -> str:
    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:
        return "0"


def _described(operation: _Operation) -> Schema:
    responses = {str(operation.status): _answer(operation)}
    if "Prefer" in operation.parameters:
        responses["202"] = _content("Kafka has the command; its result will be at `location`.", "Sent")
    responses |= _refusals(operation.codes)
    if operation.answer == "Readiness":
        responses["503"] = _content("Not ready, with the reasons.", "Readiness")
    described: Schema = {
        "operationId": f"{operation.method}{operation.path}".replace("/", "_").replace("{", "").replace("}", ""),
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [_PARAMETERS[name] for name in operation.parameters],
        "responses": responses,
    }
    if operation.body is not None:
        content = {"application/json": {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(operation: _Operation) -> Schema:
    if "/" in operation.answer:
        return {"description": operation.summary, "content": {operation.answer: {}}}
    answer = _content("Accepted." if operation.tag == "commands" else "The answer.", operation.answer)
    if operation.answer == "Result":
        answer["headers"] = {"Idempotency-Key": {"schema": _IDENTIFIER, "description": "The command's id."}}
    return answer


def _refusals(codes: Iterable[AnyCode]) -> dict[str, Schema]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS_OF[code], []).append(code.value)
    return {
        str(status): {
            "description": "Refused: " + ", ".join(f"`{code}`" for code in values),
            "content": {"application/problem+json": {"schema": _ref("Problem")}},
        }
        for status, values in sorted(by_status.items())
    }


def _content(description: str, schema: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, Schema]:
    commands = (Adjust, Reserve, Commit, Release, Extend)
    types = (*commands, Result, StockChange, Problem, Sent, Availability, AvailabilityBody, Live, Readiness)
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    for command in commands:
        name = command.__name__
        schemas[f"{name}Body"] = _body_of(schemas.pop(name), optional={"type", "command_id", "reservation_id"})
    problem = schemas["Problem"]["properties"]
    problem["code"] = {"enum": sorted(code.value for code in STATUS_OF)}
    problem["result"] = _ref("Result")
    return schemas


def _body_of(command: Schema, optional: set[str]) -> Schema:
    """Return a command's schema as a body: without `type`, and what path and header give may be left out."""
    properties = {name: schema for name, schema in command["properties"].items() if name != "type"}
    required = [name for name in command["required"] if name not in optional]
    return {**command, "title": f"{command['title']}Body", "properties": properties, "required": required}
