"""Owns the JSON codec: bytes to commands, strictly, and messages to bytes."""

import re
from functools import lru_cache

import msgspec

from schemas.characters import PLAIN, Checker
from schemas.codes import Code
from schemas.commands import COMMAND_TYPES, Command, Identifier, Sku, SkuCommand
from schemas.results import Result
from schemas.stock_changes import StockChange

command_decoder = msgspec.json.Decoder(Command)
result_decoder = msgspec.json.Decoder(Result)
stock_change_decoder = msgspec.json.Decoder(StockChange)
encode = msgspec.json.Encoder().encode

# A caller's own words (a type, an unknown field's name) are repeated to it up to this length, so that no answer
# outgrows its topic.
_MAX_ECHO = 64
_MAX_DEPTH = 32  # no command nests at all
_BRACKETS = re.compile(rb"[\[\]{}]")
# A string without an end reaches to the end of the text: to look for the next one from within it takes quadratic time.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)
_PATH = re.compile(r" - at `\$\.([^`]+)`$")
_NAMED = re.compile(r"`([^`]+)`")


class Unreadable(Exception):
    """A record is no command. Carries the refusal, and as much of the command as could be read.

    `command_id` and `sku` are both set, or both None: with one of them alone nobody can be answered.
    """

    def __init__(
        self, code: Code, field: str | None, command_id: str | None, sku: str | None, type_: str | None
    ) -> None:
        self.code = code
        self.field = field
        self.command_id = command_id
        self.sku = sku
        self.type = type_
        where = f" (field {field})" if field else ""
        super().__init__(f"not a command: {code.value}{where}")


class _Readable(msgspec.Struct):
    """The least a record must give to be answered."""

    command_id: Identifier
    sku: Sku


_LONGEST_OUTLINE = 200

_CHECKERS = {kind: Checker(kind) for kind in COMMAND_TYPES}
_CHECK_IDS = Checker(_Readable)


def decode_command(value: bytes | None) -> Command:
    """Read one record's value as a command.

    Raises:
        Unreadable: with `malformed` (not a JSON object) or `invalid_field` (and the field's path).
    """
    value = value or b""
    try:
        command: Command = command_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explain(value, field_of(error)) from None
    outline = value.translate(None, PLAIN)
    if len(outline) > _LONGEST_OUTLINE or not _shows_plain_strings(outline):
        field = _CHECKERS[type(command)].first_bad_field(command)
        if field is not None:
            raise _explain(value, field)
    return command


@lru_cache(maxsize=1_000)
def _shows_plain_strings(outline: bytes) -> bool:
    """Tell from a JSON text without its plain characters, `{"":"","":}`, whether its strings hold no others.

    Without escapes, quotes open and close strings in turn, so every second piece between them is what a string holds.
    Few outlines are seen again and again, so one look-up checks nearly every command: it is read in 1.2 us, not in 1.8.
    """
    return b"\\" not in outline and not any(outline.split(b'"')[1::2])


def _explain(value: bytes, field: str) -> Unreadable:
    if _depth(value) > _MAX_DEPTH:
        return Unreadable(Code.MALFORMED, None, None, None, None)
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unreadable(Code.MALFORMED, None, None, None, None)
    if not isinstance(document, dict):
        return Unreadable(Code.MALFORMED, None, None, None, None)
    type_ = document.get("type")
    type_ = type_ if isinstance(type_, str) and type_.isprintable() and len(type_) <= _MAX_ECHO else None
    field = field[:_MAX_ECHO]
    try:
        ids = msgspec.convert(document, _Readable)
    except msgspec.ValidationError:
        return Unreadable(Code.INVALID_FIELD, field, None, None, type_)
    if _CHECK_IDS.first_bad_field(ids) is not None:
        return Unreadable(Code.INVALID_FIELD, field, None, None, type_)
    return Unreadable(Code.INVALID_FIELD, field, ids.command_id, ids.sku, type_)


def _depth(value: bytes) -> int:
    """Count how deep a JSON text nests. How far the decoder can follow depends on its caller's stack; this not."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", value)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def field_of(error: Exception) -> str:
    """Find the path (`quantity`, `items[3].sku`) of the field that msgspec's error is about; `$` for the whole."""
    message = str(error)
    path = _PATH.search(message)
    prefix = path.group(1) if path else ""
    body = message[: path.start()] if path else message
    # A missing or unknown field, and our own rules over several fields, are named in the sentence, not in the path.
    if body.startswith(("Object missing", "Object contains", "`")) and (named := _NAMED.search(body)):
        return f"{prefix}.{named.group(1)}" if prefix else named.group(1)
    return prefix or "$"


def content_of(command: SkuCommand) -> dict[str, object]:
    """Return a command's JSON object without what is absent, as a caller would write it."""
    return {k: v for k, v in msgspec.to_builtins(command).items() if v is not None}
