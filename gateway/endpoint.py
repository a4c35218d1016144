"""Owns the handling of every request: call the route, turn refusals into problem documents, count the answer."""

import asyncio
import itertools
import os
from collections.abc import Iterable
from time import monotonic, perf_counter

import structlog
from litestar.handlers import HTTPRouteHandler

from gateway.access.admission import Access
from gateway.access.credential import set_credential
from gateway.access.scopes import NOBODY
from gateway.incoming import HttpRequest, check_head
from gateway.metrics import Observe
from gateway.problems import GatewayCode, RequestRefused, Stopping
from gateway.replies import Reply, head_of, refusal
from gateway.routes.route import Parts, Route

_MOST_LINES_A_SECOND = 20
_log = structlog.get_logger("holdfast.gateway")


class RequestIds:
    """Makes the ids of requests: short, and never the same twice, even of two gateways."""

    def __init__(self) -> None:
        self._first = os.urandom(5).hex()
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        """Return a new id."""
        return f"{self._first}-{next(self._numbers):x}"


class FailureLog:
    """Logs why requests were refused where the caller is not told, each under its id.

    While Kafka is away thousands of requests a second may be refused: of each second only the first 20 are logged, and
    then how many were not.
    """

    def __init__(self) -> None:
        self._second = 0
        self._lines = 0

    def __call__(self, request_id: str, error: RequestRefused) -> None:
        """Log one refusal."""
        second = int(monotonic())
        if second != self._second:
            if self._lines > _MOST_LINES_A_SECOND:
                _log.warning("more requests failed than are logged", not_logged=self._lines - _MOST_LINES_A_SECOND)
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= _MOST_LINES_A_SECOND:
            _log.warning("a request failed", request_id=request_id, code=error.code.value, reason=error.reason)


class Endpoints:
    """Makes Litestar's handlers of the routes.

    Args:
        parts: the objects that answer.
        access: admits requests.
        retry_after_s: the value of `Retry-After`.
        stopping: set when the process should end; from then on only health, metrics and documentation are served.
        new_id: makes the id of a request.
    """

    def __init__(
        self, parts: Parts, access: Access, retry_after_s: int, stopping: asyncio.Event, new_id: RequestIds
    ) -> None:
        self._parts = parts
        self._access = access
        self._retry_after_s = retry_after_s
        self._stopping = stopping
        self._new_id = new_id
        self._log_failure = FailureLog()

    def handler_of(self, route: Route, observe: Observe) -> HTTPRouteHandler:
        """Return the handler of a route; one that is read with `GET` answers `HEAD` too.

        Args:
            route: its entry in the table.
            observe: called with the time when a request began and its status.
        """
        act = route.bound(self._parts)
        needed, is_health = route.scope or NOBODY, route.is_health
        is_served_to_the_end = route.tag == "operations"
        is_read = route.method == "GET"
        stopping, retry_after_s, new_id = self._stopping, self._retry_after_s, self._new_id
        admit, log_failure, beside = self._access.admit, self._log_failure, self._access.headers

        async def handle(request: HttpRequest) -> Reply:
            began = perf_counter()
            request_id = new_id()
            try:
                check_head(request)
                if not is_served_to_the_end:
                    _check_serving(stopping)
                credential = admit(request, needed, is_health=is_health)
                set_credential(request, credential)
                credential.usage.enter()
                try:
                    reply = await act(request)
                finally:
                    credential.usage.leave()
            except RequestRefused as error:
                if error.reason is not None:
                    log_failure(request_id, error)
                reply = refusal(error, retry_after_s, of_a_read=is_read)
            except asyncio.CancelledError:
                if not stopping.is_set():
                    raise
                reply = refusal(Stopping(), retry_after_s, of_a_read=is_read)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
                reply = failed(request, error, request_id)
            if is_read and request.scope["method"] == "HEAD":
                reply = head_of(reply)
            observe(began, reply.status)
            reply.complete(request_id.encode(), beside)
            return reply

        methods = ["GET", "HEAD"] if is_read else route.method
        # In Litestar's notation a parameter of any characters is `{id:str}`.
        return HTTPRouteHandler(_litestars(route.path), http_method=methods, name=route.name)(handle)  # type: ignore[arg-type]

    def options_of(self, path: str, methods: Iterable[str], observe: Observe) -> HTTPRouteHandler:
        """Return the handler that answers which methods a path takes."""
        allowed = ", ".join(methods).encode()

        async def handle(request: HttpRequest) -> Reply:  # noqa: ARG001 - one signature for all handlers
            began = perf_counter()
            reply = Reply(204, b"", [(b"allow", allowed)])
            observe(began, reply.status)
            reply.complete(self._new_id().encode(), self._access.headers)
            return reply

        return HTTPRouteHandler(_litestars(path), http_method="OPTIONS", name=f"OPTIONS {path}")(handle)


def failed(request: HttpRequest, error: Exception, request_id: str) -> Reply:
    """Return the answer to a request at which the gateway itself failed; only the log says how."""
    _log.error("a request failed", request_id=request_id, path=request.scope["path"], exc_info=error)
    return refusal(RequestRefused(GatewayCode.INTERNAL_ERROR), 0)


def _check_serving(stopping: asyncio.Event) -> None:
    if stopping.is_set():
        raise Stopping


def _litestars(path: str) -> str:
    return path.replace("}", ":str}")
