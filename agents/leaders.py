"""Owns the question which broker leads a partition."""

import asyncio

from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.errors import LeaderNotAvailableError

_ASK_WITHIN_S = 10.0


async def leader_of(client: AIOKafkaClient, topic: str, partition: int) -> int:
    """Give the broker that leads a partition.

    Raises:
        LeaderNotAvailableError: there is none at the moment.
        TimeoutError: no broker answered.
    """
    place = TopicPartition(topic, partition)
    leader: int | None = client.cluster.leader_for_partition(place)
    if leader is None or leader == -1:
        # A client that is closed meanwhile never answers.
        async with asyncio.timeout(_ASK_WITHIN_S):
            await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(place)
        if leader is None or leader == -1:
            raise LeaderNotAvailableError(f"{topic}-{partition} has no leader at the moment")
    return leader
