"""Owns the reading of the log for streams that resume from before the ring: a few at a time, each by itself."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from gateway.config import GatewayConfig
from gateway.reader import close_reader, open_reader
from gateway.streams.events import as_sent, gap
from gateway.streams.positions import event_id
from gateway.streams.ring import Ring
from gateway.streams.wanted import StreamFilter

_AT_A_TIME = 8
# After that long another stream has its turn: a client that reads slowly keeps nobody waiting for ever.
_TURN_S = 30.0
# How often a stream that waits looks around.
_LOOK_S = 0.5
_RETRY_S = 1.0
# An id comes with the last event of a slice: a client that loses its connection has at most so many events again.
_SLICE = 100

_log = structlog.get_logger("holdfast.gateway")


class Past:
    """The readers of one topic's log.

    Args:
        config: the address of Kafka.
        topic: the topic.
        ring: the topic's ring, which makes and filters the events.
    """

    def __init__(self, config: GatewayConfig, topic: str, ring: Ring) -> None:
        self._config = config
        self._topic = topic
        self._ring = ring
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        self._logged: str | None = None

    async def read(
        self, wanted: StreamFilter, positions: dict[int, int], has_arrived: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Yield what a client gets, until it has arrived where the ring goes on.

        Args:
            wanted: the filter.
            positions: where to begin; they are moved on before what was read is yielded.
            has_arrived: whether the ring goes on at the positions.

        Yields:
            Events with the id of the last; nothing when there is none now, so that the client's stream can do something
            else. Positions that the log does not hold are moved to the nearest that it holds, with an event `gap`.
        """
        arrived = False
        while not arrived:
            turn = asyncio.ensure_future(self._turns.acquire())
            try:
                while not turn.done():
                    await asyncio.wait({turn}, timeout=_LOOK_S)
                    yield b""
                async with contextlib.aclosing(self._turn(wanted, positions)) as portions:
                    async for data, is_in_log in portions:
                        yield data
                        arrived = is_in_log and has_arrived()
                        if arrived:
                            break
            except (KafkaError, OSError) as error:
                self._report(repr(error))
                await asyncio.sleep(_RETRY_S)
            finally:
                if not turn.cancel():
                    self._turns.release()

    async def _turn(self, wanted: StreamFilter, positions: dict[int, int]) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield what a client gets, and whether the log is known to hold all positions."""
        ends_at = asyncio.get_running_loop().time() + _TURN_S
        start = {TopicPartition(self._topic, partition): offset for partition, offset in positions.items()}
        consumer = await open_reader(self._config, self._topic, start, wanted.partitions)
        try:
            while asyncio.get_running_loop().time() < ends_at:
                try:
                    batches = await consumer.getmany(timeout_ms=int(_LOOK_S * 1000), max_records=_SLICE)
                except OffsetOutOfRangeError as error:
                    for partition, offset in error.args[0].items():
                        yield await _close_gap(consumer, partition, offset, positions), False
                    continue
                self._logged = None
                events = self._ring.wanted_of(batches, wanted)
                for partition in consumer.assignment():
                    positions[partition.partition] = await consumer.position(partition)
                # The broker's answer to a fetch beyond the end is an error, without a high-water mark.
                is_in_log = all(consumer.highwater(partition) is not None for partition in consumer.assignment())
                yield as_sent(events, event_id(positions, wanted.partitions)), is_in_log
        finally:
            await close_reader(consumer)

    def _report(self, error: str) -> None:
        if error != self._logged:
            self._logged = error
            _log.warning("a stream cannot read the log, trying until it can", topic=self._topic, error=error)


async def _close_gap(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int, positions: dict[int, int]
) -> bytes:
    first = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    nearest = min(max(offset, first), end)
    consumer.seek(partition, nearest)
    positions[partition.partition] = nearest
    if nearest == offset:
        return b""
    return gap(partition.partition, offset, nearest, event_id(positions, sorted(positions)))
