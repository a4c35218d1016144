"""Owns the Fetch request of one partition, and its answer as a named tuple."""

from typing import Any, NamedTuple

from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.protocol.fetch import FetchRequest


class FetchedPartition(NamedTuple):
    """Answer of Fetch v11 for a partition; `records` are record batches as they lie in the log."""

    partition: int
    error_code: int
    log_end: int
    stable_end: int
    log_start: int
    aborted: list[tuple[int, int]] | None
    preferred_replica: int
    records: bytes


async def fetch(
    client: AIOKafkaClient,
    leader: int,
    place: TopicPartition,
    position: int,
    *,
    isolation: int,
    max_bytes: int,
    wait_ms: int,
    min_bytes: int,
) -> FetchedPartition:
    """Ask a partition's leader for record batches from a position on.

    Args:
        client: a connected client.
        leader: the broker.
        place: the partition.
        position: the first offset that is wanted.
        isolation: `READ_COMMITTED` or `READ_UNCOMMITTED`.
        max_bytes: about how much the answer may hold; a larger batch comes alone.
        wait_ms: how long the broker waits for `min_bytes`, at most.
        min_bytes: how many bytes it waits for.

    Raises:
        KafkaError: no answer. A refusal of the broker is in `error_code`.
    """
    topic, number = place
    asked = [(topic, [(number, position, max_bytes)])]
    answer: Any = await client.send(leader, FetchRequest(wait_ms, min_bytes, max_bytes, isolation, asked))
    (_, (fields,)) = answer.topics[0]
    return FetchedPartition(*fields)
