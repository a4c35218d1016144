"""Owns one partition's log as a broker keeps it: batches, markers, open transactions, the last stable offset."""

import struct
from collections.abc import Callable
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from agents.kafka.wire import DescribedProducer
from tests.simulation.errors import (
    INVALID_PRODUCER_EPOCH,
    MESSAGE_TOO_LARGE,
    NONE,
    OFFSET_OUT_OF_RANGE,
    OUT_OF_ORDER_SEQUENCE_NUMBER,
)

# Places in a record batch of magic 2: base offset, CRC, attributes, last offset delta, producer id, epoch, sequence.
_CRC_AT, _ATTRIBUTES_AT, _LAST_DELTA_AT, _PRODUCER_AT = 17, 21, 23, 43
_TRANSACTIONAL, _CONTROL = 0x10, 0x20
_MARKER_KEYS = {False: b"\x00\x00\x00\x00", True: b"\x00\x00\x00\x01"}  # version 0; abort or commit
_MARKER_VALUE = b"\x00\x00\x00\x00\x00\x00"  # version 0, coordinator epoch 0


class Batch(NamedTuple):
    """A record batch in the log."""

    base: int
    end: int
    data: bytes
    producer_id: int
    marker: bool | None  # of a control batch: whether it commits


class Fetched(NamedTuple):
    """What a fetch gives: an error code, the end, the last stable offset, aborted transactions, bytes."""

    code: int
    end: int
    stable: int
    aborted: list[tuple[int, int]]
    data: bytes


class Log:
    """A partition's log on its leader; it has no followers, so all that is written is below the high watermark."""

    def __init__(self, max_bytes: int = 1 << 30) -> None:
        self.batches: list[Batch] = []
        self.end = 0
        self._max_bytes = max_bytes
        self._open: dict[int, int] = {}  # producer id -> first offset of its open transaction
        self._aborted: list[tuple[int, int, int]] = []  # producer id, first offset, offset of the marker
        # producer id -> epoch, and of its only batch in it: last sequence and base offset
        self._producers: dict[int, tuple[int, int, int]] = {}
        self._waiting: list[Callable[[], None]] = []

    @property
    def stable(self) -> int:
        """The last stable offset: where the first open transaction begins."""
        return min(self._open.values(), default=self.end)

    def has_open(self, producer_id: int, epoch: int) -> bool:
        return producer_id in self._open and self._producers[producer_id][0] == epoch

    def epoch_of(self, producer_id: int) -> int:
        return self._producers.get(producer_id, (-1, -1, -1))[0]

    def producers(self) -> list[DescribedProducer]:
        """Return all producers as DescribeProducers does."""
        return [
            DescribedProducer(producer_id, epoch, sequence, -1, 0, self._open.get(producer_id, -1))
            for producer_id, (epoch, sequence, _) in self._producers.items()
        ]

    def outcome_of(self, offset: int) -> bool | None:
        """Say whether what stands at an offset is committed; None while its transaction is open."""
        index = next((index for index, batch in enumerate(self.batches) if batch.base <= offset < batch.end), None)
        if index is None:
            return False
        producer_id = self.batches[index].producer_id
        later = (b.marker for b in self.batches[index:] if b.producer_id == producer_id and b.marker is not None)
        return next(later, None)

    def last_committed(self) -> int:
        """Return the offset of the last record that a committed reader sees, -1 without any."""
        for batch in reversed(self.batches):
            if batch.marker is None and (batch.producer_id < 0 or self.outcome_of(batch.base)):
                return batch.end - 1
        return -1

    def append(self, data: bytes) -> tuple[int, int]:
        """Append a batch as it came from a producer.

        Returns:
            An error code, and the batch's base offset.
        """
        attributes, last_delta = struct.unpack_from(">hi", data, _ATTRIBUTES_AT)
        producer_id, epoch, sequence = struct.unpack_from(">qhi", data, _PRODUCER_AT)
        if len(data) > self._max_bytes:
            return MESSAGE_TOO_LARGE, -1
        if producer_id >= 0:
            last_epoch, last_sequence, base = self._producers.get(producer_id, (-1, -1, -1))
            if epoch < last_epoch:
                return INVALID_PRODUCER_EPOCH, -1
            if epoch == last_epoch and sequence == 0 and last_sequence == last_delta:
                return NONE, base  # the same batch again
            if sequence != (last_sequence + 1 if epoch == last_epoch else 0):
                return OUT_OF_ORDER_SEQUENCE_NUMBER, -1
            self._producers[producer_id] = (epoch, sequence + last_delta, self.end)
            if attributes & _TRANSACTIONAL:
                self._open.setdefault(producer_id, self.end)
        return NONE, self._put(data, last_delta + 1, producer_id, None)

    def mark(self, producer_id: int, epoch: int, *, commit: bool, timestamp: int) -> None:
        """Write the marker that decides a producer's transaction."""
        first = self._open.pop(producer_id, None)
        if first is not None and not commit:
            self._aborted.append((producer_id, first, self.end))
        self._producers[producer_id] = (epoch, -1, -1)
        builder = DefaultRecordBatchBuilder(2, 0, 1, producer_id, epoch, 0, 1 << 20)
        builder.append(0, timestamp, _MARKER_KEYS[commit], _MARKER_VALUE, [])
        data = bytearray(builder.build())
        (attributes,) = struct.unpack_from(">h", data, _ATTRIBUTES_AT)
        struct.pack_into(">h", data, _ATTRIBUTES_AT, attributes | _CONTROL)
        struct.pack_into(">I", data, _CRC_AT, calc_crc32c(memoryview(data)[_ATTRIBUTES_AT:]))
        self._put(bytes(data), 1, producer_id, commit)

    def _put(self, data: bytes, count: int, producer_id: int, marker: bool | None) -> int:
        base = self.end
        self.end += count
        self.batches.append(Batch(base, self.end, struct.pack(">q", base) + data[8:], producer_id, marker))
        self.tell()
        return base

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call once after something was appended, or its leader has changed."""
        self._waiting.append(tell)

    def tell(self) -> None:
        """Call all who wait for a change."""
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()

    def fetch(self, position: int, *, committed: bool, max_bytes: int) -> Fetched:
        """Return whole batches from the one that holds a position on, at least one if there is any."""
        stable = self.stable
        if not 0 <= position <= self.end:
            return Fetched(OFFSET_OUT_OF_RANGE, self.end, stable, [], b"")
        limit = stable if committed else self.end
        found: list[Batch] = []
        size = 0
        for batch in reversed(self.batches):
            if batch.end <= position:
                break
            if batch.base < limit:
                found.append(batch)
        chosen = []
        for batch in reversed(found):
            if chosen and size + len(batch.data) > max_bytes:
                break
            chosen.append(batch)
            size += len(batch.data)
        upper = chosen[-1].end if chosen else position
        aborted = [(pid, first) for pid, first, marker in self._aborted if marker >= position and first < upper]
        return Fetched(NONE, self.end, stable, aborted if committed else [], b"".join(b.data for b in chosen))
