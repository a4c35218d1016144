"""Owns `holdfast webhooks replay`: what an endpoint got once is sent again, beside the deliveries that go on."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.patience import Patience
from gateway.webhooks.requests import TYPE_OF, Reaction, Sender, message_of
from gateway.webhooks.stored import stored_positions
from gateway.webhooks.wants import Wants
from schemas.kafka_connection import kafka_options

_POLL_MS = 500


class ReplayStoppedError(Exception):
    """The endpoint refused a message for good, or wants no more; says which message and why."""


async def replay(
    endpoint: Endpoint,
    starts: Mapping[TopicPartition, int],
    *,
    bootstrap: str,
    sender: Sender,
    wants: Wants,
    said: Callable[[str], None],
) -> int:
    """Send again what an endpoint wants from some positions on, up to the endpoint's own position.

    Args:
        endpoint: the endpoint.
        starts: where to begin, by partition.
        bootstrap: the address of Kafka.
        sender: sends requests.
        wants: the filter.
        said: called with a sentence when the endpoint does not take a message, which is then tried again.

    Returns:
        How many records were sent.

    Raises:
        ReplayStoppedError: a message was refused.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="holdfast-webhooks",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        **kafka_options(),
    )
    await consumer.start()
    try:
        first = await consumer.beginning_offsets(list(starts))
        ends = await _ends(consumer, endpoint, list(starts), bootstrap)
        left = {partition for partition, start in starts.items() if start < ends[partition]}
        consumer.assign(list(left))
        for partition in left:
            consumer.seek(partition, max(starts[partition], first[partition]))
        sent = 0
        while left:
            for partition, batch in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=100)).items():
                wanted = [it for it in batch if it.offset < ends[partition] and wants(endpoint, it)]
                for index in range(0, len(wanted), endpoint.batch):
                    sent += await _send(endpoint, wanted[index : index + endpoint.batch], sender, said)
            left -= {partition for partition in left if await consumer.position(partition) >= ends[partition]}
        return sent
    finally:
        await consumer.stop()


async def starts_at(endpoint: Endpoint, time_ms: int, partitions: int, *, bootstrap: str) -> dict[TopicPartition, int]:
    """Return the positions of a time in all partitions of an endpoint's topics."""
    asked = {
        TopicPartition(topic, partition): time_ms
        for topic, type_ in TYPE_OF.items()
        if type_ in endpoint.types
        for partition in range(partitions)
    }
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **kafka_options())
    await consumer.start()
    try:
        found = await consumer.offsets_for_times(asked)
    finally:
        await consumer.stop()
    return {partition: each.offset for partition, each in found.items() if each is not None}


async def _ends(
    consumer: AIOKafkaConsumer, endpoint: Endpoint, partitions: list[TopicPartition], bootstrap: str
) -> dict[TopicPartition, int]:
    """Return where a replay ends: what comes after the endpoint's own position will be delivered anyway."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    for partition, each in (await stored_positions(endpoint.id, bootstrap)).items():
        if partition in ends:
            ends[partition] = min(ends[partition], each.offset)
    return ends


async def _send(
    endpoint: Endpoint, records: Sequence[ConsumerRecord], sender: Sender, said: Callable[[str], None]
) -> int:
    message, patience = message_of(records), Patience()
    while True:
        answer: Reaction = await sender.send(endpoint, message, is_replay=True)
        after = patience.after(answer, time.time())
        if after == "next":
            return len(records)
        if after != "again":
            raise ReplayStoppedError(f"{endpoint.id} does not take {message.id}: {answer.reason}")
        if patience.tries == 1:
            said(f"{endpoint.id} does not take {message.id} ({answer.reason}): trying until it does")
        await asyncio.sleep(patience.pause_s(answer))
