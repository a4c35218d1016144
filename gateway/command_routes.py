"""Owns the routes that are answered by the ledger: commands, and reads through the log."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from gateway.access.credential import credential_of
from gateway.backorders import MOST_WAITING, backorders_of
from gateway.compose import Composed, compose, compose_query, idempotency_key
from gateway.config import GatewayConfig
from gateway.incoming import HttpRequest, Query, header, prefers_async, read_body
from gateway.parameters import MAX_WAIT_MS, MOST_RESERVATIONS
from gateway.pending import Answer
from gateway.problems import REFUSALS, GatewayCode, RequestRefused, Stopping, problem_body
from gateway.replies import JSON, Reply, document, problem
from gateway.requests import LedgerClient
from schemas.codec import encode
from schemas.codes import Code
from schemas.explain import explain

_T = TypeVar("_T")
Act = Callable[[HttpRequest], Awaitable[Reply]]


class Sent(msgspec.Struct):
    """The answer to `Prefer: respond-async`: the command's key, and the URL of its result."""

    command_id: str
    location: str


class CommandRoutes:
    """The routes of commands and of linearizable reads.

    Args:
        config: the limits.
        ledger: the client of the ledger.
        stopping: set when the process should end. The answer to a request that is cancelled then has its command's id.
    """

    def __init__(self, config: GatewayConfig, ledger: LedgerClient, stopping: asyncio.Event) -> None:
        self._config = config
        self._ledger = ledger
        self._stopping = stopping

    def sender(self, type_: str, accepted_status: int, id_field: str | None) -> Act:
        """Return a function that sends a command and answers with its result.

        Args:
            type_: the command's type.
            accepted_status: the HTTP status of an accepted result.
            id_field: the command's field that is in the path; None without one.
        """
        return lambda request: self._command(request, type_, accepted_status, id_field)

    async def reservation(self, request: HttpRequest, query: Query) -> Reply:
        """Read a reservation and its SKU's stock, in the order of the log."""
        command = compose_query(query.needed("sku"), credential_of(request), reservation_id=request.path_params["id"])
        return await self._read(request, command)

    async def stock(self, request: HttpRequest, query: Query) -> Reply:
        """Read a SKU's stock, and its open reservations where these are asked for, in the order of the log."""
        reservations = query.integer("reservations", least=1, most=MOST_RESERVATIONS)
        command = compose_query(
            query.needed("sku"), credential_of(request), reservations=reservations, after=query.one("after")
        )
        return await self._read(request, command)

    async def _read(self, request: HttpRequest, command: Composed) -> Reply:
        answer = await self._waited(self._ledger.ask(command), command)
        return _reply(answer._replace(document=credential_of(request).shown(answer.document)), 200, command)

    async def backorders(self, request: HttpRequest, query: Query) -> Reply:
        """Read who waits for a SKU, in the order of the log."""
        limit = query.integer("limit", least=1, most=MOST_WAITING)
        command = compose_query(
            query.needed("sku"), credential_of(request), waiting=MOST_WAITING if limit is None else limit
        )
        answer = await self._waited(self._ledger.ask(command), command)
        if answer.head.status == "rejected":
            return _reply(answer, 200, command)
        return document(200, encode(backorders_of(answer.document)), command.command_id)

    async def command(self, request: HttpRequest, query: Query) -> Reply:
        """Read the result of a command."""
        sku, wanted = query.needed("sku"), request.path_params["id"]
        wait_ms = query.integer("wait_ms", least=0, most=MAX_WAIT_MS)
        command = compose_query(sku, credential_of(request), of_command_id=wanted)
        if not wait_ms:
            return _found(await self._waited(self._ledger.ask(command), command), command)
        # Watched from before the first question: a result that comes after its answer is seen.
        with self._ledger.watching(sku, wanted) as seen:
            return await self._waited(self._awaited(command, seen, wait_ms / 1000), command)

    async def _awaited(self, command: Composed, seen: asyncio.Event, wait_s: float) -> Reply:
        """Ask for a command's result; while there is none, again whenever one with its key comes, and at the end."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + wait_s
        while True:
            is_over = clock() >= ends_at
            seen.clear()
            answer = await self._ledger.ask(command)
            if is_over or not _is_missing(answer):
                return _found(answer, command)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(ends_at):
                    await seen.wait()

    async def _command(self, request: HttpRequest, type_: str, accepted_status: int, id_field: str | None) -> Reply:
        key = idempotency_key(header(request, b"idempotency-key"))
        body = await read_body(request, self._config.max_command_bytes)
        in_path = {} if id_field is None else {id_field: request.path_params["id"]}
        command = compose(type_, body, credential_of(request), key=key, in_path=in_path)
        if prefers_async(request):
            await self._waited(self._ledger.post(command), command)
            return _sent(command.command_id, command.sku)
        return _reply(await self._waited(self._ledger.ask(command), command), accepted_status, command)

    async def _waited(self, answer: Awaitable[_T], command: Composed) -> _T:
        try:
            return await answer
        except asyncio.CancelledError:
            if self._stopping.is_set():
                raise Stopping(command_id=command.command_id) from None
            raise


def _is_missing(answer: Answer) -> bool:
    # A SKU without a stock row may get its first one from the very command.
    head = answer.head
    return head.code is Code.UNKNOWN_SKU or (head.status == "accepted" and bytes(head.of_command) == b"null")


def _found(answer: Answer, command: Composed) -> Reply:
    """Return the result that a query of a command found.

    Raises:
        RequestRefused: there is none.
    """
    if answer.head.status == "rejected":
        return _reply(answer, 200, command)
    found = bytes(answer.head.of_command)
    if found == b"null":
        raise RequestRefused(GatewayCode.UNKNOWN_COMMAND, command_id=command.command_id)
    return document(200, found, command.command_id)


def location_of(command_id: str, sku: str) -> str:
    """Return the URL of a command's result."""
    return f"/v1/commands/{command_id}?sku={quote(sku, safe='')}"


def _sent(command_id: str, sku: str) -> Reply:
    location = location_of(command_id, sku)
    name = command_id.encode()
    headers = [
        JSON,
        (b"idempotency-key", name),
        (b"holdfast-command-id", name),
        (b"location", location.encode()),
        (b"preference-applied", b"respond-async"),
    ]
    return Reply(202, encode(Sent(command_id, location)), headers)


def _reply(answer: Answer, accepted_status: int, command: Composed) -> Reply:
    refused = refusal_of(answer, command)
    if refused is None:
        reply = document(accepted_status, answer.document, command.command_id)
        if command.location is not None:
            reply.headers.append((b"location", command.location.encode()))
        return reply
    return problem(*refused, command.command_id)


class _Shown(msgspec.Struct):
    channel: str


class _Shows(msgspec.Struct):
    reservation: _Shown | None = None


_shown_by = msgspec.json.Decoder(_Shows).decode


def _shows_only(document: bytes, channels: Sequence[str]) -> bool:
    shown = _shown_by(document).reservation
    return shown is None or shown.channel in channels


def refusal_of(answer: Answer, command: Composed) -> tuple[int, bytes] | None:
    """Return the status and the problem document of a result that refuses its command; None when it accepts it."""
    head = answer.head
    if head.replayed and command.channels is not None and not _shows_only(answer.document, command.channels):
        # Channels are no part of a command's content, so the ledger repeats the result to whoever knows its key.
        code = Code.UNKNOWN_RESERVATION
        return REFUSALS[code].status, problem_body(code)
    if head.status == "accepted" or head.code is None:
        return None
    detail = None
    if head.code is Code.INSUFFICIENT_STOCK and head.requested is not msgspec.UNSET:
        detail = f"{head.requested} requested, {head.available} available."
    field = None if head.field is msgspec.UNSET else head.field
    if head.code is Code.INVALID_FIELD and field is not None:
        detail = explain(field, head.problem or None, command.value)
    wrong = head.problem or None
    body = problem_body(head.code, detail=detail, field=field, problem=wrong, result=answer.document)
    return REFUSALS[head.code].status, body
