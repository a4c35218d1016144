"""Owns the route that lists the dead letters, newest first."""

import asyncio
import base64
import re
from typing import Annotated

import msgspec
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from msgspec import UNSET, Meta, UnsetType

from gateway.access.credential import credential_of
from gateway.config import GatewayConfig
from gateway.dead_letters import Place, read_page
from gateway.incoming import HttpRequest, Query
from gateway.problems import KafkaUnavailable, RequestRefused, TooManyRequests
from gateway.replies import JSON, Reply
from gateway.requests import LedgerClient
from gateway.rules import MOST_LISTED
from gateway.view_answer import Next, link_to_next
from schemas.codec import encode
from schemas.codes import Code, Problem

# Requests that may read at the same time, each with connections of its own.
MOST_READING = 4

_are_positions = re.compile(r"\d{1,6}:\d{1,18}(?:,\d{1,6}:\d{1,18})*", re.ASCII).fullmatch
_NUMBERS = frozenset({"partition", "offset", "cut_key", "cut_value", "last_offset"})
_TEXT, _BASE64 = UNSET, "base64"

_Length = Annotated[int, Meta(description="Only when it was cut: its length in bytes.")] | UnsetType
_Encoding = Annotated[str, Meta(description="`base64` when it is no UTF-8; absent otherwise.")] | UnsetType


class Letter(msgspec.Struct, kw_only=True, gc=False):
    """A record, or a whole batch, of `inventory.commands` that could not be read as commands."""

    partition: Annotated[int, Meta(description="The partition of the record.")]
    offset: Annotated[int, Meta(description="The offset of the record, or the first one of a batch.")]
    at: Annotated[int, Meta(description="The partition's clock then (ms).")]
    reason: Annotated[str, Meta(description="Why it could not be read.")]
    key: Annotated[str | None, Meta(description="The record's key; null without one, and for a batch.")]
    value: Annotated[str | None, Meta(description="The record's value; null without one, and for a batch.")]
    encoding: _Encoding = UNSET
    key_encoding: _Encoding = UNSET
    cut_key: _Length = UNSET
    cut_value: _Length = UNSET
    last_offset: Annotated[int, Meta(description="Only for a whole batch: its last offset.")] | UnsetType = UNSET


class Letters(msgspec.Struct, kw_only=True):
    """Dead letters, newest first. A page with large letters may have fewer than `limit` and still go on."""

    items: list[Letter]
    next: Next


class DeadLetterRoutes:
    """The route of dead letters.

    Args:
        config: where Kafka is, and how long a request may take.
        ledger: knows whether Kafka answers.
    """

    def __init__(self, config: GatewayConfig, ledger: LedgerClient) -> None:
        self._config = config
        self._ledger = ledger
        self._reading = 0

    async def letters(self, request: HttpRequest, query: Query) -> Reply:
        """Answer with a page of dead letters; what is no command has no channel, so all channels are needed."""
        credential_of(request).check_unbound()
        limit = query.integer("limit", least=1, most=MOST_LISTED) or MOST_LISTED
        place = _place_in(query.one("cursor"), self._config.partitions)
        if self._ledger.unavailable is not None:
            raise KafkaUnavailable(self._ledger.unavailable)
        if self._reading >= MOST_READING:
            raise TooManyRequests(MOST_READING)
        self._reading += 1
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                records, place = await read_page(self._config, place, limit)
        except (KafkaError, OSError) as error:  # a time-out is an OSError
            raise KafkaUnavailable(repr(error)) from None
        finally:
            self._reading -= 1
        goes_on = ",".join(f"{partition}:{offset}" for partition, offset in sorted(place.items())) or None
        headers = [JSON] if goes_on is None else [JSON, link_to_next(request, query, goes_on)]
        return Reply(200, encode(Letters(items=[*map(letter_of, records)], next=goes_on)), headers)


def letter_of(record: ConsumerRecord) -> Letter:
    """Return how a record of `inventory.dead-letters` is shown."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    numbers = {
        name: int(text) for name, text in headers.items() if name in _NUMBERS and text.isascii() and text.isdigit()
    }
    # Workers write both always; what somebody else wrote to the topic is shown at its own place.
    partition, offset = numbers.pop("partition", record.partition), numbers.pop("offset", record.offset)
    key, key_encoding = _as_text(record.key)
    value, encoding = _as_text(record.value)
    return Letter(
        partition=partition,
        offset=offset,
        at=record.timestamp,
        reason=headers.get("reason", ""),
        key=key,
        value=value,
        encoding=encoding,
        key_encoding=key_encoding,
        **numbers,
    )


def _as_text(raw: bytes | None) -> tuple[str | None, str | UnsetType]:
    if raw is None:
        return None, _TEXT
    try:
        return raw.decode(), _TEXT
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), _BASE64


def _place_in(cursor: str | None, partitions: int) -> Place | None:
    if cursor is None:
        return None
    pairs = [pair.split(":") for pair in cursor.split(",")] if _are_positions(cursor) else []
    place = {int(partition): int(offset) for partition, offset in pairs}
    if not place or len(place) < len(pairs) or max(place) >= partitions:
        detail = "cursor must be `next` of an answer."
        raise RequestRefused(Code.INVALID_FIELD, detail=detail, field="cursor", problem=Problem.NOT_ALLOWED)
    return place
