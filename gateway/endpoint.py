"""Owns the handling of every request: call the route, turn refusals into problem documents, count the answer."""

import asyncio
from time import perf_counter

from litestar.handlers import HTTPRouteHandler

from gateway.access.admission import Access
from gateway.access.credential import set_credential
from gateway.access.scopes import NOBODY
from gateway.incoming import HttpRequest
from gateway.metrics import Observe
from gateway.problems import RequestRefused, Stopping
from gateway.replies import Reply, refusal
from gateway.routes.route import Parts, Route

# A browser that saw it once never asks this name without TLS again, for a year (RFC 6797).
_STRICT = (b"strict-transport-security", b"max-age=31536000")


def handler_of(
    route: Route, parts: Parts, access: Access, observe: Observe, retry_after_s: int, stopping: asyncio.Event
) -> HTTPRouteHandler:
    """Return Litestar's handler of a route.

    Args:
        route: its entry in the table.
        parts: the objects that answer.
        access: admits requests.
        observe: called with the time when a request began and its status.
        retry_after_s: the value of `Retry-After`.
        stopping: set when the process should end; from then on only health, metrics and documentation are served.
    """
    act = route.bound(parts)
    needed, is_health = route.scope or NOBODY, route.is_health
    is_served_to_the_end = route.tag == "operations"

    async def handle(request: HttpRequest) -> Reply:
        began = perf_counter()
        try:
            if stopping.is_set() and not is_served_to_the_end:
                raise Stopping
            credential = access.admit(request, needed, is_health=is_health)
            set_credential(request, credential)
            credential.usage.enter()
            try:
                reply = await act(request)
            finally:
                credential.usage.leave()
        except RequestRefused as error:
            reply = refusal(error, retry_after_s)
        except asyncio.CancelledError:
            if not stopping.is_set():
                raise
            reply = refusal(Stopping(), retry_after_s)
        if access.is_tls:
            reply.headers.append(_STRICT)
        observe(began, reply.status)
        return reply

    # In Litestar's notation a parameter of any characters is `{id:str}`.
    return HTTPRouteHandler(route.path.replace("}", ":str}"), http_method=route.method, name=route.name)(handle)
