"""Owns the routes that read stock through the log, and as a stream."""

from gateway import parameters
from gateway.access.scopes import READ, RESULT
from gateway.backorders import Backorders
from gateway.problems import GatewayCode
from gateway.routes.route import ANY_READ, LEDGER, Route
from schemas.codes import Code
from schemas.results import Result
from schemas.stock_changes import StockChange

_STREAM = (
    *ANY_READ,
    GatewayCode.TOO_MANY_REQUESTS,
    GatewayCode.KAFKA_UNAVAILABLE,
    GatewayCode.VIEW_NOT_READY,
)
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
        "Read a SKU's stock rows, and with `reservations` its open ones, linearizably",
        Result,
        scope=READ,
        read=lambda parts: parts.commands.stock,
        codes=(*LEDGER, Code.UNKNOWN_SKU),
        parameters=(parameters.SKU, parameters.RESERVATIONS, parameters.AFTER),
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
        "/v1/stock-changes",
        "Follow the stock changes as server-sent events (data: StockChange)",
        "text/event-stream",
        scope=READ,
        read=lambda parts: parts.streams.stock_changes,
        codes=_STREAM,
        parameters=(
            parameters.STREAMED_SKUS,
            parameters.STREAMED_WAREHOUSE,
            parameters.STREAMED_CHANNEL,
            parameters.LAST_EVENT_ID,
        ),
        data=StockChange,
        tag="reads",
    ),
    Route(
        "GET",
        "/v1/results",
        "Follow the results that nobody asked for as server-sent events: expiries, fillings, promises (data: Result)",
        "text/event-stream",
        scope=READ,
        read=lambda parts: parts.streams.unsolicited_results,
        codes=_STREAM,
        parameters=(parameters.STREAMED_SKUS, parameters.STREAMED_CHANNEL, parameters.LAST_EVENT_ID),
        data=Result,
        tag="reads",
    ),
)
