"""Owns the making of commands from HTTP requests: body, path and header become the JSON of a command.

The ledger's own decoder checks the command here, so that an invalid command is refused without a round trip, with the
same code and field.
"""

import os
import re
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Raw

from gateway.access.credential import Credential
from gateway.access.scopes import Needed
from gateway.problems import RequestRefused
from schemas.codec import MAX_ECHO, Unreadable, decode_command, encode
from schemas.codes import Code, Problem
from schemas.commands import Reserve, SkuCommand, Tick, tag_of
from schemas.explain import explain
from schemas.fields import IDENTIFIER_PATTERN
from schemas.inbound import ExpectInbound
from schemas.reference import ReferenceCommand, name_of

_NOTHING: Mapping[str, str] = {}
_MADE = {tag_of(Reserve): ("reservation_id",)}
_fields_of = msgspec.json.Decoder(dict[str, Raw]).decode
_MAX_KEY = 64  # characters
# In a path these are no names: every client takes them away before it sends (RFC 3986, 5.2.4), percent-encoded too.
_DOTS = frozenset({".", ".."})
_is_identifier = re.compile(IDENTIFIER_PATTERN).fullmatch


class Composed(NamedTuple):
    """A valid command, ready to be sent: its idempotency key, its SKU, its JSON, the key of its record, and its type.

    A reference command has the SKU "". `location` is where that can be read which the command makes. `channels` are the
    only ones whose reservations its sender may see; None: all.
    """

    command_id: str
    sku: str
    value: bytes
    key: str
    type: str
    location: str | None = None
    channels: list[str] | None = None


def new_command_id() -> str:
    """Return a unique id: a UUID of version 7 (RFC 9562), which sorts by time, in 32 hexadecimal digits."""
    millis = time.time_ns() // 1_000_000
    tail = os.urandom(10)
    version = 0x7000 | int.from_bytes(tail[:2]) & 0x0FFF
    variant = 0x8000 | int.from_bytes(tail[2:4]) & 0x3FFF
    return f"{millis:012x}{version:04x}{variant:04x}{tail[4:].hex()}"


def idempotency_key(header: bytes | None) -> str | None:
    """Return the key in the `Idempotency-Key` header; None when there is none.

    It may be given bare, or as a string in quotes (RFC 9651), as the IETF's draft of the header writes it.

    Raises:
        RequestRefused: it is not a valid id.
    """
    if header is None:
        return None
    key = header.decode("latin-1")
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]  # no id has a quote or a backslash: there is nothing to unescape
    if _is_identifier(key) is None:
        raise RequestRefused(
            Code.INVALID_FIELD,
            detail="The header Idempotency-Key must be given once, with 1 to 64 characters of [A-Za-z0-9._:-].",
            field="command_id",
            problem=_problem_of_key(key),
        )
    return key


def _problem_of_key(key: str) -> Problem:
    if not key:
        return Problem.TOO_SMALL
    return Problem.TOO_LONG if len(key) > _MAX_KEY else Problem.BAD_CHARACTERS


def compose(
    type_: str, body: bytes, credential: Credential, *, key: str | None, in_path: Mapping[str, str] = _NOTHING
) -> Composed:
    """Make a command from a request's body.

    Args:
        type_: the command's type, given by the route.
        body: the JSON object of the request.
        credential: who sent it.
        key: the request's idempotency key; when None, the body's `command_id` is used, or a new id.
        in_path: the fields in the path.

    Raises:
        RequestRefused: `malformed`, `invalid_field` with the field, or `forbidden`.
    """
    try:
        fields = _fields_of(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestRefused(Code.MALFORMED, command_id=key) from None
    if _given(fields, "type"):
        detail, wrong = "The route gives the type.", Problem.NOT_ALLOWED
        raise RequestRefused(Code.INVALID_FIELD, detail=detail, field="type", problem=wrong, command_id=key)
    if key is not None:
        _set(fields, "command_id", key, key)
    elif not _given(fields, "command_id"):
        fields["command_id"] = Raw(encode(key := new_command_id()))
    for name, value in in_path.items():
        _set(fields, name, value, key)
    return _completed(type_, fields, credential, key)


def compose_item(item: bytes, credential: Credential, needed: Mapping[str, Needed], name: str | None) -> Composed:
    """Make a command from an item of a list.

    Args:
        item: its JSON object, with the command's type.
        credential: who sent it.
        needed: the scopes by the types that are allowed.
        name: its id when it has none itself; None when there is no such id.

    Raises:
        IdNeeded: it needs `name`, and there is none.
        RequestRefused: `malformed`, `invalid_field` with the field, or `forbidden`.
    """
    try:
        fields = _fields_of(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestRefused(Code.MALFORMED, command_id=name) from None
    known_as = None
    if not _given(fields, "command_id"):
        if name is None:
            raise IdNeeded
        known_as = name
        fields["command_id"] = Raw(encode(name))
    type_ = _decoded(fields["type"]) if _given(fields, "type") else None
    if not isinstance(type_, str) or type_ not in needed:
        raise _wrong_type(type_, needed, known_as or _readable_id(fields))
    try:
        credential.check_scope(needed[type_])
        return _completed(type_, fields, credential, known_as)
    except RequestRefused as error:
        error.command_id = error.command_id or known_as or _readable_id(fields)
        raise


class IdNeeded(Exception):
    """An item has no `command_id`, and none can be made for it."""


def _wrong_type(type_: object, types: Collection[str], known_as: str | None) -> RequestRefused:
    if type_ is None:
        what, problem = "it is missing", Problem.MISSING
    elif isinstance(type_, str):
        shown = "".join(character if character.isprintable() else "?" for character in type_[:MAX_ECHO])
        what, problem = f"{shown} is not allowed here", Problem.NOT_ALLOWED
    else:
        what, problem = "it is no string", Problem.WRONG_TYPE
    detail = f"type must be one of {', '.join(types)}: {what}."
    return RequestRefused(Code.INVALID_FIELD, detail=detail, field="type", problem=problem, command_id=known_as)


def _readable_id(fields: dict[str, Raw]) -> str | None:
    given = _decoded(fields["command_id"])
    return given if isinstance(given, str) and _is_identifier(given) is not None else None


def _completed(type_: str, fields: dict[str, Raw], credential: Credential, key: str | None) -> Composed:
    try:
        credential.bind(type_, fields)
    except RequestRefused as error:
        error.command_id = key
        raise
    for name in made_fields(type_):
        if not _given(fields, name):
            # Not a random id: a repeated request with the same key must become the same command.
            fields[name] = fields["command_id"]
    return _checked(encode({"type": type_, **fields}), key)


def made_fields(type_: str) -> tuple[str, ...]:
    """Return the fields of a command that the gateway makes when the request does not have them."""
    return _MADE.get(type_, ())


def compose_query(
    sku: str,
    credential: Credential,
    *,
    reservation_id: str | None = None,
    of_command_id: str | None = None,
    waiting: int | None = None,
    channel: str | None = None,
    reservations: int | None = None,
    after: str | None = None,
) -> Composed:
    """Make a query with a new id.

    Raises:
        RequestRefused: `invalid_field` with the field.
    """
    command_id = new_command_id()
    query: dict[str, str | int | tuple[str, ...]] = {"type": "query", "command_id": command_id, "sku": sku}
    asked = {
        "reservation_id": reservation_id,
        "of_command_id": of_command_id,
        "waiting": waiting,
        "channel": channel,
        "reservations": reservations,
        "after": after,
    }
    query |= {name: value for name, value in asked.items() if value is not None}
    if credential.channels is not None:
        query["channels"] = credential.channels
    if credential.source is not None:
        query["source"] = credential.source
    return _checked(encode(query), command_id)


def _given(fields: dict[str, Raw], name: str) -> bool:
    # Null is the same as absent, as everywhere in a command.
    value = fields.get(name)
    return value is not None and bytes(value) != b"null"


def _set(fields: dict[str, Raw], name: str, value: str, key: str | None) -> None:
    if _given(fields, name) and _decoded(fields[name]) != value:
        raise RequestRefused(
            Code.INVALID_FIELD,
            detail=f"The body's {name} differs from that of the path or header.",
            field=name,
            problem=Problem.NOT_ALLOWED,
            command_id=key,
        )
    fields[name] = Raw(encode(value))


def _decoded(raw: Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _checked(value: bytes, key: str | None) -> Composed:
    try:
        command = decode_command(value)
    except Unreadable as error:
        named = explain(error.field, error.problem, value) if error.field else None
        known_as = key or error.command_id
        raise RequestRefused(
            error.code, detail=named, field=error.field, problem=error.problem, command_id=known_as
        ) from None
    if isinstance(command, ReferenceCommand):
        return Composed(command.command_id, "", value, name_of(command), tag_of(type(command)))
    if isinstance(command, Tick):  # no route makes one
        raise RequestRefused(Code.INVALID_FIELD, field="type", problem=Problem.NOT_ALLOWED)
    location = _location_of(command)
    channels = getattr(command, "channels", None)
    return Composed(command.command_id, command.sku, value, command.sku, tag_of(type(command)), location, channels)


def _location_of(command: SkuCommand) -> str | None:
    """Return where that is read which a command makes; None for a command that makes nothing.

    Raises:
        RequestRefused: no path could name it.
    """
    if command.command_id in _DOTS:
        raise _unnameable("command_id", command.command_id)
    if isinstance(command, Reserve):
        id_ = command.reservation_id
        if id_ in _DOTS:
            raise _unnameable("reservation_id", command.command_id)
        return f"/v1/reservations/{id_}?sku={quote(command.sku, safe='')}"
    if isinstance(command, ExpectInbound):
        if command.inbound_id in _DOTS:
            raise _unnameable("inbound_id", command.command_id)
        return f"/v1/inbounds?sku={quote(command.sku, safe='')}"
    return None


def _unnameable(field: str, command_id: str) -> RequestRefused:
    detail = f"{field} cannot be . or .., which no client can send in a path: take another id."
    key = None if command_id in _DOTS else command_id
    return RequestRefused(Code.INVALID_FIELD, detail=detail, field=field, problem=Problem.NOT_ALLOWED, command_id=key)
