"""Owns the reading of one partition of one topic: committed records only, over a connection of its own.

aiokafka's fetcher sends one request for all partitions of a broker, and the next only when every answer was taken: in a
busy worker 4 ms later. Here each partition sends its own requests. Connections, requests and the parsing of records are
aiokafka's.
"""

import asyncio
import contextlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.errors import (
    KafkaError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    for_code,
)

from agents.batches import CommandBatch
from agents.kafka.fetching import fetch
from agents.kafka.leaders import READ_COMMITTED, leader_of
from agents.kafka.private import read_records
from schemas.kafka_connection import kafka_options
from schemas.topics import COMMANDS

_REQUEST_MS = 10_000
_CLOSE_WITHIN_S = 1.0
# About 1,500 commands of 170 bytes, which is one transaction. More would only wait in memory.
_COMMAND_BYTES = 256 * 1024
_COMMAND_WAIT_MS = 500
# How many fetches may wait for the agent; they become one transaction.
_MOST_WAITING = 2
_RETRY_S, _LONGEST_RETRY_S = 0.05, 1.0
# See `CommandReader._pause`.
_LONGEST_PAUSE_S = 0.02

log = structlog.get_logger()


class Fetched(NamedTuple):
    """An answer: its records (`offset`, `timestamp` in ms, `key`, `value`), the next position, and the log's end."""

    records: list[Any]
    position: int
    log_end: int


class LogReader:
    """Reads one partition.

    Args:
        bootstrap: the brokers.
        topic: the topic.
        partition: its partition.
        client_id: names the connection in the broker's metrics.
        fetch_bytes: about how many bytes one answer may hold; a larger record comes alone.
        wait_ms: how long the broker waits for a record.
        callers: whether others than Holdfast write to the topic; see `read_records`.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        partition: int,
        *,
        client_id: str,
        fetch_bytes: int,
        wait_ms: int,
        callers: bool = False,
    ) -> None:
        self._client = AIOKafkaClient(
            bootstrap_servers=bootstrap,
            client_id=client_id,
            request_timeout_ms=_REQUEST_MS,
            retry_backoff_ms=50,
            **kafka_options(),
        )
        self._place = TopicPartition(topic, partition)
        self._fetch_bytes = fetch_bytes
        self._wait_ms = wait_ms
        self._callers = callers

    async def start(self) -> None:
        """Connect.

        Raises:
            KafkaError: no broker answered.
        """
        await self._client.bootstrap()
        await self._client.set_topics([self._place.topic])

    async def close(self) -> None:
        """Close the connection, without waiting for a broker that does not answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._client.close(), _CLOSE_WITHIN_S)

    async def fetch(self, position: int) -> Fetched:
        """Return the committed records from a position on; none after `wait_ms` when there are none.

        Raises:
            OffsetOutOfRangeError: the position is not in the log.
            KafkaError: no answer, or a refusal; corrupt records.
        """
        topic, number = self._place
        fetched = await fetch(
            self._client,
            await leader_of(self._client, topic, number),
            self._place,
            position,
            isolation=READ_COMMITTED,
            max_bytes=self._fetch_bytes,
            wait_ms=self._wait_ms,
            min_bytes=1,
        )
        if fetched.error_code:
            error = for_code(fetched.error_code)
            if error is NotLeaderForPartitionError:
                self._client.force_metadata_update()
            raise error(f"Fetch of {topic}-{number} at {position}")
        records, read_to = read_records(self._place, fetched, position, READ_COMMITTED, callers=self._callers)
        return Fetched(records, read_to, fetched.log_end)


class CommandReader:
    """Reads a partition's commands for its agent, a few fetches ahead.

    Args:
        bootstrap: the brokers.
        number: the partition.
        wake: called with a batch when none was waiting before it.
        lost: called when the log does not hold the position; the reading has ended then.
        failed: called with an unexpected error; the reading has ended then.
    """

    def __init__(
        self,
        bootstrap: str,
        number: int,
        wake: Callable[[CommandBatch], None],
        lost: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.log_end = 0  # as of the last fetch
        self._bootstrap = bootstrap
        self._number = number
        self._wake = wake
        self._lost = lost
        self._failed = failed
        self._waiting: list[CommandBatch] = []
        self._taken = asyncio.Event()
        self._taken_at = 0.0
        self._transaction_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def pop_batch(self) -> CommandBatch | None:
        """Return all that was fetched since the last call, as one batch: the longer a transaction, the larger the next.

        Returns:
            None when nothing was fetched.

        Raises:
            RuntimeError: the fetches do not join. This is a bug.
        """
        waiting, self._waiting = self._waiting, []
        self._taken.set()
        self._taken_at = asyncio.get_running_loop().time()
        if len(waiting) < 2:  # noqa: PLR2004 - nothing to join
            return waiting[0] if waiting else None
        if any(after.read_from != before.read_to for before, after in pairwise(waiting)):
            raise RuntimeError(f"partition {self._number}: fetches that do not join: {[w[2:] for w in waiting]}")
        records = [record for batch in waiting for record in batch.records]
        return CommandBatch(self._number, records, waiting[0].read_from, waiting[-1].read_to)

    def done(self) -> None:
        """Note that the agent's transaction has ended."""
        self._transaction_s = asyncio.get_running_loop().time() - self._taken_at

    def start(self, position: int) -> None:
        """Read from a position on; drop batches that were fetched and not taken."""
        self.stop()
        self._task = asyncio.create_task(self._read_until_stopped(position))

    def stop(self) -> None:
        """Stop reading; drop batches that were fetched and not taken."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._waiting = []

    def _is_current(self) -> bool:
        """Return whether this task is the reader that was started last.

        A cancellation may be lost: aiokafka's client drops one that comes while it closes, and so does
        `asyncio.wait_for` before Python 3.12. Two readers at the same time would pass the same commands on twice.
        """
        return asyncio.current_task() is self._task

    async def _read_until_stopped(self, position: int) -> None:
        retry_s = _RETRY_S
        while self._is_current():
            reader = LogReader(
                self._bootstrap,
                COMMANDS,
                self._number,
                client_id=f"holdfast-commands-{self._number}",
                fetch_bytes=_COMMAND_BYTES,
                wait_ms=_COMMAND_WAIT_MS,
                callers=True,
            )
            try:
                await reader.start()
                while self._is_current():
                    position = await self._read(reader, position)
                    retry_s = _RETRY_S
            except OffsetOutOfRangeError:
                if self._is_current():
                    self._lost()
                return
            except (KafkaError, OSError) as error:
                log.info("commands cannot be read; trying again", partition=self._number, error=repr(error))
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _LONGEST_RETRY_S)
            except Exception as error:  # noqa: BLE001 - without its reading a partition would stand still and say nothing
                if self._is_current():
                    self._failed(error)
                return
            finally:
                await reader.close()

    async def _read(self, reader: LogReader, position: int) -> int:
        """Read until there are records, keep them, and wait while too many fetches wait for the agent."""
        read_from = position
        fetched = await reader.fetch(position)
        while not fetched.records and self._is_current():
            fetched = await reader.fetch(fetched.position)
        if not self._is_current():
            return fetched.position
        self.log_end = fetched.log_end
        batch = CommandBatch(self._number, fetched.records, read_from, fetched.position)
        self._waiting.append(batch)
        if len(self._waiting) == 1:
            self._wake(batch)
        if fetched.position >= fetched.log_end:
            await self._pause()
        while len(self._waiting) >= _MOST_WAITING:
            self._taken.clear()
            await self._taken.wait()
        return fetched.position

    async def _pause(self) -> None:
        """Let commands gather for as long as a transaction takes.

        A transaction costs broker and worker about 3 ms of processor time, however few commands it has. Without the
        pause a busy machine makes transactions of two commands: at 1,000 commands/s the median answer took 19 to 36 ms,
        with it 18 ms; at 3,000/s 29 to 46 ms, with it 18 ms.
        """
        await asyncio.sleep(min(self._transaction_s, _LONGEST_PAUSE_S))
