"""Owns the way of every request: the route acts, refusals become problem documents, and the answer is counted."""

import asyncio
from time import perf_counter

from litestar.handlers import HTTPRouteHandler

from gateway.incoming import HttpRequest
from gateway.metrics import Observe
from gateway.problems import RequestRefused, Stopping
from gateway.replies import Reply, refusal
from gateway.routes import Parts, Route


def handler_of(
    route: Route, parts: Parts, observe: Observe, retry_after_s: int, stopping: asyncio.Event
) -> HTTPRouteHandler:
    """Make Litestar's handler of a route.

    Args:
        route: its line of the table.
        parts: those who answer.
        observe: notes when a request began and how it was answered.
        retry_after_s: what `Retry-After` says.
        stopping: set when the process is to end: only those who watch over it are served from then on.
    """
    act = route.bound(parts)
    is_served_to_the_end = route.tag == "operations"

    async def handle(request: HttpRequest) -> Reply:
        began = perf_counter()
        try:
            if stopping.is_set() and not is_served_to_the_end:
                raise Stopping
            reply = await act(request)
        except RequestRefused as error:
            reply = refusal(error, retry_after_s)
        except asyncio.CancelledError:
            if not stopping.is_set():
                raise
            reply = refusal(Stopping(), retry_after_s)
        observe(began, reply.status)
        return reply

    # Litestar's notation: `{id}` of any characters is `{id:str}`.
    return HTTPRouteHandler(route.path.replace("}", ":str}"), http_method=route.method, name=route.name)(handle)
