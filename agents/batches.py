"""Owns what one transaction reads and writes: a batch of commands, and the record batches that come of it."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.topics import BATCH_BYTES, CHANGELOG, DEAD_LETTERS, RESULTS, STOCK_CHANGES

_NO_HEADERS: list[tuple[str, bytes]] = []
# Room for a changelog row's key and its numbers, beside what the result has too.
_ROW_BYTES = 300


class CommandBatch(NamedTuple):
    """Records of one commands partition, as one fetch gave them.

    `read_from` and `read_to` are the reader's positions before and after: nothing that the log holds between them is
    missing in `records` (offset, timestamp in ms, key and value are what is used of each).
    """

    partition: int
    records: list[Any]
    read_from: int
    read_to: int


def _builder() -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30
    )


@dataclass
class TransactionOutput:
    """The record batches of one transaction, one per topic, while they are being filled."""

    results: DefaultRecordBatchBuilder = field(default_factory=_builder)
    stock_changes: DefaultRecordBatchBuilder = field(default_factory=_builder)
    dead_letters: DefaultRecordBatchBuilder = field(default_factory=_builder)
    changelog: DefaultRecordBatchBuilder = field(default_factory=_builder)
    result_count: int = 0
    stock_change_count: int = 0
    dead_letter_count: int = 0
    changelog_count: int = 0
    changelog_bytes: int = 0
    """An estimate from above: the rows are encoded once, at the end."""

    def add_result(self, key: bytes, value: bytes, timestamp: int) -> None:
        """Append a result."""
        self.results.append(self.result_count, timestamp, key, value, _NO_HEADERS)
        self.result_count += 1
        self.changelog_bytes += len(value) + _ROW_BYTES

    def add_stock_change(self, key: bytes, value: bytes, timestamp: int) -> None:
        """Append a stock change."""
        self.stock_changes.append(self.stock_change_count, timestamp, key, value, _NO_HEADERS)
        self.stock_change_count += 1
        self.changelog_bytes += _ROW_BYTES

    def add_dead_letter(
        self, key: bytes | None, value: bytes | None, timestamp: int, headers: list[tuple[str, bytes]]
    ) -> None:
        """Append a dead letter."""
        self.dead_letters.append(self.dead_letter_count, timestamp, key, value, headers)
        self.dead_letter_count += 1

    def add_row(self, key: bytes, value: bytes | None, timestamp: int) -> None:
        """Append a row of the ledger."""
        self.changelog.append(self.changelog_count, timestamp, key, value, _NO_HEADERS)
        self.changelog_count += 1

    @property
    def full(self) -> bool:
        """Whether the transaction should close with what it has."""
        return (
            self.changelog_bytes >= BATCH_BYTES
            or self.results.size() >= BATCH_BYTES
            or self.stock_changes.size() >= BATCH_BYTES
            or self.dead_letters.size() >= BATCH_BYTES
        )

    def batches(self) -> dict[str, DefaultRecordBatchBuilder]:
        """Give the topics that have something to write."""
        filled = (
            (CHANGELOG, self.changelog, self.changelog_count),
            (RESULTS, self.results, self.result_count),
            (STOCK_CHANGES, self.stock_changes, self.stock_change_count),
            (DEAD_LETTERS, self.dead_letters, self.dead_letter_count),
        )
        return {topic: builder for topic, builder, count in filled if count}
