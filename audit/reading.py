"""Owns reading from Kafka: where logs begin and end for a committed reader, and their records."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, TopicPartition

from audit.compare import OUTPUTS
from audit.rows import POSITION, Ledger
from audit.streams import Record
from schemas.topics import CHANGELOG, COMMANDS

CLIENT_ID = "holdfast-audit"
# Large fetches: 8 MiB are some 20,000 commands, one round trip to the broker. They are handed out in pieces so small
# that what is made of one is compared while the processor's cache still has it: a fifth quicker than 20,000 at once.
FETCH_BYTES = 8 * 1024 * 1024
CHUNK_RECORDS = 1000
POLL_MS = 50
RETRY_MS = 10  # a consumer learns of a new topic by failing once
# A transaction that its worker left open is aborted by the broker after its time-out, 60 s; then readers go on.
SETTLE_S = 90.0
STALLED_S = 120.0


class CannotAudit(Exception):
    """The audit could not be done: Kafka or a topic is missing, or what was read cannot be understood."""


class Log:
    """Reads one partition of one topic from `begin` up to `end`, committed records only; a `Source`."""

    def __init__(self, bootstrap: str, topic: str, partition: int, begin: int, end: int) -> None:
        self.done = begin >= end
        self._end = end
        self._begin = begin
        self._place = TopicPartition(topic, partition)
        self._bootstrap = bootstrap
        self._consumer: Any = None

    async def read(self) -> Sequence[Record]:
        """Give the next records, at least one unless that was the end.

        Raises:
            CannotAudit: nothing came for two minutes although the log goes on.
            KafkaError: the broker refused, or its log lost what was to be read.
        """
        if self.done:
            return ()
        if self._consumer is None:
            self._consumer = await _consumer(self._bootstrap)
            self._consumer.assign([self._place])
            self._consumer.seek(self._place, self._begin)
        give_up_at = time.monotonic() + STALLED_S
        while True:
            got = await self._consumer.getmany(self._place, timeout_ms=POLL_MS, max_records=CHUNK_RECORDS)
            records: list[Any] = got.get(self._place, [])
            # Markers and compaction make offsets skip: the position tells the end, not the last record.
            if await self._consumer.position(self._place) >= self._end:
                await self.close()
                while records and records[-1].offset >= self._end:
                    records.pop()
                return records
            if records:
                return records
            if time.monotonic() > give_up_at:
                raise CannotAudit(f"{self._place.topic}/{self._place.partition} gives nothing more before {self._end}")

    async def close(self) -> None:
        """Read no more."""
        self.done = True
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()


class Kafka:
    """The logs of one cluster; use as an async context manager.

    Args:
        bootstrap: `host:port`, several by commas.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._stack = AsyncExitStack()
        self._committed: Any = None
        self._uncommitted: Any = None

    async def __aenter__(self) -> Self:
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
        """Count the partitions, which all topics have in common.

        Raises:
            CannotAudit: a topic is missing, or they differ.
        """
        cluster = await _cluster(self._bootstrap)
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in (COMMANDS, *OUTPUTS, CHANGELOG)}
        if missing := [topic for topic, count in counts.items() if count == 0]:
            raise CannotAudit(f"no topic {', '.join(missing)} at {self._bootstrap}: create them with `holdfast topics`")
        if len(set(counts.values())) > 1:
            raise CannotAudit(f"the topics must have the same number of partitions: {counts}")
        return counts[COMMANDS]

    async def begin(self, topic: str, partition: int) -> int:
        """Give the offset at which the log begins."""
        return await _only(self._committed.beginning_offsets, topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        """Give the offset at which the log ends for a committed reader."""
        return await _only(self._committed.end_offsets, topic, partition)

    async def settled_end(self, topic: str, partition: int) -> tuple[int, bool]:
        """Give the log's end, once the transactions that are in it now are decided; false if they stay open.

        The markers of one transaction reach its partitions one after the other: what a reader of the changelog saw
        committed may stay hidden in another topic for a moment.
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
        log = Log(self._bootstrap, topic, partition, begin, end)
        self._stack.push_async_callback(log.close)
        return log

    async def count(self, topic: str, partition: int, begin: int, end: int) -> int:
        """Count the records between two offsets; there may be fewer than the offsets say."""
        log, count = self.log(topic, partition, begin, end), 0
        while not log.done:
            count += len(await log.read())
        return count

    async def is_empty(self, topic: str, partition: int, begin: int, end: int) -> bool:
        """Whether there is no record between two offsets."""
        log = self.log(topic, partition, begin, end)
        records = await log.read()
        await log.close()
        return not records

    async def ledger(self, partition: int) -> Ledger:
        """Read the ledger as its changelog has it now.

        Raises:
            CannotAudit: its position cannot be understood.
        """
        end = await self.end(CHANGELOG, partition)
        log = self.log(CHANGELOG, partition, await self.begin(CHANGELOG, partition), end)
        values: dict[bytes, bytes] = {}
        while not log.done:
            for record in await log.read():
                if record.value is None:
                    values.pop(record.key or b"", None)
                else:
                    values[record.key or b""] = record.value
        return _ledger_of(values)

    async def position(self, partition: int) -> int | None:
        """Read the ledger's position alone, from the changelog's tail; None before its first transaction."""
        begin, end = await self.begin(CHANGELOG, partition), await self.end(CHANGELOG, partition)
        tail = 1000
        while True:
            start = max(begin, end - tail)
            log, value = self.log(CHANGELOG, partition, start, end), None
            while not log.done:
                for record in await log.read():
                    value = record.value if record.key == POSITION else value
            if value is not None or start == begin:
                return _ledger_of({} if value is None else {POSITION: value}).next_offset
            tail *= 100


async def _cluster(bootstrap: str) -> Any:
    """Ask for all topics there are: asking for one by name might create it."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap, client_id=CLIENT_ID)
    try:
        await client.bootstrap()
        return await client.fetch_all_metadata()
    finally:
        await client.close()


async def _consumer(bootstrap: str, isolation_level: str = "read_committed") -> Any:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=CLIENT_ID,
        isolation_level=isolation_level,
        auto_offset_reset="none",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
        fetch_max_wait_ms=POLL_MS,
        retry_backoff_ms=RETRY_MS,
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


def _ledger_of(values: dict[bytes, bytes]) -> Ledger:
    try:
        return Ledger.of(values)
    except ValueError as error:
        raise CannotAudit(str(error)) from error
