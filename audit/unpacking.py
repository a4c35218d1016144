"""Owns which batches of commands are too large to be unpacked: the audit's own reading of docs/semantics.md."""

import gzip
import io
import struct
from typing import Any, NamedTuple

import cramjam

from schemas.topics import MAX_UNPACKED_BYTES

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
_PIECE = 64 * 1024
# What xerial's blocks of snappy begin with: a magic and two versions.
_XERIAL = struct.pack(">b7sii", -126, b"SNAPPY\0", 1, 1)
_FULL = "failed to write whole buffer"  # cramjam's words; it has one type of error for everything


class TooLargeBatch(NamedTuple):
    """A record batch whose records are not read; it comes alone, in place of records.

    Args:
        offset: of its first record.
        last_offset: of its last one.
        timestamp: the largest of its records, ms.
    """

    offset: int
    last_offset: int
    timestamp: int
    key: None = None
    value: None = None
    headers: tuple[()] = ()


def is_too_large(codec: int, packed: bytes) -> bool:
    """Whether the compressed records of a batch come to more than `MAX_UNPACKED_BYTES`."""
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
        while count <= MAX_UNPACKED_BYTES and (piece := file.read(_PIECE)):
            count += len(piece)
    return count > MAX_UNPACKED_BYTES


def _snappy_blocks(packed: bytes) -> list[bytes]:
    if not packed.startswith(_XERIAL) or len(packed) == len(_XERIAL):
        return [packed]
    blocks, at = [], len(_XERIAL)
    while at < len(packed):
        end = at + 4 + int.from_bytes(packed[at : at + 4], "big")
        blocks.append(packed[at + 4 : end])
        at = end
    return blocks


def _is_too_large(codec: Any, packed: bytes) -> bool:
    # A small batch is tried in a small buffer: 16 MiB take half a millisecond to clear.
    for room in (64 * len(packed), MAX_UNPACKED_BYTES):
        try:
            codec.decompress_into(packed, bytearray(min(room, MAX_UNPACKED_BYTES)))
        except cramjam.DecompressionError as error:
            if str(error) != _FULL:
                raise
        else:
            return False
    return True
