"""Owns the path of commands to the agents: a Faust consumer that runs in the app's own loop and yields batches.

Faust's consumer runs in its own thread and yields records one by one; both cost more than the decisions. ADR 0003 says
what this one does in another way, and why. aiokafka's consumer is only the member of the group; `agents/assignment.py`
serves the assigned partitions.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import Producer, Transport, server_list
from faust.types import TP, ConsumerMessage

from agents.assignment import Partitions
from agents.batches import CommandBatch
from agents.kafka.private import check_membership, generation_of, leave_group
from schemas.kafka_connection import kafka_options
from schemas.topics import COMMANDS

# We never call aiokafka's `getmany`, so its limit for the time between two calls must not apply.
_NEVER_MS = 2**31 * 1_000
_LEAVE_WITHIN_S = 1.0


class _RebalanceListener(ConsumerRebalanceListener):
    """Passes aiokafka's callbacks on to Faust, like Faust's own listener."""

    def __init__(self, consumer: "BatchConsumer") -> None:
        self._consumer = consumer

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> Awaitable[None]:
        """Tell the app synchronously, before the first await, that a rebalance has begun."""
        self._consumer.app.on_rebalance_start()
        return self._consumer.on_partitions_revoked({TP(*tp) for tp in revoked})

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Set the app's generation first: a stream drops events of another generation."""
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
        self._client: AIOKafkaConsumer | None = None
        self._listener = _RebalanceListener(self)

    @property
    def _partitions(self) -> Partitions:
        found: Partitions = self.app.partitions
        return found

    @property
    def client(self) -> AIOKafkaConsumer:
        """Return aiokafka's consumer, which exists once the service is started."""
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
            # Positions come from the ledger alone. A reset would silently skip commands that retention deleted.
            auto_offset_reset="none",
            max_poll_interval_ms=_NEVER_MS,
            request_timeout_ms=10_000,
            retry_backoff_ms=50,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            **kafka_options(),
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
        """Give up all partitions and leave the group, so that others need not wait until the session ends."""
        await self._store_positions()
        await self._partitions.revoke(self._partitions.numbers)
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
        """REVOKE the partitions before Faust hears of it."""
        await self._partitions.revoke({tp.partition for tp in revoked if tp.topic == COMMANDS})
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Add each new partition; its commands are read after its RECOVER."""
        for tp in sorted(assigned):  # sorted: a set's order differs between processes, and a simulation must repeat
            # aiokafka's fetcher must neither read these nor look for a position.
            self.client.pause(TopicPartition(*tp))
            self.client.seek(TopicPartition(*tp), 0)
            if tp.topic == COMMANDS:
                self._partitions.add(tp.partition, self._assigns(tp))
        await super().on_partitions_assigned(assigned, generation_id)

    def _assigns(self, tp: TP) -> Any:
        return lambda: TopicPartition(*tp) in self.client.assignment()

    def check_group(self) -> None:
        """Raise the error that ended the membership in the group: aiokafka keeps it until somebody asks for it.

        Raises:
            Exception: the member neither heartbeats nor joins again.
        """
        if self._client is not None:
            check_membership(self._client)

    async def perform_seek(self) -> None:
        """Do nothing: Faust would seek to the group's offsets here, but RECOVER finds the position in the ledger."""

    # Reading

    async def _drain_messages(self, fetcher: Any) -> None:
        """Wake agents for ever. Faust's own loop would make seven tasks and futures for every message."""
        while not (self.should_stop or fetcher.should_stop):
            for tp, batches in (await self._getmany(None, 1.0)).items():
                for batch in batches:
                    await self.callback(self._to_message(tp, batch))

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[CommandBatch]]:  # noqa: ARG002, ASYNC109 - Faust's signature
        batch = await self._partitions.next_announced()
        return {TP(COMMANDS, batch.partition): [batch]}

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: Faust would stop reading at one waiting batch and sleep a second. `CommandReader` has a limit."""

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

    # Kafka's offset commit copies the positions to the group, for lag tools. RECOVER reads those in the ledger.

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002 - Faust's signature
        """Store the ledgers' positions as the group's offsets, now and then."""
        await self._store_positions()
        return True

    async def _store_positions(self) -> None:
        offsets = {
            TopicPartition(COMMANDS, number): OffsetAndMetadata(offset, "")
            for number, offset in self._partitions.positions().items()
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
        return {TP(COMMANDS, number): offset for number, offset in self._partitions.positions().items()}

    async def _seek(self, partition: TP, offset: int) -> None:
        """Do nothing: reading starts where the ledger stands, and nowhere else."""

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Do nothing; see `_seek`."""

    async def position(self, tp: TP) -> int | None:
        """Return the offset of the next command to decide."""
        partition = self._partitions.get(tp.partition)
        return partition.read_position if partition is not None else None

    def assignment(self) -> set[TP]:
        """Return the partitions the group assigns to this worker."""
        return {TP(*tp) for tp in self.client.assignment()} if self._client else set()

    def highwater(self, tp: TP) -> int:
        """Return the end of a partition as of the last fetch."""
        return self._partitions.log_end(tp.partition) if tp.topic == COMMANDS else 0

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
        """Return the given partition: nothing here is sent by key."""
        del topic, key
        return partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def close(self) -> None:
        """Do nothing; Faust calls it when a rebalance meets a stopping app."""


class ConnectedProducer(Producer):
    """Faust's own producer, which it starts although nothing is sent with it; connected like every other client."""

    def _settings_auth(self) -> Mapping[str, Any]:
        return kafka_options()


class LedgerTransport(Transport):
    """aiokafka's transport with the batch consumer."""

    Consumer: ClassVar[type] = BatchConsumer
    Producer: ClassVar[type] = ConnectedProducer
