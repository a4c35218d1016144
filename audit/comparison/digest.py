"""Owns the digest of a sequence of records: equal sequences have equal digests, in one audit or in several."""

from hashlib import sha256

# How many records are hashed together: a call costs as much as hashing one record.
_BLOCK = 64


class Digest:
    """A SHA-256 over records in their order, which can be stored and continued.

    After every 64 records the digest becomes the SHA-256 of the old digest (32 zero bytes at first) and those records,
    each followed by a line feed. The last, incomplete block is hashed in the same way.

    Args:
        count: records so far.
        block: the digest after the last complete block.
        pending: the records after that block, fewer than 64.
    """

    def __init__(self, count: int = 0, block: bytes = bytes(32), pending: list[bytes] | None = None) -> None:
        self._folded = count - len(pending or ())
        self._block = block
        # What is appended here counts at the next `fold`.
        self.pending = list(pending or ())

    @property
    def count(self) -> int:
        """How many records there are."""
        return self._folded + len(self.pending)

    def fold(self) -> None:
        """Hash the complete blocks of pending records."""
        pending = self.pending
        whole = len(pending) // _BLOCK * _BLOCK
        for start in range(0, whole, _BLOCK):
            self._block = _next(self._block, pending[start : start + _BLOCK])
        del pending[:whole]
        self._folded += whole

    def hexdigest(self) -> str:
        """Return the digest over all records."""
        self.fold()
        return _next(self._block, self.pending).hex() if self.pending else self._block.hex()

    def state(self) -> tuple[int, bytes, list[bytes]]:
        """Return the arguments of a digest that continues: count, block, pending."""
        self.fold()
        return self.count, self._block, list(self.pending)


def _next(block: bytes, records: list[bytes]) -> bytes:
    return sha256(block + b"\n".join(records) + b"\n").digest()
