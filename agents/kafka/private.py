"""Owns what aiokafka keeps to itself and we need: private state is read here and nowhere else.

aiokafka is pinned; an upgrade has to be checked against this file (ADR 0003).
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
    """Return the connection over which a client sends to a broker; None when it has made none.

    The client replaces a connection that has ended without a word, so who has to know must ask before and after.
    """
    found: AIOKafkaConnection | None = client._conns.get((node, ConnectionGroup.DEFAULT))  # noqa: SLF001
    return found


def generation_of(consumer: AIOKafkaConsumer) -> int:
    """Return the generation of the group that a consumer is a member of."""
    generation: int = consumer._coordinator.generation  # noqa: SLF001
    return generation


def check_membership(consumer: AIOKafkaConsumer) -> None:
    """Raise what ended the membership in the group: aiokafka itself asks in `getmany`, which nobody calls here.

    Raises:
        Exception: the member neither heartbeats nor joins again.
    """
    consumer._coordinator.check_errors()  # noqa: SLF001


async def leave_group(consumer: AIOKafkaConsumer, group: str, instance: str, *, within_s: float) -> None:
    """Take a static member out of its group at once; aiokafka leaves that to the end of the session.

    Args:
        consumer: the member; nothing is done when it has no coordinator.
        group: the group's name.
        instance: the member's `group.instance.id`.
        within_s: how long the answer is waited for.

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

    def _consumer_record(self, _tp: Any, record: Any) -> Any:
        return record


def read_records(
    place: TopicPartition, fetched: FetchedPartition, position: int, isolation: int, *, callers: bool = False
) -> tuple[list[Any], int]:
    """Return the records that a Fetch's answer holds for a reader, and where to read on.

    Args:
        place: the partition.
        fetched: the answer, without an error.
        position: from where it was asked for: a batch may begin before that.
        isolation: with `READ_COMMITTED`, records of aborted transactions are left out.
        callers: others than Holdfast write to the topic. No batch is unpacked above `MAX_UNPACKED_BYTES` then, in its
            place stands an `UnreadBatch`, as it does for one that cannot be read; and the records may end before the
            answer does.

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
    # A batch that is not read comes last.
    records, end = (found[:-1], found[-1].offset) if found and type(found[-1]) is UnreadBatch else (found, read_to)
    if [record.offset for record in records] == list(range(position, end)):
        return found, read_to
    # Markers and what was aborted leave gaps; or somebody has numbered the records of a batch otherwise.
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
        # None of its records, also not those that were read before the first that cannot be.
        while found and found[-1].offset >= batch.base_offset:
            found.pop()
        return [*found, batches.unread(batch, BATCH_UNREADABLE)], batch.next_offset
    return found, records.next_fetch_offset
