"""Owns all reads of aiokafka's private state by workers.

aiokafka is pinned; check this file before an upgrade (ADR 0003).
"""

import asyncio
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.memory_records import MemoryRecords

from agents.batches import UnreadBatch
from agents.kafka.fetching import FetchedPartition
from agents.kafka.unpacking import MOST_BEFORE_CHECK, MOST_RECORDS, UNREADABLE, CallersBatches
from agents.kafka.wire import LeaveGroup, LeavingMember
from schemas.dead_letters import BATCH_UNREADABLE


def connection_to(client: AIOKafkaClient, node: int) -> AIOKafkaConnection | None:
    """Return a client's connection to a broker; None when there is none.

    The client silently replaces a connection that has ended, so compare it before and after.
    """
    found: AIOKafkaConnection | None = client._conns.get((node, ConnectionGroup.DEFAULT))  # noqa: SLF001
    return found


def generation_of(consumer: AIOKafkaConsumer) -> int:
    """Return the generation of the group that a consumer is a member of."""
    generation: int = consumer._coordinator.generation  # noqa: SLF001
    return generation


def check_membership(consumer: AIOKafkaConsumer) -> None:
    """Raise the error that ended the membership in the group. aiokafka checks this in `getmany`, which we do not call.

    Raises:
        Exception: the member neither heartbeats nor joins again.
    """
    consumer._coordinator.check_errors()  # noqa: SLF001


async def leave_group(consumer: AIOKafkaConsumer, group: str, instance: str, *, within_s: float) -> None:
    """Remove a static member from its group at once; aiokafka waits until the session ends.

    Args:
        consumer: the member; nothing is done when it has no coordinator.
        group: the group's name.
        instance: the member's `group.instance.id`.
        within_s: how long to wait for the answer.

    Raises:
        KafkaError, OSError: the coordinator cannot be reached.
        TimeoutError: no answer.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    if coordinator.coordinator_id is None:
        return
    request = LeaveGroup(group, [LeavingMember(coordinator.member_id, instance)])
    sending = consumer._client.send(coordinator.coordinator_id, request, group=ConnectionGroup.COORDINATION)  # noqa: SLF001
    await asyncio.wait_for(sending, within_s)


class _RawRecords(PartitionRecords):
    """aiokafka decodes a record in C and then copies it into a dataclass of eleven fields; that copy takes 2 us."""

    def __iter__(self) -> Any:
        """Return aiokafka's own generator, without a call of `__next__` for each record."""
        return self._records_iterator

    def _consumer_record(self, _tp: Any, record: Any) -> Any:
        return record


def read_records(
    place: TopicPartition, fetched: FetchedPartition, position: int, isolation: int, *, callers: bool = False
) -> tuple[list[Any], int]:
    """Return the records of a Fetch's answer that a reader should get, and the next position.

    Args:
        place: the partition.
        fetched: the answer, without an error.
        position: the offset that was asked for; a batch may begin before it.
        isolation: with `READ_COMMITTED`, records of aborted transactions are left out.
        callers: whether others than Holdfast write to the topic. Then an `UnreadBatch` stands for each batch that would
            unpack to more than `MAX_UNPACKED_BYTES` or cannot be read, and the records may end before the answer does.

    Raises:
        KafkaError: corrupt records.
    """
    if callers:
        return _read_callers_records(place, fetched, position, isolation)
    batches = MemoryRecords(fetched.records)
    records = _RawRecords(place, batches, fetched.aborted, position, None, None, True, isolation)
    return list(records), records.next_fetch_offset


def _read_callers_records(
    place: TopicPartition, fetched: FetchedPartition, position: int, isolation: int
) -> tuple[list[Any], int]:
    found, read_to = _read_once(place, fetched, position, isolation, check_offsets=False)
    # An unread batch is always the last.
    records, end = (found[:-1], found[-1].offset) if found and type(found[-1]) is UnreadBatch else (found, read_to)
    if [record.offset for record in records] == list(range(position, end)):
        return found, read_to
    # The gap may be a marker or an aborted record; or a producer gave the records wrong offsets.
    return _read_once(place, fetched, position, isolation, check_offsets=True)


def _read_once(
    place: TopicPartition, fetched: FetchedPartition, position: int, isolation: int, *, check_offsets: bool
) -> tuple[list[Any], int]:
    batches = CallersBatches(fetched.records, position, check_offsets=check_offsets)
    records = _RawRecords(place, batches, fetched.aborted, position, None, None, False, isolation)
    found: list[Any] = []
    try:
        found.extend(islice(records, MOST_RECORDS + MOST_BEFORE_CHECK))
    except UNREADABLE:
        batch = batches.sound
        if batch is None:
            raise
        # None of its records counts, not even those before the first unreadable one.
        while found and found[-1].offset >= batch.base_offset:
            found.pop()
        return [*found, batches.unread(batch, BATCH_UNREADABLE)], batch.next_offset
    return found, records.next_fetch_offset
