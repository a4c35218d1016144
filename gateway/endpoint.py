"""Owns the way of every request: the route acts, refusals become problem documents, and the answer is counted."""

from time import perf_counter

from litestar.handlers import HTTPRouteHandler

from gateway.incoming import HttpRequest
from gateway.metrics import Observe
from gateway.problems import Refused
from gateway.replies import Reply, refusal
from gateway.routes import Parts, Route


def handler_of(route: Route, parts: Parts, observe: Observe, retry_after_s: int) -> HTTPRouteHandler:
    """Make Litestar's handler of a route.

    Args:
        route: its line of the table.
        parts: those who answer.
        observe: notes when a request began and how it was answered.
        retry_after_s: what `Retry-After` says.
    """
    act = route.bound(parts)

    async def handle(request: HttpRequest) -> Reply:
        began = perf_counter()
        try:
            reply = await act(request)
        except Refused as error:
            reply = refusal(error, retry_after_s)
        observe(began, reply.status)
        return reply

    # Litestar's notation: `{id}` of any characters is `{id:str}`.
    return HTTPRouteHandler(route.path.replace("}", ":str}"), http_method=route.method, name=route.name)(handle)
