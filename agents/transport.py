"""Owns how commands reach the agents: a Faust consumer that runs in the app's own loop and yields whole batches.

Faust's own consumer lives in a thread of its own and yields records one by one; both cost more than deciding does. What
this one does otherwise, and why, is ADR 0003. aiokafka's consumer is the member of the group here, and nothing else:
each partition's commands are read by a `CommandReader`.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import Transport, server_list
from faust.types import TP, ConsumerMessage

from agents.batches import CommandBatch
from agents.errors import TransactionError
from agents.kafka.private import check_membership, generation_of, leave_group
from agents.partition import NotOursError, Partition
from agents.reading import CommandReader
from schemas.topics import COMMANDS

# Nobody calls aiokafka's `getmany` here, so its watch over the time between two calls must never bite.
_NEVER_MS = 2**31 * 1_000
_LEAVE_WITHIN_S = 1.0
# As long as the end of a transaction has not been seen, it is asked for: so often, and so late when nobody answers.
_ASK_EVERY_S, _ASK_AGAIN_S = 0.5, 1.0


class _RebalanceListener(ConsumerRebalanceListener):
    """Passes aiokafka's callbacks on, the way Faust's own listener does across its thread."""

    def __init__(self, consumer: "BatchConsumer") -> None:
        self._consumer = consumer

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> Awaitable[None]:
        """Tell the app at once, in the synchronous part, that a rebalance has begun."""
        self._consumer.app.on_rebalance_start()
        return self._consumer.on_partitions_revoked({TP(*tp) for tp in revoked})

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the generation first: a stream drops events whose generation is not the app's."""
        consumer = self._consumer
        generation = generation_of(consumer.client)
        consumer.app.consumer_generation_id = generation
        await consumer.on_partitions_assigned({TP(*tp) for tp in assigned}, generation)


class BatchConsumer(Consumer):
    """Faust's view of the consumer group, over one `AIOKafkaConsumer`."""

    RebalanceListener: ClassVar[type] = _RebalanceListener
    consumer_stopped_errors: ClassVar[tuple[type[BaseException], ...]] = (ConsumerStoppedError,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.partitions: dict[int, Partition] = {}
        self._client: AIOKafkaConsumer | None = None
        self._beside: set[asyncio.Task[None]] = set()  # so that none is collected while it runs
        self._readers: dict[int, CommandReader] = {}
        self._wake_ups: asyncio.Queue[CommandBatch] = asyncio.Queue()
        self._asking: set[int] = set()  # partitions
        self._ask_at: dict[int, float] = {}  # partition -> not before, by the loop's clock in seconds
        self._listener = _RebalanceListener(self)

    @property
    def client(self) -> AIOKafkaConsumer:
        """Return aiokafka's consumer; it exists once the service was started."""
        assert self._client is not None  # noqa: S101 - Faust starts the consumer before anything that uses it
        return self._client

    # Life

    async def on_start(self) -> None:
        """Connect."""
        conf = self.app.conf
        self._client = AIOKafkaConsumer(
            bootstrap_servers=server_list(self.transport.url, self.transport.default_port),
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self.app.assignor],
            enable_auto_commit=False,
            # Positions come from the ledger alone. A reset would skip what retention took, and nobody would notice.
            auto_offset_reset="none",
            max_poll_interval_ms=_NEVER_MS,
            request_timeout_ms=10_000,
            retry_backoff_ms=50,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
        )
        while True:
            try:
                await self._client.start()
            except KafkaError as error:
                self.log.warning("no Kafka yet: %r", error)
                if await self.sleep(1.0) or self.should_stop:
                    return
            else:
                return

    async def on_stop(self) -> None:
        """Give all partitions up and leave the group, so that others need not wait for the session to end."""
        await self._store_positions()
        await self._revoke(list(self.partitions))
        if self._client is not None:
            await self._leave_group(self._client)
            await self._client.stop()

    async def _leave_group(self, client: AIOKafkaConsumer) -> None:
        instance = self.app.conf.consumer_group_instance_id
        try:
            if instance:
                await leave_group(client, self.app.conf.id, instance, within_s=_LEAVE_WITHIN_S)
        except (KafkaError, TimeoutError, OSError) as error:
            self.log.warning("the group could not be told; it will notice in a few seconds: %r", error)

    # Rebalancing

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """REVOKE what is taken away, before Faust hears of it."""
        numbers = {tp.partition for tp in revoked if tp.topic == COMMANDS}
        await self._revoke(sorted(numbers & self.partitions.keys()))
        await super().on_partitions_revoked(revoked)

    async def _revoke(self, numbers: list[int]) -> None:
        for number in numbers:
            self._readers.pop(number).stop()
        given_up = [self.partitions.pop(number).revoke() for number in numbers]
        # One that fails must not keep the rebalance from waiting for the others, and Faust from hearing of it.
        for outcome in await asyncio.gather(*given_up, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.log.error("a partition was closed in the midst of REVOKE: %r", outcome)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Make what serves each new partition; it recovers before it reads."""
        for tp in sorted(assigned):  # the order of a set is another in every process; a simulated world has one
            # aiokafka's fetcher is kept away from everything, and from looking for a position.
            self.client.pause(TopicPartition(*tp))
            self.client.seek(TopicPartition(*tp), 0)
            if tp.topic == COMMANDS and tp.partition not in self.partitions:
                partition = self.app.new_partition(tp.partition, self._assigns(tp))
                self.partitions[tp.partition] = partition
                self._readers[tp.partition] = self._new_reader(partition)
        await super().on_partitions_assigned(assigned, generation_id)

    def _new_reader(self, partition: Partition) -> CommandReader:
        return CommandReader(
            self.app.worker_config.bootstrap,
            partition.number,
            wake=self._wake_ups.put_nowait,
            # RECOVER looks at the log: it says what is missing, or where to read.
            lost=lambda: self._run_beside(self.app.recover(partition)),
            failed=lambda error: self._run_beside(self.app.crash(error)),
        )

    def _assigns(self, tp: TP) -> Any:
        return lambda: TopicPartition(*tp) in self.client.assignment()

    def start_recoveries(self) -> None:
        """RECOVER every partition that is not open; each is read as soon as it is ready, whatever the others do."""
        for partition in self.partitions.values():
            if not partition.is_open and not partition.is_recovering:
                self._run_beside(self.app.recover(partition))

    def recover_hanging(self) -> None:
        """Ask how what was committed has ended, and RECOVER the partitions in which it hangs."""
        now = asyncio.get_running_loop().time()
        for number, partition in self.partitions.items():
            is_due = partition.is_open and partition.may_hang and now >= self._ask_at.get(number, 0.0)
            if is_due and number not in self._asking:
                self._ask_at[number] = now + _ASK_EVERY_S
                self._run_beside(self._recover_if_hanging(partition))

    async def _recover_if_hanging(self, partition: Partition) -> None:
        self._asking.add(partition.number)
        try:
            hangs = await partition.hangs()
        except (TransactionError, KafkaError, OSError) as error:
            partition.log.info("cannot see how the last transactions ended; asking again", error=repr(error))
            self._ask_at[partition.number] = asyncio.get_running_loop().time() + _ASK_AGAIN_S
            return
        except Exception as error:
            partition.log.exception("the worker cannot go on")
            await self.app.crash(error)
            return
        finally:
            self._asking.discard(partition.number)
        if hangs and partition.is_open and not partition.is_recovering:
            partition.log.warning("a transaction hangs; recovering")
            await self.app.recover(partition)

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def check_group(self) -> None:
        """Raise what ended the membership in the group: aiokafka keeps it until somebody asks, and waits for that.

        Raises:
            Exception: the member neither heartbeats nor joins again.
        """
        if self._client is not None:
            check_membership(self._client)

    async def perform_seek(self) -> None:
        """Do nothing: Faust would seek to the group's offsets here, and RECOVER gives the ledger's position."""

    async def recover(self, partition: Partition) -> None:
        """RECOVER one partition, and go on reading its commands from its position."""
        if (reader := self._reader_of(partition)) is not None:
            reader.stop()
        try:
            await partition.recover()
        except NotOursError:
            partition.log.info("the partition was taken away while it was recovered")
        else:
            self.read_from_ledger(partition)

    def read_from_ledger(self, partition: Partition) -> None:
        """Read a partition's commands from where its ledger stands: what was read before belongs to an earlier life."""
        if partition.is_open and (reader := self._reader_of(partition)) is not None:
            reader.start(partition.read_position)

    def _reader_of(self, partition: Partition) -> CommandReader | None:
        # A partition that was taken away may have been given again, to a successor of this one.
        return self._readers[partition.number] if self.partitions.get(partition.number) is partition else None

    # Reading

    async def _drain_messages(self, fetcher: Any) -> None:
        """Wake agents for ever. Faust's loop makes seven tasks and futures for every message."""
        while not (self.should_stop or fetcher.should_stop):
            for tp, batches in (await self._getmany(None, 1.0)).items():
                for batch in batches:
                    await self.callback(self._to_message(tp, batch))

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[CommandBatch]]:  # noqa: ARG002, ASYNC109 - Faust's signature
        batch = await self._wake_ups.get()
        # What was fetched of a partition that was taken away since has no agent any more.
        return {TP(COMMANDS, batch.partition): [batch]} if batch.partition in self.partitions else {}

    def take_waiting(self, number: int) -> CommandBatch | None:
        """Return all that was fetched of a partition since its agent last asked; None when there is nothing."""
        reader = self._readers.get(number)
        return reader.take() if reader is not None else None

    def batch_done(self, number: int) -> None:
        """Take note that an agent is done with a batch."""
        if (reader := self._readers.get(number)) is not None:
            reader.done()

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: Faust would stop reading at one waiting batch, then sleep a second. `CommandReader` brakes."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing; see `on_buffer_full`."""

    def _to_message(self, tp: TP, record: CommandBatch) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            [],
            None,
            record,
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    # Positions for lag tools. The ledger's own are the truth.

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002 - Faust's signature
        """Store the ledgers' positions as the group's offsets, now and then."""
        await self._store_positions()
        return True

    async def _store_positions(self) -> None:
        offsets = {
            TopicPartition(COMMANDS, number): OffsetAndMetadata(partition.position.next_offset, "")
            for number, partition in self.partitions.items()
            if partition.position is not None
        }
        if offsets:
            await self._commit(offsets)

    async def _commit(self, offsets: Mapping[Any, Any]) -> bool:
        try:
            await asyncio.wait_for(self.client.commit(offsets), 2.0)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            self.log.info("the group's offsets were not stored (only lag tools read them): %r", error)
            return False
        return True

    # The rest of Faust's interface

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group for these topics."""
        self.client.subscribe(topics=list(topics), listener=self._listener)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Return the ledgers' positions: the group's offsets are never read."""
        return {
            TP(COMMANDS, number): partition.position.next_offset
            for number, partition in self.partitions.items()
            if partition.position is not None
        }

    async def _seek(self, partition: TP, offset: int) -> None:
        """Do nothing: reading starts where the ledger stands, and nowhere else."""

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Do nothing; see `_seek`."""

    async def position(self, tp: TP) -> int | None:
        """Return the offset of the next command to decide."""
        partition = self.partitions.get(tp.partition)
        return partition.read_position if partition is not None else None

    def assignment(self) -> set[TP]:
        """Return the partitions the group assigns to this worker."""
        return {TP(*tp) for tp in self.client.assignment()} if self._client else set()

    def highwater(self, tp: TP) -> int:
        """Return the end of a partition as of the last fetch."""
        reader = self._readers.get(tp.partition) if tp.topic == COMMANDS else None
        return reader.log_end if reader is not None else 0

    def topic_partitions(self, topic: str) -> int | None:
        """Return a topic's partition count."""
        found = self.client.partitions_for_topic(topic)
        return len(found) if found else None

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the first offsets in the log."""
        found = await self.client.beginning_offsets([TopicPartition(*tp) for tp in partitions])
        return {TP(*tp): offset for tp, offset in found.items()}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the ends of the log."""
        found = await self.client.end_offsets([TopicPartition(*tp) for tp in partitions])
        return {TP(*tp): offset for tp, offset in found.items()}

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:
        """Do nothing: topics are made before a worker starts, all with the same partition count."""

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        """Leave placing to `schemas.partitioner`; nothing here is sent by key."""
        del topic, key
        return partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def close(self) -> None:
        """Let go at once; Faust calls it when a rebalance meets a stopping app."""


class LedgerTransport(Transport):
    """aiokafka's transport with the batch consumer."""

    Consumer: ClassVar[type] = BatchConsumer
