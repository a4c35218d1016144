"""Owns the dead letters: records, or a whole batch, of `inventory.commands` that could not be read as commands."""

from typing import Annotated

import msgspec
from msgspec import Meta

# A letter of at most this size is kept whole. Every record that was not compressed has less: the commands topic takes
# batches of at most 1,048,588 bytes. A compressed record may be longer. `schemas/topics.py` shows that a letter fits.
MAX_WHOLE_BYTES = 1_150_000
# A larger letter's key and value are cut to these; their sum is MAX_WHOLE_BYTES.
MAX_KEY_BYTES = 10_000
MAX_VALUE_BYTES = MAX_WHOLE_BYTES - MAX_KEY_BYTES
# The reasons of a letter for a whole record batch: it unpacks to more than `MAX_UNPACKED_BYTES`; or it cannot be
# unpacked, or its records are not in Kafka's format. Brokers accept some such batches.
BATCH_TOO_LARGE, BATCH_UNREADABLE = "batch_too_large", "batch_unreadable"


class DeadLetter(msgspec.Struct):
    """The original key and value, and headers (UTF-8, numbers decimal): `reason`, `partition`, `offset`.

    Key and value are unchanged, unless both together are longer than a dead letter may be. What was cut then has a
    header more: `cut_key` or `cut_value`, its original length in bytes.

    The letter of a whole batch has neither key nor value: `offset` is the batch's first and `last_offset`, which no
    other letter has, its last.
    """

    key: Annotated[bytes, Meta(description="The record's own key; null for a whole batch.")] | None
    value: Annotated[bytes, Meta(description="The record's own value; null for a whole batch.")] | None
    reason: Annotated[str, Meta(description="Why it could not be read.")]
    partition: Annotated[int, Meta(description="The partition of the record.")]
    offset: Annotated[int, Meta(description="The offset of the record, or the first one of a batch.")]
    cut_key: Annotated[int, Meta(description="Only when the key was cut: its original length in bytes.")] | None = None
    cut_value: Annotated[int, Meta(description="Only when the value was cut: its original length in bytes.")] | None = (
        None
    )
    last_offset: Annotated[int, Meta(description="Only for a whole batch: its last offset.")] | None = None

    @classmethod
    def of(cls, key: bytes | None, value: bytes | None, reason: str, *, partition: int, offset: int) -> "DeadLetter":
        """Return the letter for a record, with key and value cut if they are too long."""
        letter = cls(key, value, reason, partition, offset)
        key_bytes, value_bytes = len(key or b""), len(value or b"")
        if key_bytes + value_bytes <= MAX_WHOLE_BYTES:
            return letter
        if key is not None and key_bytes > MAX_KEY_BYTES:
            letter.key, letter.cut_key = key[:MAX_KEY_BYTES], key_bytes
        if value is not None and value_bytes > MAX_VALUE_BYTES:
            letter.value, letter.cut_value = value[:MAX_VALUE_BYTES], value_bytes
        return letter

    @classmethod
    def of_batch(cls, reason: str, first_offset: int, last_offset: int, *, partition: int) -> "DeadLetter":
        """Return the letter for a batch of which no record is read."""
        return cls(None, None, reason, partition, first_offset, last_offset=last_offset)

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the Kafka headers of the record."""
        headers = [
            ("reason", self.reason.encode()),
            ("partition", b"%d" % self.partition),
            ("offset", b"%d" % self.offset),
        ]
        if self.cut_key is not None:
            headers.append(("cut_key", b"%d" % self.cut_key))
        if self.cut_value is not None:
            headers.append(("cut_value", b"%d" % self.cut_value))
        if self.last_offset is not None:
            headers.append(("last_offset", b"%d" % self.last_offset))
        return headers
