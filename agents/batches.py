"""Owns what one transaction reads and writes: a batch of commands, and the record batches that come of it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder as RecordBatch

from schemas.topics import CHANGELOG, DEAD_LETTERS, RESULTS, STOCK_CHANGES

_NO_HEADERS: list[tuple[str, bytes]] = []
# What a record costs beside its key and value; and for a result, the rows of the ledger that go with it: their numbers
# are those of the result, so they are smaller than it, but have keys of their own.
_RECORD_BYTES = 20
_ROWS_BYTES = 300
_HEADERS_BYTES = 120


class CommandBatch(NamedTuple):
    """Records of one commands partition, as one fetch gave them.

    `read_from` and `read_to` are the reader's positions before and after: nothing that the log holds between them is
    missing in `records` (offset, timestamp in ms, key and value are what is used of each).
    """

    partition: int
    records: list[Any]
    read_from: int
    read_to: int


class TransactionOutput:
    """The record batches of one transaction, one per topic, while they are being filled.

    `bytes` is how large the largest of them will be, estimated from above.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._results, self._stock_changes, self._dead_letters = _builder(), _builder(), _builder()
        self._counts = [0, 0, 0]
        self._sizes = [0, 0, 0]

    def add_result(self, key: bytes, value: bytes, timestamp: int) -> None:
        """Append a result."""
        self._results.append(self._next(0, len(value) + _ROWS_BYTES), timestamp, key, value, _NO_HEADERS)

    def add_stock_change(self, key: bytes, value: bytes, timestamp: int) -> None:
        """Append a stock change."""
        offset = self._next(1, len(key) + len(value) + _RECORD_BYTES)
        self._stock_changes.append(offset, timestamp, key, value, _NO_HEADERS)

    def add_dead_letter(
        self, key: bytes | None, value: bytes | None, timestamp: int, headers: list[tuple[str, bytes]]
    ) -> None:
        """Append a dead letter."""
        offset = self._next(2, len(key or b"") + len(value or b"") + _HEADERS_BYTES)
        self._dead_letters.append(offset, timestamp, key, value, headers)

    def _next(self, topic: int, size: int) -> int:
        """Count a record and its size; give its place in the batch."""
        size = self._sizes[topic] = self._sizes[topic] + size
        self.bytes = max(self.bytes, size)
        offset = self._counts[topic]
        self._counts[topic] = offset + 1
        return offset

    def batches(self, rows: Iterable[tuple[bytes, bytes | None]], timestamp: int) -> dict[str, RecordBatch]:
        """Give the record batch of each topic that has something to write.

        Args:
            rows: the ledger's rows, in order.
            timestamp: theirs, ms.
        """
        changelog = _builder()
        append = changelog.append
        for offset, (key, value) in enumerate(rows):
            append(offset, timestamp, key, value, _NO_HEADERS)
        outputs = ((RESULTS, self._results), (STOCK_CHANGES, self._stock_changes), (DEAD_LETTERS, self._dead_letters))
        written = {topic: batch for (topic, batch), count in zip(outputs, self._counts, strict=True) if count}
        return {CHANGELOG: changelog} | written


def _builder() -> RecordBatch:
    """Make aiokafka's own builder (magic 2, uncompressed): 0.4 us a record, where `producer.send` takes 14."""
    return RecordBatch(2, 0, is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30)
