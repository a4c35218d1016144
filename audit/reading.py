"""Owns reading from Kafka: the begin, end and committed records of logs."""

import asyncio
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from operator import itemgetter
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import CorruptRecordException, KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from audit.comparison.compare import OUTPUTS
from audit.comparison.rows import POSITION, LedgerSnapshot
from audit.comparison.streams import Record
from audit.problems import CannotAudit
from audit.unpacking import UNREADABLE, UnreadBatch, in_order, is_too_large
from schemas.dead_letters import BATCH_TOO_LARGE, BATCH_UNREADABLE
from schemas.kafka_connection import kafka_options
from schemas.topics import CHANGELOG, COMMANDS

CLIENT_ID = "holdfast-audit"
# Two MiB are about 5,000 commands and one round trip to the broker; a log keeps two of them at most.
FETCH_BYTES = 2 * 1024 * 1024
# Of a record batch: the position of its length field (which counts the bytes behind it), and of its records.
LENGTH, LENGTH_AT, BATCH_HEADER_BYTES = struct.Struct(">i"), 8, 61
POLL_MS = 50
RETRY_S = 0.05
RETRY_MS = 10  # a consumer fails once before it knows a new topic
# A transaction that its worker left open is aborted by the broker after the worker's time-out, 10 s by default. Other
# producers may ask for up to the cluster's `transaction.max.timeout.ms`, 60 s with the embedded broker. The report
# notes a transaction that is open for longer than this, and records behind it are not compared.
SETTLE_S = 90.0
STALLED_S = 120.0


class Log:
    """Reads one partition of one topic from `begin` up to `end`, committed records only; a `Source`.

    aiokafka's consumer decodes a record in C and then copies it into a dataclass of eleven fields, which takes 3 us.
    Here the C records are used directly, batch by batch, and the next fetch runs while this one is processed.
    Connections, requests and the parsing of records are aiokafka's.

    Args:
        client: a connected client that knows the topic.
        topic: the topic.
        partition: its partition.
        begin: the first offset to read.
        end: the offset behind the last to read.
    """

    def __init__(self, client: Any, topic: str, partition: int, begin: int, end: int) -> None:
        self.done = begin >= end
        self._client = client
        self._place = TopicPartition(topic, partition)
        self._position = begin
        self._end = end
        self._batches: deque[tuple[Any, memoryview]] = deque()  # each with its bytes
        self._aborted: deque[tuple[int, int]] = deque()  # (producer id, first offset), by offset
        self._aborted_producers: set[int] = set()
        self._fetch: asyncio.Task[Any] | None = None

    async def read(self) -> Sequence[Record]:
        """Return the next records, at least one except at the end.

        Raises:
            CannotAudit: nothing came for two minutes although the log goes on.
            KafkaError: the broker refused, or the log lost the next records.
        """
        give_up_at = time.monotonic() + STALLED_S
        while not self.done:
            if not self._batches:
                await self._take_fetch()
                if not self._batches and time.monotonic() > give_up_at:
                    raise CannotAudit(
                        f"{self._place.topic}/{self._place.partition} gives nothing more before {self._end}"
                    )
                continue
            batch, data = self._batches.popleft()
            first, self._position = self._position, batch.next_offset
            records = self._committed(batch, data)
            # A fetch begins with a whole batch, even if the requested offset is inside it.
            if records and records[0].offset < first and not isinstance(records[0], UnreadBatch):
                records = [record for record in records if record.offset >= first]
            # Markers and compaction make offsets skip, so the position shows the end, not the last record.
            if self._position >= self._end:
                await self.close()
                while records and records[-1].offset >= self._end:
                    records.pop()
            if records:
                return records
        return ()

    async def close(self) -> None:
        """Stop reading."""
        self.done = True
        self._batches.clear()
        if self._fetch is not None:
            fetch, self._fetch = self._fetch, None
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)

    def _committed(self, batch: Any, data: memoryview) -> list[Any]:
        """Return the records of a batch; none for a marker or an aborted transaction (KIP-98).

        For a batch of commands that is too large or cannot be read, return one `UnreadBatch`.
        """
        if not batch.validate_crc():
            raise CorruptRecordException(f"{self._place.topic}/{self._place.partition} at {batch.base_offset}")
        producer = batch.producer_id
        while self._aborted and self._aborted[0][1] <= batch.base_offset:
            self._aborted_producers.add(self._aborted.popleft()[0])
        if batch.is_control_batch:
            if ControlRecord.parse(next(batch).key) == ABORT_MARKER:
                self._aborted_producers.discard(producer)
            return []
        if batch.is_transactional and producer in self._aborted_producers:
            return []
        codec = getattr(batch, "compression_type", None)  # formats before 2 have none
        if self._place.topic != COMMANDS or codec is None:
            return list(batch)
        try:
            if not (codec and is_too_large(codec, bytes(data[BATCH_HEADER_BYTES:]))):
                return in_order(list(batch), batch.base_offset, batch.next_offset)
            reason = BATCH_TOO_LARGE
        except UNREADABLE:
            reason = BATCH_UNREADABLE
        return [UnreadBatch(reason, batch.base_offset, batch.next_offset - 1, batch.max_timestamp)]

    async def _take_fetch(self) -> None:
        """Take the answer of the running fetch, and send the next one."""
        aborted, data = await (self._fetch or self._ask(self._position))
        self._fetch = None
        self._aborted = deque(sorted(aborted or (), key=itemgetter(1)))
        self._aborted_producers.clear()
        memory, rest = MemoryRecords(data), memoryview(data)
        while memory.has_next():
            end = LENGTH.unpack_from(rest, LENGTH_AT)[0] + LENGTH_AT + LENGTH.size
            self._batches.append((memory.next_batch(), rest[:end]))
            rest = rest[end:]
        if self._batches and (position := self._batches[-1][0].next_offset) < self._end:
            self._fetch = asyncio.create_task(self._ask(position))

    async def _ask(self, position: int) -> tuple[Any, bytes]:
        """Fetch; look for a leader that moved or is unknown until the log counts as stalled."""
        topic, number = self._place
        request = FetchRequest(POLL_MS, 1, FETCH_BYTES, READ_COMMITTED, [(topic, [(number, position, FETCH_BYTES)])])
        give_up_at = time.monotonic() + STALLED_S
        while True:
            try:
                leader = self._client.cluster.leader_for_partition(self._place)
                if leader is None or leader == -1:
                    raise LeaderNotAvailableError(f"{topic}-{number} has no leader at the moment")
                answer = await self._client.send(leader, request)
                (_, ((_, code, _, _, _, aborted, _, data),)) = answer.topics[0]
                if code:
                    raise for_code(code)(f"Fetch of {topic}-{number} at {position}")
            except KafkaError as error:
                if not error.retriable or time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(RETRY_S)
                await self._client.force_metadata_update()
            else:
                return aborted, data


class Kafka:
    """The logs of one cluster; use as an async context manager.

    Args:
        bootstrap: `host:port`, several with commas.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._stack = AsyncExitStack()
        self._committed: Any = None
        self._uncommitted: Any = None
        self._client: Any = None

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(_client(self._bootstrap))
        self._committed = await _consumer(self._bootstrap)
        self._stack.push_async_callback(self._committed.stop)
        self._uncommitted = await _consumer(self._bootstrap, isolation_level="read_uncommitted")
        self._stack.push_async_callback(self._uncommitted.stop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def partitions(self) -> int:
        """Return the number of partitions, which is the same for all topics.

        Raises:
            CannotAudit: a topic is missing, or the numbers differ.
        """
        # All existing topics: a request for one by name might create it.
        cluster = await self._client.fetch_all_metadata()
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in (COMMANDS, *OUTPUTS, CHANGELOG)}
        if missing := [topic for topic, count in counts.items() if count == 0]:
            raise CannotAudit(
                f"no topic {', '.join(missing)} at {self._bootstrap}: create them with `holdfast topics`, or give this "
                "user the right to read them (docs/how-to/secure-kafka.md)"
            )
        if len(set(counts.values())) > 1:
            raise CannotAudit(f"the topics must have the same number of partitions: {counts}")
        await self._client.set_topics(list(counts))
        return counts[COMMANDS]

    async def cluster_id(self) -> str | None:
        """Return the cluster's id."""
        answer = await self._client.send(self._client.get_random_node(), MetadataRequest([]))
        cluster_id: str | None = answer.cluster_id
        return cluster_id

    async def begin(self, topic: str, partition: int) -> int:
        """Return the offset at which the log begins."""
        return await _only(self._committed.beginning_offsets, topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        """Return the offset at which the log ends for a committed reader."""
        return await _only(self._committed.end_offsets, topic, partition)

    async def settled_end(self, topic: str, partition: int) -> tuple[int, bool]:
        """Return the log's end, and whether all transactions that were open in it have ended in time.

        The markers of a transaction reach its partitions one after the other: records that are committed in the
        changelog may be hidden in another topic for a moment.
        """
        written = await _only(self._uncommitted.end_offsets, topic, partition)
        give_up_at = time.monotonic() + SETTLE_S
        while (end := await self.end(topic, partition)) < written:
            if time.monotonic() > give_up_at:
                return end, False
            await asyncio.sleep(POLL_MS / 1000)
        return end, True

    def log(self, topic: str, partition: int, begin: int, end: int) -> Log:
        """Open a log for reading."""
        log = Log(self._client, topic, partition, begin, end)
        self._stack.push_async_callback(log.close)
        return log

    async def count(self, topic: str, partition: int, begin: int, end: int) -> int:
        """Return the number of records between two offsets; offsets may skip."""
        log, count = self.log(topic, partition, begin, end), 0
        while not log.done:
            count += len(await log.read())
        return count

    async def is_empty(self, topic: str, partition: int, begin: int, end: int) -> bool:
        """Return whether there is no record between two offsets."""
        log = self.log(topic, partition, begin, end)
        records = await log.read()
        await log.close()
        return not records

    async def ledger(self, partition: int, since: int | None = None) -> LedgerSnapshot:
        """Return the ledger's current rows from its changelog.

        Args:
            partition: its number.
            since: only rows written from this offset of the changelog on; removed rows are None.

        Raises:
            CannotAudit: its position is not laid out as documented.
        """
        end = await self.end(CHANGELOG, partition)
        log = self.log(CHANGELOG, partition, await self.begin(CHANGELOG, partition) if since is None else since, end)
        values: dict[bytes, bytes | None] = {}
        while not log.done:
            for record in await log.read():
                if record.value is None and since is None:
                    values.pop(record.key or b"", None)
                else:
                    values[record.key or b""] = record.value
        return _ledger_of(values, end)

    async def position(self, partition: int) -> int | None:
        """Return the ledger's position from the changelog's end; None before its first transaction."""
        begin, end = await self.begin(CHANGELOG, partition), await self.end(CHANGELOG, partition)
        tail = 1000
        while True:
            start = max(begin, end - tail)
            log, value = self.log(CHANGELOG, partition, start, end), None
            while not log.done:
                for record in await log.read():
                    value = record.value if record.key == POSITION else value
            if value is not None or start == begin:
                return _ledger_of({} if value is None else {POSITION: value}, end).next_offset
            tail *= 100


@asynccontextmanager
async def _client(bootstrap: str) -> AsyncIterator[Any]:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, client_id=CLIENT_ID, **kafka_options())
    try:
        await client.bootstrap()
        yield client
    finally:
        await client.close()


async def _consumer(bootstrap: str, isolation_level: str = "read_committed") -> Any:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=CLIENT_ID,
        isolation_level=isolation_level,
        auto_offset_reset="none",
        enable_auto_commit=False,
        retry_backoff_ms=RETRY_MS,
        **kafka_options(),
    )
    try:
        await consumer.start()
    except BaseException:
        await consumer.stop()
        raise
    return consumer


async def _only(ask: Any, topic: str, partition: int) -> int:
    place = TopicPartition(topic, partition)
    offsets: dict[TopicPartition, int] = await ask([place])
    return offsets[place]


def _ledger_of(values: dict[bytes, bytes | None], end: int) -> LedgerSnapshot:
    try:
        return LedgerSnapshot.of(values, end)
    except ValueError as error:
        raise CannotAudit(str(error)) from error
