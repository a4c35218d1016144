"""Owns request and response over Kafka: a command goes to `inventory.commands`, its result to `inventory.results`.

A connection to Kafka is a producer, a reader of the results with its own client, and a probe that checks six times a
second whether the brokers answer. When two probes got no answer, requests are refused at once instead of queueing up:
within a second after Kafka was killed or froze. Both clients reconnect by themselves; if one breaks for good, the
connection is made anew.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from gateway.compose import Composed
from gateway.config import GatewayConfig
from gateway.loads import Loads
from gateway.pending import Answer, PendingResults, Waiter
from gateway.problems import KafkaUnavailable, LogProgress, RequestRefused, ResultTimeout, Shed, TooManyRequests
from gateway.reader import Positions, close_reader, open_reader
from gateway.shipping import Delivered, ship
from gateway.status_view import Owned
from gateway.streams.ring import Ring
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS, RESULTS

_PROBE_S = 0.15
_PROBE_TIMEOUT_S = 0.4
_UNANSWERED = 2  # one probe may come too late on a busy machine
_TURNS = 5  # of the loop, for an answer that has come while the loop was busy
# When Kafka is away for longer, the clients are made anew: the brokers may come back at other addresses.
_PATIENCE_S = 10.0
_RETRY_S = 0.5
_STOP_TIMEOUT_S = 2.0
_IDLE_MS = 1000
# Commands gather in a batch while the batch before is being sent: about 1,000 at most.
_MAX_BATCH_BYTES = 256 * 1024

_log = structlog.get_logger("holdfast.gateway")

Outcome = Answer | RequestRefused | None
Answered = Callable[[int, Outcome], None]


class LedgerClient(Protocol):
    """What the routes need of the ledger: send commands, get results."""

    async def ask(self, command: Composed) -> Answer:
        """Send a command and wait for its result.

        Raises:
            RequestRefused: the command was not sent, or its result did not come in time.
        """

    async def ask_everywhere(self, command: Composed) -> list[Answer]:
        """Send a reference command to every partition and wait for all results, in the order of the partitions.

        Raises:
            RequestRefused: the command was not sent everywhere, or not all results came in time; sending it again is
                safe.
        """

    async def post(self, command: Composed) -> None:
        """Send a command and wait until Kafka has it.

        Raises:
            RequestRefused: the command was not sent, or Kafka did not acknowledge it in time.
        """

    async def ask_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        """Send commands, those of one SKU in their order, and wait for their results.

        Args:
            commands: the commands.
            answered: called with a command's number and its result, or why there is none; also when the wait is
                cancelled, for those that have their results by then.

        Raises:
            RequestRefused: none was sent.
        """

    async def post_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        """Send commands, those of one SKU in their order, and wait until Kafka has them.

        Args:
            commands: the commands.
            answered: called with a command's number and None, or why it may not be there.

        Raises:
            RequestRefused: none was sent.
        """

    def watching(self, sku: str, command_id: str) -> AbstractContextManager[asyncio.Event]:
        """Give an event for the length of a block; it is set when any result with this key comes.

        Raises:
            RequestRefused: too many requests wait.
        """

    @property
    def unavailable(self) -> str | None:
        """Return why no command can be sent now; None when one can."""

    @property
    def in_flight(self) -> int:
        """Count the requests that wait."""

    @property
    def loads(self) -> Loads:
        """Return the load of each partition."""


class KafkaLedger:
    """The ledger behind Kafka.

    Args:
        config: the address of Kafka, time-outs and limits.
        owned: says who serves a partition; it is told to a request without a result.
        ring: gets the results that nobody asked for.
    """

    def __init__(
        self,
        config: GatewayConfig,
        owned: Callable[[int], Owned] = lambda _: Owned("unknown", None, 0.0),
        ring: Ring | None = None,
    ) -> None:
        self._ring = ring
        self._config = config
        self._owned = owned
        self.loads = Loads(config.partitions, config.shed_after_ms)
        self._pending = PendingResults()
        self._posting = 0
        self._producer: AIOKafkaProducer | None = None
        self._positions: Positions = {}
        self._broken = asyncio.Event()
        self._logged: str | None = None
        self.unavailable: str | None = "not connected yet"
        self.connected = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Count the requests that wait."""
        return len(self._pending) + self._pending.watching + self._posting

    async def ask(self, command: Composed) -> Answer:
        """Send a command and wait for its result."""
        return await self._ask(command, partition_of(command.sku, self._config.partitions), command.sku.encode())

    async def ask_everywhere(self, command: Composed) -> list[Answer]:
        """Send a reference command to every partition and wait for all results, in the order of the partitions."""
        partitions = range(self._config.partitions)
        asked = [asyncio.ensure_future(self._ask(command, number, _everywhere(number))) for number in partitions]
        try:
            return [await answer for answer in asked]
        finally:
            for answer in asked:
                answer.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, command: Composed, partition: int, key: bytes) -> Answer:
        self._admit(command)
        if not self.loads.begin(partition):
            raise Shed(command_id=command.command_id)
        waiter = self._pending.add(key, command.command_id, partition)
        timer = asyncio.get_running_loop().call_later(self._config.request_timeout_s, self._time_out, waiter)
        answered = False
        try:
            sent = await self._send(command, partition)
            sent.add_done_callback(lambda sent: self._acknowledged(waiter, sent))
            answer = await waiter.future
            answered = True
            return answer
        finally:
            timer.cancel()
            self._pending.discard(waiter)
            self.loads.end(partition, answered=answered)

    def _time_out(self, *waiters: Waiter) -> None:
        for waiter in waiters:
            owned = self._owned(waiter.partition)
            progress = None
            if owned.state == "recovering" and owned.status is not None:
                progress = LogProgress(owned.status.recovered, owned.status.to_recover)
            waiter.fail(ResultTimeout(command_id=waiter.command_id, partition_state=owned.state, progress=progress))

    async def post(self, command: Composed) -> None:
        """Send a command and wait until Kafka has it."""
        self._admit(command)
        self._posting += 1
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                await (await self._send(command, partition_of(command.sku, self._config.partitions)))
        except TimeoutError:
            raise ResultTimeout(command_id=command.command_id) from None
        except KafkaError as error:
            self._look_at(error)
            raise KafkaUnavailable(repr(error), command_id=command.command_id) from None
        finally:
            self._posting -= 1

    async def ask_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        """Send commands, those of one SKU in their order, and wait for their results."""
        self._admit_all(len(commands))
        numbers = self._not_shed(commands, answered)
        taken = [commands[number] for number in numbers]
        waiters = [
            self._pending.add(it.sku.encode(), it.command_id, partition_of(it.sku, self._config.partitions))
            for it in taken
        ]
        for waiter in waiters:
            waiter.future.add_done_callback(partial(self._waited, waiter.partition))
        timer = asyncio.get_running_loop().call_later(self._config.request_timeout_s, self._time_out, *waiters)
        sending = asyncio.ensure_future(
            self._ship(
                taken,
                lambda number, offset: self._pending.acknowledge(waiters[number], offset),
                lambda number, error: waiters[number].fail(error),
            )
        )
        try:
            for waiter in waiters:
                if not waiter.future.done():
                    await asyncio.wait((waiter.future,))
        finally:
            timer.cancel()
            await _cancel([sending])
            for number, waiter in zip(numbers, waiters, strict=True):
                self._pending.discard(waiter)
                if waiter.future.done():
                    answered(number, waiter.outcome())
                else:
                    waiter.future.cancel()

    def _waited(self, partition: int, ended: "asyncio.Future[Answer]") -> None:
        self.loads.end(partition, answered=not ended.cancelled() and ended.exception() is None)

    def _not_shed(self, commands: Sequence[Composed], answered: Answered) -> list[int]:
        """Return the numbers of the commands that may wait; the others are answered.

        Of one partition all or none: a caller who sends the whole list again would otherwise have a command applied
        after a later one of the same SKU.
        """
        places = [partition_of(command.sku, self._config.partitions) for command in commands]
        shed = {partition for partition, count in Counter(places).items() if not self.loads.begin(partition, count)}
        for number, partition in enumerate(places):
            if partition in shed:
                answered(number, Shed(command_id=commands[number].command_id))
        return [number for number, partition in enumerate(places) if partition not in shed]

    async def post_all(self, commands: Sequence[Composed], answered: Answered) -> None:
        """Send commands, those of one SKU in their order, and wait until Kafka has them."""
        self._admit_all(len(commands))
        unknown = dict(enumerate(commands))

        def settled(number: int, outcome: Outcome) -> None:
            del unknown[number]
            answered(number, outcome)

        self._posting += len(commands)
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                await self._ship(commands, lambda number, _: settled(number, None), settled)
        except TimeoutError:
            for number, command in unknown.items():
                answered(number, ResultTimeout(command_id=command.command_id))
        finally:
            self._posting -= len(commands)

    async def _ship(
        self, commands: Sequence[Composed], delivered: Delivered, failed: Callable[[int, RequestRefused], None]
    ) -> None:
        def refused(number: int, error: KafkaError) -> None:
            self._look_at(error)
            failed(number, KafkaUnavailable(repr(error), command_id=commands[number].command_id))

        producer = self._producer
        if producer is None:
            for number, command in enumerate(commands):
                failed(number, KafkaUnavailable("not connected", command_id=command.command_id))
        else:
            await ship(producer, commands, self._config.partitions, delivered, refused)

    def watching(self, sku: str, command_id: str) -> AbstractContextManager[asyncio.Event]:
        """Give an event for the length of a block; it is set when any result with this key comes."""
        self._admit_all(1)
        return self._pending.watch(sku.encode(), command_id)

    def _admit_all(self, count: int) -> None:
        if self.unavailable is not None:
            raise KafkaUnavailable(self.unavailable)
        if self.in_flight + count > self._config.max_in_flight:
            raise TooManyRequests(self._config.max_in_flight)

    def _admit(self, command: Composed) -> None:
        if self.unavailable is not None:
            raise KafkaUnavailable(self.unavailable, command_id=command.command_id)
        if self.in_flight >= self._config.max_in_flight:
            raise TooManyRequests(self._config.max_in_flight, command_id=command.command_id)

    async def _send(self, command: Composed, partition: int) -> "asyncio.Future[object]":
        producer = self._producer
        if producer is None:
            raise KafkaUnavailable("not connected", command_id=command.command_id)
        try:
            sent: asyncio.Future[object] = await producer.send(
                COMMANDS, command.value, key=command.key.encode(), partition=partition
            )
        except KafkaError as error:
            self._look_at(error)
            raise KafkaUnavailable(repr(error), command_id=command.command_id) from None
        return sent

    def _acknowledged(self, waiter: Waiter, sent: "asyncio.Future[object]") -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is not None:
            self._look_at(error)
            waiter.fail(KafkaUnavailable(repr(error), command_id=waiter.command_id))
        elif not sent.cancelled():
            self._pending.acknowledge(waiter, sent.result().offset)  # type: ignore[attr-defined]

    def _look_at(self, error: BaseException) -> None:
        if not (isinstance(error, KafkaError) and error.retriable):
            self._broken.set()

    async def run(self) -> None:
        """Keep a connection to Kafka until cancelled."""
        while True:
            self._broken.clear()
            try:
                await self._connection()
            except OffsetOutOfRangeError:
                _log.warning("results were cut off below the gateway's position: going on from their end")
                self._positions.clear()
                if self._ring is not None:
                    self._ring.lose()
            except Exception as error:  # noqa: BLE001 - aiokafka's own checks are asserts; a new connection cures all
                self._away(repr(error))
            await asyncio.sleep(_RETRY_S)

    async def _connection(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            reader = await open_reader(self._config, RESULTS, self._positions or "end")
            stack.push_async_callback(close_reader, reader)
            for partition in reader.assignment():
                self._positions[partition] = await reader.position(partition)
            if self._ring is not None:
                self._ring.take({}, self._positions)
            producer = AIOKafkaProducer(
                bootstrap_servers=self._config.bootstrap,
                client_id="holdfast-gateway",
                acks="all",
                linger_ms=0,
                max_batch_size=_MAX_BATCH_BYTES,
                # A command that waits longer for its broker is dropped: its request has been answered by then.
                request_timeout_ms=int(self._config.request_timeout_s * 1000),
                **kafka_options(),
            )
            stack.push_async_callback(_close, producer)
            await producer.start()
            await producer.partitions_for(COMMANDS)
            self._producer = producer
            stack.callback(self._disconnected)
            parts = [self._read(reader), self._probe(producer), self._wait_until_broken()]
            tasks = [asyncio.ensure_future(part) for part in parts]
            stack.push_async_callback(_cancel, tasks)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    def _disconnected(self) -> None:
        self._producer = None
        self._refuse("the connection is being made anew")

    async def _wait_until_broken(self) -> None:
        await self._broken.wait()

    async def _read(self, reader: AIOKafkaConsumer) -> None:
        match_result = self._pending.match_result
        while True:
            records = await reader.getmany(timeout_ms=_IDLE_MS)
            for partition, batch in records.items():
                everywhere = _everywhere(partition.partition)
                for record in batch:
                    # The result of a reference command has an empty key, and there is one in every partition.
                    match_result(everywhere if record.key == b"" else record.key, record.value)
                self._positions[partition] = batch[-1].offset + 1
                self.loads.results(partition.partition, len(batch))
            if self._ring is not None:
                self._ring.take(records, self._positions)

    async def _probe(self, producer: AIOKafkaProducer) -> None:
        clock = asyncio.get_running_loop().time
        seen_at, unanswered = clock(), 0
        while clock() - seen_at < _PATIENCE_S:
            if not await _answers(producer):
                unanswered += 1
                if unanswered >= _UNANSWERED:
                    self._away("no broker answers")
                    await asyncio.sleep(_PROBE_S)
                continue
            unanswered = 0
            reason = _reason_to_refuse(producer, self._config.partitions)
            if reason is None:
                seen_at = clock()
                self._here()
            else:
                self._away(reason)
            await asyncio.sleep(_PROBE_S)

    def _here(self) -> None:
        if self.unavailable is not None:
            _log.info("connected to Kafka", bootstrap=self._config.bootstrap)
            self._logged = None
            self.unavailable = None
            self.connected.set()

    def _away(self, reason: str) -> None:
        if reason != self._logged:
            _log.warning("Kafka is away: commands are refused until it is back", reason=reason)
            self._logged = reason
        self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        self.unavailable = reason
        self.connected.clear()
        self._pending.fail_unacknowledged(lambda command_id: KafkaUnavailable(reason, command_id=command_id))


async def _answers(producer: AIOKafkaProducer) -> bool:
    """Return whether a broker answers in time; not that this process was too busy to see the answer."""
    asked = asyncio.ensure_future(producer.client.force_metadata_update())
    await asyncio.wait({asked}, timeout=_PROBE_TIMEOUT_S)
    for _ in range(_TURNS):
        if asked.done():
            return not asked.cancelled() and asked.exception() is None and bool(asked.result())
        await asyncio.sleep(0)
    return False


def _reason_to_refuse(producer: AIOKafkaProducer, partitions: int) -> str | None:
    client = producer.client
    if COMMANDS in client.cluster.unauthorized_topics:
        return f"Kafka does not let this gateway write to {COMMANDS}"
    found = client.cluster.partitions_for_topic(COMMANDS) or ()
    if len(found) != partitions:
        return f"{COMMANDS} has {len(found)} partitions, not {partitions}: set HOLDFAST_PARTITIONS to its count"
    for partition in found:
        if client.cluster.leader_for_partition(TopicPartition(COMMANDS, partition)) in (None, -1):
            return f"{COMMANDS} {partition} has no leader"
    return None


def _everywhere(partition: int) -> bytes:
    """Return what stands for the SKU of a reference command in one partition; no SKU has a control character."""
    return b"\0%d" % partition


async def _close(producer: AIOKafkaProducer) -> None:
    # A stopping producer tries to send the rest for as long as a request may take.
    stopping = asyncio.ensure_future(producer.stop())
    await asyncio.wait({stopping}, timeout=_STOP_TIMEOUT_S)
    if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
        stopping.cancel()
        await producer.client.close()


async def _cancel(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
