"""Owns the events of the streams: what is sent for a record of a topic, and which records are sent at all."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from gateway.reader import Record

_DATA = b"\ndata: "
# What a worker's result of an expiry, a filling or a promise begins with; nobody asked for it (`schemas/results.py`).
UNSOLICITED = b'{"command_id":null,'

BYE = b"event: bye\ndata: {}\n\n"
TOO_SLOW = b'event: dropped\ndata: {"reason":"too_slow"}\n\n'


class Event(NamedTuple):
    """An event that is ready to be sent.

    `write` numbers what the reader read together, `of` is the record's warehouse (empty: the SKU's book) or channel,
    `block` all its lines, without an id.
    """

    write: int
    partition: int
    offset: int
    sku: str
    of: str
    block: bytes


# Makes the event of a record, from the number of its write and its partition; None: it is none.
MakeEvent = Callable[[int, int, Record], Event | None]


class _Reservation(msgspec.Struct, gc=False):
    channel: str


class _Unsolicited(msgspec.Struct, gc=False):
    sku: str
    reservation: _Reservation | None | UnsetType = UNSET


_decode_result = msgspec.json.Decoder(_Unsolicited).decode


def change_event(write: int, partition: int, record: Record) -> Event | None:
    """Return the event of a record of `inventory.stock-changes`; None of what no worker wrote."""
    if record.value is None or not record.key:
        return None
    try:
        # No warehouse has a slash; a SKU may have some.
        sku, slash, warehouse = record.key.decode().rpartition("/")
    except UnicodeDecodeError:
        return None
    if not slash:
        return None
    return Event(write, partition, record.offset, sku, warehouse, _block(b"stock-change", record.value))


def result_event(write: int, partition: int, record: Record) -> Event | None:
    """Return the event of a record of `inventory.results` without a command; None of all others."""
    if record.value is None or not record.value.startswith(UNSOLICITED):
        return None
    try:
        result = _decode_result(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    channel = result.reservation.channel if result.reservation else ""
    return Event(write, partition, record.offset, result.sku, channel, _block(b"result", record.value))


def as_sent(events: list[Event], id_: bytes) -> bytes:
    """Return events as one write to a client: the last one has the id, so that they are resumed together."""
    if not events:
        return b""
    blocks = [event.block for event in events]
    return b"".join((*blocks[:-1], b"id: ", id_, b"\n", blocks[-1]))


def document_of(event: Event) -> bytes:
    """Return the record that an event was made of."""
    return event.block[event.block.index(_DATA) + len(_DATA) : -2]


def with_document(event: Event, document: bytes) -> Event:
    """Return an event with another document as its data."""
    return event._replace(block=event.block[: event.block.index(_DATA)] + _DATA + document + b"\n\n")


def gap(partition: int, offset: int, nearest: int, id_: bytes) -> bytes:
    """Return the event that says that what a client asked for is not in the log, and where its stream goes on."""
    document = b'{"partition":%d,"from":%d,"to":%d}' % (partition, offset, nearest)
    return b"id: %b\n%b" % (id_, _block(b"gap", document))


def _block(name: bytes, document: bytes) -> bytes:
    # A line break in JSON stands between its tokens only; in an event it would begin another line.
    if b"\n" in document or b"\r" in document:
        document = document.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: %b\ndata: %b\n\n" % (name, document)
