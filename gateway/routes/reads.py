"""Owns the routes that read stock: through the log, from the view, and as a stream."""

from gateway import parameters
from gateway.access.scopes import READ, RESULT
from gateway.announced import Inbounds, Promises
from gateway.availability_routes import Availability, AvailabilityBody
from gateway.backorders import Backorders
from gateway.problems import GatewayCode
from gateway.routes.route import ANY_READ, LEDGER, Route
from gateway.shortfalls import Shortfalls
from schemas.codes import Code
from schemas.results import Result
from schemas.stock_changes import StockChange

_VIEW = (*ANY_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.VIEW_NOT_READY, GatewayCode.VIEW_BEHIND)
_RESERVATION = "/v1/reservations/{id}"

READ_ROUTES = (
    Route(
        "GET",
        _RESERVATION,
        "Read a reservation, linearizably",
        Result,
        scope=READ,
        read=lambda parts: parts.commands.reservation,
        codes=(*LEDGER, Code.UNKNOWN_SKU, Code.UNKNOWN_RESERVATION),
        parameters=(parameters.RESERVATION_ID, parameters.SKU),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/stock",
        "Read a SKU's stock rows, linearizably",
        Result,
        scope=READ,
        read=lambda parts: parts.commands.stock,
        codes=(*LEDGER, Code.UNKNOWN_SKU),
        parameters=(parameters.SKU,),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/backorders",
        "List the reservations that wait for a SKU by rank, linearizably",
        Backorders,
        scope=READ,
        read=lambda parts: parts.commands.backorders,
        codes=(*LEDGER, Code.UNKNOWN_SKU),
        parameters=(parameters.SKU, parameters.WAITING_LIMIT),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/commands/{id}",
        "Read the result of a command",
        Result,
        scope=RESULT,
        read=lambda parts: parts.commands.command,
        codes=(*LEDGER, Code.UNKNOWN_SKU, GatewayCode.UNKNOWN_COMMAND),
        parameters=(parameters.COMMAND_ID, parameters.SKU, parameters.WAIT_MS),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/availability",
        "Read the availability of up to 1,000 SKUs from the local view (as many as fit into a URL of 64 KiB)",
        Availability,
        scope=READ,
        read=lambda parts: parts.availability.get,
        codes=_VIEW,
        parameters=(parameters.SKUS, parameters.CHANNEL, parameters.MIN_SEQ),
        tag="reads",
    ),
    Route(
        "POST",
        "/v1/availability",
        "Read the availability of up to 1,000 SKUs from the local view",
        Availability,
        scope=READ,
        act=lambda parts: parts.availability.post,
        codes=(*_VIEW, GatewayCode.BODY_TOO_LARGE),
        body=AvailabilityBody,
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/inbounds",
        "List the announced goods of a SKU from the local view",
        Inbounds,
        scope=READ,
        read=lambda parts: parts.announced.inbounds,
        codes=(*ANY_READ, GatewayCode.VIEW_NOT_READY),
        parameters=(parameters.SKU,),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/promises",
        "Read by when a channel can be promised a quantity, from the local view",
        Promises,
        scope=READ,
        read=lambda parts: parts.announced.promises,
        codes=(*ANY_READ, GatewayCode.VIEW_NOT_READY),
        parameters=(parameters.SKU, parameters.SELLING_CHANNEL, parameters.WANTED, parameters.BY),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/shortfalls",
        "List the stock rows where more is reserved than on hand, from the local view",
        Shortfalls,
        scope=READ,
        read=lambda parts: parts.shortfalls.shortfalls,
        codes=(*ANY_READ, GatewayCode.VIEW_NOT_READY),
        parameters=(parameters.PAGE_LIMIT, parameters.CURSOR),
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/stock-changes",
        "Follow the stock changes as server-sent events (data: StockChange)",
        "text/event-stream",
        scope=READ,
        read=lambda parts: parts.streams.stream,
        codes=(*ANY_READ, GatewayCode.TOO_MANY_REQUESTS, GatewayCode.KAFKA_UNAVAILABLE),
        parameters=(parameters.SKUS_WANTED, parameters.LAST_EVENT_ID),
        data=StockChange,
        tag="reads",
    ),
)
