"""Owns the making of commands from HTTP requests: body, path and header become the JSON of a command.

The ledger's own decoder checks the command here, so that an invalid command is refused without a round trip, with the
same code and field.
"""

import os
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Raw

from gateway.access.credential import Credential
from gateway.problems import RequestRefused
from schemas.codec import Unreadable, decode_command, encode
from schemas.codes import Code, Problem
from schemas.commands import Reserve, Tick, tag_of
from schemas.explain import explain
from schemas.fields import IDENTIFIER_PATTERN
from schemas.reference import ReferenceCommand, name_of

_NOTHING: Mapping[str, str] = {}
_MADE = {tag_of(Reserve): ("reservation_id",)}
_fields_of = msgspec.json.Decoder(dict[str, Raw]).decode
_MAX_KEY = 64  # characters
_is_identifier = re.compile(IDENTIFIER_PATTERN).fullmatch


class Composed(NamedTuple):
    """A valid command, ready to be sent: its idempotency key, its SKU, its JSON, and the key of its record.

    A reference command has the SKU "".
    """

    command_id: str
    sku: str
    value: bytes
    key: str


def new_command_id() -> str:
    """Return a unique id: a UUID of version 7 (RFC 9562), which sorts by time, in 32 hexadecimal digits."""
    millis = time.time_ns() // 1_000_000
    tail = os.urandom(10)
    version = 0x7000 | int.from_bytes(tail[:2]) & 0x0FFF
    variant = 0x8000 | int.from_bytes(tail[2:4]) & 0x3FFF
    return f"{millis:012x}{version:04x}{variant:04x}{tail[4:].hex()}"


def idempotency_key(header: bytes | None) -> str | None:
    """Return the `Idempotency-Key` header; None when there is none.

    Raises:
        RequestRefused: it is not a valid id.
    """
    if header is None:
        return None
    key = header.decode("latin-1")
    if _is_identifier(key) is None:
        raise RequestRefused(
            Code.INVALID_FIELD,
            detail="The header Idempotency-Key must be 1 to 64 characters of [A-Za-z0-9._:-].",
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
    except (msgspec.DecodeError, UnicodeDecodeError):
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
) -> Composed:
    """Make a query with a new id.

    Raises:
        RequestRefused: `invalid_field` with the field.
    """
    command_id = new_command_id()
    query: dict[str, str | int | tuple[str, ...]] = {"type": "query", "command_id": command_id, "sku": sku}
    if reservation_id is not None:
        query["reservation_id"] = reservation_id
    if of_command_id is not None:
        query["of_command_id"] = of_command_id
    if waiting is not None:
        query["waiting"] = waiting
    if channel is not None:
        query["channel"] = channel
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
    except (msgspec.DecodeError, UnicodeDecodeError):
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
        return Composed(command.command_id, "", value, name_of(command))
    if isinstance(command, Tick):  # no route makes one
        raise RequestRefused(Code.INVALID_FIELD, field="type", problem=Problem.NOT_ALLOWED)
    return Composed(command.command_id, command.sku, value, command.sku)
