"""Owns the reading of dead letters from the end of their topic backwards, a page at a time.

Letters are large (up to 1.15 MB) and may be very many, so a page reads a little of each partition before its place. In
a partition a later letter never has a smaller time, so partitions are merged by time.
"""

from collections import deque
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from gateway.config import GatewayConfig
from gateway.problems import GatewayCode, RequestRefused
from gateway.reader import close_reader, connect_reader
from schemas.topics import DEAD_LETTERS

# A page ends with the letter with which it has this many bytes.
MOST_BYTES = 4 * 1024 * 1024
# Offsets that are read of a partition at once; twice as many when no letter was among them. Each transaction that wrote
# letters ends with a marker, which has an offset too.
_FIRST_WINDOW, _MOST_WINDOW = 16, 4_096
# Of the letters that were read at once the newest are kept, up to so many bytes and at least one.
_KEPT_BYTES = 1_000_000
# After so many rounds of reading a page ends with what it has.
_MOST_ROUNDS = 100
_LONG_POLL_MS = 50
_IDLE_MS = 1_000

Place = dict[int, int]
"""The offset before which the list goes on, by partition. One that is not there was listed to its beginning."""


async def read_page(config: GatewayConfig, place: Place | None, limit: int) -> tuple[list[ConsumerRecord], Place]:
    """Read dead letters with a consumer of its own.

    Args:
        config: says where Kafka is.
        place: where to begin; None: with the newest.
        limit: how many letters at most.

    Returns:
        The letters, newest first, and where the list goes on; empty at its end.

    Raises:
        RequestRefused: the topic does not hold the place any more.
        KafkaError, OSError: Kafka cannot be reached.
    """
    consumer = await connect_reader(config, _LONG_POLL_MS)
    try:
        tails = await _tails(consumer, config.partitions, place)
        page: list[ConsumerRecord] = []
        for _ in range(_MOST_ROUNDS):
            if not (unread := _take(page, tails, limit)):
                break
            await _read_on(consumer, unread)
        return page, {tail.partition.partition: tail.place for tail in tails if not tail.is_at_its_beginning}
    finally:
        await close_reader(consumer)


class _Tail:
    """The letters of one partition before some offset: `read` has those that were read and are not in the page yet."""

    def __init__(self, partition: TopicPartition, begin: int, end: int) -> None:
        self.partition = partition
        self.begin = begin
        self.low = end  # all from here on was read
        self.window = _FIRST_WINDOW
        self.read: deque[ConsumerRecord] = deque()

    @property
    def is_unread(self) -> bool:
        """Return whether the newest letter that is left has to be read first."""
        return not self.read and self.low > self.begin

    @property
    def is_at_its_beginning(self) -> bool:
        """Return whether no letter is left."""
        return not self.read and self.low <= self.begin

    @property
    def place(self) -> int:
        """Return the offset before which the list goes on."""
        return self.read[-1].offset + 1 if self.read else self.low

    @property
    def start(self) -> int:
        """Return the offset from which on to read."""
        return max(self.begin, self.low - self.window)

    def put(self, records: list[ConsumerRecord]) -> None:
        """Take what was read from `start` to `low`."""
        low, size = self.start, 0
        for record in reversed(records):
            size += len(record.key or b"") + len(record.value or b"")
            if self.read and size > _KEPT_BYTES:
                low = self.read[0].offset
                break
            self.read.appendleft(record)
        self.window = _FIRST_WINDOW if records else min(2 * self.window, _MOST_WINDOW)
        self.low = low


async def _tails(consumer: AIOKafkaConsumer, partitions: int, place: Place | None) -> list[_Tail]:
    all_ = [TopicPartition(DEAD_LETTERS, partition) for partition in range(partitions)]
    begins, ends = await consumer.beginning_offsets(all_), await consumer.end_offsets(all_)
    if place is None:
        return [_Tail(partition, begins[partition], ends[partition]) for partition in all_]
    wanted = {TopicPartition(DEAD_LETTERS, partition): offset for partition, offset in place.items()}
    if any(not begins[partition] <= offset <= ends[partition] for partition, offset in wanted.items()):
        raise RequestRefused(GatewayCode.POSITION_GONE)
    return [_Tail(partition, begins[partition], offset) for partition, offset in wanted.items()]


def _take(page: list[ConsumerRecord], tails: Iterable[_Tail], limit: int) -> list[_Tail]:
    """Move the newest letters into a page; return the partitions that have to be read before the next one is known."""
    size = 0
    while len(page) < limit and size < MOST_BYTES:
        if unread := [tail for tail in tails if tail.is_unread]:
            return unread
        newest = max((tail for tail in tails if tail.read), key=_time_of, default=None)
        if newest is None:
            break
        page.append(newest.read.pop())
        size = sum(len(record.key or b"") + len(record.value or b"") for record in page)
    return []


def _time_of(tail: _Tail) -> tuple[int, int, int]:
    record = tail.read[-1]
    return record.timestamp, record.partition, record.offset


async def _read_on(consumer: AIOKafkaConsumer, tails: list[_Tail]) -> None:
    """Read the windows before what was read of some partitions."""
    found: dict[TopicPartition, list[ConsumerRecord]] = {tail.partition: [] for tail in tails}
    # No await between these: an assigned partition without a position is an error for the fetcher.
    consumer.assign([*found])
    for tail in tails:
        consumer.seek(tail.partition, tail.start)
    while any([await consumer.position(tail.partition) < tail.low for tail in tails]):
        for partition, records in (await consumer.getmany(timeout_ms=_IDLE_MS)).items():
            found[partition] += records
    for tail in tails:
        tail.put([record for record in found[tail.partition] if record.offset < tail.low])
