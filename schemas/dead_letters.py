"""Owns the dead letters: records of `inventory.commands` that could not be read as a command."""

import msgspec


class DeadLetter(msgspec.Struct):
    """The original key and value, unchanged, and three headers: `reason`, `partition`, `offset` (decimal, UTF-8)."""

    key: bytes | None
    value: bytes | None
    reason: str
    partition: int
    offset: int

    def headers(self) -> list[tuple[str, bytes]]:
        """Give the Kafka headers of the record."""
        return [
            ("reason", self.reason.encode()),
            ("partition", b"%d" % self.partition),
            ("offset", b"%d" % self.offset),
        ]
