"""Owns how commands reach the agents: a Faust consumer that runs in the app's own loop and yields whole batches.

Faust's own consumer lives in a thread of its own and yields records one by one; both cost more than deciding does. What
this one does otherwise, and why, is ADR 0003.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import Transport, server_list
from faust.types import TP, ConsumerMessage

from agents.batches import CommandBatch
from agents.partition import NotOursError, Partition
from agents.wire import LeaveGroup
from schemas.topics import COMMANDS

# About 1,500 commands of 170 bytes: what one transaction can take. A larger fetch only waits in memory.
_FETCH_BYTES = 256 * 1024
# A long poll on an idle partition holds up the next fetch to that broker by at most this.
_FETCH_WAIT_MS = 100
# Batches of one partition that may wait for its agent. Then the fetcher leaves it alone: it may not just be skipped:
# what it has fetched and nobody takes holds up the other partitions of that broker for 100 ms at a time.
_MOST_AHEAD = 4


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
        generation = consumer.client._coordinator.generation  # noqa: SLF001 - aiokafka has no other way to ask
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
        self._recoveries: set[asyncio.Task[None]] = set()
        # Where the next batch of each partition starts: after a seek, and after what was handed out last.
        self._next: dict[TP, int] = {}
        self._ahead: dict[TP, int] = {}  # batches handed out and not done with
        self._listener = _RebalanceListener(self)

    @property
    def client(self) -> AIOKafkaConsumer:
        """Give aiokafka's consumer; it exists once the service was started."""
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
            isolation_level="read_committed",
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=10_000,
            retry_backoff_ms=50,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            check_crcs=True,
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
        await asyncio.gather(*(partition.revoke() for partition in self.partitions.values()))
        self.partitions.clear()
        if self._client is not None:
            await self._leave_group(self._client)
            await self._client.stop()

    async def _leave_group(self, client: AIOKafkaConsumer) -> None:
        coordinator = client._coordinator  # noqa: SLF001 - aiokafka does not leave for a static member
        instance = self.app.conf.consumer_group_instance_id
        try:
            if coordinator.coordinator_id is not None and instance:
                request = LeaveGroup(self.app.conf.id, [(coordinator.member_id, instance, {})])
                await asyncio.wait_for(
                    client._client.send(coordinator.coordinator_id, request, group=1),  # noqa: SLF001
                    1.0,
                )
        except (KafkaError, TimeoutError, OSError) as error:
            self.log.warning("the group could not be told; it will notice in a few seconds: %r", error)

    # Rebalancing

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """REVOKE what is taken away, before Faust hears of it."""
        gone = [self.partitions.pop(tp.partition) for tp in revoked if self._is_owned(tp)]
        await asyncio.gather(*(partition.revoke() for partition in gone))
        await super().on_partitions_revoked(revoked)

    def _is_open(self, tp: TP) -> bool:
        return self._is_owned(tp) and self.partitions[tp.partition].is_open

    def _is_owned(self, tp: TP) -> bool:
        return tp.topic == COMMANDS and tp.partition in self.partitions

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Keep the fetcher away from everything until the ledgers have said where to start."""
        self.client.pause(*[TopicPartition(*tp) for tp in assigned])
        for tp in assigned:
            self._next.pop(tp, None)
            self._ahead.pop(tp, None)
            if tp.topic == COMMANDS and tp.partition not in self.partitions:
                self.partitions[tp.partition] = self.app.new_partition(tp.partition, self._assigns(tp))
        await super().on_partitions_assigned(assigned, generation_id)

    def _assigns(self, tp: TP) -> Any:
        return lambda: TopicPartition(*tp) in self.client.assignment()

    def start_recoveries(self) -> None:
        """RECOVER every partition that is not open; each is read as soon as it is ready, whatever the others do."""
        for partition in self.partitions.values():
            if not partition.is_open and not partition.is_recovering:
                task = asyncio.create_task(self.app.recover(partition))
                self._recoveries.add(task)
                task.add_done_callback(self._recoveries.discard)

    async def perform_seek(self) -> None:
        """Do nothing: Faust would seek to the group's offsets here, and RECOVER seeks to the ledger's position."""

    async def recover(self, partition: Partition) -> None:
        """RECOVER one partition, and go on reading its commands from its position."""
        tp = TP(COMMANDS, partition.number)
        topic_partition = TopicPartition(*tp)
        try:
            await self.seek(tp, await partition.recover())
            self.client.resume(topic_partition)
        except (NotOursError, IllegalStateError):
            partition.log.info("the partition was taken away while it was recovered")

    async def seek_to_ledger(self, partition: Partition) -> None:
        """Read a partition's commands from where its ledger stands: what was read before belongs to an earlier life."""
        await self.seek(TP(COMMANDS, partition.number), partition.read_position)

    # Reading

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[CommandBatch]]:  # noqa: ASYNC109 - Faust's signature
        wanted = [TopicPartition(*tp) for tp in active_partitions or () if self._is_open(tp)]
        if not wanted:
            await self.sleep(0.01)
            return {}
        try:
            fetched = await self.client.getmany(*wanted, timeout_ms=int(timeout * 1000))
        except NoOffsetForPartitionError:
            # aiokafka looked for a group offset before RECOVER had sought; it keeps the error until the next seek.
            for tp in wanted:
                if self._is_open(TP(*tp)):
                    await self.seek_to_ledger(self.partitions[tp.partition])
            return {}
        except OffsetOutOfRangeError as error:
            self.log.warning("a position is not in the log: %r", error)
            missing = error.args[0] if error.args and isinstance(error.args[0], dict) else wanted
            for tp in missing:
                if (partition := self.partitions.get(tp.partition)) is not None:
                    # RECOVER looks at the log: it says what is missing, or seeks.
                    await self.app.recover(partition)
            return {}
        return {TP(*tp): [self._batch(TP(*tp), records)] for tp, records in fetched.items() if records}

    def _batch(self, tp: TP, records: list[Any]) -> CommandBatch:
        read_from = self._next[tp]
        read_to = self._next[tp] = self._position(TopicPartition(*tp))
        self._ahead[tp] = self._ahead.get(tp, 0) + 1
        if self._ahead[tp] >= _MOST_AHEAD:
            self.client.pause(TopicPartition(*tp))
        return CommandBatch(tp.partition, records, read_from, read_to)

    def batch_done(self, number: int) -> None:
        """Take note that an agent is done with a batch; a partition that was too far behind is read again."""
        tp = TP(COMMANDS, number)
        self._ahead[tp] = max(0, self._ahead.get(tp, 0) - 1)
        if self._ahead[tp] < _MOST_AHEAD and TopicPartition(*tp) in self.client.paused() and self._is_open(tp):
            self.client.resume(TopicPartition(*tp))

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: Faust would stop reading at one waiting batch, and then sleep a second. See `batch_done`."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing; see `on_buffer_full`."""

    def _position(self, tp: TopicPartition) -> int:
        assignment = self.client._subscription.subscription.assignment  # noqa: SLF001 - `position()` may wait
        return int(assignment.state_value(tp)._position)  # noqa: SLF001

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
        """Give the ledgers' positions: the group's offsets are never read."""
        return {
            TP(COMMANDS, number): partition.position.next_offset
            for number, partition in self.partitions.items()
            if partition.position is not None
        }

    async def _seek(self, partition: TP, offset: int) -> None:
        self._next[partition] = offset
        self._ahead[partition] = 0
        self.client.seek(TopicPartition(*partition), offset)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek several partitions."""
        for tp, offset in partitions.items():
            await self._seek(tp, offset)

    async def position(self, tp: TP) -> int | None:
        """Give the offset of the next record to read."""
        return self._position(TopicPartition(*tp))

    def assignment(self) -> set[TP]:
        """Give the partitions the group assigns to this worker."""
        return {TP(*tp) for tp in self.client.assignment()} if self._client else set()

    def highwater(self, tp: TP) -> int:
        """Give the end of a partition as of the last fetch."""
        return self.client.highwater(TopicPartition(*tp)) or 0

    def topic_partitions(self, topic: str) -> int | None:
        """Give a topic's partition count."""
        found = self.client.partitions_for_topic(topic)
        return len(found) if found else None

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Give the first offsets in the log."""
        found = await self.client.beginning_offsets([TopicPartition(*tp) for tp in partitions])
        return {TP(*tp): offset for tp, offset in found.items()}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Give the ends of the log."""
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
