"""Owns the choice of a SKU's partition: Kafka's default, murmur2 of the key's UTF-8 bytes."""

from functools import lru_cache

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Hash bytes to 32 unsigned bits as Kafka's `Utils.murmur2` does (Austin Appleby's MurmurHash2, 32 bits)."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _MIX & _MASK
        h = (h * _MIX & _MASK) ^ ((k ^ (k >> 24)) * _MIX & _MASK)
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _MIX & _MASK
    h = (h ^ (h >> 13)) * _MIX & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=1 << 16)
def partition_of(sku: str, partitions: int) -> int:
    """Return the partition (0 .. partitions - 1) of `inventory.commands` that owns the SKU."""
    return (murmur2(sku.encode()) & 0x7FFFFFFF) % partitions
