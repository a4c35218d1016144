"""Owns what a transaction reads and writes: a batch of commands, and the record batches of its outputs."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder as RecordBatch

from schemas.dead_letters import DeadLetter
from schemas.topics import BATCH_BYTES, CHANGELOG, DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES

_NO_HEADERS: list[tuple[str, bytes]] = []
_RECORD_BYTES = 150  # the key, and a record's own lengths
_ROWS_BYTES = 300
_REFERENCE_BYTES = 400  # the key holds a SKU and a channel: 7 + 32 + 1 + 4 * 64 bytes
# A dead letter's: 32 for lengths and times, 37 for the names of five headers, 15 for their lengths, 49 for numbers.
_HEADERS_BYTES = 140


class UnreadBatch(NamedTuple):
    """Stands for a record batch of which no record is read, among the records of a commands partition.

    Args:
        reason: the reason of its dead letter.
        offset: its first offset that was asked for; the batch may begin before that.
        timestamp: the largest timestamp of its records, ms.
        timestamp_type: as in its header.
        first_offset: of the batch.
        last_offset: of the batch.
        key: none.
        value: none, so that it cannot be read as a command.
    """

    reason: str
    offset: int
    timestamp: int
    timestamp_type: int
    first_offset: int
    last_offset: int
    key: None = None
    value: None = None


class CommandBatch(NamedTuple):
    """Records of one commands partition, from one or several fetches.

    `read_from` and `read_to` are the reader's positions before and after; `records` has every committed record between
    them. Used of each are `offset`, `timestamp` (ms), `key` and `value`. An `UnreadBatch` may be among them.
    """

    partition: int
    records: list[Any]
    read_from: int
    read_to: int


class TopicOutput:
    """The record batch of one topic while it is filled; `size` is an upper bound of its bytes.

    Args:
        overhead: bytes that each record has beside its value, at most.

    Attributes:
        buffer: for the value of the next record; `add` copies it.
    """

    __slots__ = ("_append", "_overhead", "buffer", "builder", "count", "size")

    def __init__(self, overhead: int) -> None:
        self.builder = _builder()
        self._append = self.builder.append
        self._overhead = overhead
        self.buffer = bytearray()
        self.count = 0
        self.size = 0

    def add(self, key: bytes, value: bytes | bytearray | None, timestamp: int) -> None:
        """Append a record."""
        self._append(self.count, timestamp, key, value, _NO_HEADERS)
        self.count += 1
        self.size += (0 if value is None else len(value)) + self._overhead

    def add_dead_letter(self, letter: DeadLetter, timestamp: int) -> None:
        """Append a dead letter, with any key and value or none."""
        self._append(self.count, timestamp, letter.key, letter.value, letter.headers())
        self.count += 1
        self.size += len(letter.key or b"") + len(letter.value or b"") + 4 * len(letter.reason) + self._overhead


class TransactionOutput:
    """What one transaction publishes, beside the ledger's rows."""

    def __init__(self) -> None:
        # The ledger's rows are smaller than the results, but each has its own key.
        self.results = TopicOutput(_ROWS_BYTES)
        self.stock_changes = TopicOutput(_RECORD_BYTES)
        self.dead_letters = TopicOutput(_HEADERS_BYTES)
        self.reference = TopicOutput(_REFERENCE_BYTES)

    def add_reference(self, key: bytes, value: bytes | None, timestamp: int) -> None:
        """Append a record of reference data; one without a value removes its key."""
        # Few commands write any, so their bytes count with the results', and `is_full` has one size less to look at.
        before = self.reference.size
        self.reference.add(key, value, timestamp)
        self.results.size += self.reference.size - before

    def is_full(self) -> bool:
        """Whether the transaction should end with the commands it has."""
        return (
            self.results.size >= 2 * BATCH_BYTES
            or self.stock_changes.size >= BATCH_BYTES
            or self.dead_letters.size >= BATCH_BYTES
        )

    def batches(self, rows: Iterable[tuple[bytes, bytes | None]], timestamp: int) -> dict[str, RecordBatch]:
        """Return the record batch of each topic that has something to write.

        Args:
            rows: the ledger's rows, in order.
            timestamp: theirs, ms.
        """
        changelog = _builder()
        append = changelog.append
        for offset, (key, value) in enumerate(rows):
            append(offset, timestamp, key, value, _NO_HEADERS)
        outputs = (
            (RESULTS, self.results),
            (STOCK_CHANGES, self.stock_changes),
            (DEAD_LETTERS, self.dead_letters),
            (REFERENCE, self.reference),
        )
        return {CHANGELOG: changelog} | {topic: output.builder for topic, output in outputs if output.count}


def _builder() -> RecordBatch:
    """Make aiokafka's own builder (magic 2, uncompressed): 0.4 us a record, where `producer.send` takes 14."""
    return RecordBatch(2, 0, is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30)
