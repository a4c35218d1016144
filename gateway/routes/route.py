"""Owns what a route declares. The handlers (`gateway/endpoint.py`) and the OpenAPI document come from it."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from gateway.access.scopes import NOBODY, Needed
from gateway.announced import AnnouncedRoutes
from gateway.availability_routes import AvailabilityRoutes
from gateway.bulk_routes import BulkRoutes
from gateway.command_routes import Act, CommandRoutes
from gateway.console.files import ConsoleFiles
from gateway.dead_letters_routes import DeadLetterRoutes
from gateway.incoming import HttpRequest, Query
from gateway.operations import Operations
from gateway.page_files import PageFiles
from gateway.parameters import MIN_SEQ, Parameter
from gateway.problems import NOT_REACHED_STATUS, REFUSALS, AnyCode, GatewayCode
from gateway.recent_changes_routes import RecentChangesRoutes
from gateway.reference_routes import ReferenceRoutes
from gateway.replies import Reply
from gateway.shortfalls import ShortfallRoutes
from gateway.skus import SkuRoutes
from gateway.status_routes import StatusRoutes
from gateway.streams.routes import StreamRoutes
from schemas.codes import Code

# Routes with a query string get it parsed, so that only the parameters of the table are accepted.
Read = Callable[[HttpRequest, Query], Awaitable[Reply]]


class Parts(NamedTuple):
    """The objects that answer."""

    commands: CommandRoutes
    bulk: BulkRoutes
    availability: AvailabilityRoutes
    skus: SkuRoutes
    announced: AnnouncedRoutes
    shortfalls: ShortfallRoutes
    recent_changes: RecentChangesRoutes
    dead_letters: DeadLetterRoutes
    reference: ReferenceRoutes
    streams: StreamRoutes
    operations: Operations
    status: StatusRoutes
    console: ConsoleFiles
    docs: PageFiles


Example = dict[str, Any]  # a body as JSON, without what the path gives


class Route(NamedTuple):
    """One route.

    `answer` is the type of the answer's JSON document, else its media type, and `data` then the type of its content.
    `body` is the type of the body, for a command's route that of the command; `example` is a body. `scope` has the
    scopes of which a caller needs any one (`gateway/access/scopes.py`); None, as `NOBODY`: it needs no credential.
    """

    method: Literal["GET", "POST", "PUT"]
    path: str
    summary: str
    answer: type[msgspec.Struct] | str
    scope: Needed | UnsetType | None = UNSET
    act: Callable[[Parts], Act] | None = None
    read: Callable[[Parts], Read] | None = None
    codes: tuple[AnyCode, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None
    example: Example | None = None
    data: type[msgspec.Struct] | None = None
    status: int = 200
    other: tuple[int, str] | None = None  # another status with the same document, and its meaning
    tag: str = "operations"

    @property
    def name(self) -> str:
        """Return method and path."""
        return f"{self.method} {self.path}"

    @property
    def refusals(self) -> tuple[AnyCode, ...]:
        """Return the codes of all its refusals: its own, those of its body, and those that come before any route."""
        of_a_body = () if self.body is None else OF_EVERY_BODY
        of_access = (GatewayCode.FORBIDDEN,) if self.is_health else _of_access(self.scope)
        return tuple(dict.fromkeys((*self.codes, *of_a_body, *OF_EVERY_ROUTE, *of_access)))

    @property
    def is_health(self) -> bool:
        """Return whether balancers ask it, under any name."""
        return self.path.startswith("/health/")

    @property
    def refusals_by_status(self) -> dict[int, list[AnyCode]]:
        """Return the codes of the route by HTTP status."""
        found: dict[int, list[AnyCode]] = {}
        for code in self.refusals:
            found.setdefault(REFUSALS[code].status, []).append(code)
        if MIN_SEQ in self.parameters or (self.body is not None and MIN_SEQ.name in self.body.__struct_fields__):
            found.setdefault(NOT_REACHED_STATUS, []).append(GatewayCode.VIEW_BEHIND)
        return dict(sorted(found.items()))

    def bound(self, parts: Parts) -> Act:
        """Return the function that answers a request of this route."""
        if self.read is None:
            assert self.act is not None  # noqa: S101 - checked at import
            return self.act(parts)
        read = self.read(parts)
        known = frozenset(parameter.name for parameter in self.parameters if parameter.where == "query")

        async def act(request: HttpRequest) -> Reply:
            return await read(request, Query(request, known))

        return act


def _of_access(scope: Needed | UnsetType | None) -> tuple[AnyCode, ...]:
    for_all = (GatewayCode.FORBIDDEN, GatewayCode.WRONG_HOST)
    return for_all if scope is NOBODY else (GatewayCode.UNAUTHENTICATED, *for_all, GatewayCode.RATE_LIMITED)


OF_EVERY_ROUTE = (Code.MALFORMED, GatewayCode.INTERNAL_ERROR)
OF_EVERY_BODY = (GatewayCode.REQUEST_TIMEOUT, GatewayCode.BODY_TOO_LARGE, GatewayCode.UNSUPPORTED_MEDIA_TYPE)
# The codes of every read, of every read from the view, and of every request that is answered through the log.
ANY_READ = (Code.MALFORMED, Code.INVALID_FIELD, GatewayCode.STOPPING)
VIEW = (*ANY_READ, GatewayCode.VIEW_NOT_READY, GatewayCode.VIEW_BEHIND)
LEDGER = (*ANY_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.KAFKA_UNAVAILABLE, GatewayCode.RESULT_TIMEOUT)


def check_routes(routes: tuple[Route, ...]) -> None:
    """Check that every route is complete and declared once.

    Raises:
        RuntimeError: names the route and what is wrong.
    """
    seen: set[str] = set()
    for route in routes:
        in_path = {f"{{{parameter.name}}}" for parameter in route.parameters if parameter.where == "path"}
        if in_path != {part for part in route.path.split("/") if part.startswith("{")}:
            raise RuntimeError(f"gateway/routes: the path of {route.name} and its parameters differ")
        if (route.act is None) == (route.read is None):
            raise RuntimeError(f"gateway/routes: {route.name} needs `act` or `read`, one of the two")
        if (route.body is None) != (route.example is None):
            raise RuntimeError(f"gateway/routes: {route.name} needs an `example` of its body, for the OpenAPI document")
        if route.scope is UNSET:
            raise RuntimeError(f"gateway/routes: {route.name} needs a scope; NOBODY where it needs no credential")
        if route.name in seen:
            raise RuntimeError(f"gateway/routes: {route.name} stands twice")
        seen.add(route.name)
