"""Owns the routes for operators: health, metrics, documentation, the console."""

from gateway import parameters
from gateway.access.scopes import NOBODY, READ
from gateway.health import Readiness
from gateway.operations import Live
from gateway.problems import GatewayCode
from gateway.routes.route import Route
from gateway.status_document import StatusDocument
from schemas.codes import Code

OPERATION_ROUTES = (
    Route(
        "GET", "/health/live", "Whether the process runs", Live, scope=NOBODY, act=lambda parts: parts.operations.live
    ),
    Route(
        "GET",
        "/health/ready",
        "Whether requests can be served (503 while not), and the reasons if not all can",
        Readiness,
        scope=NOBODY,
        read=lambda parts: parts.operations.ready,
        codes=(Code.INVALID_FIELD,),
        parameters=(parameters.STRICT,),
        other=(503, "Not ready, with the reasons."),
    ),
    Route(
        "GET",
        "/v1/status",
        "The gateway's health, its requests and the partitions; with `Accept: text/event-stream` once a second",
        StatusDocument,
        scope=READ,
        act=lambda parts: parts.status.status,
        codes=(GatewayCode.TOO_MANY_REQUESTS,),
    ),
    Route(
        "GET",
        "/metrics",
        "Metrics in Prometheus' format",
        "text/plain",
        scope=READ,
        act=lambda parts: parts.operations.metrics,
    ),
    Route(
        "GET",
        "/openapi.json",
        "The OpenAPI document",
        "application/json",
        scope=NOBODY,
        act=lambda parts: parts.operations.openapi,
    ),
    Route(
        "GET",
        "/docs",
        "The OpenAPI document as a page",
        "text/html",
        scope=NOBODY,
        act=lambda parts: parts.operations.docs,
    ),
    Route("GET", "/console", "A page for operators", "text/html", scope=NOBODY, act=lambda parts: parts.console.page),
    Route(
        "GET",
        "/console/{version}/{file}",
        "A file of the console",
        "*/*",
        scope=NOBODY,
        act=lambda parts: parts.console.file,
        codes=(GatewayCode.NOT_FOUND,),
        parameters=(parameters.CONSOLE_VERSION, parameters.CONSOLE_FILE),
    ),
)
