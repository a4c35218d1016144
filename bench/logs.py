"""Owns the measuring of topics: how fast one fills, and what it holds in the end."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.harness import Child, ChildGroup
from bench.topics import PARTITIONS, LogEnds, ends_of
from schemas.kafka_connection import kafka_options

# One ListOffsets costs broker and client about 0.5 ms together: 2 % of a core, with an error of 20 ms at either end.
_POLL_S = 0.02
_SETTLED_S = 0.5
_STUCK_S = 60.0
_FETCH_BYTES = 4 << 20


class StandsStillError(RuntimeError):
    """A topic does not grow any more, and has less than was expected."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """How a topic was filled between the first check that found a record and the first that found all.

    `cpu_us` is the processor time of the filling process, in microseconds a record; a busy machine changes it least.
    `second_half_per_second` leaves out the first half, in which a JVM compiles.
    """

    per_second: float
    second_half_per_second: float
    cpu_us: float
    seconds: float
    records: int


class _Track:
    """Notes the first and the last time at which the sum of the ends grew, and the child's processor time then."""

    def __init__(self, base: int, child: Child | ChildGroup) -> None:
        self._child = child
        self.base = base
        self.total = base
        self.began = self.first_at = self.moved_at = time.perf_counter()
        self.first_total = base
        self.looks: list[tuple[float, int]] = []
        self.first_cpu_s = self.cpu_s = child.cpu_s

    def note(self, total: int) -> None:
        now = time.perf_counter()
        if total == self.base:
            self.began = now
        elif self.total == self.base:
            self.first_at, self.first_total, self.first_cpu_s = now, total, self._child.cpu_s
        if total != self.total:
            self.looks.append((now, total))
            self.total, self.moved_at, self.cpu_s = total, now, self._child.cpu_s

    @property
    def rests_for_s(self) -> float:
        return time.perf_counter() - self.moved_at

    def filled(self, records: int) -> Filled:
        seconds, share = self.moved_at - self.first_at, 1.0
        if seconds > 0:
            # Markers are spread like the records, so the share of offsets equals the share of records.
            share = (self.total - self.first_total) / (self.total - self.base)
        else:
            seconds = self.moved_at - self.began
        cpu_us = (self.cpu_s - self.first_cpu_s) / (records * share) * 1e6
        return Filled(
            per_second=records * share / seconds,
            second_half_per_second=self._second_half(records) or records * share / seconds,
            cpu_us=cpu_us,
            seconds=seconds,
            records=records,
        )

    def _second_half(self, records: int) -> float:
        middle = (self.base + self.total) / 2
        began_at, began_total = next(look for look in self.looks if look[1] >= middle)
        seconds = self.moved_at - began_at
        share = (self.total - began_total) / (self.total - self.base)
        return records * share / seconds if seconds > 0 else 0.0


async def watch(bootstrap: str, topic: str, starts: list[int], expected: int, child: Child | ChildGroup) -> Filled:
    """Wait until a topic has the expected number of committed records behind `starts`, and measure the time.

    Records of the first check that found any count neither as work nor as time: starting, joining a group and the first
    transaction are not throughput. Offsets also count markers, so only a read shows whether all records are there. It
    is done when the topic does not grow any more, so it disturbs nothing; the times come from the checks.

    Raises:
        RuntimeError: the child ended.
        StandsStillError: the topic does not grow any more.
    """
    async with LogEnds(bootstrap) as ends:
        track = _Track(sum(starts), child)
        counted_at = -1
        while True:
            track.note(sum(await ends.of(topic)))
            enough = track.total - track.base >= expected and track.total != counted_at
            if enough and track.rests_for_s > _SETTLED_S:
                counted_at = track.total
                found = await count(bootstrap, topic, starts)
                if found >= expected:
                    return track.filled(found)
            if track.rests_for_s > _STUCK_S:
                raise StandsStillError(f"{child.name}: {topic} has had nothing new for {_STUCK_S:.0f} s")
            child.check()
            await asyncio.sleep(_POLL_S)


async def read(bootstrap: str, topic: str, starts: list[int] | None = None) -> AsyncIterator[list[Any]]:
    """Read what is committed in a topic, from `starts` (else the beginning) to where it ends now, chunk by chunk."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=50,
        **kafka_options(),
    )
    ends = await ends_of(bootstrap, topic)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, starts[place.partition] if starts else 0)
        while unread := [place for place in places if await consumer.position(place) < ends[place.partition]]:
            for records in (await consumer.getmany(*unread, timeout_ms=200)).values():
                yield records
    finally:
        await consumer.stop()


async def count(bootstrap: str, topic: str, starts: list[int] | None = None) -> int:
    """Count the committed records of a topic by reading them."""
    return sum([len(records) async for records in read(bootstrap, topic, starts)])
