"""Owns the reading of an endpoint's positions from outside its group, with the marks beside them."""

import asyncio

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from gateway.webhooks.marks import group_of
from schemas.kafka_connection import kafka_options

# A cluster whose first group this is makes its topic of positions, which takes some seconds.
_PATIENCE_S, _RETRY_S = 20.0, 0.2


async def stored_positions(endpoint_id: str, bootstrap: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the positions that an endpoint's group has stored; none of a partition without one.

    Raises:
        aiokafka.errors.KafkaError: Kafka does not answer.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
    try:
        await admin.start()
        found = await _listed(admin, group_of(endpoint_id))
    finally:
        await admin.close()
    return {partition: each for partition, each in found.items() if each.offset >= 0}


async def _listed(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    clock = asyncio.get_running_loop().time
    until = clock() + _PATIENCE_S
    while True:
        try:
            found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            if clock() > until:
                raise
            await asyncio.sleep(_RETRY_S)
        else:
            return found
