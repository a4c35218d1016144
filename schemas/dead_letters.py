"""Owns the dead letters: records of `inventory.commands` that could not be read as a command."""

import msgspec

# A compressed record may hold far more than its topic's limit says; what is kept of it must fit the dead letters' own.
MAX_VALUE_BYTES = 1_000_000
MAX_KEY_BYTES = 10_000


class DeadLetter(msgspec.Struct):
    """The original key and value, and three headers: `reason`, `partition`, `offset` (decimal, UTF-8).

    Key and value are unchanged, unless they are longer than a dead letter may be: then the reason says what was cut.
    """

    key: bytes | None
    value: bytes | None
    reason: str
    partition: int
    offset: int

    @classmethod
    def of(cls, key: bytes | None, value: bytes | None, reason: str, *, partition: int, offset: int) -> "DeadLetter":
        """Make the letter for a record, and cut what is too long, saying so in the reason."""
        if value is not None and len(value) > MAX_VALUE_BYTES:
            reason = f"{reason}; value cut from {len(value)} bytes"
            value = value[:MAX_VALUE_BYTES]
        if key is not None and len(key) > MAX_KEY_BYTES:
            reason = f"{reason}; key cut from {len(key)} bytes"
            key = key[:MAX_KEY_BYTES]
        return cls(key, value, reason, partition, offset)

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the Kafka headers of the record."""
        return [
            ("reason", self.reason.encode()),
            ("partition", b"%d" % self.partition),
            ("offset", b"%d" % self.offset),
        ]
