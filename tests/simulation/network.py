"""Owns the way between processes and the fake Kafka, and aiokafka's place on it: what the product's code calls.

`Client` and `Producer` stand in for `AIOKafkaClient` and `AIOKafkaProducer` (as the ticks use it). The product builds
its requests and reads its answers itself.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents.kafka.wire import (
    DescribedTransaction,
    DescribeProducers,
    DescribeProducersResponse,
    DescribeTransactions,
    DescribeTransactionsResponse,
    EndTxn,
    InitProducerId,
    MarkedPartition,
    MarkedTopic,
    PartitionProducers,
    Produce,
    ProducedPartition,
    ProducedTopic,
    ProduceResponse,
    ProducerResponse,
    TopicProducers,
    WriteTxnMarkers,
    WriteTxnMarkersResponse,
    WrittenMarker,
)
from tests.simulation.cluster import Cluster
from tests.simulation.errors import (
    COORDINATOR_LOAD_IN_PROGRESS,
    COORDINATOR_NOT_AVAILABLE,
    MESSAGE_TOO_LARGE,
    NOT_COORDINATOR,
    NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    NOT_LEADER_OR_FOLLOWER,
    REQUEST_TIMED_OUT,
)
from tests.simulation.leaders import NODES, Place
from tests.simulation.loop import Process, VirtualLoop

_APPENDED = (NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT)
_NOT_APPENDED = (NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE)
_COORDINATOR_ERRORS = (COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR)


@dataclass
class Weather:
    """How likely it is that a request goes wrong, and in which way."""

    lost: float = 0.0  # the request does not arrive
    unanswered: float = 0.0  # it does, and the answer does not
    late: float = 0.0  # it arrives after the client has given up
    twice: float = 0.0  # it arrives again later
    refused: float = 0.0  # the broker answers with an error
    slow: float = 0.0  # it takes up to a second

    @property
    def fair(self) -> bool:
        return not (self.lost or self.unanswered or self.late or self.twice or self.refused or self.slow)


class Connection:
    """In place of `AIOKafkaConnection`."""

    def __init__(self, client: "Client", node: int) -> None:
        self.is_up = True
        self._client = client
        self._node = node

    def connected(self) -> bool:
        return self.is_up

    def close(self, reason: Any = None) -> None:
        del reason
        self.is_up = False

    async def send(self, request: Any) -> Any:
        if not self.is_up:
            raise KafkaConnectionError("no connection")
        return await self._client.network.carry(self, self._client, self._node, request)


class Call(NamedTuple):
    """A request of a client to a node over a connection, and the future that its answer belongs to."""

    connection: Connection
    client: "Client"
    node: int
    request: Any
    future: "asyncio.Future[Any]"


class Network:
    """Carries requests and answers with delays, and does to them what the weather says."""

    def __init__(self, loop: VirtualLoop, cluster: Cluster, random: Random) -> None:
        self.weather = Weather()
        self.down: set[int] = set()  # nodes; `take_down` adds them
        self.cut: set[str] = set()  # names of processes
        self.note: Any = None
        # A kind of request, and what to do to the process that sends the next of it; gives the request's fate.
        self.ambush: tuple[type, Callable[[Process], str]] | None = None
        self.cluster = cluster
        self._loop = loop
        self._random = random
        self._connections: dict[int, list[Connection]] = {node: [] for node in NODES}
        self._lives = dict.fromkeys(NODES, 0)
        self._calls: dict[int, dict[asyncio.Future[Any], Call]] = {node: {} for node in NODES}
        cluster.is_down, cluster.life_of = self.down.__contains__, self._lives.__getitem__

    def connect(self, client: "Client", node: int) -> "Connection":
        """Open a connection to a node; it is up even when the node is not, until somebody notices."""
        connection = Connection(client, node)
        self._connections[node].append(connection)
        return connection

    def take_down(self, nodes: set[int]) -> None:
        """Have nodes go away: their clients see their connections end."""
        self.down |= nodes
        for node in nodes:
            self._lives[node] += 1
            for connection in self._connections[node]:
                connection.is_up = False
            self._connections[node].clear()
            for call in self._calls[node].values():
                self.cluster.later(0.01, self._fail, call, KafkaConnectionError("the node is gone"))
            self._calls[node].clear()

    def delay(self) -> float:
        """Return the time one way takes, in seconds."""
        chance = self._random.random()
        if chance < self.weather.slow:
            return self._random.uniform(0.01, 1.0)
        return 0.0001 + 0.002 * chance

    def reaches(self, process: Process | None, node: int | None = None) -> bool:
        if process is not None and process.name in self.cut:
            return False
        return node not in self.down if node is not None else len(self.down) < len(NODES)

    async def hop(self, process: Process | None) -> None:
        """Ask any node a small question.

        Raises:
            KafkaConnectionError: nobody is there, or the connection was lost.
        """
        await asyncio.sleep(2 * self.delay())
        if not self.reaches(process) or self._random.random() < self.weather.lost:
            await asyncio.sleep(self._random.choice((0.001, 0.1, 2.0)))
            raise KafkaConnectionError("no node can be reached")

    def carry(self, connection: Connection, client: "Client", node: int, request: Any) -> "asyncio.Future[Any]":
        """Send a request on its way; the future is its answer, or what the client sees instead of one."""
        call = Call(connection, client, node, request, self._loop.create_future())
        client.pending.add(call.future)
        self._calls[node][call.future] = call
        later, random = self.cluster.later, self._random
        if not self.reaches(client.process, node):
            later(random.choice((0.001, 0.05)), self._fail, call, NodeNotReadyError(f"node {node}"))
            return call.future
        fate = self._fate()
        if self.ambush and client.process and isinstance(request, self.ambush[0]):
            (_, strike), self.ambush = self.ambush, None
            fate = strike(client.process)
        if fate and self.note:
            self.note(client.name, f"{describe(request)}: {fate}")
        if fate in ("lost", "late", "unanswered"):
            gives_up_s = random.choice((0.001, 0.05, client.request_timeout_s, client.request_timeout_s))
            timed_out = gives_up_s == client.request_timeout_s
            later(gives_up_s, self._break, call, RequestTimedOutError() if timed_out else KafkaConnectionError("lost"))
            if fate == "late":
                later(gives_up_s + random.choice((0.001, 0.02, 1.0, 4.0)), self._deliver, call, "unanswered")
        if fate not in ("lost", "late"):
            later(self.delay(), self._deliver, call, fate)
        if fate == "twice":
            later(random.choice((0.002, 0.02, 0.5, 3.0)), self._deliver, call, "unanswered")
        return call.future

    def _deliver(self, call: "Call", fate: str) -> None:
        if call.node in self.down:
            self.cluster.later(0.01, self._fail, call, KafkaConnectionError("the node is gone"))
            return
        if self.note and not isinstance(call.request, FetchRequest | OffsetRequest):
            self.note(f"node {call.node}", f"{describe(call.request)} of {call.client.name} arrives")

        def reply(answer: Any) -> None:
            if fate != "unanswered":
                self.cluster.later(self.delay(), self._answer, call, answer)

        if fate == "refused":
            self._refuse(call.node, call.request, reply)
        else:
            self.cluster.handle(call.node, call.request, reply)

    def _answer(self, call: "Call", answer: Any) -> None:
        if not self.reaches(call.client.process, call.node):
            self._fail(call, KafkaConnectionError("connection lost"))
        elif not call.future.done():
            if self.note:
                self.note(call.client.name, f"{describe(call.request)} -> {describe(answer)}")
            call.client.pending.discard(call.future)
            self._calls[call.node].pop(call.future, None)
            call.future.set_result(answer)

    def _break(self, call: "Call", error: Exception) -> None:
        """End a call and its connection, and whatever else waits for an answer over it."""
        if call.future.done():
            return
        call.connection.close()
        self._fail(call, error)
        for other in [it for it in self._calls[call.node].values() if it.connection is call.connection]:
            self._fail(other, KafkaConnectionError("the connection was closed"))

    def _fail(self, call: "Call", error: Exception) -> None:
        if not call.future.done():
            if self.note:
                self.note(call.client.name, f"{describe(call.request)} to {call.node} failed: {error!r}")
            call.client.pending.discard(call.future)
            self._calls[call.node].pop(call.future, None)
            call.future.set_exception(error)

    def _fate(self) -> str:
        weather, chance = self.weather, self._random.random()
        for fate in ("lost", "unanswered", "late", "twice", "refused"):
            chance -= getattr(weather, fate)
            if chance < 0:
                return fate
        return ""

    def _refuse(self, node: int, request: Any, reply: Any) -> None:
        match request:
            case Produce():
                self._refuse_a_batch(node, request, reply)
            case EndTxn() if self._random.random() < 0.5:
                self.cluster.handle(node, request, lambda _: reply(ProducerResponse(0, REQUEST_TIMED_OUT, -1, -1)))
            case EndTxn():
                reply(ProducerResponse(0, self._random.choice(_COORDINATOR_ERRORS), -1, -1))
            case InitProducerId():
                reply(ProducerResponse(0, self._random.choice(_COORDINATOR_ERRORS), -1, -1))
            case DescribeTransactions(transactional_ids=names):
                code = self._random.choice(_COORDINATOR_ERRORS)
                described = [DescribedTransaction(code, name, "", 0, -1, -1, -1, []) for name in names]
                reply(DescribeTransactionsResponse(0, described))
            case DescribeProducers(topics=topics):
                told = [
                    TopicProducers(topic, [PartitionProducers(n, NOT_LEADER_OR_FOLLOWER, None, []) for n in numbers])
                    for topic, numbers in topics
                ]
                reply(DescribeProducersResponse(0, told))
            case WriteTxnMarkers(markers=[marker]):
                marked = [
                    MarkedTopic(topic, [MarkedPartition(n, NOT_LEADER_OR_FOLLOWER) for n in numbers])
                    for topic, numbers in marker.topics
                ]
                reply(WriteTxnMarkersResponse([WrittenMarker(marker.producer_id, marked)]))
            case FetchRequest():
                ((topic, ((partition, *_),)),) = request._topics
                nothing = (partition, NOT_LEADER_OR_FOLLOWER, -1, -1, -1, None, -1, b"")
                reply(SimpleNamespace(topics=[(topic, [nothing])]))
            case OffsetRequest():
                refused = [
                    (topic, [(number, NOT_LEADER_OR_FOLLOWER, -1, -1) for number, _ in asked])
                    for topic, asked in request._topics
                ]
                reply(SimpleNamespace(topics=refused))

    def _refuse_a_batch(self, node: int, request: Produce, reply: Any) -> None:
        """Refuse one topic's batch and take the others; or take it, and say otherwise."""
        topics = request.topics
        unlucky = self._random.randrange(len(topics))
        appended = self._random.random() < 0.4
        code = self._random.choice(_APPENDED if appended else _NOT_APPENDED)
        name, ((partition, _),) = topics[unlucky]
        refused = ProducedPartition(partition, code, -1, error_message="refused by the weather")
        refusal = ProducedTopic(name, [refused])

        def mix(answer: ProduceResponse) -> None:
            others = [topic for topic in answer.topics if topic.name != name]
            reply(ProduceResponse([*others, refusal]))

        accepted = topics if appended else [topic for topic in topics if topic.name != name]
        if accepted:
            self.cluster.handle(node, dataclasses.replace(request, topics=accepted), mix)
        else:
            reply(ProduceResponse([refusal]))


def describe(message: Any) -> str:
    """Name a request or an answer in a trace."""
    match message:
        case Produce():
            topics = message.topics
            epoch = int.from_bytes(topics[0].partitions[0].records[51:53], "big")
            return f"Produce({message.transactional_id}, epoch {epoch}, {', '.join(topic.name for topic in topics)})"
        case ProduceResponse():
            return ", ".join(
                f"{topic} error {p.error_code} at {p.base_offset}" for topic, ps in message.topics for p in ps
            )
        case EndTxn():
            return f"EndTxn({message.transactional_id}, epoch {message.producer_epoch}, commit {message.committed})"
        case InitProducerId():
            return f"InitProducerId({message.transactional_id})"
        case ProducerResponse():
            return f"error {message.error_code}, epoch {message.producer_epoch}"
        case DescribeTransactions() | DescribeProducers() | WriteTxnMarkers():
            return f"{type(message).__name__}{tuple(vars(message).values())}"
        case DescribeTransactionsResponse() | DescribeProducersResponse() | WriteTxnMarkersResponse():
            return str(message)
        case FetchRequest():
            ((topic, ((partition, position, _),)),) = message._topics
            return f"Fetch({topic}-{partition} at {position})"
        case OffsetRequest():
            return f"ListOffsets({message._topics}, isolation {message._isolation_level})"
        case _:
            return ", ".join(f"{topic} {tuple(p[:-1])}" for topic, ps, *_ in message.topics for p in ps)


class Client:
    """In place of `AIOKafkaClient`."""

    def __init__(self, *, client_id: str = "client", request_timeout_ms: int = 40_000, **_: Any) -> None:
        network: Network = asyncio.get_running_loop().network  # type: ignore[attr-defined]
        self.process = Process.current.get()
        self.name = f"{self.process.name if self.process else 'nobody'}/{client_id}"
        self.request_timeout_s = request_timeout_ms / 1000
        self.pending: set[asyncio.Future[Any]] = set()
        self.cluster = self
        self.unauthorized_topics: set[str] = set()
        self._conns: dict[tuple[int, int], Connection] = {}
        self._leaders: dict[Place, int] = {}  # as it last heard
        self.network = network
        self._closed = False

    async def bootstrap(self) -> None:
        await self.network.hop(self.process)

    async def set_topics(self, _topics: Any) -> None:
        await asyncio.sleep(self.network.delay())
        self._leaders = self.network.cluster.leaders.all()

    async def close(self) -> None:
        self._closed = True
        for connection in self._conns.values():
            connection.close()
        for future in [future for future in self.pending if not future.done()]:
            future.set_exception(KafkaConnectionError("closed"))
        self.pending.clear()

    async def coordinator_lookup(self, _kind: Any, transactional_id: str) -> int:
        await self.network.hop(self.process)
        node = self.network.cluster.coordinator_of(transactional_id)
        if node in self.network.down:
            raise CoordinatorNotAvailableError
        return node

    def force_metadata_update(self) -> "asyncio.Future[bool]":
        """Ask for the leaders; whoever cannot be asked leaves what is known as it is."""
        done = asyncio.get_running_loop().create_future()

        def told() -> None:
            if reached := self.network.reaches(self.process):
                self._leaders = self.network.cluster.leaders.all()
            if not done.done():
                done.set_result(reached)

        self.network.cluster.later(2 * self.network.delay(), told)
        return done

    def leader_for_partition(self, place: TopicPartition) -> int | None:
        return self._leaders.get((place.topic, place.partition))

    async def send(self, node: int, request: Any, **_: Any) -> Any:
        if self._closed:
            raise KafkaConnectionError("closed")
        return await self._connect(node).send(request)

    async def ready(self, node: int) -> bool:
        if not self.network.reaches(self.process, node):
            return False
        self._connect(node)
        return True

    def _connect(self, node: int) -> Connection:
        place = node, ConnectionGroup.DEFAULT
        if place not in self._conns or not self._conns[place].connected():
            self._conns[place] = self.network.connect(self, node)
        return self._conns[place]


class Producer:
    """In place of `AIOKafkaProducer`, for single records outside transactions."""

    def __init__(self, **_: Any) -> None:
        self._network: Network = asyncio.get_running_loop().network  # type: ignore[attr-defined]
        self._process = Process.current.get()

    async def start(self) -> None:
        await self._network.hop(self._process)

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def send_and_wait(self, topic: str, value: bytes, *, partition: int) -> None:
        await self._network.hop(self._process)
        log = self._network.cluster.logs[topic, partition]
        log.append(record_batch([(None, value)], self._network.cluster.wall_ms()))
        await self._network.hop(self._process)


def record_batch(
    records: list[tuple[bytes | None, bytes]], timestamp: int, producer: tuple[int, int] | None = None
) -> bytes:
    """Build a batch of (key, value), within a transaction of a producer (id, epoch) if one is given."""
    transactional = int(producer is not None)
    producer_id, epoch = producer or (-1, -1)
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer_id, epoch, 0 if producer else -1, 1 << 30)
    for offset, (key, value) in enumerate(records):
        builder.append(offset, timestamp, key, value, [])
    return bytes(builder.build())
