"""Owns questions about partitions: which broker leads each, and where its log begins and ends."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.errors import KafkaError, LeaderNotAvailableError, TopicAuthorizationFailedError, for_code
from aiokafka.protocol.offset import OffsetRequest

READ_UNCOMMITTED, READ_COMMITTED = 0, 1
LATEST, EARLIEST = -1, -2

_ASK_WITHIN_S = 10.0


class _Listed(NamedTuple):
    """Answer of ListOffsets for a partition."""

    partition: int
    error_code: int
    timestamp: int
    offset: int


async def leader_of(client: AIOKafkaClient, topic: str, partition: int) -> int:
    """Return the broker that leads a partition.

    Raises:
        TopicAuthorizationFailedError: this user may not see the topic.
        LeaderNotAvailableError: there is none at the moment.
        TimeoutError: no broker answered.
    """
    place = TopicPartition(topic, partition)
    leader: int | None = client.cluster.leader_for_partition(place)
    if leader is None or leader == -1:
        # A client that is closed in the meantime never answers.
        async with asyncio.timeout(_ASK_WITHIN_S):
            await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(place)
        if topic in client.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(topic)
        if leader is None or leader == -1:
            raise LeaderNotAvailableError(f"{topic}-{partition} has no leader at the moment")
    return leader


async def by_leader(client: AIOKafkaClient, places: Collection[TopicPartition]) -> dict[int, list[TopicPartition]]:
    """Return partitions by the broker that leads them; raises as `leader_of` does."""
    found: dict[int, list[TopicPartition]] = {}
    for place in places:
        found.setdefault(await leader_of(client, *place), []).append(place)
    return found


async def offsets(
    client: AIOKafkaClient, places: Collection[TopicPartition], timestamp: int, isolation: int
) -> dict[TopicPartition, int]:
    """Return the `EARLIEST` or `LATEST` offsets from the leaders; with `READ_COMMITTED`, the last stable offsets.

    Raises:
        KafkaError: a broker cannot be reached, refuses, or does not lead any more.
        TimeoutError: no broker answered.
    """
    found: dict[TopicPartition, int] = {}
    for leader, led in (await by_leader(client, places)).items():
        found |= await offsets_from(client, leader, led, timestamp, isolation)
    return found


async def offsets_from(
    client: AIOKafkaClient, leader: int, places: Collection[TopicPartition], timestamp: int, isolation: int
) -> dict[TopicPartition, int]:
    """Return the offsets from one broker, which must lead these partitions; see `offsets`."""
    asked = [(topic, [(number, timestamp)]) for topic, number in places]
    answer = await client.send(leader, OffsetRequest(-1, isolation, asked))
    found = {}
    for topic, partitions in answer.topics:
        for listed in (_Listed(*fields[:4]) for fields in partitions):  # later versions add more
            if listed.error_code:
                client.force_metadata_update()  # the leader may have moved
                raise for_code(listed.error_code)(f"ListOffsets of {topic}-{listed.partition}")
            found[TopicPartition(topic, listed.partition)] = listed.offset
    if missing := set(places) - found.keys():
        raise KafkaError(f"ListOffsets: broker {leader} says nothing of {missing}")
    return found
