"""Owns the Kafka client of the benchmarks: it sends commands like an order service and reads committed results."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.load import Request
from bench.open_loop import Pace, Trial, clock
from bench.topics import PARTITIONS
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of


class _Head(msgspec.Struct):
    command_id: str | None = None


_head = msgspec.json.Decoder(_Head).decode


class KafkaCaller:
    """A producer and a consumer in one process; use `connect`.

    Args:
        producer: sends commands.
        consumer: reads results.
        commands: the topic of commands.

    Attributes:
        unsolicited: how many results were read that answer no command.
        unsolicited_at: when the last of them was read, by `clock` (seconds).
    """

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, commands: str) -> None:
        self._producer = producer
        self._consumer = consumer
        self._commands = commands
        self.unsolicited = 0
        self.unsolicited_at = 0.0
        self._trial: Trial | None = None
        self._numbers: dict[str, int] = {}
        self._sends: set[asyncio.Task[object]] = set()

    async def run(self, pace: Pace, requests: Sequence[Request]) -> list[float]:
        """Send the requests of a pace.

        Returns:
            Per request, the seconds from the intended send time to the reading of the result.
        """
        records = [(partition_of(item.sku, PARTITIONS), item.sku.encode(), item.value) for item in requests]
        self._numbers = {str(item.fields["command_id"]): number for number, item in enumerate(requests)}
        trial = self._trial = Trial(pace, lambda number: self._send(*records[number]))
        return await trial.run()

    def _send(self, partition: int, key: bytes, value: bytes) -> None:
        send = self._producer.send(self._commands, value, key=key, partition=partition)
        task = asyncio.ensure_future(send)
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def read(self) -> None:
        """Read results for ever."""
        while True:
            for records in (await self._consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    command_id = _head(record.value).command_id
                    if command_id is None:
                        self.unsolicited += 1
                        self.unsolicited_at = clock()
                        continue
                    number = self._numbers.get(command_id)
                    if number is not None and self._trial is not None:
                        self._trial.answered(number)


@contextlib.asynccontextmanager
async def connect(bootstrap: str, commands: str, results: str) -> AsyncIterator[KafkaCaller]:
    """Connect to a pair of topics during the block; earlier results are not read."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **kafka_options())
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        fetch_max_wait_ms=500,
        request_timeout_ms=10_000,
        **kafka_options(),
    )
    await producer.start()
    await consumer.start()
    reading: asyncio.Task[None] | None = None
    try:
        places = [TopicPartition(results, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        for place in places:
            await consumer.position(place)
        caller = KafkaCaller(producer, consumer, commands)
        reading = asyncio.create_task(caller.read())
        yield caller
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()
        await producer.stop()
