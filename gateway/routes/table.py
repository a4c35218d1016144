"""Owns the list of all routes, checked at import."""

from gateway.routes.commands import COMMAND_ROUTES
from gateway.routes.operations import OPERATION_ROUTES
from gateway.routes.reads import READ_ROUTES
from gateway.routes.reference import REFERENCE_ROUTES
from gateway.routes.route import Route, check_routes
from gateway.routes.view import VIEW_ROUTES

ROUTES: tuple[Route, ...] = (*COMMAND_ROUTES, *READ_ROUTES, *VIEW_ROUTES, *REFERENCE_ROUTES, *OPERATION_ROUTES)

check_routes(ROUTES)


def methods_of(path: str) -> list[str]:
    """Return the methods that a path takes, `HEAD` and `OPTIONS` among them, sorted."""
    methods = {route.method for route in ROUTES if route.path == path}
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))
