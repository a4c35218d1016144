"""Owns what binds a credential to its channels: in the commands that it sends, and in the documents that it sees.

A command that names a `channel` must name one of the credential's. A command about a reservation carries them as
`channels`, so the ledger knows no reservation of another channel for it. The gateway also gives the `source`. Neither
`source` nor `channels` is part of a command's content.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gateway.problems import Forbidden, RequestRefused
from schemas.codec import encode
from schemas.codes import Code, Problem
from schemas.commands import COMMAND_TYPES, Reserve, tag_of
from schemas.fields import DEFAULT_CHANNEL

_FIELDS = {
    tag_of(kind): frozenset(field.encode_name for field in msgspec.structs.fields(kind)) for kind in COMMAND_TYPES
}
_WITH_CHANNELS = frozenset(type_ for type_, names in _FIELDS.items() if "channels" in names)
_WITH_CHANNEL = frozenset(type_ for type_, names in _FIELDS.items() if "channel" in names)
_RESERVE = tag_of(Reserve)
_UNREADABLE = object()  # neither a string nor a list: for the command's decoder to refuse
_QUERY = "query"
_RETURN = "return"


def bind(source: str | None, channels: Sequence[str] | None, type_: str, fields: dict[str, Raw]) -> None:
    """Write `source`, `channel` and `channels` into a command's fields.

    Args:
        source: of the credential; None leaves it out.
        channels: the only channels that the credential has; None: all.
        type_: the command's type.
        fields: the fields of the request's body; changed.

    Raises:
        RequestRefused: the body has a `source`, or names a channel that the credential does not have.
    """
    if _value(fields, "source") is not None:
        raise RequestRefused(
            Code.INVALID_FIELD,
            detail="The gateway gives the source; `actor` is the caller's own word.",
            field="source",
            problem=Problem.NOT_ALLOWED,
        )
    if source is not None:
        fields["source"] = Raw(encode(source))
    if channels is None:
        return
    if type_ in _WITH_CHANNEL:
        _bind_channel(channels, type_, fields)
    if type_ in _WITH_CHANNELS and (type_ != _RETURN or _value(fields, "reservation_id") is not None):
        _bind_channels(channels, fields)


def shown(channels: Sequence[str], document: bytes) -> bytes:
    """Return a result or a stock change without what other channels have in its book.

    Args:
        channels: those of the credential.
        document: the JSON document.
    """
    fields = _fields_of(document)
    if "book" not in fields:
        return document
    book = _fields_of(fields["book"])
    if "channels" not in book:
        return document
    entries = [entry for entry in _entries_of(book["channels"]) if _channel_of(entry).channel in channels]
    book["channels"] = Raw(encode(entries))
    fields["book"] = Raw(encode(book))
    return encode(fields)


class _OfChannel(msgspec.Struct):
    channel: str


_fields_of = msgspec.json.Decoder(dict[str, Raw]).decode
_entries_of = msgspec.json.Decoder(list[Raw]).decode
_channel_of = msgspec.json.Decoder(_OfChannel).decode


def _bind_channel(channels: Sequence[str], type_: str, fields: dict[str, Raw]) -> None:
    given = _value(fields, "channel")
    if given is None and type_ == _RESERVE:
        if len(channels) == 1:
            fields["channel"] = Raw(encode(channels[0]))
            return
        given = DEFAULT_CHANNEL
    if given is None and type_ == _QUERY:
        return
    if isinstance(given, str) and given not in channels:
        raise other_channel(given, channels)


def _bind_channels(channels: Sequence[str], fields: dict[str, Raw]) -> None:
    given = _value(fields, "channels")
    if given is None:
        fields["channels"] = Raw(encode(channels))
        return
    for channel in given if isinstance(given, list) else ():
        if isinstance(channel, str) and channel not in channels:
            raise other_channel(channel, channels)


def other_channel(channel: str, channels: Sequence[str]) -> Forbidden:
    """Return the refusal of a channel that a credential does not have."""
    return Forbidden("channel", f"The credential lacks the channel {channel[:64]}; it has {', '.join(channels)}.")


def _value(fields: dict[str, Raw], name: str) -> Any:
    """Return a field's value; None when it is absent or null, or cannot be decoded."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _UNREADABLE
