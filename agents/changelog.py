"""Owns the reading of a changelog partition, from an offset up to an end that was asked for beforehand."""

import asyncio
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.topics import CHANGELOG

_FETCH_BYTES = 4 << 20

ChangelogRecord = tuple[int, bytes, bytes | None]


async def read_changelog(bootstrap: str, partition: int, start: int, end: int) -> AsyncIterator[list[ChangelogRecord]]:
    """Read committed records with `start <= offset < end`, chunk by chunk, as (offset, key, value).

    The reading is over when the consumer's position has reached the end: markers and compaction leave holes, so the
    record right before the end may not exist.

    Args:
        bootstrap: the brokers.
        partition: the partition of `holdfast-ledger-changelog`.
        start: the first offset to read.
        end: the end of the log, from ListOffsets with read_uncommitted.

    Raises:
        aiokafka.errors.OffsetOutOfRangeError: `start` is not in the log (any more).
        aiokafka.errors.KafkaError: the broker cannot be reached.
    """
    topic_partition = TopicPartition(CHANGELOG, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=f"holdfast-recovery-{partition}",
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=50,
        check_crcs=True,
    )
    await consumer.start()
    try:
        consumer.assign([topic_partition])
        consumer.seek(topic_partition, start)
        while await consumer.position(topic_partition) < end:
            fetched = await consumer.getmany(topic_partition, timeout_ms=1_000)
            for records in fetched.values():
                yield [(record.offset, record.key, record.value) for record in records]
    finally:
        await _stop(consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer; while its brokers are away, aiokafka lets the cancellation of its own tasks escape."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
