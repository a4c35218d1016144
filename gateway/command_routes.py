"""Owns the routes whose answer comes from the ledger: commands, and the reads that go through it."""

from urllib.parse import quote

import msgspec

from gateway.compose import compose, compose_query, idempotency_key
from gateway.config import GatewayConfig
from gateway.endpoint import Endpoint
from gateway.incoming import HttpRequest, Query, header, prefers_async, read_body
from gateway.pending import Answer
from gateway.problems import STATUS_OF, GatewayCode, Refused, problem_body
from gateway.replies import JSON, Reply, document, problem
from gateway.requests import Ledger
from schemas.codec import encode
from schemas.codes import Code


class Sent(msgspec.Struct):
    """What `Prefer: respond-async` is answered: the command's key, and where its result will be."""

    command_id: str
    location: str


class CommandRoutes:
    """The routes of commands and of linearizable reads.

    Args:
        config: bounds.
        ledger: the other side.
    """

    def __init__(self, config: GatewayConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger

    def endpoints(self) -> list[Endpoint]:
        """List the routes."""
        reservation = "/v1/reservations/{id:str}"
        return [
            Endpoint("POST", "/v1/adjustments", self.adjust),
            Endpoint("POST", "/v1/reservations", self.reserve),
            Endpoint("POST", f"{reservation}/commit", self.commit),
            Endpoint("POST", f"{reservation}/release", self.release),
            Endpoint("POST", f"{reservation}/extend", self.extend),
            Endpoint("GET", reservation, self.reservation),
            Endpoint("GET", "/v1/stock", self.stock),
            Endpoint("GET", "/v1/commands/{id:str}", self.command),
        ]

    async def adjust(self, request: HttpRequest) -> Reply:
        """Change a stock row."""
        return await self._command(request, "adjust", 200)

    async def reserve(self, request: HttpRequest) -> Reply:
        """Hold a quantity."""
        return await self._command(request, "reserve", 201)

    async def commit(self, request: HttpRequest) -> Reply:
        """Take reserved goods out of stock."""
        return await self._command(request, "commit", 200, request.path_params["id"])

    async def release(self, request: HttpRequest) -> Reply:
        """Give reserved goods back."""
        return await self._command(request, "release", 200, request.path_params["id"])

    async def extend(self, request: HttpRequest) -> Reply:
        """Let a reservation live longer."""
        return await self._command(request, "extend", 200, request.path_params["id"])

    async def reservation(self, request: HttpRequest) -> Reply:
        """Read a reservation and its SKU's stock, in the order of the log."""
        sku = Query(request, ("sku",)).needed("sku")
        query = compose_query(sku, reservation_id=request.path_params["id"])
        return _reply(await self._ledger.ask(query), 200, query.command_id)

    async def stock(self, request: HttpRequest) -> Reply:
        """Read a SKU's stock, in the order of the log."""
        query = compose_query(Query(request, ("sku",)).needed("sku"))
        return _reply(await self._ledger.ask(query), 200, query.command_id)

    async def command(self, request: HttpRequest) -> Reply:
        """Read the result that a command got."""
        sku = Query(request, ("sku",)).needed("sku")
        query = compose_query(sku, of_command_id=request.path_params["id"])
        answer = await self._ledger.ask(query)
        if answer.head.status == "rejected":
            return _reply(answer, 200, query.command_id)
        found = bytes(answer.head.of_command)
        if found == b"null":
            raise Refused(GatewayCode.UNKNOWN_COMMAND, command_id=query.command_id)
        return document(200, found, query.command_id)

    async def _command(
        self, request: HttpRequest, type_: str, accepted_status: int, reservation_id: str | None = None
    ) -> Reply:
        key = idempotency_key(header(request, b"idempotency-key"))
        body = await read_body(request, self._config.max_command_bytes)
        command = compose(type_, body, key=key, reservation_id=reservation_id)
        if prefers_async(request):
            await self._ledger.post(command)
            return _sent(command.command_id, command.sku)
        return _reply(await self._ledger.ask(command), accepted_status, command.command_id)


def _sent(command_id: str, sku: str) -> Reply:
    location = f"/v1/commands/{command_id}?sku={quote(sku, safe='')}"
    name = command_id.encode()
    headers = [
        JSON,
        (b"idempotency-key", name),
        (b"holdfast-command-id", name),
        (b"location", location.encode()),
        (b"preference-applied", b"respond-async"),
    ]
    return Reply(202, encode(Sent(command_id, location)), headers)


def _reply(answer: Answer, accepted_status: int, command_id: str) -> Reply:
    head = answer.head
    if head.status == "accepted" or head.code is None:
        return document(accepted_status, answer.document, command_id)
    detail = None
    if head.code is Code.INSUFFICIENT_STOCK and head.requested is not msgspec.UNSET:
        detail = f"{head.requested} requested, {head.available} available."
    field = None if head.field is msgspec.UNSET else head.field
    body = problem_body(head.code, detail=detail, field=field, result=answer.document)
    return problem(STATUS_OF[head.code], body, command_id)
