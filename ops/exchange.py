"""Owns an exchange with the ledger: a producer of commands, and a reader of results that starts before it."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Self

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from ops.kafka.cluster import connect
from ops.problems import CannotDo, kafka_at, no_topic
from schemas import codec
from schemas.commands import Query, SkuCommand
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.results import Result
from schemas.topics import COMMANDS, RESULTS

DEFAULT_BATCH_BYTES = 64 * 1024
# An idempotent producer retries for ever; when Kafka is away, closing gives up after this.
_STOP_TIMEOUT_S = 5.0
# How many records are handled before the sender may run: about 5 ms.
_MAX_RECORDS = 2_000


class Address(msgspec.Struct, gc=False):
    """The fields that say which command a result answers; reading only these takes half the time."""

    command_id: str | None
    sku: str


address_of = msgspec.json.Decoder(Address).decode


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A producer of commands and a reader of their results."""

    bootstrap: str
    producer: AIOKafkaProducer
    results: AIOKafkaConsumer
    partitions: int

    async def ask(self, command: SkuCommand, timeout_s: float) -> Result:
        """Send one command and wait for its result.

        Raises:
            CannotDo: no result came in time.
        """
        partition = partition_of(command.sku, self.partitions)
        value = codec.encode(codec.json_object_of(command))
        try:
            async with asyncio.timeout(timeout_s):
                await self.producer.send_and_wait(COMMANDS, value, key=command.sku.encode(), partition=partition)
                while True:
                    record = await self.results.getone()
                    address = address_of(record.value)
                    if address.command_id == command.command_id and address.sku == command.sku:
                        return codec.result_decoder.decode(record.value)
        except TimeoutError:
            raise no_answer(command.command_id, timeout_s) from None

    async def answer_in(self, partition: int, command_id: str, timeout_s: float) -> Result:
        """Wait for the result of a reference command in one partition.

        Raises:
            CannotDo: no result came in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    record = await self.results.getone()
                    address = address_of(record.value)
                    if record.partition == partition and (address.command_id, address.sku) == (command_id, ""):
                        return codec.result_decoder.decode(record.value)
        except TimeoutError:
            raise no_answer(command_id, timeout_s) from None


class Follower:
    """Reads results beside whatever else the loop does, and hands each to `take`.

    Args:
        results: a reader of `inventory.results`.
        take: given a result's bytes; tells whether it was one that somebody waits for.
    """

    def __init__(self, results: AIOKafkaConsumer, take: Callable[[bytes], bool]) -> None:
        self._results = results
        self._take = take
        self._moved = asyncio.Event()
        self._moved_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            batches = await self._results.getmany(timeout_ms=1000, max_records=_MAX_RECORDS)
            moved = False
            for records in batches.values():
                for record in records:
                    moved = self._take(record.value) or moved
            if moved:
                self._moved_at = asyncio.get_running_loop().time()
                self._moved.set()
            await asyncio.sleep(0)  # getmany returns at once while it has records: let the sender in between

    async def until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something is done.

        Args:
            done: called after each read.
            timeout_s: how long to wait without a result that somebody waits for.

        Returns:
            True when it is done; False when no result came for that long.
        """
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        while not done():
            if self._task is None or self._task.done():
                raise RuntimeError("the reader of results ended") from (self._task.exception() if self._task else None)
            left_s = max(self._moved_at, began_at) + timeout_s - loop.time()
            if left_s <= 0:
                return False
            self._moved.clear()
            waiter = asyncio.create_task(self._moved.wait())
            await asyncio.wait({waiter, self._task}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()
        return True


class Fence:
    """A `query` to each partition. A partition answers in order, so after its answer all earlier results are there."""

    def __init__(self, link: Exchange) -> None:
        self._link = link
        self._open: dict[str, int] = {}

    @property
    def silent(self) -> list[int]:
        """Return the partitions that have not answered."""
        return sorted(self._open.values())

    async def put_up(self) -> None:
        """Send the queries, behind the commands that were sent before."""
        self._open = {f"fence-{uuid.uuid4().hex}": partition for partition in range(self._link.partitions)}
        for command_id, partition in list(self._open.items()):
            sku = _sku_in(partition, self._link.partitions)
            value = codec.encode(codec.json_object_of(Query(command_id=command_id, sku=sku)))
            await self._link.producer.send(COMMANDS, value, key=sku.encode(), partition=partition)

    def receive_result(self, value: bytes) -> bool:
        """Take a result. Tells whether it is an answer to the fence."""
        command_id = address_of(value).command_id
        return command_id is not None and self._open.pop(command_id, None) is not None


def _sku_in(partition: int, partitions: int) -> str:
    candidates = (f"holdfast-fence-{number}" for number in count())
    return next(sku for sku in candidates if partition_of(sku, partitions) == partition)


def no_answer(command_id: str, timeout_s: float) -> CannotDo:
    """Return the error for a command whose result did not come."""
    return CannotDo(
        f"no result for command {command_id} within {timeout_s:g} s. Does a worker run (`holdfast doctor`)? "
        "Sending the same command again is safe: it is applied once."
    )


@contextlib.asynccontextmanager
async def exchange(bootstrap: str, *, batch_bytes: int = DEFAULT_BATCH_BYTES) -> AsyncIterator[Exchange]:
    """Open an exchange during the block. It does not see results that were published before.

    Args:
        bootstrap: `HOST:PORT,...` of the brokers.
        batch_bytes: the largest record batch the producer makes.

    Raises:
        CannotDo: no Kafka answers, or the topics do not exist.
    """
    partitions = await count_of(bootstrap, COMMANDS)
    with kafka_at(bootstrap):
        async with reading(bootstrap, RESULTS, range(await count_of(bootstrap, RESULTS))) as results:
            producer = AIOKafkaProducer(
                bootstrap_servers=bootstrap,
                enable_idempotence=True,
                max_batch_size=batch_bytes,
                linger_ms=2,
                **kafka_options(),
            )
            await producer.start()
            try:
                yield Exchange(bootstrap=bootstrap, producer=producer, results=results, partitions=partitions)
            finally:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(producer.stop(), _STOP_TIMEOUT_S)


async def count_of(bootstrap: str, topic: str) -> int:
    """Return the number of partitions of a topic.

    Raises:
        CannotDo: it does not exist, or no Kafka answers.
    """
    async with connect(bootstrap) as cluster:
        count = (await cluster.partition_counts()).get(topic)
    if count is None:
        raise no_topic(topic)
    return count


@contextlib.asynccontextmanager
async def reading(
    bootstrap: str, topic: str, partitions: Iterable[int], *, from_beginning: bool = False
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a reader of committed records, from the end of the partitions or from their beginning.

    Raises:
        CannotDo: no Kafka answers.
    """
    places = [TopicPartition(topic, partition) for partition in partitions]
    with kafka_at(bootstrap):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            # A position that the log does not hold must raise an error and not skip records silently.
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
            **kafka_options(),
        )
        await consumer.start()
        try:
            consumer.assign(places)
            find = consumer.beginning_offsets if from_beginning else consumer.end_offsets
            for place, offset in (await find(places)).items():
                consumer.seek(place, offset)
            yield consumer
        finally:
            await consumer.stop()


async def records_until_end(consumer: AIOKafkaConsumer) -> AsyncIterator[ConsumerRecord]:
    """Yield the records up to the present ends of a reader's partitions, each partition's in their order."""
    ends = await consumer.end_offsets(list(consumer.assignment()))
    for place, end in ends.items():
        while await consumer.position(place) < end:
            for record in (await consumer.getmany(place, timeout_ms=200)).get(place, []):
                yield record
