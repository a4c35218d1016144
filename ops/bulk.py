"""Owns the fast sending of many small records: it fills record batches and gives whole batches to the producer.

`AIOKafkaProducer.send` takes 14 us a record, mostly for a future that nobody uses; appending to a batch takes half a
microsecond. The order within a partition is that of the calls of `offer`; an idempotent producer keeps it over broker
restarts.
"""

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError


class BulkSender:
    """Collects records per partition of one topic.

    Args:
        producer: sends the batches; its `max_batch_size` limits them.
        topic: the topic to send to.
        partitions: the topic's number of partitions.
        patience_s: how long Kafka may be away before an error is raised.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int, *, patience_s: float) -> None:
        self._producer = producer
        self._topic = topic
        self._patience_s = patience_s
        self._batches: list[Any] = [producer.create_batch() for _ in range(partitions)]
        self._on_the_way: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None

    def offer(self, partition: int, key: bytes, value: bytes) -> bool:
        """Add a record to its partition's batch; return False when it is full: call `ship`, then offer again."""
        return self._batches[partition].append(timestamp=None, key=key, value=value) is not None

    async def ship(self, partition: int) -> None:
        """Give a partition's batch to the producer; wait while an earlier batch of the partition waits there.

        Raises:
            KafkaError: Kafka refused a batch that was handed over before.
            TimeoutError: Kafka was away for longer than patience lasts.
        """
        batch = self._batches[partition]
        self._batches[partition] = self._producer.create_batch()
        if batch.record_count() == 0:
            return
        batch.close()
        delivery = await self._handed_over(batch, partition)
        self._on_the_way.add(delivery)
        delivery.add_done_callback(self._delivered)
        if self._failure is not None:
            raise self._failure

    async def _handed_over(self, batch: Any, partition: int) -> asyncio.Future[Any]:
        # The producer's time-out means that it had no room for the batch while Kafka was away; the batch was not
        # accepted.
        async with asyncio.timeout(self._patience_s):
            while True:
                with contextlib.suppress(KafkaTimeoutError):
                    delivery: asyncio.Future[Any] = await self._producer.send_batch(
                        batch, self._topic, partition=partition
                    )
                    return delivery

    def _delivered(self, delivery: asyncio.Future[Any]) -> None:
        self._on_the_way.discard(delivery)
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            self._failure = self._failure or error

    async def ship_all(self) -> None:
        """Hand over what is collected.

        Raises:
            KafkaError: Kafka refused a batch that was handed over before.
            TimeoutError: Kafka was away for longer than patience lasts.
        """
        for partition in range(len(self._batches)):
            await self.ship(partition)

    async def flush(self) -> None:
        """Send all batches and wait until Kafka has them.

        Raises:
            KafkaError: Kafka refused a batch.
            TimeoutError: Kafka was away for longer than patience lasts.
        """
        await self.ship_all()
        if self._on_the_way:
            _, late = await asyncio.wait(self._on_the_way, timeout=self._patience_s)
            if late:
                raise TimeoutError
        if self._failure is not None:
            raise self._failure
