"""Owns `holdfast webhooks status`: where each endpoint is, from what Kafka keeps in its group."""

from collections.abc import Sequence
from typing import Literal

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.marks import LineMark, read_mark
from gateway.webhooks.requests import TYPE_OF
from gateway.webhooks.stored import stored_positions
from schemas.kafka_connection import kafka_options


class EndpointState(msgspec.Struct, kw_only=True):
    """Where an endpoint is: `new` before its first process. `behind` counts records, also those that it does not want.

    `reason` and `since` (ms since the Unix epoch) are those of the worst partition.
    """

    id: str
    state: Literal["running", "failing", "stopped", "new"]
    behind: int
    reason: str | None = None
    since: int | None = None
    positions: dict[str, int] = {}


async def states_of(endpoints: Sequence[Endpoint], partitions: int, *, bootstrap: str) -> list[EndpointState]:
    """Return the state of each endpoint.

    Raises:
        aiokafka.errors.KafkaError: Kafka does not answer.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **kafka_options())
    await consumer.start()
    try:
        all_ = [TopicPartition(topic, number) for topic in TYPE_OF for number in range(partitions)]
        ends: dict[TopicPartition, int] = await consumer.end_offsets(all_)
        return [await _state(endpoint, bootstrap, ends) for endpoint in endpoints]
    finally:
        await consumer.stop()


async def _state(endpoint: Endpoint, bootstrap: str, ends: dict[TopicPartition, int]) -> EndpointState:
    found = await stored_positions(endpoint.id, bootstrap)
    stored = {partition: each for partition, each in found.items() if partition in ends}
    marks = [mark for each in stored.values() if (mark := read_mark(each.metadata)) is not None]
    worst: LineMark | None = max(marks, key=lambda mark: (mark.state == "stopped", -mark.since), default=None)
    return EndpointState(
        id=endpoint.id,
        state=worst.state if worst is not None else "running" if stored else "new",
        behind=sum(max(0, ends[partition] - each.offset) for partition, each in stored.items()),
        reason=None if worst is None else worst.reason,
        since=None if worst is None else worst.since,
        positions={
            f"{partition.topic}:{partition.partition}": each.offset for partition, each in sorted(stored.items())
        },
    )
