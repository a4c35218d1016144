"""Owns the check which batches of commands are left out as a whole, written from docs/semantics.md."""

import gzip
import io
import struct
import zlib
from itertools import pairwise
from typing import Any, NamedTuple

import cramjam
from aiokafka.errors import CorruptRecordException

from schemas.topics import MAX_UNPACKED_BYTES

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_PIECE = 64 * 1024
# The begin of xerial's snappy blocks: a magic number and two versions.
_XERIAL = struct.pack(">b7sii", -126, b"SNAPPY\0", 1, 1)
_SIZE = struct.Struct(">i")
_FULL = "failed to write whole buffer"  # cramjam's message; it has only one error type


# Errors of reading a batch with a right checksum that cannot be read.
UNREADABLE = (
    CorruptRecordException,
    cramjam.DecompressionError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
)


class UnreadBatch(NamedTuple):
    """A record batch whose records are not read; it stands alone in place of records.

    Args:
        reason: the reason of its dead letter.
        offset: the offset of its first record.
        last_offset: the offset of its last record.
        timestamp: the largest timestamp of its records, ms.
    """

    reason: str
    offset: int
    last_offset: int
    timestamp: int
    key: None = None
    value: None = None
    headers: tuple[()] = ()


def in_order(records: list[Any], begin: int, end: int) -> list[Any]:
    """Return the records of a batch; their offsets must rise and lie from begin to end.

    Raises:
        ValueError: the offsets do not.
    """
    offsets = [record.offset for record in records]
    if offsets and (offsets[0] < begin or offsets[-1] >= end or any(a >= b for a, b in pairwise(offsets))):
        raise ValueError(f"a batch from {begin} to {end} with the offsets {offsets[:9]} ...")
    return records


def is_too_large(codec: int, packed: bytes) -> bool:
    """Return whether the compressed records of a batch unpack to more than `MAX_UNPACKED_BYTES`."""
    if codec == GZIP:
        return _gzip_is_too_large(packed)
    if codec == SNAPPY:
        return sum(cramjam.snappy.decompress_raw_len(block) for block in _snappy_blocks(packed)) > MAX_UNPACKED_BYTES
    if codec in {LZ4, ZSTD}:
        return _is_too_large(cramjam.lz4 if codec == LZ4 else cramjam.zstd, packed)
    return False


def _gzip_is_too_large(packed: bytes) -> bool:
    count = 0
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        # `read` would fill the piece, and so meet what is broken behind the limit before the limit itself.
        while count <= MAX_UNPACKED_BYTES and (piece := file.read1(_PIECE)):
            count += len(piece)
    return count > MAX_UNPACKED_BYTES


def _snappy_blocks(packed: bytes) -> list[bytes]:
    if not packed.startswith(_XERIAL) or len(packed) == len(_XERIAL):
        return [packed]
    blocks, at = [], len(_XERIAL)
    while at < len(packed):
        (size,) = _SIZE.unpack_from(packed, at)
        if size < 0:
            raise ValueError(f"a block of {size} bytes")
        end = at + _SIZE.size + size
        blocks.append(packed[at + _SIZE.size : end])
        at = end
    return blocks


def _is_too_large(codec: Any, packed: bytes) -> bool:
    # A small batch first gets a small buffer: clearing 16 MiB takes half a millisecond.
    for room in (64 * len(packed), MAX_UNPACKED_BYTES):
        try:
            codec.decompress_into(packed, bytearray(min(room, MAX_UNPACKED_BYTES)))
        except cramjam.DecompressionError as error:
            if str(error) != _FULL:
                raise
        else:
            return False
    return True
