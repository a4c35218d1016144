"""Owns the types of fields that commands share: their limits, and the characters that they may have.

Null is the same as absent everywhere, so every optional field is `X | None`; the rule that uses it fills in the
default.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

MAX_QUANTITY = 1_000_000_000
MAX_TIME_MS = 1 << 53  # beyond this a JSON reader that uses doubles loses milliseconds
DEFAULT_CHANNEL = "default"
DEFAULT_TTL_MS = 15 * 60 * 1000
MAX_INTERVAL_MS = 366 * 24 * 60 * 60 * 1000
MAX_TTL_MS = 31 * 24 * 60 * 60 * 1000

# Control characters are Unicode's category Cc. A lone surrogate is no character: UTF-8 has no bytes for it.
_PRINTABLE = "[^\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]"
SKU_PATTERN = rf"^{_PRINTABLE}{{1,64}}$"
IDENTIFIER_PATTERN = r"^[A-Za-z0-9._:-]{1,64}$"
PLACE_PATTERN = r"^[A-Za-z0-9._-]{1,32}$"
CHANNEL_OR_ALL_PATTERN = r"^(?:[A-Za-z0-9._-]{1,32}|\*)$"
TEXT_PATTERN = rf"^{_PRINTABLE}{{1,256}}$"

# msgspec checks lengths; `schemas/characters.py` checks characters with the patterns above. msgspec's own `pattern`
# costs 0.6 us a field (2.4 us a command), more than the rest of the decoding.
Sku = Annotated[str, Meta(min_length=1, max_length=64, extra_json_schema={"pattern": SKU_PATTERN})]
Identifier = Annotated[str, Meta(min_length=1, max_length=64, extra_json_schema={"pattern": IDENTIFIER_PATTERN})]
Place = Annotated[str, Meta(min_length=1, max_length=32, extra_json_schema={"pattern": PLACE_PATTERN})]
ChannelOrAll = Annotated[str, Meta(min_length=1, max_length=32, extra_json_schema={"pattern": CHANNEL_OR_ALL_PATTERN})]
Text = Annotated[str, Meta(min_length=1, max_length=256, extra_json_schema={"pattern": TEXT_PATTERN})]
Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
Count = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
Delta = Annotated[int, Meta(ge=-MAX_QUANTITY, le=MAX_QUANTITY)]
TtlMs = Annotated[int, Meta(ge=0, le=MAX_TTL_MS)]
Channels = Annotated[list[Place], Meta(min_length=1, max_length=1_000)]
Priority = Annotated[int, Meta(ge=0, le=999)]
Version = Annotated[int, Meta(ge=1, le=MAX_TIME_MS)]
TimeMs = Annotated[int, Meta(ge=0, le=MAX_TIME_MS)]

# A field that several commands have says here what it means; all others say it where they stand.
OfReservation = Annotated[Identifier, Meta(description="Which reservation of the SKU.")]
OfChannels = Annotated[
    Channels,
    Meta(description="A reservation of any other channel is unknown to this command. Default: all channels."),
]
IssuedAt = Annotated[TimeMs, Meta(description="When the caller made the command; no rule looks at it.")]
Actor = Annotated[Text, Meta(description="Who caused it: the caller's own word, repeated in stock changes.")]
Source = Annotated[Text, Meta(description="Which program sent it, repeated in stock changes.")]
OfSku = Annotated[Sku, Meta(description="What is counted. It is also the record's key.")]


class CommandOfSku(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """What every command of a SKU carries."""

    command_id: Annotated[
        Identifier, Meta(description="The idempotency key: the same id and content for the same SKU are applied once.")
    ]
    sku: OfSku
    issued_at: IssuedAt | None = None
    actor: Actor | None = None
    source: Source | None = None
