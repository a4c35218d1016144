"""Owns the JSON codec: it decodes bytes strictly into commands and encodes messages into bytes."""

import re
from functools import lru_cache
from typing import Any

import msgspec

from schemas.characters import PLAIN, Checker
from schemas.codes import Code, Problem
from schemas.commands import COMMAND_TYPES, Command, SkuCommand, tag_of
from schemas.field_errors import field_of, problem_of
from schemas.fields import Identifier, Sku
from schemas.reference import REFERENCE_COMMAND_TYPES, ReferenceCommand
from schemas.results import Result
from schemas.stock_changes import StockChange

command_decoder = msgspec.json.Decoder(Command)
result_decoder = msgspec.json.Decoder(Result)
stock_change_decoder = msgspec.json.Decoder(StockChange)
_encoder = msgspec.json.Encoder()
encode = _encoder.encode
encode_into = _encoder.encode_into  # a buffer; used again and again it need not grow: 0.6 us less for a result

# Results repeat a caller's text (a type, an unknown field's name) only up to this length, so that they fit into their
# topic.
MAX_ECHO = 64
_MAX_DEPTH = 32  # no command nests at all
_BRACKETS = re.compile(rb"[\[\]{}]")
# A string without a closing quote matches to the end of the text; otherwise the search would take quadratic time.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)
_STRING_OR_NUMBER = re.compile(_STRING.pattern + rb"|-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?", re.DOTALL)


class Unreadable(Exception):
    """A record is no command. Carries the code, and those parts of the command that could be read.

    `command_id` and `sku` are both set or both None: a result needs both. `sku` of a reference command is empty.
    """

    def __init__(
        self,
        code: Code,
        field: str | None = None,
        problem: Problem | None = None,
        command_id: str | None = None,
        sku: str | None = None,
        type_: str | None = None,
    ) -> None:
        self.code = code
        self.field = field
        self.problem = problem
        self.command_id = command_id
        self.sku = sku
        self.type = type_
        where = f" (field {field})" if field else ""
        super().__init__(f"not a command: {code.value}{where}")


class _Readable(msgspec.Struct):
    """The fields that a record must have to get a result."""

    command_id: Identifier
    sku: Sku


class _ReadableReference(msgspec.Struct):
    """The field that a reference command must have to get a result. It has no SKU; its result's is empty."""

    command_id: Identifier


_LONGEST_OUTLINE = 200

_CHECKERS = {kind: Checker(kind) for kind in COMMAND_TYPES}
_CHECK_IDS = {kind: Checker(kind) for kind in (_Readable, _ReadableReference)}
_REFERENCE_TYPES = frozenset(tag_of(kind) for kind in REFERENCE_COMMAND_TYPES)


def decode_command(value: bytes | None) -> Command:
    """Decode one record's value as a command.

    Raises:
        Unreadable: with `malformed` (not a JSON object) or `invalid_field` (and the field's path and problem).
    """
    value = value or b""
    try:
        command: Command = command_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explain(value, field_of(error), error) from None
    outline = value.translate(None, PLAIN)
    if len(outline) > _LONGEST_OUTLINE or not _shows_plain_strings(outline):
        field = _CHECKERS[type(command)].first_bad_field(command)
        if field is not None:
            raise _explain(value, field)
    return command


@lru_cache(maxsize=1_000)
def _shows_plain_strings(outline: bytes) -> bool:
    """Return whether the strings of a JSON text have only plain characters, from its outline `{"":"","":}`.

    The outline is the text without its plain characters. Without backslashes, quotes open and close strings in turn, so
    every second piece between quotes is a string's content. The same few outlines come again and again, so one look-up
    checks nearly every command: reading it takes 1.2 us instead of 1.8.
    """
    return b"\\" not in outline and not any(outline.split(b'"')[1::2])


def _explain(value: bytes, field: str, error: Exception | None = None) -> Unreadable:
    """Return what is wrong with a record: the decoder's error or, without one, a character of the field."""
    if _depth(value) > _MAX_DEPTH:
        return Unreadable(Code.MALFORMED)
    holds_every_number = True
    try:
        try:
            document = msgspec.json.decode(value)
        except msgspec.ValidationError:
            # So far the text is JSON, except for a number that the decoder cannot hold.
            holds_every_number = False
            document = msgspec.json.decode(_STRING_OR_NUMBER.sub(_within_range, value))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unreadable(Code.MALFORMED)
    if not isinstance(document, dict):
        return Unreadable(Code.MALFORMED)
    problem = Problem.BAD_CHARACTERS if error is None else problem_of(error, field, document.get(field))
    type_ = document.get("type")
    type_ = type_ if isinstance(type_, str) and type_.isprintable() and len(type_) <= MAX_ECHO else None
    field = field[:MAX_ECHO]
    nobody = Unreadable(Code.INVALID_FIELD, field, problem, type_=type_)
    readable = _ReadableReference if type_ in _REFERENCE_TYPES else _Readable
    try:
        ids: Any = msgspec.convert(document, readable)
    except msgspec.ValidationError:
        return nobody if holds_every_number else Unreadable(Code.MALFORMED)
    if _CHECK_IDS[readable].first_bad_field(ids) is not None:
        return nobody if holds_every_number else Unreadable(Code.MALFORMED)
    sku = ids.sku if readable is _Readable else ""
    return Unreadable(Code.INVALID_FIELD, field, problem, ids.command_id, sku, type_)


def _within_range(found: re.Match[bytes]) -> bytes:
    """Keep a string; replace a number by a fraction of its sign, so that two in a row do not become one."""
    text = found[0]
    if text[:1] == b'"':
        return text
    return b"-0.1" if text[:1] == b"-" else b"0.1"


def _depth(value: bytes) -> int:
    """Return how deep a JSON text nests. Unlike the decoder, this does not recurse, so its limit is always the same."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", value)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def json_object_of(command: SkuCommand | ReferenceCommand) -> dict[str, object]:
    """Return a command's JSON object without absent fields, as a caller would write it."""
    return {k: v for k, v in msgspec.to_builtins(command).items() if v is not None}
