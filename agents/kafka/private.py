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

from agents.kafka.fetching import FetchedPartition
from agents.kafka.unpacking import CallersBatches
from agents.kafka.wire import LeaveGroup, LeavingMember


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


# A caller can put 2 million records without key and value into `MAX_UNPACKED_BYTES`; each takes 200 bytes of memory.
_MOST_RECORDS = 100_000


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
            place stands a `TooLargeBatch`; and the records may end before the answer does.

    Raises:
        KafkaError: corrupt records.
    """
    batches = CallersBatches(fetched.records, position) if callers else MemoryRecords(fetched.records)
    records = _RawRecords(place, batches, fetched.aborted, position, None, None, True, isolation)
    return list(islice(records, _MOST_RECORDS)) if callers else list(records), records.next_fetch_offset
