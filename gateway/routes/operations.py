"""Owns the routes for operators: health, metrics, documentation, the console."""

from gateway import parameters
from gateway.access.scopes import NOBODY, READ
from gateway.operations import Live, Readiness
from gateway.problems import GatewayCode
from gateway.routes.route import Route

OPERATION_ROUTES = (
    Route(
        "GET", "/health/live", "Whether the process runs", Live, scope=NOBODY, act=lambda parts: parts.operations.live
    ),
    Route(
        "GET",
        "/health/ready",
        "Whether requests can be served (503 while not)",
        Readiness,
        scope=NOBODY,
        act=lambda parts: parts.operations.ready,
        other=(503, "Not ready, with the reasons."),
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
