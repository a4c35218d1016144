"""Owns the route of many commands: each is decided by itself, and the answer has the results in their order."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from gateway.access.credential import Credential, credential_of
from gateway.access.scopes import Needed
from gateway.command_routes import Act, location_of, refusal_of
from gateway.compose import Composed, IdNeeded, compose_item, idempotency_key, new_command_id
from gateway.config import GatewayConfig
from gateway.incoming import HttpRequest, header, prefers_async, read_body
from gateway.pending import Answer
from gateway.problems import BodyTooLarge, RequestRefused, Stopping
from gateway.replies import JSON, Headers, Reply
from gateway.requests import LedgerClient, Outcome
from schemas.codec import MAX_ECHO, encode
from schemas.codes import Code, Problem
from schemas.commands import SkuCommand
from schemas.explain import explain
from schemas.field_errors import field_of, problem_of
from schemas.fields import Identifier

MOST_COMMANDS = 1_000
# `KEY.INDEX` has at most 64 characters, whatever the index.
MAX_BULK_KEY = 58
# How many commands are read before other requests may run: 100 take about 1 ms.
_SLICE = 100


class CommandList(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/commands`.

    A command without `command_id` gets that of the request, a dot and its index.
    """

    commands: Annotated[list[SkuCommand], Meta(min_length=1, max_length=MOST_COMMANDS)]


class InList(NamedTuple):
    """What a type of command has in a list: the status when it is accepted, and the scopes of which it needs one."""

    status: int
    scope: Needed


class CommandResult(msgspec.Struct):
    """What became of one command: the status that its own route would have, and its result or the problem.

    With `Prefer: respond-async` the status is 202 and `location` the URL of its result.
    """

    command_id: Identifier | None
    status: int
    result: Raw | UnsetType = UNSET
    problem: Raw | UnsetType = UNSET
    location: str | UnsetType = UNSET


class CommandResults(msgspec.Struct):
    """The answer to `POST /v1/commands`, in the order of the commands."""

    results: list[CommandResult]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    commands: Annotated[list[Raw], Meta(min_length=1, max_length=MOST_COMMANDS)]


_decode = msgspec.json.Decoder(_Body).decode
_Item = Composed | RequestRefused


class BulkRoutes:
    """The route of many commands.

    Args:
        config: the limits.
        ledger: the client of the ledger.
        stopping: set when the process should end. A request that is cancelled then is answered with what there is.
    """

    def __init__(self, config: GatewayConfig, ledger: LedgerClient, stopping: asyncio.Event) -> None:
        self._config = config
        self._ledger = ledger
        self._stopping = stopping

    def sender(self, allowed: Mapping[str, InList]) -> Act:
        """Return a function that sends a list of commands and answers with their results.

        Args:
            allowed: the types of commands that a list may have.
        """
        statuses = {type_: in_list.status for type_, in_list in allowed.items()}
        scopes = {type_: in_list.scope for type_, in_list in allowed.items()}
        return lambda request: self._send(request, statuses, scopes)

    async def _send(self, request: HttpRequest, statuses: Mapping[str, int], scopes: Mapping[str, Needed]) -> Reply:
        credential = credential_of(request)
        given = idempotency_key(header(request, b"idempotency-key"))
        commands = _commands_of(await read_body(request, self._config.max_bulk_bytes), given)
        credential.usage.take(len(commands) - 1, paid=1)  # the request itself has taken one
        key = given or new_command_id()
        items = await self._composed(commands, key, credential, scopes)
        is_async = prefers_async(request)
        with credential.usage.waiting(len(commands) - 1):
            outcomes = await self._outcomes(items, is_async=is_async)
        if is_async:
            results = [_posted(item, outcome) for item, outcome in zip(items, outcomes, strict=True)]
            return _reply(202, results, key, (b"preference-applied", b"respond-async"))
        results = [_result(item, outcome, statuses, credential) for item, outcome in zip(items, outcomes, strict=True)]
        return _reply(200, results, key)

    async def _composed(
        self, commands: Sequence[Raw], key: str, credential: Credential, scopes: Mapping[str, Needed]
    ) -> list[_Item]:
        """Make all commands before the first is sent."""
        items: list[_Item] = []
        has_names = len(key) <= MAX_BULK_KEY
        for index, command in enumerate(commands):
            try:
                items.append(self._item(bytes(command), credential, scopes, f"{key}.{index}" if has_names else None))
            except IdNeeded:
                raise _too_long(key) from None
            if len(items) % _SLICE == 0:
                await asyncio.sleep(0)
        return items

    def _item(self, command: bytes, credential: Credential, scopes: Mapping[str, Needed], name: str | None) -> _Item:
        if len(command) > self._config.max_command_bytes:
            return BodyTooLarge(self._config.max_command_bytes)
        try:
            return compose_item(command, credential, scopes, name)
        except RequestRefused as error:
            return error

    async def _outcomes(self, items: Sequence[_Item], *, is_async: bool) -> list[Outcome]:
        """Send the commands among the items, and return what became of each item."""
        outcomes: list[Outcome] = [
            item if isinstance(item, RequestRefused) else Stopping(command_id=item.command_id) for item in items
        ]
        places = [place for place, item in enumerate(items) if isinstance(item, Composed)]
        commands = [item for item in items if isinstance(item, Composed)]

        def answered(number: int, outcome: Outcome) -> None:
            outcomes[places[number]] = outcome

        if commands:
            send = self._ledger.post_all if is_async else self._ledger.ask_all
            try:
                await send(commands, answered)
            except asyncio.CancelledError:
                if not self._stopping.is_set():
                    raise
        return outcomes


def _commands_of(body: bytes, key: str | None) -> list[Raw]:
    try:
        return _decode(body).commands
    except msgspec.ValidationError as error:
        field = field_of(error)[:MAX_ECHO]
        if field == "$":  # not an object
            raise RequestRefused(Code.MALFORMED, command_id=key) from None
        problem = problem_of(error, field, None)
        raise _invalid(field, explain(field, problem, body, kind=_Body), problem, key) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestRefused(Code.MALFORMED, command_id=key) from None


def _too_long(key: str) -> RequestRefused:
    detail = f"An item has no command_id: then Idempotency-Key has at most {MAX_BULK_KEY} characters, not {len(key)}."
    return _invalid("command_id", detail, Problem.TOO_LONG, key)


def _invalid(field: str, detail: str, problem: Problem | None, key: str | None) -> RequestRefused:
    return RequestRefused(Code.INVALID_FIELD, detail=detail, field=field, problem=problem, command_id=key)


def _result(item: _Item, outcome: Outcome, statuses: Mapping[str, int], credential: Credential) -> CommandResult:
    if isinstance(item, RequestRefused) or not isinstance(outcome, Answer):
        return _refused(outcome)
    refused = refusal_of(outcome, item)
    if refused is None:
        return CommandResult(item.command_id, statuses[item.type], Raw(credential.shown(outcome.document)))
    status, problem = refused
    return CommandResult(item.command_id, status, problem=Raw(problem))


def _posted(item: _Item, outcome: Outcome) -> CommandResult:
    if isinstance(item, RequestRefused) or outcome is not None:
        return _refused(outcome)
    return CommandResult(item.command_id, 202, location=location_of(item.command_id, item.sku))


def _refused(outcome: Outcome) -> CommandResult:
    assert isinstance(outcome, RequestRefused)  # noqa: S101 - an item has a result, or there is a reason why not
    return CommandResult(outcome.command_id, outcome.status, problem=Raw(outcome.body()))


def _reply(status: int, results: list[CommandResult], key: str, *more: tuple[bytes, bytes]) -> Reply:
    headers: Headers = [JSON, (b"idempotency-key", key.encode()), *more]
    return Reply(status, encode(CommandResults(results)), headers)
