"""Owns the way of every request: the route acts, refusals become problem documents, and the answer is counted."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Literal, NamedTuple

from litestar.handlers import HTTPRouteHandler

from gateway.incoming import HttpRequest
from gateway.metrics import Observe
from gateway.problems import Refused
from gateway.replies import Reply, refusal

Act = Callable[[HttpRequest], Awaitable[Reply]]


class Endpoint(NamedTuple):
    """One route: method, path (in Litestar's notation) and what it does."""

    method: Literal["GET", "POST"]
    path: str
    act: Act

    def handler(self, observe: Observe, retry_after_s: int) -> HTTPRouteHandler:
        """Make Litestar's route handler.

        Args:
            observe: notes when a request began and how it was answered.
            retry_after_s: what `Retry-After` says.
        """
        act = self.act

        async def handle(request: HttpRequest) -> Reply:
            began = perf_counter()
            try:
                reply = await act(request)
            except Refused as error:
                reply = refusal(error, retry_after_s)
            observe(began, reply.status)
            return reply

        return HTTPRouteHandler(self.path, http_method=self.method, name=f"{self.method} {self.path}")(handle)
