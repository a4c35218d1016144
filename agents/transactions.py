"""Owns the transaction client: transactions version 2 (KIP-890) for one transactional id, one request at a time.

It has no buffer and no background task; every error reaches the caller. After any error the state of the transaction is
for `begin` to settle: the client is to be used no further until then.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import BrokerResponseError, KafkaError, NodeNotReadyError, RequestTimedOutError, for_code
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents import hanging
from agents.errors import FencedError, TooLargeError, TransactionError, UnknownOutcomeError
from agents.leaders import EARLIEST, LATEST, READ_COMMITTED, READ_UNCOMMITTED, leader_of, offsets
from agents.wire import ApiVersions, EndTxn, InitProducerId, Produce, finalized_features

_ACKS_ALL = -1
_OK = 0
_CONCURRENT_TRANSACTIONS = 51
_COORDINATOR_ERRORS = frozenset({14, 15, 16})  # loading, not available, not here: ask again, perhaps elsewhere
_FENCED = frozenset({47, 90})  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED
_TOO_LARGE = frozenset({10, 18})  # MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE
_RETRY_S = 0.005
_CLOSE_WITHIN_S = 1.0
_COORDINATOR_RETRY_S = 0.1
_SAY_EVERY_S = 5.0

log = structlog.get_logger()


class _Committed(NamedTuple):
    """A transaction that was committed, and when, by the loop's clock in seconds.

    `offsets` are those of the last batch in every partition that it or one before it wrote to.
    """

    producer_id: int
    epoch: int
    at_s: float
    offsets: Mapping[TopicPartition, int]


class TransactionClient:
    """Writes transactions under one transactional id.

    Args:
        bootstrap: the brokers.
        transactional_id: stable over restarts; its newest user fences all others.
        timeout_ms: the broker aborts a transaction that is open longer than this.
        request_timeout_ms: how long one request may take.
    """

    def __init__(
        self, bootstrap: str, transactional_id: str, *, timeout_ms: int, request_timeout_ms: int = 10_000
    ) -> None:
        self._client = AIOKafkaClient(
            bootstrap_servers=bootstrap,
            client_id=transactional_id,
            request_timeout_ms=request_timeout_ms,
            # The socket is busy as long as the partition is; an idle one must not be dropped by our side.
            connections_max_idle_ms=24 * 60 * 60 * 1000,
        )
        self._id = transactional_id
        self._timeout_ms = timeout_ms
        self._request_timeout_ms = request_timeout_ms
        self._coordinator: int | None = None
        self._producer_id = -1
        self._epoch = -1
        self._written: dict[TopicPartition, int] = {}  # the offset of the last batch in each partition
        # The last transaction, and the first whose end has not been seen in every partition.
        self._committed: _Committed | None = None
        self._unconfirmed: _Committed | None = None
        # The connections over which this transaction is written; and those before it whose end has not been seen.
        self._connections: dict[TopicPartition, AIOKafkaConnection] = {}
        self._watched: dict[TopicPartition, AIOKafkaConnection] = {}
        self._asking: asyncio.Task[Any] | None = None

    async def start(self, topics: Sequence[str]) -> None:
        """Connect, and learn where the topics' partitions are.

        Raises:
            KafkaError: no broker answered.
        """
        await self._client.bootstrap()
        await self._client.set_topics(topics)

    async def close(self) -> None:
        """Close all connections; a peer that does not answer is not waited for."""
        if self._asking is not None:
            self._asking.cancel()  # it would connect anew
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._client.close(), _CLOSE_WITHIN_S)

    async def begin(self, places: Sequence[TopicPartition] = ()) -> None:
        """Fence every older user of the id and settle its last transaction (InitProducerId until OK).

        Args:
            places: the partitions that are written to. No transaction of an older user is open there any more when this
                returns.

        Raises:
            HangingError: one is, and cannot be settled.
            TransactionError: the broker refuses for good.
            KafkaError: it cannot be reached.
        """
        loop = asyncio.get_running_loop()
        said = loop.time()
        while True:
            coordinator = self._coordinator = self._coordinator or await self._find_coordinator()
            code = await hanging.settle(self._client, coordinator, self._id, places) if places else _OK
            if code == _OK:
                # No producer id and epoch: this is a new life, whatever an earlier one believed.
                answer = await self._client.send(coordinator, InitProducerId(self._id, self._timeout_ms, -1, -1))
                self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch
                code = answer.error_code
                if code == _OK:
                    break
            if code in _COORDINATOR_ERRORS:
                self._coordinator = None
            elif code != _CONCURRENT_TRANSACTIONS:
                raise TransactionError(f"{self._id} cannot be taken over: {_describe(code)}")
            if loop.time() - said > _SAY_EVERY_S:
                said = loop.time()
                log.info("the last transaction is still being settled", id=self._id, answer=_describe(code))
            await asyncio.sleep(_RETRY_S)
        if places:
            # What InitProducerId itself has aborted may hang as well.
            await hanging.check_nothing_is_open(self._client, self._id, self._producer_id, places)

    async def _connections_to(self, places: Collection[TopicPartition]) -> dict[TopicPartition, AIOKafkaConnection]:
        """Give the connections to write over, once it is seen that nothing can hang where we write.

        Where an end has not been seen yet, it is the connection of then: its broker was never away. aiokafka's client
        would connect anew without a word.

        Raises:
            TransactionError: a broker was away, or another one leads.
            NodeNotReadyError: a broker cannot be reached.
        """
        found = {}
        for place in places:
            leader = await leader_of(self._client, *place)
            watched = self._watched.get(place)
            if watched is None and not await self._client.ready(leader):
                raise NodeNotReadyError(f"{self._id}: broker {leader} cannot be reached")
            connection = self._client._conns.get((leader, ConnectionGroup.DEFAULT))  # noqa: SLF001 - no other way to ask
            if connection is None or not connection.connected() or watched not in (None, connection):
                where = f"{place.topic}-{place.partition}"
                raise TransactionError(f"{self._id}: the broker of {where} was away; a transaction may hang there")
            found[place] = connection
        return found

    async def _find_coordinator(self) -> int:
        while True:
            try:
                found: int = await self._client.coordinator_lookup(CoordinationType.TRANSACTION, self._id)
            except BrokerResponseError as error:
                # On a new cluster the first question makes the broker create the topic of transactions.
                if error.errno not in _COORDINATOR_ERRORS:
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
            TooLargeError: a batch is over its topic's `max.message.bytes`.
            TransactionError: any other error in any partition's answer.
            KafkaError: no answer.
        """
        ready = {}
        for topic, batch in batches.items():
            # One batch per partition and epoch: the sequence starts at 0 every time.
            batch.set_producer_state(self._producer_id, self._epoch, 0)
            ready[topic] = bytes(batch.build())
        found: dict[str, int] = {}
        deadline = asyncio.get_running_loop().time() + self._request_timeout_ms / 1000
        places = [TopicPartition(topic, partition) for topic in batches]
        while True:
            self._connections = await self._connections_to(places)
            again = await self._produce_once(ready, found)
            if not again:
                self._written |= {TopicPartition(topic, partition): offset for topic, offset in found.items()}
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise TransactionError(f"Produce of {self._id}: the transaction before it is still being settled")
            # The broker appended nothing to these: the markers of the transaction before are not written yet.
            ready = {topic: ready[topic] for topic in again}
            await asyncio.sleep(_RETRY_S)

    async def _produce_once(self, ready: Mapping[str, bytes], found: dict[str, int]) -> list[str]:
        by_connection: dict[AIOKafkaConnection, list[tuple[TopicPartition, bytes]]] = {}
        for place, connection in self._connections.items():
            if place.topic in ready:
                by_connection.setdefault(connection, []).append((place, ready[place.topic]))
        answers = await asyncio.gather(
            *(
                self._send_over(
                    connection,
                    Produce(
                        self._id,
                        _ACKS_ALL,
                        self._request_timeout_ms,
                        [(place.topic, [(place.partition, records, {})], {}) for place, records in batches],
                    ),
                )
                for connection, batches in by_connection.items()
            )
        )
        again = []
        missing = set(ready)
        for answer in answers:
            for topic, partitions, _ in answer.topics:
                for _, code, base_offset, *_, message, _ in partitions:
                    missing.discard(topic)
                    if code == _OK:
                        found[topic] = base_offset
                    elif code == _CONCURRENT_TRANSACTIONS:
                        again.append(topic)
                    else:
                        await self._raise_produce_error(topic, code, message)
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

    async def _raise_produce_error(self, topic: str, code: int, message: str | None) -> None:
        text = f"Produce of {self._id} to {topic}: {_describe(code)}{f' ({message})' if message else ''}"
        if code in _FENCED:
            raise FencedError(text)
        if code in _TOO_LARGE:
            raise TooLargeError(text)
        self._client.force_metadata_update()  # the leader may have moved
        raise TransactionError(text)

    async def end(self) -> None:
        """Commit the open transaction (EndTxn, sent once) and take the epoch for the next.

        Raises:
            FencedError: another owner has taken over; it decides the transaction.
            UnknownOutcomeError: no clear answer came.
        """
        if self._coordinator is None:
            raise TransactionError("no transaction was begun")
        try:
            answer = await self._client.send(self._coordinator, EndTxn(self._id, self._producer_id, self._epoch, True))
        except (KafkaError, OSError) as error:
            self._coordinator = None
            raise UnknownOutcomeError(f"EndTxn of {self._id} got no answer: {error!r}") from error
        if answer.error_code in _FENCED:
            raise FencedError(f"EndTxn of {self._id}: {_describe(answer.error_code)}")
        if answer.error_code != _OK:
            self._coordinator = None
            raise UnknownOutcomeError(f"EndTxn of {self._id}: {_describe(answer.error_code)}")
        self._watched |= self._connections
        now = asyncio.get_running_loop().time()
        self._committed = _Committed(self._producer_id, self._epoch, now, dict(self._written))
        self._unconfirmed = self._unconfirmed or self._committed
        self._producer_id, self._epoch = answer.producer_id, answer.producer_epoch

    @property
    def unconfirmed_s(self) -> float:
        """How long ago a transaction was committed whose end has not been seen in every partition, in seconds; or 0."""
        return 0.0 if self._unconfirmed is None else asyncio.get_running_loop().time() - self._unconfirmed.at_s

    async def hangs(self) -> bool:
        """Ask whether that transaction, or one before it, hangs. It may be asked while others are written.

        When the end of all of them is seen, the next one is asked for from then on. The task that asks is cancelled
        when the client is closed.

        Raises:
            HangingError: a broker does not let us ask.
            KafkaError: a broker cannot be reached, or does not lead any more.
            TimeoutError: no broker answered.
        """
        asked = self._unconfirmed
        if asked is None:
            return False
        self._asking = asyncio.current_task()
        try:
            end = await self._end_of(asked)
        finally:
            self._asking = None
        if end is hanging.End.THERE:
            self._unconfirmed = None if self._committed is asked else self._committed
            for place, offset in asked.offsets.items():
                if self._written[place] == offset:
                    self._watched.pop(place, None)
        return end is hanging.End.MISSING

    async def _end_of(self, asked: _Committed) -> hanging.End:
        ends = await offsets(self._client, asked.offsets, LATEST, READ_COMMITTED)
        waiting = [place for place, offset in asked.offsets.items() if ends[place] <= offset]
        if not waiting:
            return hanging.End.THERE
        coordinator = self._coordinator or await self._find_coordinator()
        return await hanging.find_end(self._client, coordinator, self._id, asked.producer_id, asked.epoch, waiting)

    async def log_range(self, topic: str, partition: int) -> tuple[int, int]:
        """Give a partition's first offset and its end, undecided transactions included (read_uncommitted).

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
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        answer: Any = await client.send(client.get_random_node(), ApiVersions("holdfast", "1"))
    finally:
        await client.close()
    level = finalized_features(answer).get("transaction.version", 0)
    if level < 2:  # noqa: PLR2004 - the feature level of KIP-890
        raise RuntimeError(
            f"this Kafka's transaction.version is {level}; Holdfast needs 2 (Apache Kafka 4.0 or later). Raise it with "
            "`kafka-features.sh upgrade --feature transaction.version=2`."
        )


def _describe(code: int) -> str:
    return f"{for_code(code).__name__} ({code})"
