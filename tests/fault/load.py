"""Owns the load of a soak: endless commands, valid and invalid; every acknowledged one must be in the log."""

import asyncio
import contextlib
import json
import random
import zlib
from collections import Counter

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.partitioner import partition_of
from schemas.topics import COMMANDS
from tests.harness import PARTITIONS, commands

_ENDLESS = 1 << 40
_PAUSE_S = 0.1
_ON_THE_WAY = 20_000
_PATIENCE_MS = 120_000


class Load:
    """Writes commands until it is stopped; use as an async context manager.

    Args:
        bootstrap: the brokers.
        seed: of the traffic.
        rate: about how many commands a second.
    """

    def __init__(self, bootstrap, seed, *, rate):
        self.kinds = Counter()
        self.acknowledged = {}  # (partition, offset) -> checksum of the value
        self.unanswered = 0
        self._bootstrap = bootstrap
        self._rng = random.Random(seed)
        self._traffic = commands(seed, _ENDLESS)
        self._rate = rate
        self._ids = set()
        self._on_the_way = set()

    async def __aenter__(self):
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            max_batch_size=300_000,
            request_timeout_ms=_PATIENCE_MS,
        )
        await self._producer.start()
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._producer.stop()

    async def stop(self):
        """Write no more, and wait for the answers to what was written."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._producer.flush()
        await asyncio.gather(*self._on_the_way, return_exceptions=True)

    async def _write(self):
        per_pause = self._rate * _PAUSE_S
        while True:
            # Most of the time a trickle, now and then a burst that fills transactions.
            count = round(per_pause * self._rng.choice([0.5, 1, 1, 1, 1.5])) if self._rng.random() < 0.98 else 400
            for _ in range(count):
                await self._send(*next(self._traffic))
            while len(self._on_the_way) > _ON_THE_WAY:
                await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(_PAUSE_S)

    async def _send(self, sku, partition, value):
        if self._rng.random() < 0.003:
            value = None
        self._count(sku, partition, value)
        delivery = await self._producer.send(COMMANDS, value, key=sku.encode(), partition=partition)
        self._on_the_way.add(delivery)
        delivery.add_done_callback(lambda done: self._answered(done, value))

    def _answered(self, delivery, value):
        self._on_the_way.discard(delivery)
        if delivery.cancelled() or delivery.exception() is not None:
            self.unanswered += 1
        else:
            written = delivery.result()
            self.acknowledged[written.partition, written.offset] = zlib.crc32(value or b"")

    def _count(self, sku, partition, value):
        self.kinds["records"] += 1
        if value is None or value.startswith(b"{not json"):
            self.kinds["poison" if value is None or len(value) < 100_000 else "oversized"] += 1
            return
        command = json.loads(value)
        if "sku" not in command:
            self.kinds["reference commands"] += 1
        elif partition != partition_of(sku, PARTITIONS):
            self.kinds["misrouted"] += 1
        elif "unknown" in command:
            self.kinds["unknown field"] += 1
        elif command["command_id"] in self._ids:
            self.kinds["duplicates"] += 1
        else:
            self._ids.add(command["command_id"])
            self.kinds["commands"] += 1

    async def missing(self):
        """Count acknowledged records that the log does not hold at their offset."""
        missing = dict(self.acknowledged)
        places = [TopicPartition(COMMANDS, partition) for partition in range(PARTITIONS)]
        async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap) as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            for place in places:
                while await consumer.position(place) < ends[place]:
                    for record in (await consumer.getmany(place, timeout_ms=500)).get(place, []):
                        at = (record.partition, record.offset)
                        if missing.get(at) == zlib.crc32(record.value or b""):
                            del missing[at]
        return len(missing)


async def move_group_offsets(bootstrap, group, where):
    """Store other offsets for the group, as an operator does; False when the group refuses (it has members)."""
    places = [TopicPartition(COMMANDS, partition) for partition in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    try:
        await consumer.start()
        consumer.assign(places)
        starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        fraction = {"earliest": 0.0, "middle": 0.5, "latest": 1.0}[where]
        await consumer.commit({p: round(starts[p] + fraction * (ends[p] - starts[p])) for p in places})
    except KafkaError:
        return False
    finally:
        await consumer.stop()
    return True
