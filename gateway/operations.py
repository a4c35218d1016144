"""Owns the routes for operators: health, metrics, documentation."""

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
    """Whether requests can be served, and the reasons if not."""

    status: Literal["ready", "not_ready"]
    reasons: list[str]


class Operations:
    """The routes of health, metrics and documentation.

    Args:
        reasons: returns why the gateway cannot serve; empty when it can.
        metrics: the gateway's metrics.
        openapi: the OpenAPI document, JSON.
    """

    def __init__(self, reasons: Callable[[], list[str]], metrics: Metrics, openapi: bytes) -> None:
        self._reasons = reasons
        self._metrics = metrics
        self._openapi = openapi

    async def live(self, request: HttpRequest) -> Reply:  # noqa: ARG002 - one signature for all routes
        """Answer that the process runs."""
        return Reply(200, encode(Live()), [JSON])

    async def ready(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Answer whether requests can be served."""
        reasons = self._reasons()
        readiness = Readiness("not_ready" if reasons else "ready", reasons)
        return Reply(503 if reasons else 200, encode(readiness), [JSON])

    async def metrics(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Answer with the metrics."""
        return Reply(200, self._metrics.exposition(), [(b"content-type", CONTENT_TYPE)])

    async def openapi(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Answer with the OpenAPI document."""
        return Reply(200, self._openapi, [JSON])

    async def docs(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Answer with the page that shows the OpenAPI document."""
        return Reply(200, PAGE, [(b"content-type", b"text/html; charset=utf-8")])
