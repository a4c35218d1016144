"""Owns the floor of throughput: it reads the commands, decides nothing, and writes as much as Holdfast would.

It does as little as Python and aiokafka allow: no group, no decoding, no store; it reads and writes whole batches, one
transaction (version 2) at a time per partition, all partitions in one uvloop loop. Run as `python -m bench.floor
--bootstrap HOST:PORT --shape JSON`.
"""

import argparse
import asyncio
from typing import Any

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents.transactions import TransactionClient
from bench.shape import Shape, TopicShape
from bench.topics import PARTITIONS
from schemas.kafka_connection import kafka_options
from schemas.topics import CHANGELOG, COMMANDS, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY, Position, encode_row

# As in Holdfast's reader.
_FETCH_BYTES = 256 * 1024
_FETCH_WAIT_MS = 100
_BATCHES_AHEAD = 2
_NO_HEADERS: list[tuple[str, bytes]] = []


def _builder() -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30
    )


class FloorPartition:
    """One partition: it reads batches of commands and writes transactions."""

    def __init__(self, number: int, bootstrap: str, shape: Shape) -> None:
        self.number = number
        self.queue: asyncio.Queue[list[Any]] = asyncio.Queue(_BATCHES_AHEAD)
        self._shape = shape
        self._owed = dict.fromkeys(shape.topics, 0.0)
        self._transactions = TransactionClient(bootstrap, f"floor-{number}", timeout_ms=10_000)

    async def run(self) -> None:
        """Write a transaction for each group of commands, for ever."""
        await self._transactions.start((CHANGELOG, RESULTS, STOCK_CHANGES))
        await self._transactions.begin()
        limit = self._shape.commands_per_transaction
        while True:
            records = await self.queue.get()
            for start in range(0, len(records), limit):
                chunk = records[start : start + limit]
                batches = {topic: self._filled(topic, shape, chunk) for topic, shape in self._shape.topics.items()}
                await self._transactions.produce(self.number, batches)
                await self._transactions.end()

    def _filled(self, topic: str, shape: TopicShape, chunk: list[Any]) -> DefaultRecordBatchBuilder:
        builder = _builder()
        append, key, value = builder.append, b"k" * shape.key_bytes, b"v" * shape.value_bytes
        timestamp = chunk[-1].timestamp
        self._owed[topic] += shape.per_command * len(chunk)
        count = int(self._owed[topic])
        self._owed[topic] -= count
        for index in range(count):
            append(index, timestamp, key, value, _NO_HEADERS)
        if topic == CHANGELOG:
            position = encode_row(Position(chunk[-1].offset + 1, timestamp, "floor"))
            append(count, timestamp, POSITION_KEY, position, _NO_HEADERS)
        return builder


async def run(bootstrap: str, shape: Shape) -> None:
    """Read all commands from the beginning, and go on until the process is ended."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        **kafka_options(),
    )
    await consumer.start()
    consumer.assign([TopicPartition(COMMANDS, number) for number in range(PARTITIONS)])
    partitions = [FloorPartition(number, bootstrap, shape) for number in range(PARTITIONS)]
    async with asyncio.TaskGroup() as tasks:
        for partition in partitions:
            tasks.create_task(partition.run())
        print("ready", flush=True)
        while True:
            for place, records in (await consumer.getmany(timeout_ms=1_000)).items():
                await partitions[place.partition].queue.put(records)


def main() -> None:
    """Run the floor as a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--shape", required=True)
    arguments = parser.parse_args()
    uvloop.run(run(arguments.bootstrap, msgspec.json.decode(arguments.shape, type=Shape)))


if __name__ == "__main__":
    main()
