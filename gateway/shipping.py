"""Owns the sending of many commands at once: whole record batches, in order within each partition."""

import asyncio
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gateway.compose import Composed
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS

Delivered = Callable[[int, int], None]
Failed = Callable[[int, KafkaError], None]


async def ship(
    producer: AIOKafkaProducer, commands: Sequence[Composed], partitions: int, delivered: Delivered, failed: Failed
) -> None:
    """Send commands. Within a partition a batch goes out when Kafka has the one before.

    A batch that fails also fails those after it, unsent: a caller who sends the whole list again would otherwise have
    a command applied after a later one of the same SKU.

    Args:
        producer: sends the batches; its `max_batch_size` limits them.
        commands: the commands, each of one SKU.
        partitions: the topic's number of partitions.
        delivered: called with a command's number and the offset of its record.
        failed: called with a command's number and why it may not be in the log.
    """
    numbers: dict[int, list[int]] = {}
    for number, command in enumerate(commands):
        numbers.setdefault(partition_of(command.sku, partitions), []).append(number)
    async with asyncio.TaskGroup() as group:
        for partition, of_partition in numbers.items():
            group.create_task(_ship_in_order(producer, partition, commands, of_partition, delivered, failed))


async def _ship_in_order(
    producer: AIOKafkaProducer,
    partition: int,
    commands: Sequence[Composed],
    numbers: list[int],
    delivered: Delivered,
    failed: Failed,
) -> None:
    first = 0
    while first < len(numbers):
        batch = producer.create_batch()
        end = first
        while end < len(numbers):
            command = commands[numbers[end]]
            if batch.append(timestamp=None, key=command.key.encode(), value=command.value) is None:
                break
            end += 1
        batch.close()
        try:
            offset = (await (await producer.send_batch(batch, COMMANDS, partition=partition))).offset
        except KafkaError as error:
            for number in numbers[first:]:
                failed(number, error)
            return
        for place in range(first, end):
            delivered(numbers[place], offset + place - first)
        first = end
