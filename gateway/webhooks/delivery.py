"""Owns one endpoint in one process: its share of the partitions, and what the endpoint wants of them.

The position is that of the consumer group `holdfast-webhooks-ID`; any number of processes share its partitions. A
position is stored after the receiver took all before it. So after a crash the last request may come again, and nothing
is missing. An endpoint that stopped stays so, in every process that runs now; one that starts later tries again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata

from gateway.reader import close_reader
from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.letters import RefusedLetters
from gateway.webhooks.line import DeliveryLine
from gateway.webhooks.marks import LineMark, group_of, metadata_of, read_mark
from gateway.webhooks.requests import TIMEOUT_S, TYPE_OF, Sender
from gateway.webhooks.stored import stored_positions
from schemas.kafka_connection import kafka_options

# Returns whether an endpoint wants a record.
Wants = Callable[[Endpoint, ConsumerRecord], bool]

# Longer than the last request of a partition that is given up takes.
_SESSION_MS = 12_000
_END_WITHIN_S = TIMEOUT_S + 2.0
_POLL_MS = 200
_STORE_IDLE_S = 5.0
_RETRY_S = 1.0
_log = structlog.get_logger("holdfast.webhooks")


class Delivery(ConsumerRebalanceListener):
    """The delivery to one endpoint.

    Args:
        endpoint: the endpoint.
        bootstrap: the address of Kafka.
        sender: sends requests.
        letters: takes what the endpoint refuses.
        wants: the filter.
    """

    def __init__(
        self, endpoint: Endpoint, bootstrap: str, sender: Sender, letters: RefusedLetters, wants: Wants
    ) -> None:
        self._endpoint = endpoint
        self._bootstrap = bootstrap
        self._sender = sender
        self._letters = letters
        self._wants = wants
        self._began_ms = time.time_ns() // 1_000_000
        self._consumer: AIOKafkaConsumer | None = None
        self._lines: dict[TopicPartition, tuple[DeliveryLine, asyncio.Task[None]]] = {}
        self._stored_idle_at = 0.0
        self._failed: Exception | None = None
        self.stopped: str | None = None  # why the endpoint gets nothing any more

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until the process should end; Kafka's absence only delays."""
        logged = None
        while not stopping.is_set():
            try:
                await self._deliver(stopping)
            except (KafkaError, OSError) as error:
                if repr(error) != logged:
                    logged = repr(error)
                    _log.warning("an endpoint waits for Kafka", endpoint=self._endpoint.id, error=logged)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _RETRY_S)

    async def _deliver(self, stopping: asyncio.Event) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            client_id="holdfast-webhooks",
            group_id=group_of(self._endpoint.id),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=_SESSION_MS,
            **kafka_options(),
        )
        self._consumer = consumer
        self._failed = None
        consumer.subscribe([topic for topic, type_ in TYPE_OF.items() if type_ in self._endpoint.types], listener=self)
        try:
            await consumer.start()
            while not stopping.is_set():
                await self._step(consumer)
        finally:
            # In this order: what is on its way is stored while the group still knows this process.
            await self.on_partitions_revoked(tuple(self._lines))
            await close_reader(consumer)

    def _feed_on(self, consumer: AIOKafkaConsumer) -> None:
        """Go on reading where a line has room again.

        Raises:
            KafkaError: a line broke, or could not begin.
        """
        if self._failed is not None:
            raise KafkaError(f"no positions: {self._failed!r}")
        for partition, (line, task) in self._lines.items():
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise KafkaError(f"{partition.topic} {partition.partition}: {task.exception()!r}")
            if partition in consumer.paused() and line.is_hungry and self.stopped is None:
                consumer.resume(partition)

    async def _step(self, consumer: AIOKafkaConsumer) -> None:
        self._feed_on(consumer)
        try:
            records = await consumer.getmany(timeout_ms=_POLL_MS)
        except OffsetOutOfRangeError as error:
            for partition, offset in error.args[0].items():
                await self._close_gap(consumer, partition, offset)
            return
        except NoOffsetForPartitionError:
            return  # its position is being set
        for partition, batch in records.items():
            if partition in self._lines:
                line = self._lines[partition][0]
                line.put([record for record in batch if self._wants(self._endpoint, record)], batch[-1].offset + 1)
                if not line.is_hungry:
                    consumer.pause(partition)
        if asyncio.get_running_loop().time() > self._stored_idle_at + _STORE_IDLE_S:
            self._stored_idle_at = asyncio.get_running_loop().time()
            for line, _ in tuple(self._lines.values()):
                await line.store_idle()

    async def _close_gap(self, consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
        first = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        nearest = min(max(offset, first), end)
        _log.warning(
            "the log does not hold an endpoint's position: going on at the nearest",
            endpoint=self._endpoint.id, partition=partition.partition, topic=partition.topic, position=offset,
            nearest=nearest,
        )  # fmt: skip
        consumer.seek(partition, nearest)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let the requests that are on their way come to an end, so that no other process sends beside them."""
        ending = [self._lines.pop(partition) for partition in revoked if partition in self._lines]
        for line, _ in ending:
            line.end()
        if ending:
            await asyncio.wait([task for _, task in ending], timeout=_END_WITHIN_S)
        for line, task in ending:
            task.cancel()
            with contextlib.suppress(KafkaError, IllegalStateError):
                await line.store_idle()
        await asyncio.gather(*(task for _, task in ending), return_exceptions=True)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin where each partition's position is; that of a new endpoint is the end of the log."""
        try:
            await self._begin(assigned)
        except (KafkaError, OSError) as error:
            self._failed = error  # aiokafka would only log it, and the partitions would stand still

    async def _begin(self, assigned: Iterable[TopicPartition]) -> None:
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 - it calls this
        partitions = list(assigned)
        stored = await stored_positions(self._endpoint.id, self._bootstrap)
        ends = await consumer.end_offsets(partitions) if partitions else {}
        for partition in partitions:
            if partition not in stored:
                await self._store(partition, ends[partition], None)
        # No await from here on: once a partition has a position it is read, and what is read needs its line.
        for partition in partitions:
            known = stored.get(partition)
            consumer.seek(partition, ends[partition] if known is None else known.offset)
            mark = None if known is None else read_mark(known.metadata)
            if mark is not None and mark.since < self._began_ms:
                mark = None  # of before this process: it tries again
            line = DeliveryLine(
                self._endpoint, partition, self._sender, self._letters, store=self._store, on_stop=self._stop
            )
            if mark is not None and mark.state == "failing":
                line.failing_since = mark.since / 1000
            elif mark is not None:
                self._stop(mark.reason)
            self._lines[partition] = line, asyncio.ensure_future(self._run(line))
        if self.stopped is not None:
            self._stop(self.stopped)

    async def _run(self, line: DeliveryLine) -> None:
        # A partition that is another process's by now is delivered there.
        with contextlib.suppress(CommitFailedError, IllegalStateError):
            await line.run()

    async def _store(self, partition: TopicPartition, position: int, mark: LineMark | None) -> None:
        assert self._consumer is not None  # noqa: S101 - lines exist while it does
        await self._consumer.commit({partition: OffsetAndMetadata(position, metadata_of(mark))})

    def _stop(self, reason: str) -> None:
        if self.stopped is None:
            self.stopped = reason
            _log.error(
                "an endpoint stopped: it gets nothing until it is started again",
                endpoint=self._endpoint.id,
                reason=reason,
            )
        consumer = self._consumer
        for partition, (line, _) in self._lines.items():
            line.end()
            if consumer is not None and partition in consumer.assignment():
                consumer.pause(partition)
