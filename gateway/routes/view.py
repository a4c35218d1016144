"""Owns the routes that read lists: stock from the local view, and the dead letters from Kafka."""

from collections.abc import Callable

import msgspec

from gateway import parameters
from gateway.access.scopes import ADMIN, READ
from gateway.announced import Inbounds, Promises
from gateway.availability_routes import Availability, AvailabilityBody
from gateway.dead_letters_routes import Letters
from gateway.parameters import Parameter
from gateway.problems import GatewayCode
from gateway.recent_changes_routes import RecentlyChanged
from gateway.routes.route import ANY_READ, VIEW, Parts, Read, Route
from gateway.shortfalls import Shortfalls
from gateway.skus import Skus

_WAITS = (*VIEW, GatewayCode.TOO_MANY_REQUESTS)


def _view(
    path: str,
    summary: str,
    answer: type[msgspec.Struct],
    read: Callable[[Parts], Read],
    known: tuple[Parameter, ...],
) -> Route:
    """Declare a route that is answered from the view."""
    known = (*known, parameters.MAX_LAG_MS)
    return Route("GET", path, summary, answer, scope=READ, read=read, codes=VIEW, parameters=known, tag="reads")


VIEW_ROUTES = (
    Route(
        "GET",
        "/v1/availability",
        "Read the availability of SKUs from the local view",
        Availability,
        scope=READ,
        read=lambda parts: parts.availability.get,
        codes=_WAITS,
        parameters=(
            parameters.SKUS,
            parameters.CHANNEL,
            parameters.MIN_SEQ,
            parameters.MAX_LAG_MS,
            parameters.IF_NONE_MATCH,
        ),
        tag="reads",
    ),
    Route(
        "POST",
        "/v1/availability",
        "Read the availability of up to 1,000 SKUs from the local view",
        Availability,
        scope=READ,
        act=lambda parts: parts.availability.post,
        codes=(*_WAITS, GatewayCode.BODY_TOO_LARGE),
        body=AvailabilityBody,
        example={"skus": ["85123A", "22423"], "channel": "web"},
        tag="reads",
    ),
    _view(
        "/v1/skus",
        "List SKUs in byte order with their availability, from the local view",
        Skus,
        lambda parts: parts.skus.skus,
        (
            parameters.PREFIX,
            parameters.IN_WAREHOUSE,
            parameters.SHORTFALL,
            parameters.SKUS_LIMIT,
            parameters.CURSOR,
            parameters.IF_NONE_MATCH,
        ),
    ),
    _view(
        "/v1/inbounds",
        "List the announced goods of a SKU from the local view",
        Inbounds,
        lambda parts: parts.announced.inbounds,
        (parameters.SKU,),
    ),
    _view(
        "/v1/promises",
        "Read by when a channel can be promised a quantity, from the local view",
        Promises,
        lambda parts: parts.announced.promises,
        (parameters.SKU, parameters.SELLING_CHANNEL, parameters.WANTED, parameters.BY),
    ),
    _view(
        "/v1/shortfalls",
        "List the stock rows where more is reserved than on hand, from the local view",
        Shortfalls,
        lambda parts: parts.shortfalls.shortfalls,
        (parameters.PAGE_LIMIT, parameters.CURSOR, parameters.IF_NONE_MATCH),
    ),
    _view(
        "/v1/stock-changes/recent",
        "List the last stock changes of a SKU, as far as this gateway still holds them",
        RecentlyChanged,
        lambda parts: parts.recent_changes.recent,
        (parameters.SKU, parameters.RECENT_LIMIT),
    ),
    Route(
        "GET",
        "/v1/dead-letters",
        "List the records that could not be read as commands, newest first",
        Letters,
        scope=ADMIN,
        read=lambda parts: parts.dead_letters.letters,
        codes=(
            *ANY_READ,
            GatewayCode.TOO_MANY_REQUESTS,
            GatewayCode.KAFKA_UNAVAILABLE,
            GatewayCode.POSITION_GONE,
        ),
        parameters=(parameters.PAGE_LIMIT, parameters.CURSOR),
        tag="reads",
    ),
)
