"""Owns the probing of availability: 20 queries a second to every partition, and the times of their answers."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.load import Request, adjusts
from bench.open_loop import Metronome
from bench.topics import PARTITIONS
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS, RESULTS

EVERY_S = 0.05
# Longer than any answer takes while nothing is wrong.
PROMPT_S = 0.25

clock = time.perf_counter


class _Head(msgspec.Struct):
    command_id: str | None = None


_head = msgspec.json.Decoder(_Head).decode


@dataclass
class Probes:
    """The probes of one partition: when each was sent, and when it was answered, by number."""

    sku: str
    sent_at: list[float] = field(default_factory=list)
    answered_at: dict[int, float] = field(default_factory=dict)

    def silence(self, since: float, until: float) -> tuple[float, float]:
        """Return the longest time without an answer between two times, as (begin, end)."""
        arrivals = sorted(at for at in self.answered_at.values() if since < at < until)
        return max(itertools.pairwise([since, *arrivals, until]), key=lambda pair: pair[1] - pair[0])

    def took_s(self, since: float, until: float) -> list[float]:
        """Return how long each probe sent between two times waited for its answer, at least until the second."""
        return [
            self.answered_at.get(number, until) - at for number, at in enumerate(self.sent_at) if since < at < until
        ]

    def is_prompt(self, for_s: float, prompt_s: float) -> bool:
        """Say whether every probe of so many seconds was answered promptly, up to those that still may be."""
        until = clock() - prompt_s
        recent = [number for number, at in enumerate(self.sent_at) if until - for_s < at < until]
        return bool(recent) and all(
            number in self.answered_at and self.answered_at[number] - self.sent_at[number] <= prompt_s
            for number in recent
        )


class Prober:
    """Probes all partitions as long as `probing` lasts."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._producer = producer
        self._consumer = consumer
        self._sends: set[asyncio.Task[object]] = set()
        self.partitions = [Probes(_sku_of(number)) for number in range(PARTITIONS)]

    async def put_stock(self) -> None:
        """Return every probed SKU a row, so that a query finds something."""
        for request in adjusts([probes.sku for probes in self.partitions], ["main"], prefix="probe-stock"):
            await self._send(request)

    def probe(self) -> None:
        """Send one query to each partition."""
        for number, probes in enumerate(self.partitions):
            command_id = f"probe-{number}-{len(probes.sent_at)}"
            probes.sent_at.append(clock())
            fields: dict[str, object] = {"command_id": command_id, "type": "query", "sku": probes.sku}
            task = asyncio.ensure_future(self._send(Request(probes.sku, fields)))
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)

    async def _send(self, request: Request) -> None:
        partition = partition_of(request.sku, PARTITIONS)
        await self._producer.send_and_wait(COMMANDS, request.value, key=request.sku.encode(), partition=partition)

    async def read(self) -> None:
        """Note answers for ever."""
        while True:
            for place, records in (await self._consumer.getmany(timeout_ms=1_000)).items():
                now = clock()
                answered = self.partitions[place.partition].answered_at
                for record in records:
                    _, _, number = (_head(record.value).command_id or "").rpartition("-")
                    if number.isdecimal():
                        answered.setdefault(int(number), now)

    async def until_prompt(self, *, for_s: float, prompt_s: float, timeout_s: float) -> bool:
        """Wait until all partitions have answered promptly for some seconds; False when the time is over before."""
        deadline = clock() + timeout_s
        while not all(probes.is_prompt(for_s, prompt_s) for probes in self.partitions):
            if clock() > deadline:
                return False
            await asyncio.sleep(EVERY_S)
        return True


def _sku_of(partition: int) -> str:
    return next(sku for sku in map("probe-{}".format, itertools.count()) if partition_of(sku, PARTITIONS) == partition)


@contextlib.asynccontextmanager
async def probing(bootstrap: str) -> AsyncIterator[Prober]:
    """Probe every partition every 50 ms for the time of the block."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **kafka_options())
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False, **kafka_options()
    )
    await producer.start()
    await consumer.start()
    places = [TopicPartition(RESULTS, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    await consumer.seek_to_end(*places)
    prober = Prober(producer, consumer)
    metronome = Metronome(1 / EVERY_S, prober.probe)
    reading = asyncio.create_task(prober.read())
    try:
        await prober.put_stock()
        metronome.start(clock() + EVERY_S)
        yield prober
    finally:
        metronome.stop()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()
        await producer.stop()
