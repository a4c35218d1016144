"""Owns the routes for operators: health, metrics, documentation."""

from typing import Literal

import msgspec

from gateway.health import Health
from gateway.incoming import HttpRequest, Query
from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.problems import RequestRefused
from gateway.replies import JSON, Reply
from schemas.codec import encode
from schemas.codes import Code, Problem


class Live(msgspec.Struct):
    """The process runs and answers."""

    status: Literal["live"] = "live"


class Operations:
    """The routes of health, metrics and documentation.

    Args:
        health: says whether the gateway can serve, and why not.
        metrics: the gateway's metrics.
        openapi: the OpenAPI document, JSON.
    """

    def __init__(self, health: Health, metrics: Metrics, openapi: bytes) -> None:
        self._health = health
        self._metrics = metrics
        self._openapi = openapi

    async def live(self, request: HttpRequest) -> Reply:  # noqa: ARG002 - one signature for all routes
        """Answer that the process runs."""
        return Reply(200, encode(Live()), [JSON])

    async def ready(self, request: HttpRequest, query: Query) -> Reply:  # noqa: ARG002 - one signature for all reads
        """Answer whether requests can be served; with `strict`, 503 also while not all can."""
        strict = query.one("strict")
        if strict not in {None, "true", "false"}:
            detail = "The parameter strict must be true or false."
            raise RequestRefused(Code.INVALID_FIELD, detail=detail, field="strict", problem=Problem.NOT_ALLOWED)
        readiness = self._health.readiness()
        serves = readiness.status == "ready" or (readiness.status == "degraded" and strict != "true")
        return Reply(200 if serves else 503, encode(readiness), [JSON])

    async def metrics(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Answer with the metrics."""
        return Reply(200, self._metrics.exposition(), [(b"content-type", CONTENT_TYPE)])

    async def openapi(self, request: HttpRequest) -> Reply:  # noqa: ARG002
        """Answer with the OpenAPI document."""
        return Reply(200, self._openapi, [JSON])
