"""Owns the routes for those who run the gateway: health, metrics, the API's description."""

from collections.abc import Callable
from typing import Literal

import msgspec

from gateway.docs_page import PAGE
from gateway.incoming import HttpRequest
from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.replies import JSON, Reply
from schemas.codec import encode


class Live(msgspec.Struct):
    """The process runs and answers."""

    status: Literal["live"] = "live"


class Readiness(msgspec.Struct):
    """Whether requests can be served, and if not, why."""

    status: Literal["ready", "not_ready"]
    reasons: list[str]


class Operations:
    """The routes of health, metrics and documentation.

    Args:
        reasons: lists what keeps the gateway from serving; empty when nothing does.
        metrics: what was counted.
        openapi: the OpenAPI document, JSON.
    """

    def __init__(self, reasons: Callable[[], list[str]], metrics: Metrics, openapi: bytes) -> None:
        self._reasons = reasons
        self._metrics = metrics
        self._openapi = openapi

    async def live(self, request: HttpRequest) -> Reply:  # noqa: ARG002 - all routes are called alike
        """Say that the process runs."""
        return Reply(200, encode(Live()), [JSON])

    async def ready(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Say whether requests can be served."""
        reasons = self._reasons()
        readiness = Readiness("not_ready" if reasons else "ready", reasons)
        return Reply(503 if reasons else 200, encode(readiness), [JSON])

    async def metrics(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Write the metrics."""
        return Reply(200, self._metrics.exposition(), [(b"content-type", CONTENT_TYPE)])

    async def openapi(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Write the OpenAPI document."""
        return Reply(200, self._openapi, [JSON])

    async def docs(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Write the page that shows the OpenAPI document."""
        return Reply(200, PAGE, [(b"content-type", b"text/html; charset=utf-8")])
