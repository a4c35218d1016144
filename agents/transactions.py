"""Owns the transaction client: transactions version 2 (KIP-890) of one transactional id, one at a time.

It has no buffer and no background task; every error reaches the caller. After any error only `begin` may be called
next: it settles the transaction.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import BrokerResponseError, KafkaError, NodeNotReadyError, RequestTimedOutError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents import hanging
from agents.errors import FencedError, TooLargeError, TransactionError, UnknownOutcomeError
from agents.kafka.codes import CONCURRENT_TRANSACTIONS, COORDINATOR_ERRORS, FENCED, OK, TOO_LARGE, describe
from agents.kafka.leaders import EARLIEST, LATEST, READ_COMMITTED, READ_UNCOMMITTED, leader_of, offsets
from agents.kafka.private import connection_to
from agents.kafka.wire import (
    ApiVersions,
    ApiVersionsResponse,
    EndTxn,
    InitProducerId,
    PartitionBatch,
    Produce,
    ProducedPartition,
    ProduceResponse,
    ProducerResponse,
    TopicBatches,
    finalized_features,
)
from schemas.kafka_connection import kafka_options
from schemas.status import epoch_of

_ACKS_ALL = -1
_RETRY_S, _LONGEST_RETRY_S = 0.005, 0.1
_CLOSE_WITHIN_S = 1.0
_LOOKS, _STALE_S = 3, 5.0
_COORDINATOR_RETRY_S = 0.1
_SAY_EVERY_S = 5.0

log = structlog.get_logger()


class _Unseen(NamedTuple):
    """The last committed batch of a partition whose marker has not been seen there: it may hang.

    Args:
        offset: the offset of its first record.
        connection: the connection that carried it.
        producer_id: the transaction's producer id.
        epoch: the transaction's epoch.
    """

    offset: int
    connection: AIOKafkaConnection
    producer_id: int
    epoch: int


class TransactionClient:
    """Writes transactions under one transactional id.

    Args:
        bootstrap: the brokers.
        transactional_id: the same after a restart; its latest user fences all earlier ones.
        timeout_ms: the broker aborts a transaction that is open for longer.
        request_timeout_ms: how long one request may take.
    """

    def __init__(
        self, bootstrap: str, transactional_id: str, *, timeout_ms: int, request_timeout_ms: int = 10_000
    ) -> None:
        self._client = AIOKafkaClient(
            bootstrap_servers=bootstrap,
            client_id=transactional_id,
            request_timeout_ms=request_timeout_ms,
            # Never close an idle connection: a transaction may only be written over the connection that was checked.
            connections_max_idle_ms=24 * 60 * 60 * 1000,
            **kafka_options(),
        )
        self._id = transactional_id
        self._timeout_ms = timeout_ms
        self._request_timeout_ms = request_timeout_ms
        self._coordinator: int | None = None
        self._producer_id = -1
        self._epoch = -1
        self._offsets: dict[TopicPartition, int] = {}  # of this transaction's batches
        self._connections: dict[TopicPartition, AIOKafkaConnection] = {}  # over which this transaction is written
        self._unseen: dict[TopicPartition, _Unseen] = {}
        self._asker: asyncio.Task[Any] | None = None

    async def start(self, topics: Sequence[str]) -> None:
        """Connect, and learn where the topics' partitions are.

        Raises:
            KafkaError: no broker answered.
        """
        await self._client.bootstrap()
        await self._client.set_topics(topics)

    async def close(self) -> None:
        """Close all connections, without waiting for a broker that does not answer."""
        if self._asker is not None:
            self._asker.cancel()  # it would reconnect
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._client.close(), _CLOSE_WITHIN_S)

    async def begin(self, places: Sequence[TopicPartition] = ()) -> None:
        """Fence every earlier user of the id and settle its last transaction (InitProducerId until it succeeds).

        Args:
            places: the partitions to write to. On return no transaction of an earlier user is open there.

        Raises:
            HangingError: a transaction hangs and cannot be settled.
            TransactionError: the broker refuses for good.
            KafkaError: it cannot be reached.
        """
        loop = asyncio.get_running_loop()
        said, pause_s = loop.time(), _RETRY_S
        while True:
            coordinator = self._coordinator = self._coordinator or await self._find_coordinator()
            code = await self._settle(coordinator, places) if places else OK
            if code == OK:
                # Without producer id and epoch: earlier state of this client does not count.
                request = InitProducerId(self._id, self._timeout_ms, -1, -1)
                answer: ProducerResponse = await self._client.send(coordinator, request)
                self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch
                code = answer.error_code
                if code == OK:
                    break
            if code in COORDINATOR_ERRORS:
                self._coordinator = None
            elif code != CONCURRENT_TRANSACTIONS:
                raise TransactionError(f"{self._id} cannot be taken over: {describe(code)}")
            if loop.time() - said > _SAY_EVERY_S:
                said = loop.time()
                log.info("the last transaction is still being settled", id=self._id, answer=describe(code))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
        self._unseen.clear()
        if places:
            # The transaction that InitProducerId has just aborted may hang too.
            await hanging.check_nothing_is_open(self._client, self._id, self._producer_id, places)

    async def _settle(self, coordinator: int, places: Sequence[TopicPartition]) -> int:
        """Settle hanging transactions right before InitProducerId, which makes the coordinator forget its decision."""
        loop = asyncio.get_running_loop()
        for _ in range(_LOOKS):
            asked_at = loop.time()
            code = await hanging.end_hanging(self._client, coordinator, self._id, places)
            if loop.time() - asked_at < _STALE_S:
                break  # otherwise this process was suspended, and the answer is too old
        return code

    async def _connections_to(self, places: Collection[TopicPartition]) -> dict[TopicPartition, AIOKafkaConnection]:
        """Return the connections to write over; check first that no transaction can hang where we write.

        Where a marker has not been seen yet, the connection must be the one that carried the transaction: then its
        broker was never away. aiokafka's client would silently reconnect.

        Raises:
            TransactionError: a broker was away, or another one leads.
            NodeNotReadyError: a broker cannot be reached.
        """
        found = {}
        for place in places:
            leader = await leader_of(self._client, *place)
            if place not in self._unseen and not await self._client.ready(leader):
                raise NodeNotReadyError(f"{self._id}: broker {leader} cannot be reached")
            connection = connection_to(self._client, leader)
            unseen = self._unseen.get(place)
            if connection is None or not connection.connected() or (unseen and unseen.connection is not connection):
                where = f"{place.topic}-{place.partition}"
                raise TransactionError(f"{self._id}: the broker of {where} was away; a transaction may hang there")
            found[place] = connection
        return found

    async def _find_coordinator(self) -> int:
        while True:
            try:
                found: int = await self._client.coordinator_lookup(CoordinationType.TRANSACTION, self._id)
            except BrokerResponseError as error:
                # On a new cluster the first request makes the broker create the topic of transactions.
                if error.errno not in COORDINATOR_ERRORS:
                    raise
                await asyncio.sleep(_COORDINATOR_RETRY_S)
            else:
                return found

    async def produce(self, partition: int, batches: Mapping[str, DefaultRecordBatchBuilder]) -> dict[str, int]:
        """Write one record batch to a partition of each topic, within the open transaction.

        Returns:
            The offset of each batch's first record.

        Raises:
            FencedError: another owner has taken over.
            TooLargeError: a batch is larger than its topic's `max.message.bytes`.
            TransactionError: any other error in any partition's answer.
            KafkaError: no answer.
        """
        ready: dict[str, bytearray] = {}
        for topic, batch in batches.items():
            # One batch per partition and epoch: the sequence starts at 0 every time.
            batch.set_producer_state(self._producer_id, self._epoch, 0)
            ready[topic] = batch.build()
        found: dict[str, int] = {}
        deadline = asyncio.get_running_loop().time() + self._request_timeout_ms / 1000
        places = [TopicPartition(topic, partition) for topic in batches]
        while True:
            self._connections = await self._connections_to(places)
            again = await self._produce_once(ready, found)
            if not again:
                self._offsets = {TopicPartition(topic, partition): offset for topic, offset in found.items()}
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise TransactionError(f"Produce of {self._id}: the transaction before it is still being settled")
            # The broker appended nothing here: the markers of the transaction before are not written yet.
            ready = {topic: ready[topic] for topic in again}
            await asyncio.sleep(_RETRY_S)

    async def _produce_once(self, ready: Mapping[str, bytearray], found: dict[str, int]) -> list[str]:
        by_connection: dict[AIOKafkaConnection, list[tuple[TopicPartition, bytearray]]] = {}
        for place, connection in self._connections.items():
            if place.topic in ready:
                by_connection.setdefault(connection, []).append((place, ready[place.topic]))
        answers: list[ProduceResponse] = await asyncio.gather(
            *(
                self._send_over(
                    connection,
                    Produce(
                        self._id,
                        _ACKS_ALL,
                        self._request_timeout_ms,
                        [
                            TopicBatches(place.topic, [PartitionBatch(place.partition, records)])
                            for place, records in batches
                        ],
                    ),
                )
                for connection, batches in by_connection.items()
            )
        )
        again = []
        missing = set(ready)
        for answer in answers:
            for topic in answer.topics:
                for written in topic.partitions:
                    missing.discard(topic.name)
                    if written.error_code == OK:
                        found[topic.name] = written.base_offset
                    elif written.error_code == CONCURRENT_TRANSACTIONS:
                        again.append(topic.name)
                    else:
                        await self._raise_produce_error(topic.name, written)
        if missing:
            raise TransactionError(f"Produce of {self._id}: the broker did not answer for {sorted(missing)}")
        return again

    async def _send_over(self, connection: AIOKafkaConnection, request: Any) -> Any:
        """Send over this connection and no other."""
        try:
            return await connection.send(request)
        except TimeoutError as error:
            connection.close(reason=CloseReason.CONNECTION_TIMEOUT)  # as aiokafka's client does
            raise RequestTimedOutError from error

    async def _raise_produce_error(self, topic: str, refused: ProducedPartition) -> None:
        message = f" ({refused.error_message})" if refused.error_message else ""
        text = f"Produce of {self._id} to {topic}: {describe(refused.error_code)}{message}"
        if refused.error_code in FENCED:
            raise FencedError(text)
        if refused.error_code in TOO_LARGE:
            raise TooLargeError(text)
        self._client.force_metadata_update()  # the leader may have moved
        raise TransactionError(text)

    async def end(self) -> None:
        """Commit the open transaction (EndTxn, sent once) and store the epoch for the next.

        Raises:
            FencedError: another owner has taken over and decides the transaction.
            UnknownOutcomeError: no clear answer came.
        """
        if self._coordinator is None:
            raise TransactionError("no transaction was begun")
        try:
            request = EndTxn(self._id, self._producer_id, self._epoch, committed=True)
            answer: ProducerResponse = await self._client.send(self._coordinator, request)
        except (KafkaError, OSError) as error:
            self._coordinator = None
            raise UnknownOutcomeError(f"EndTxn of {self._id} got no answer: {error!r}") from error
        if answer.error_code in FENCED:
            raise FencedError(f"EndTxn of {self._id}: {describe(answer.error_code)}")
        if answer.error_code != OK:
            self._coordinator = None
            raise UnknownOutcomeError(f"EndTxn of {self._id}: {describe(answer.error_code)}")
        self._unseen |= {
            place: _Unseen(offset, self._connections[place], self._producer_id, self._epoch)
            for place, offset in self._offsets.items()
        }
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch

    @property
    def status_epoch(self) -> int:
        """Return the producer's id and epoch as the one number that a partition's status has."""
        return epoch_of(self._producer_id, self._epoch)

    @property
    def may_hang(self) -> bool:
        """Whether some partition has a committed transaction whose marker has not been seen."""
        return bool(self._unseen)

    async def hangs(self) -> bool:
        """Return whether a committed transaction hangs. May be called while another transaction is written.

        Closing the client cancels the call.

        Raises:
            HangingError: we have no right to ask.
            KafkaError: a broker cannot be reached, or does not lead any more.
            TimeoutError: no broker answered.
        """
        self._asker = asyncio.current_task()
        try:
            return await self._see_ends()
        finally:
            self._asker = None

    async def _see_ends(self) -> bool:
        asked = dict(self._unseen)
        stable = await offsets(self._client, asked, LATEST, READ_COMMITTED)
        waiting = {place: unseen for place, unseen in asked.items() if stable[place] <= unseen.offset}
        ends = dict.fromkeys(asked, hanging.End.THERE)
        if waiting:
            coordinator = await self._find_coordinator()  # it may have changed by now
            committed = {place: (unseen.producer_id, unseen.epoch) for place, unseen in waiting.items()}
            ends |= await hanging.find_ends(self._client, coordinator, self._id, committed)
        for place, end in ends.items():
            if end is hanging.End.THERE and self._unseen.get(place) is asked[place]:
                del self._unseen[place]
        return hanging.End.MISSING in ends.values()

    async def log_range(self, topic: str, partition: int) -> tuple[int, int]:
        """Return a partition's first offset and its end, undecided transactions included (read_uncommitted).

        Raises:
            KafkaError: the broker cannot be reached, or refuses.
        """
        place = TopicPartition(topic, partition)
        start = await offsets(self._client, [place], EARLIEST, READ_UNCOMMITTED)
        return start[place], (await offsets(self._client, [place], LATEST, READ_UNCOMMITTED))[place]


async def check_transactions_v2(bootstrap: str) -> None:
    """Refuse a cluster without transactions version 2.

    Raises:
        RuntimeError: says which level was found and what to do.
        KafkaError: no broker answered.
    """
    client = AIOKafkaClient(bootstrap_servers=bootstrap, **kafka_options())
    await client.bootstrap()
    try:
        answer: ApiVersionsResponse = await client.send(client.get_random_node(), ApiVersions("holdfast", "1"))
    finally:
        await client.close()
    level = finalized_features(answer).get("transaction.version", 0)
    if level < 2:  # noqa: PLR2004 - the feature level of KIP-890
        raise RuntimeError(
            f"this Kafka's transaction.version is {level}; Holdfast needs 2 (Apache Kafka 4.0 or later). Raise it with "
            "`kafka-features.sh upgrade --feature transaction.version=2`."
        )
