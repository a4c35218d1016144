"""Owns the OpenAPI document: every route of `gateway/routes/` with its parameters, body, answers and refusals.

The bodies of commands are the types of `schemas/commands.py` without the fields that the route gives.
"""

from collections.abc import Collection
from importlib import metadata

import msgspec

from gateway.access.scopes import NOBODY
from gateway.body_rules import RULES
from gateway.command_routes import Sent
from gateway.compose import made_fields
from gateway.config import GatewayConfig
from gateway.parameters import CURSOR, IDENTIFIER, IF_NONE_MATCH, PREFER, STRING, Schema
from gateway.problems import REFUSALS, GatewayCode, ProblemDocument, problem_body
from gateway.routes.route import Route
from gateway.routes.table import ROUTES
from schemas.codec import encode
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.reference import REFERENCE_COMMAND_TYPES
from schemas.results import Result

_WITH_ROUTES: tuple[type[msgspec.Struct], ...] = (*SKU_COMMAND_TYPES, *REFERENCE_COMMAND_TYPES)
_GIVEN_HERE = "source"
# Text of JSON has no half of a character, and not every library can read a pattern that forbids one.
_HALVES = rb"\\ud800-\\udfff"
_ACCEPTED, _CREATED = 202, 201
_TELL_WHEN = frozenset({"429", "503"})
_HEADERS: dict[str, Schema] = {
    "Holdfast-Request-Id": {"schema": STRING, "description": "Names the request in the gateway's log."},
    "Location": {"schema": STRING, "description": "Where what was made can be read."},
    "Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Ask again after so many seconds."},
}
_BEARER = "bearer"
BEARER: Schema = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key (`hf_...`) or a token (JWT). An open gateway, which listens on loopback only, needs none.",
}


def openapi_document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON."""
    paths: dict[str, Schema] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _described(route)
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Holdfast",
                "version": _version(),
                "description": "Exactly-once inventory: reserve, commit, release and adjust stock, and read it. "
                "docs/contract.md in the repository is the whole contract: codes, fields, topics, order, repetition.",
            },
            "servers": [{"url": "/", "description": "This gateway."}],
            "tags": [{"name": name} for name in ("commands", "reads", "rules", "operations")],
            "paths": paths,
            "security": [{_BEARER: []}],
            "components": {"schemas": _schemas(), "headers": _HEADERS, "securitySchemes": {_BEARER: BEARER}},
        }
    ).replace(_HALVES, b"")


def _version() -> str:
    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:
        return "0"


def _described(route: Route) -> Schema:
    responses = {str(route.status): _answer(route)}
    if PREFER in route.parameters:
        sent = Sent if route.answer is Result else route.answer
        assert isinstance(sent, type)  # noqa: S101 - a route with `Prefer` answers with a document
        responses["202"] = _content("Kafka has it; the result will be at `location`.", sent)
    if IF_NONE_MATCH in route.parameters:
        responses["304"] = {"description": "Nothing else than before.", "headers": _view_headers(route)}
    responses |= _refusals(route)
    if route.other is not None and not isinstance(route.answer, str):
        status, meaning = route.other
        responses[str(status)] = _content(meaning, route.answer)
    for answered, response in responses.items():
        response["headers"] = _headers_of(answered) | response.get("headers", {})
    method = route.method.lower()
    described: Schema = {
        "operationId": f"{method}{route.path}".replace("/", "_").replace("{", "").replace("}", ""),
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [parameter.described() for parameter in route.parameters],
        "responses": responses,
    }
    if route.scope is NOBODY:
        described["security"] = []
    if route.body is not None:
        content = {"application/json": {"schema": _ref(_body_name(route.body)), "example": route.example}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(route: Route) -> Schema:
    if isinstance(route.answer, str):
        return {"description": route.summary, "content": {route.answer: {}}}
    answer = _content("Accepted." if route.tag == "commands" else "The answer.", route.answer)
    if route.answer is Result:
        answer["headers"] = {"Idempotency-Key": {"schema": IDENTIFIER, "description": "The command's id."}}
    if CURSOR in route.parameters:
        what = '`<...>; rel="next"`: the request that goes on; absent at the end.'
        answer["headers"] = {"Link": {"schema": STRING, "description": what}}
    if headers := _view_headers(route):
        answer["headers"] = answer.get("headers", {}) | headers
    return answer


def _view_headers(route: Route) -> Schema:
    """Return the headers of an answer from the view, by name."""
    headers: Schema = {}
    if GatewayCode.VIEW_BEHIND in route.codes:
        integer = {"type": "integer", "minimum": 0}
        headers["Holdfast-View-Lag-Ms"] = {"schema": integer, "description": "`lag_ms`: how old the view is."}
    if IF_NONE_MATCH in route.parameters:
        headers["ETag"] = {"schema": STRING, "description": "Of the items; the same on every gateway."}
    return headers


def _refusals(route: Route) -> dict[str, Schema]:
    return {
        str(status): {
            "description": "Refused: " + ", ".join(f"`{code}`" for code in codes),
            "content": {
                "application/problem+json": {
                    "schema": _ref("ProblemDocument"),
                    "example": msgspec.json.decode(problem_body(codes[0], status=status)),
                }
            },
        }
        for status, codes in route.refusals_by_status.items()
    }


def _headers_of(status: str) -> dict[str, Schema]:
    names = ["Holdfast-Request-Id"]
    if status in {str(_CREATED), str(_ACCEPTED)}:
        names.append("Location")
    if status in _TELL_WHEN:
        names.append("Retry-After")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _content(description: str, answer: type[msgspec.Struct]) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(answer.__name__)}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _body_name(body: type[msgspec.Struct]) -> str:
    return f"{body.__name__}Body" if body in _WITH_ROUTES else body.__name__


def _schemas() -> dict[str, Schema]:
    used = [type_ for route in ROUTES for type_ in (route.body, route.data, route.answer) if isinstance(type_, type)]
    _, schemas = msgspec.json.schema_components(
        [ProblemDocument, Sent, *used], ref_template="#/components/schemas/{name}"
    )
    given: dict[type[msgspec.Struct], set[str]] = {}
    for route in ROUTES:
        if route.body in _WITH_ROUTES:
            given.setdefault(route.body, set()).update(p.field for p in route.parameters if p.field is not None)
    for command, fields in given.items():
        schemas[_body_name(command)] = _body_of(schemas[command.__name__], command, fields) | RULES.get(command, {})
    for command in REFERENCE_COMMAND_TYPES:
        schemas.pop(command.__name__, None)
    for command in SKU_COMMAND_TYPES:
        schemas[command.__name__] = _item_of(schemas[command.__name__], command) | RULES.get(command, {})
    # The decoder leaves the count to the route, which says how many there are.
    schemas["AvailabilityBody"]["properties"]["skus"] |= {
        "minItems": 1,
        "maxItems": GatewayConfig().max_availability_skus,
    }
    problem = schemas["ProblemDocument"]["properties"]
    problem["code"] = {
        "enum": sorted(code.value for code in REFUSALS),
        "description": " ".join(f"{code} ({status}): {text}" for code, (status, text) in REFUSALS.items()),
    }
    problem["result"] = _ref("Result")
    return schemas


def _body_of(schema: Schema, command: type[msgspec.Struct], given: set[str]) -> Schema:
    """Return a command's schema as a body, without `type`; fields that route or gateway give are optional.

    A body may have these fields, but they must equal those of path and header.
    """
    optional = {"type", *given, *made_fields(tag_of(command))}
    return _relaxed({**schema, "title": f"{schema['title']}Body"}, {"type", _GIVEN_HERE}, optional)


def _item_of(schema: Schema, command: type[msgspec.Struct]) -> Schema:
    """Return a command's schema as an item of a list, where the gateway can give ids that are missing."""
    optional = {"command_id", *made_fields(tag_of(command))}
    return _relaxed(schema, {_GIVEN_HERE}, optional)


def _relaxed(schema: Schema, left_out: Collection[str], optional: Collection[str]) -> Schema:
    """Return the schema of an object without some fields, and others optional: null is the same as absent."""
    null = {"type": "null"}
    properties = {
        name: {"anyOf": [field, null]} if name in optional else field
        for name, field in schema["properties"].items()
        if name not in left_out
    }
    required = [name for name in schema["required"] if name not in optional]
    return {**schema, "properties": properties, "required": required}
