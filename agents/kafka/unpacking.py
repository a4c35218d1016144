"""Owns the unpacking of compressed record batches, up to a limit: what a caller sends must not fill the memory.

aiokafka unpacks a batch whole, however large it becomes. Here it is unpacked into a buffer of limited size, by the
libraries and functions that aiokafka uses, and handed to its parser as a batch that was never compressed.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from agents.batches import TooLargeBatch
from schemas.topics import MAX_UNPACKED_BYTES

_HEADER_BYTES = 61
_BEGINNING = struct.Struct(">qi")  # the base offset, and how many bytes follow
_CODEC_AT = 22  # the second byte of the attributes
_CODEC_BITS = 0x07
_GZIP_WINDOW = 31  # any window, with gzip's header
_GZIP_PIECE = 16 * 1024
_LEAST_ROOM = 64 * 1024
_XERIAL = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
# What cramjam says when the output buffer is full. It has no type of its own for that.
_BUFFER_IS_FULL = "failed to write whole buffer"


class TooLargeError(Exception):
    """The batch has more than `MAX_UNPACKED_BYTES` of records."""


class CallersBatches:
    """Record batches as a Fetch gave them, for aiokafka's `PartitionRecords`; none is unpacked above the limit.

    Ends early once all batches together have come to the limit, so that many small ones cannot do what a large one may
    not. The reader asks for the rest with its next Fetch.

    Args:
        data: the batches, the last one possibly cut.
        position: from where it was asked for.
    """

    def __init__(self, data: bytes, position: int) -> None:
        self._data = memoryview(data)
        self._position = position
        batches: Any = MemoryRecords(data)
        self._next = batches.next_batch
        self._at = 0  # where in `data` a batch begins: the next one, or one before it
        self._left = MAX_UNPACKED_BYTES
        # aiokafka's own method, until the room is used up: most batches are not compressed, and must cost nothing.
        self.has_next: Callable[[], bool] = batches.has_next

    def next_batch(self) -> Any:
        """Return the next batch."""
        batch = self._next()
        # Control batches are the broker's own; a batch of the formats before 2 has no `compression_type`.
        if not getattr(batch, "compression_type", 0) or batch.is_control_batch:
            return batch
        return _CompressedBatch(batch, self._bytes_of(batch), self)

    def _bytes_of(self, batch: Any) -> memoryview:
        while True:
            start = self._at
            base_offset, length = _BEGINNING.unpack_from(self._data, start)
            self._at = start + _BEGINNING.size + length
            if base_offset == batch.base_offset:
                return self._data[start : self._at]

    def records(self, batch: Any, raw: memoryview) -> Iterator[Any]:
        """Return the records of a compressed batch; a `TooLargeBatch` instead when it is one."""
        try:
            unpacked = unpack(batch.compression_type, raw)
        except TooLargeError:
            self.has_next = _nothing
            first, last = batch.base_offset, batch.next_offset - 1
            offset = max(first, self._position)
            return iter([TooLargeBatch(offset, batch.max_timestamp, batch.timestamp_type, first, last)])
        self._left -= len(unpacked)
        if self._left <= 0:
            self.has_next = _nothing
        records: Iterator[Any] = iter(DefaultRecordBatch(unpacked))
        return records


def _nothing() -> bool:
    return False


class _CompressedBatch:
    """A batch that is unpacked when its records are asked for: those of an aborted transaction never are."""

    __slots__ = ("_batch", "_batches", "_raw", "base_offset", "is_transactional", "next_offset", "producer_id")

    is_control_batch = False

    def __init__(self, batch: Any, raw: memoryview, batches: CallersBatches) -> None:
        self._batch = batch
        self._raw = raw
        self._batches = batches
        self.base_offset = batch.base_offset
        self.next_offset = batch.next_offset
        self.producer_id = batch.producer_id
        self.is_transactional = batch.is_transactional

    def validate_crc(self) -> bool:
        """Whether the batch is as it was written."""
        valid: bool = self._batch.validate_crc()
        return valid

    def __iter__(self) -> Iterator[Any]:
        return self._batches.records(self._batch, self._raw)


def unpack(codec: int, raw: memoryview) -> bytes:
    """Return a compressed batch as one that was not compressed; its checksum is no longer right.

    Args:
        codec: as in the batch's attributes.
        raw: the whole batch, in format 2.

    Raises:
        TooLargeError: there are more bytes in it than may be.
        UnsupportedCodecError: nobody knows the codec.
        Exception: as aiokafka raises for what is not what its codec writes; a broker does not take such batches.
    """
    unpack_records = _UNPACK.get(codec)
    if unpack_records is None:
        raise UnsupportedCodecError(f"Unknown compression codec {codec:#04x}")
    records = unpack_records(bytes(raw[_HEADER_BYTES:]), MAX_UNPACKED_BYTES)
    header = bytearray(raw[:_HEADER_BYTES])
    (base_offset, _) = _BEGINNING.unpack_from(header)
    _BEGINNING.pack_into(header, 0, base_offset, _HEADER_BYTES - _BEGINNING.size + len(records))
    header[_CODEC_AT] &= ~_CODEC_BITS & 0xFF
    return b"".join((header, records))


def _gzip(packed: bytes, limit: int) -> bytes:
    # In pieces, because zlib copies all that it was given and that lies behind the end of a member.
    parts, left, at, member = [], limit, 0, None
    while at < len(packed):
        piece = packed[at : at + _GZIP_PIECE]
        at += len(piece)
        if member is None:  # members may follow each other, with zeros between and after them
            piece = piece.lstrip(b"\0")
            if not piece:
                continue
            member = zlib.decompressobj(wbits=_GZIP_WINDOW)
        parts.append(member.decompress(piece, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise TooLargeError
        at -= len(member.unused_data)
        if member.eof:
            member = None
    if member is not None:
        raise CorruptRecordException("A gzip stream ends in its midst")
    return b"".join(parts)


def _snappy(packed: bytes, limit: int) -> bytes:
    # Each block says how long it is before anything of it is unpacked.
    blocks = list(_snappy_blocks(packed))
    if sum(cramjam.snappy.decompress_raw_len(block) for block in blocks) > limit:
        raise TooLargeError
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _snappy_blocks(packed: bytes) -> Iterator[bytes]:
    """Return what Java's clients write (xerial: blocks of 32 KB behind a magic), or the one block of all others."""
    if len(packed) <= len(_XERIAL) or not packed.startswith(_XERIAL):
        yield packed
        return
    at = len(_XERIAL)
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        if size < 0:
            raise CorruptRecordException(f"A snappy block of {size} bytes")
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size


def _lz4(packed: bytes, limit: int) -> memoryview:
    return _unpack_into_larger(cramjam.lz4, packed, limit)


def _zstd(packed: bytes, limit: int) -> memoryview:
    return _unpack_into_larger(cramjam.zstd, packed, limit)


def _unpack_into_larger(codec: Any, packed: bytes, limit: int) -> memoryview:
    """Unpack into a buffer, and into one of 8 times the size while it is too small; few batches are above 16:1."""
    room = min(limit, max(_LEAST_ROOM, 16 * len(packed)))
    while True:
        buffer = bytearray(room)
        try:
            count: int = codec.decompress_into(packed, buffer)
        except cramjam.DecompressionError as error:
            if str(error) != _BUFFER_IS_FULL:
                raise
            if room == limit:
                raise TooLargeError from error
            room = min(limit, 8 * room)
        else:
            return memoryview(buffer)[:count]


_UNPACK: dict[int, Callable[[bytes, int], bytes | memoryview]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
