"""Owns the unpacking of compressed record batches up to a limit, so that a caller cannot fill the memory.

aiokafka unpacks a whole batch, however large it becomes. Here it is unpacked into a buffer of limited size, with the
libraries and functions that aiokafka uses, and given to aiokafka's parser as an uncompressed batch.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cramjam
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from agents.batches import UnreadBatch
from schemas.dead_letters import BATCH_TOO_LARGE
from schemas.topics import MAX_UNPACKED_BYTES

_HEADER_BYTES = 61
_BEGINNING = struct.Struct(">qi")  # the base offset, and how many bytes follow
_CODEC_AT = 22  # the second byte of the attributes
_CODEC_BITS = 0x07
_GZIP_PIECE = 64 * 1024
_LEAST_ROOM = 64 * 1024
_XERIAL = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
# cramjam's message when the output buffer is full; it has no error type for this.
_BUFFER_IS_FULL = "failed to write whole buffer"
# A caller can put 2 million records without key and value into `MAX_UNPACKED_BYTES`; each takes 200 bytes of memory.
MOST_RECORDS = 100_000
# After this no further batch of a Fetch is unpacked: 16 times of what a Fetch asks for. Three answers wait at a time.
FETCH_UNPACKED_BYTES = 4 * 1024 * 1024
# A batch of more records than this is read to its end before the first is handed out, for one that cannot be read is
# left out as a whole; a smaller one is handed out as a whole. 1 MiB of usual commands are 6,000.
MOST_BEFORE_CHECK = 10_000
# What a batch that is as its producer sent it may raise. A broker looks at no names of headers, at offsets only in what
# was compressed, and at nothing behind the last record.
UNREADABLE = (
    CorruptRecordException,
    cramjam.DecompressionError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
)


class TooLargeError(Exception):
    """The batch has more than `MAX_UNPACKED_BYTES` of records."""


class CallersBatches:
    """Record batches as a Fetch gave them, for aiokafka's `PartitionRecords`; none is unpacked above the limit.

    They end early once `FETCH_UNPACKED_BYTES` are unpacked, so that many small batches cannot fill the memory either.
    The reader asks for the rest with its next Fetch.

    Args:
        data: the batches; the last one may be incomplete.
        position: the offset that was asked for.
        check_offsets: whether to check that each batch's offsets rise and lie within its header's range.
    """

    def __init__(self, data: bytes, position: int, *, check_offsets: bool) -> None:
        self._data = memoryview(data)
        self._position = position
        self._check_offsets = check_offsets
        batches: Any = MemoryRecords(data)
        self._next = batches.next_batch
        self._at = 0  # the position in `data` of the next batch, or of one before it
        self._left = FETCH_UNPACKED_BYTES
        self._records = 0
        # aiokafka's own method until the limit is reached: most batches are not compressed and must cost nothing.
        self.has_next: Callable[[], bool] = batches.has_next
        # The batch whose records are read, if its checksum is right; else None.
        self.sound: Any = None

    def next_batch(self) -> Any:
        """Return the next batch.

        Raises:
            CorruptRecordException: its checksum is wrong.
        """
        self.sound = None
        batch = self._next()
        if not batch.validate_crc():
            raise CorruptRecordException(f"Invalid checksum of a batch behind {self._position}")
        # Control batches come from the broker; batches of formats before 2 do not have these fields.
        if batch.is_control_batch or not hasattr(batch, "compression_type"):
            return batch
        self.sound = batch
        count = batch.next_offset - batch.base_offset
        self._records += count
        if self._records >= MOST_RECORDS:
            self.has_next = _nothing
        if batch.compression_type or count > MOST_BEFORE_CHECK or self._check_offsets:
            return _CheckedBatch(batch, self._bytes_of(batch), self)
        return batch

    def _bytes_of(self, batch: Any) -> memoryview:
        while True:
            start = self._at
            base_offset, length = _BEGINNING.unpack_from(self._data, start)
            self._at = start + _BEGINNING.size + length
            if base_offset == batch.base_offset:
                return self._data[start : self._at]

    def records(self, batch: Any, raw: memoryview) -> Iterator[Any]:
        """Return the records of a batch; an `UnreadBatch` instead when it is too large.

        Raises:
            Exception: one of `UNREADABLE`.
        """
        if batch.compression_type:
            try:
                data = unpack(batch.compression_type, raw)
            except TooLargeError:
                self.has_next = _nothing
                return iter([self.unread(batch, BATCH_TOO_LARGE)])
            self._left -= len(data)
            if self._left <= 0:
                self.has_next = _nothing
        else:
            data = bytes(raw)
        if self._check_offsets or batch.next_offset - batch.base_offset > MOST_BEFORE_CHECK:
            # The caller may read only some of them, but an unreadable last record leaves out the first one too.
            _check(DefaultRecordBatch(data), batch.base_offset, batch.next_offset)
        records: Iterator[Any] = iter(DefaultRecordBatch(data))
        return records

    def unread(self, batch: Any, reason: str) -> UnreadBatch:
        """Return the `UnreadBatch` that stands for a batch."""
        first, last = batch.base_offset, batch.next_offset - 1
        offset = max(first, self._position)
        return UnreadBatch(reason, offset, batch.max_timestamp, batch.timestamp_type, first, last)


def _nothing() -> bool:
    return False


def _check(records: Iterable[Any], base_offset: int, next_offset: int) -> None:
    least = base_offset
    for record in records:
        if not least <= record.offset < next_offset:
            raise CorruptRecordException(f"Offset {record.offset} does not lie in {least} to {next_offset - 1}")
        least = record.offset + 1


class _CheckedBatch:
    """A batch that is unpacked only when its records are read; those of an aborted transaction never are."""

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

    def __iter__(self) -> Iterator[Any]:
        return self._batches.records(self._batch, self._raw)


def unpack(codec: int, raw: memoryview) -> bytes:
    """Return a compressed batch as an uncompressed one; its checksum is not updated.

    Args:
        codec: as in the batch's attributes.
        raw: the whole batch, in format 2.

    Raises:
        TooLargeError: it has more than `MAX_UNPACKED_BYTES`.
        UnsupportedCodecError: the codec is unknown.
        Exception: one of `UNREADABLE`, for data that the codec does not write.
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
    parts, left = [], limit
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        while part := file.read1(_GZIP_PIECE):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TooLargeError
    return b"".join(parts)


def _snappy(packed: bytes, limit: int) -> bytes:
    # A block's length is known before it is unpacked.
    blocks = list(_snappy_blocks(packed))
    if sum(cramjam.snappy.decompress_raw_len(block) for block in blocks) > limit:
        raise TooLargeError
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


def _snappy_blocks(packed: bytes) -> Iterator[bytes]:
    """Return the blocks of Java clients (xerial: 32 KB each, behind a magic number), or other clients' single block."""
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
    """Unpack into a buffer, and into one 8 times as large while it is too small; few batches are above 16:1."""
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
