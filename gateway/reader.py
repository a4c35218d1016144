"""Owns the reading of a whole topic by one process: all partitions, no group, committed records only."""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords

from gateway.config import GatewayConfig
from schemas.kafka_connection import kafka_options

# A long poll answers at once when a record comes; this only limits how old our knowledge of the log's end may be.
LONG_POLL_MS = 300

_STOP_TIMEOUT_S = 2.0

Positions = dict[TopicPartition, int]


# What the decoding of a record raises that no worker wrote.
FOREIGN = (msgspec.DecodeError, UnicodeDecodeError, struct.error)


class Record(Protocol):
    """What a reader may use of a record."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


async def open_reader(
    config: GatewayConfig,
    topic: str,
    start: Literal["beginning", "end"] | Positions,
    numbers: Iterable[int] | None = None,
) -> AIOKafkaConsumer:
    """Connect a consumer to the partitions of a topic.

    Each reader has its own client: on a shared connection the idle long poll of one would delay the others.

    Args:
        config: says where Kafka is, and how many partitions the topic has.
        topic: the topic.
        start: where to begin; partitions that are missing in positions begin at their end.
        numbers: the partitions; all when None.

    Returns:
        The consumer, started, assigned and with its positions set. Reading raises `OffsetOutOfRangeError` when the log
        does not hold a position any more.

    Raises:
        aiokafka.errors.KafkaError: Kafka cannot be reached, or the topic does not exist.
    """
    partitions = [TopicPartition(topic, partition) for partition in numbers or range(config.partitions)]
    consumer = await connect_reader(config, LONG_POLL_MS)
    try:
        if start == "beginning":
            positions = await consumer.beginning_offsets(partitions)
        else:
            positions = await consumer.end_offsets(partitions)
            if start != "end":
                positions |= start
    except BaseException:
        await close_reader(consumer)
        raise
    # No await between these: an assigned partition without a position is an error for the fetcher.
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, positions[partition])
    return consumer


async def connect_reader(config: GatewayConfig, long_poll_ms: int) -> AIOKafkaConsumer:
    """Connect a consumer without partitions.

    Args:
        config: says where Kafka is.
        long_poll_ms: how long the broker may wait for records before it answers that there are none.

    Raises:
        aiokafka.errors.KafkaError: Kafka cannot be reached.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap,
        client_id="holdfast-gateway",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=long_poll_ms,
        fetch_min_bytes=1,
        request_timeout_ms=int(config.request_timeout_s * 1000),
        **kafka_options(),
    )
    try:
        await consumer.start()
    except BaseException:
        await close_reader(consumer)
        raise
    return consumer


async def read_slice(consumer: AIOKafkaConsumer, timeout_ms: int, most: int) -> dict[TopicPartition, Sequence[Record]]:
    """Return the next records of any partitions, and wait for some if there are none.

    What was fetched already comes as `_AsDecoded`, what is waited for as aiokafka's own copies.

    Args:
        consumer: of `open_reader`.
        timeout_ms: how long to wait.
        most: how many records.
    """
    for fetched in consumer._fetcher._records.values():  # noqa: SLF001
        records = getattr(fetched, "_partition_records", None)
        if type(records) is PartitionRecords:  # it may also be an error
            records.__class__ = _AsDecoded
    found: dict[TopicPartition, Sequence[Record]] = await consumer.getmany(timeout_ms=timeout_ms, max_records=most)
    return found


class _AsDecoded(PartitionRecords):
    """aiokafka decodes a record in C and then copies it into a dataclass of eleven fields; that copy takes 2 us."""

    def __iter__(self) -> Any:
        """Return aiokafka's own generator, without a call of `__next__` for each record."""
        return self._records_iterator

    def _consumer_record(self, _tp: Any, record: Any) -> Any:
        return record


async def close_reader(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer and its connections, in any state."""
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait({stopping}, timeout=_STOP_TIMEOUT_S)
    # While brokers are away, aiokafka's cancellation of a waiting fetch leaves `stop()`. It is not a cancellation of
    # this task, and the client stays open.
    if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
        stopping.cancel()
        await consumer._client.close()  # noqa: SLF001 - there is no public way
