"""Owns the routes for operators: health, metrics, documentation, the console."""

from collections.abc import Callable

from gateway import parameters
from gateway.access.scopes import NOBODY, READ
from gateway.command_routes import Act
from gateway.health import Readiness
from gateway.operations import Live
from gateway.problems import GatewayCode
from gateway.routes.route import Parts, Route
from gateway.status_document import StatusDocument
from schemas.codes import Code


def _file(path: str, summary: str, act: Callable[[Parts], Act]) -> Route:
    """Declare the route of a page's files."""
    in_path = (parameters.FILES_VERSION, parameters.FILE)
    return Route("GET", path, summary, "*/*", scope=NOBODY, act=act, codes=(GatewayCode.NOT_FOUND,), parameters=in_path)


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
        "The OpenAPI document as a page that sends requests too",
        "text/html",
        scope=NOBODY,
        act=lambda parts: parts.docs.page,
    ),
    _file("/docs/{version}/{file}", "A file of the page at /docs", lambda parts: parts.docs.file),
    Route("GET", "/console", "A page for operators", "text/html", scope=NOBODY, act=lambda parts: parts.console.page),
    _file("/console/{version}/{file}", "A file of the console", lambda parts: parts.console.file),
)
