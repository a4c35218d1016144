"""Owns the reader that feeds a view from a whole topic, and the view's lag."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError

from gateway.config import GatewayConfig
from gateway.reader import FOREIGN, Positions, Record, close_reader, open_reader, read_slice
from gateway.streams.ring import Ring

# How many records are applied before other tasks may run: 1,000 take 4 ms.
_SLICE = 1_000
# A pause between fetches lets changes gather: a fetch costs 0.3 ms, and nobody needs a younger view.
_PAUSE_S = 0.005
_IDLE_MS = 200
_RETRY_S = 0.5
# A younger view counts as one that has everything: the reader looks at the log's end every `_IDLE_MS`, and what the
# broker said of it is at most a long poll old (300 ms), but for the time that answers take.
_STALE_S = 1.0

_log = structlog.get_logger("holdfast.gateway")


class ViewReader:
    """Reads a whole topic from the beginning on, and reconnects by itself after Kafka was away.

    Args:
        config: the address of Kafka.
        topic: the topic.
        what: its records in words, for the log.
        apply: feeds the view with partition, key and value of a record.
        clear: empties the view, before the topic is read again from its beginning.
        apply_many: feeds it with records of a partition, and with how many follow; None: `apply` is called for each.
        ring: gets what comes once the view is complete.
    """

    def __init__(
        self,
        config: GatewayConfig,
        topic: str,
        what: str,
        apply: Callable[[int, bytes | None, bytes | None], None],
        clear: Callable[[], None],
        *,
        apply_many: Callable[[int, Sequence[Record], int], None] | None = None,
        ring: Ring | None = None,
    ) -> None:
        self._config = config
        self._topic = topic
        self._what = what
        self._apply = apply
        self._apply_many = apply_many or self._apply_each
        self._clear = clear
        self._ring = ring
        self._positions: Positions = {}
        self._in_step_at: float | None = None
        self._logged: str | None = None
        self.complete = asyncio.Event()
        self.lag = 0
        self.read = 0  # records since the topic's beginning

    @property
    def lag_ms(self) -> int:
        """Return the milliseconds since the view last had all published changes; 0 if it had within the last second."""
        if self._in_step_at is None:
            return 0
        age = time.monotonic() - self._in_step_at
        return 0 if age < _STALE_S else int(age * 1000)

    async def run(self) -> None:
        """Feed the view until cancelled."""
        self._in_step_at = time.monotonic()  # before this nobody was promised anything
        while True:
            try:
                await self._follow()
            except OffsetOutOfRangeError:
                _log.warning("a topic was cut off below the view's position: reading it anew", records=self._what)
                self._restart()
            except Exception as error:  # noqa: BLE001 - aiokafka's own checks are asserts; a new consumer cures all
                if repr(error) != self._logged:
                    self._logged = repr(error)
                    _log.warning("a topic cannot be read, trying until it can", records=self._what, error=self._logged)
            await asyncio.sleep(_RETRY_S)

    def _restart(self) -> None:
        if self._ring is not None:
            self._ring.lose()
        self._positions.clear()
        self._clear()
        self.read = 0
        self.complete.clear()

    async def _follow(self) -> None:
        consumer = await open_reader(self._config, self._topic, self._positions or "beginning")
        try:
            if not self.complete.is_set():
                await self._read_all(consumer)
            while True:
                await self._read_on(consumer)
                await asyncio.sleep(0 if self.lag > _SLICE else _PAUSE_S)
        finally:
            await close_reader(consumer)

    async def _read_all(self, consumer: AIOKafkaConsumer) -> None:
        """Read to where the topic ends now."""
        ends = await consumer.end_offsets(list(consumer.assignment()))
        began, before = time.monotonic(), self.read
        while True:
            await self._read_on(consumer)
            if all(self._positions[partition] >= end for partition, end in ends.items()):
                break
            await asyncio.sleep(0)
        seconds = round(time.monotonic() - began, 3)
        _log.info("a topic was read", records=self._what, count=self.read - before, seconds=seconds)
        self.complete.set()
        if self._ring is not None:
            self._ring.take({}, self._positions)

    async def _read_on(self, consumer: AIOKafkaConsumer) -> None:
        batches = await read_slice(consumer, _IDLE_MS, _SLICE)
        for place, records in batches.items():
            self.read += len(records)
            left = (consumer.last_stable_offset(place) or 0) - records[-1].offset - 1
            self._apply_many(place.partition, records, max(0, left))
            self._positions[place] = records[-1].offset + 1
        # Positions and ring move on together: whenever the connection breaks, the ring has no hole.
        if self._ring is not None and self.complete.is_set():
            self._ring.take(batches, self._positions)
        await self._measure(consumer)

    def _apply_each(self, partition: int, records: Sequence[Record], _left: int) -> None:
        for record in records:
            try:
                self._apply(partition, record.key, record.value)
            except FOREIGN:
                continue

    async def _measure(self, consumer: AIOKafkaConsumer) -> None:
        lag = 0
        for partition in consumer.assignment():
            position = await consumer.position(partition)
            self._positions[partition] = position
            lag += max(0, (consumer.last_stable_offset(partition) or 0) - position)
        self.lag = lag
        if lag == 0:  # as of the oldest of the broker's answers
            oldest = min((consumer.last_poll_timestamp(partition) or 0) for partition in consumer.assignment())
            age = time.time() - oldest / 1000
            if age < _STALE_S:
                self._in_step_at = time.monotonic() - max(0.0, age)
