"""Owns the fake Kafka: what a cluster answers to the requests of the protocol, transactions version 2 (KIP-890).

Two nodes share one state, which survives everything, and each answers for the partitions that it leads. What may be
lost on the way to them and back is the network's business (`network.py`). `test_fake_equals_broker.py` holds it to what
a real broker answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

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
    Marker,
    PartitionProducers,
    Produce,
    ProducedPartition,
    ProducedTopic,
    ProduceResponse,
    ProducerResponse,
    TopicPartitions,
    TopicProducers,
    WriteTxnMarkers,
    WriteTxnMarkersResponse,
    WrittenMarker,
)
from tests.simulation.errors import (
    CONCURRENT_TRANSACTIONS,
    INVALID_PRODUCER_EPOCH,
    INVALID_PRODUCER_ID_MAPPING,
    INVALID_TXN_STATE,
    NONE,
    NOT_LEADER_OR_FOLLOWER,
    PRODUCER_FENCED,
    TRANSACTIONAL_ID_NOT_FOUND,
    UNKNOWN_SERVER_ERROR,
)
from tests.simulation.leaders import NOBODY, NODES, Leaders, Place
from tests.simulation.logs import Log
from tests.simulation.loop import VirtualLoop

_TIME_OUT_CHECK_S = 10.0  # transaction.abort.timed.out.transaction.cleanup.interval.ms
_LEADERLESS_RETRY_S = 0.05
_READ_COMMITTED = 1
_LATEST = -1

Reply = Callable[[Any], None]


@dataclass
class Transaction:
    """What the coordinator knows of a transactional id; `deciding` is the outcome while markers are being written."""

    producer_id: int
    epoch: int = -1
    timeout_s: float = 60.0
    ongoing: bool = False
    started: float = 0.0
    partitions: set[Place] = field(default_factory=set)
    deciding: bool | None = None
    decided: bool | None = None  # the outcome of the last one
    ended: bool = False  # by the epoch before this one
    fencing: bool = False  # it is about to be aborted in its owner's stead
    fenced_early: bool = False  # and has its next epoch already
    waiting: list[Callable[[], None]] = field(default_factory=list)


class Delays:
    """How long the cluster takes for what it does by itself, in seconds; the simulation draws them by lot."""

    def marker(self) -> float:
        """From the decision to a marker."""
        return 0.001

    def append(self) -> float:
        """From the coordinator's consent to the append."""
        return 0.0

    def fence(self) -> float:
        """From the wish to abort in an owner's stead to its being written down."""
        return 0.0

    def fences_early(self) -> bool:
        """Whether a fence raises the epoch before it is written down, and once more then, as Kafka 4.0.0 does."""
        return False

    def fence_fails(self) -> bool:
        """Whether a fence is not written down at all; whoever wants it has to come again."""
        return False

    def poll(self) -> float:
        """From the last marker to when a Produce that waits for it notices (add.partitions.to.txn.retry.backoff.ms)."""
        return 0.001

    def impatient(self) -> bool:
        """Whether Produce says CONCURRENT_TRANSACTIONS at once instead of waiting for the markers."""
        return False

    def forgets(self) -> bool:
        """Whether a marker for a partition without a leader is skipped (KAFKA-20734), instead of written later."""
        return False


class Cluster:
    """The state of the cluster and its answers."""

    def __init__(self, loop: VirtualLoop, delays: Delays, wall_ms: Callable[[], int]) -> None:
        self.logs: dict[Place, Log] = {}
        self.transactions: dict[str, Transaction] = {}
        self.leaders = Leaders(self.later)
        self.on_event: Callable[[str], None] = lambda _: None
        self.is_down: Callable[[int], bool] = lambda _: False  # a node
        self.life_of: Callable[[int], int] = lambda _: 0  # which life of a node this is
        self._loop = loop
        self._delays = delays
        self.wall_ms = wall_ms
        self._topics: list[str] = []
        self._next_producer_id = 1000
        self.later(_TIME_OUT_CHECK_S, self._abort_timed_out)

    def later(self, delay: float, what: Callable[..., Any], *args: Any) -> None:
        """Do something later, in no process."""
        self._loop.outside(delay, what, *args)

    def create_topic(self, topic: str, partitions: int, max_bytes: int = 1 << 30) -> None:
        self._topics.append(topic)
        for partition in range(partitions):
            self.logs[topic, partition] = Log(max_bytes)
            self.leaders.add((topic, partition), NODES[(self._topics.index(topic) + partition) % len(NODES)])

    def move_leader(self, place: Place, gap_s: float) -> bool:
        """Have another node lead a partition, after a gap without any; false when it has moved before."""
        return self.leaders.move(place, gap_s, self.logs[place].tell)

    def coordinator_of(self, transactional_id: str) -> int:
        return NODES[len(transactional_id) % len(NODES)]

    def handle(self, node: int, request: Any, reply: Reply) -> None:
        """Take a request as one of the nodes; `reply` is called once, perhaps later."""
        match request:
            case FetchRequest():
                self._fetch(node, request, reply, self._loop.time() + request._max_wait_ms / 1000)
            case Produce():
                self._produce(node, request, reply)
            case EndTxn():
                code, transaction = self._end(request)
                reply(ProducerResponse(0, code, transaction.producer_id, transaction.epoch))
            case InitProducerId():
                self._init(
                    request.transactional_id,
                    request.transaction_timeout_ms,
                    lambda *answer: reply(ProducerResponse(0, *answer)),
                )
            case OffsetRequest():
                reply(self._offsets(node, request))
            case DescribeTransactions():
                described = [self._describe(name) for name in request.transactional_ids]
                reply(DescribeTransactionsResponse(0, described))
            case DescribeProducers():
                reply(self._describe_producers(node, request.topics))
            case WriteTxnMarkers():
                reply(self._write_markers(node, request.markers))
            case _:
                raise AssertionError(f"the fake does not know {request!r}")

    # Reading

    def _fetch(self, node: int, request: FetchRequest, reply: Reply, deadline: float) -> None:
        ((topic, ((partition, position, max_bytes),)),) = request._topics
        if self.leaders.of((topic, partition)) != node:
            reply(SimpleNamespace(topics=[(topic, [(partition, NOT_LEADER_OR_FOLLOWER, -1, -1, -1, None, -1, b"")])]))
            return
        log = self.logs[topic, partition]
        committed = request._isolation_level == _READ_COMMITTED
        fetched = log.fetch(position, committed=committed, max_bytes=max_bytes)
        if fetched.data or fetched.code or self._loop.time() >= deadline:
            answer = (
                partition, fetched.code, fetched.end, fetched.stable, 0, fetched.aborted, -1, fetched.data
            )  # fmt: skip
            reply(SimpleNamespace(topics=[(topic, [answer])]))
            return
        waiting = True

        def again() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._fetch(node, request, reply, deadline)

        log.on_change(again)
        self.later(deadline - self._loop.time(), again)

    def _offsets(self, node: int, request: OffsetRequest) -> Any:
        def told(place: Place, timestamp: int) -> tuple[Any, ...]:
            if self.leaders.of(place) != node:
                return place[1], NOT_LEADER_OR_FOLLOWER, -1, -1
            log = self.logs[place]
            latest = log.stable if request._isolation_level == _READ_COMMITTED else log.end
            return place[1], NONE, -1, latest if timestamp == _LATEST else 0

        answers = [
            (topic, [told((topic, number), timestamp) for number, timestamp in asked])
            for topic, asked in request._topics
        ]
        return SimpleNamespace(topics=answers)

    # Writing

    def _produce(
        self,
        node: int,
        request: Produce,
        reply: Reply,
        *,
        patient: bool = True,
    ) -> None:
        transactional_id = request.transactional_id
        batches = {(topic, index): data for topic, partitions in request.topics for index, data in partitions}
        first = next(iter(batches.values()))
        # The coordinator hears only of partitions that are led here.
        not_led = self.leaders.not_led(node, batches)
        refused: dict[Place, tuple[int, int]] = dict.fromkeys(not_led, (NOT_LEADER_OR_FOLLOWER, -1))
        batches = {place: data for place, data in batches.items() if place not in not_led}
        producer_id, epoch = int.from_bytes(first[43:51], "big"), int.from_bytes(first[51:53], "big")
        # A partition that has the transaction open already takes what comes, whatever the coordinator knows by now.
        known = {place: data for place, data in batches.items() if self.logs[place].has_open(producer_id, epoch)}
        new = {place: data for place, data in batches.items() if place not in known}
        code = self._add_partitions(transactional_id, producer_id, epoch, set(new)) if new else NONE
        if code == CONCURRENT_TRANSACTIONS and patient and not self._delays.impatient():
            again = self._in_this_life(node, lambda patient: self._produce(node, request, reply, patient=patient))
            self._when_settled(self.transactions[transactional_id], request.timeout_ms / 1000, again)
            return
        refused |= dict.fromkeys(new, (code, -1)) if code else {}
        accepted = known if code else batches

        def append() -> None:
            outcomes = {place: self._append(node, place, data) for place, data in accepted.items()}
            reply(_produced(outcomes | refused))

        if delay := self._delays.append():
            self.later(delay, self._in_this_life(node, append))
        else:
            append()

    def _append(self, node: int, place: Place, data: bytes) -> tuple[int, int]:
        return self.logs[place].append(data) if self.leaders.of(place) == node else (NOT_LEADER_OR_FOLLOWER, -1)

    def _in_this_life(self, node: int, what: Callable[..., None]) -> Callable[..., None]:
        """Do it later, unless the node has died in the meantime, and the request with it."""
        life = self.life_of(node)
        return lambda *args: what(*args) if self.life_of(node) == life else None

    def _when_settled(self, transaction: Transaction, timeout_s: float, again: Callable[[bool], None]) -> None:
        """Call once, when the markers are written (true) or the time is over (false)."""
        called = False

        def call(patient: bool) -> None:
            nonlocal called
            if not called:
                called = True
                again(patient)

        transaction.waiting.append(lambda: call(True))
        self.later(timeout_s, call, False)

    def _add_partitions(self, transactional_id: str, producer_id: int, epoch: int, places: set[Place]) -> int:
        transaction = self.transactions.get(transactional_id)
        if transaction is None or transaction.producer_id != producer_id:
            return INVALID_PRODUCER_ID_MAPPING
        if transaction.epoch != epoch:
            return INVALID_PRODUCER_EPOCH
        if transaction.deciding is not None or transaction.fencing:
            return CONCURRENT_TRANSACTIONS
        if not transaction.ongoing:
            transaction.ongoing, transaction.started = True, self._loop.time()
        transaction.partitions |= places
        return NONE

    # Transactions

    def _init(self, transactional_id: str, timeout_ms: int, answer: Callable[[int, int, int], None]) -> None:
        transaction = self.transactions.get(transactional_id)
        if transaction is None:
            self._next_producer_id += 1
            transaction = self.transactions[transactional_id] = Transaction(self._next_producer_id)
        if transaction.ongoing:
            # Whoever has it open is fenced and its transaction aborted; the caller comes again.
            self._fence(transactional_id, transaction, lambda: answer(CONCURRENT_TRANSACTIONS, -1, -1))
            return
        if transaction.deciding is not None:
            answer(CONCURRENT_TRANSACTIONS, -1, -1)
            return
        transaction.epoch += 1
        transaction.timeout_s = timeout_ms / 1000
        transaction.ended = False
        self.on_event(f"{transactional_id} has a new owner, epoch {transaction.epoch}")
        answer(NONE, transaction.producer_id, transaction.epoch)

    def _fence(self, transactional_id: str, transaction: Transaction, then: Callable[[], None]) -> None:
        """Abort a transaction in its owner's stead, a moment later."""
        if transaction.fencing:
            then()
            return
        transaction.fencing = True
        if self._delays.fences_early() and not transaction.fenced_early:
            transaction.fenced_early = True
            transaction.epoch += 1

        def write_down() -> None:
            transaction.fencing = False
            if not self._delays.fence_fails():
                transaction.fenced_early = False
                self._decide(transactional_id, transaction, commit=False)
            then()

        self.later(self._delays.fence(), write_down)

    def _end(self, request: EndTxn) -> tuple[int, Transaction]:
        transactional_id, producer_id, epoch = request.transactional_id, request.producer_id, request.producer_epoch
        nobody = Transaction(-1)
        transaction = self.transactions.get(transactional_id)
        if transaction is None or transaction.producer_id != producer_id:
            return INVALID_PRODUCER_ID_MAPPING, nobody
        if transaction.fencing:
            return CONCURRENT_TRANSACTIONS, nobody
        if transaction.ongoing:
            if epoch != transaction.epoch:
                return PRODUCER_FENCED, nobody
            self._decide(transactional_id, transaction, commit=request.committed)
            return NONE, transaction
        # The same EndTxn once more is recognized by the epoch it ended, until another transaction begins.
        again = transaction.ended and epoch == transaction.epoch - 1
        if epoch != transaction.epoch and not again:
            return PRODUCER_FENCED, nobody
        if again and transaction.decided == request.committed:
            return (NONE, transaction) if transaction.deciding is None else (CONCURRENT_TRANSACTIONS, nobody)
        return INVALID_TXN_STATE, nobody

    def _decide(self, transactional_id: str, transaction: Transaction, *, commit: bool) -> None:
        transaction.ongoing = False
        transaction.deciding = transaction.decided = commit
        transaction.ended = True
        transaction.epoch += 1
        self.on_event(f"{transactional_id} {'commits' if commit else 'aborts'}, epoch {transaction.epoch}")
        for place in sorted(transaction.partitions):
            self.later(self._delays.marker(), self._mark, transactional_id, transaction, place, commit)

    def _mark(self, transactional_id: str, transaction: Transaction, place: Place, commit: bool) -> None:
        leader = self.leaders.of(place)
        if leader == NOBODY or self.is_down(leader):
            if not self._delays.forgets():
                self.later(_LEADERLESS_RETRY_S, self._mark, transactional_id, transaction, place, commit)
                return
            self.on_event(f"{transactional_id} has no marker in {place}")
        else:
            self.logs[place].mark(transaction.producer_id, transaction.epoch, commit=commit, timestamp=self.wall_ms())
        transaction.partitions.remove(place)
        if not transaction.partitions:
            transaction.deciding = None
            waiting, transaction.waiting = transaction.waiting, []
            for tell in waiting:
                self.later(self._delays.poll(), tell)
            self.on_event(f"{transactional_id} is settled")

    # Hanging transactions

    def _describe(self, transactional_id: str) -> tuple[Any, ...]:
        transaction = self.transactions.get(transactional_id)
        if transaction is None:
            return DescribedTransaction(TRANSACTIONAL_ID_NOT_FOUND, transactional_id, "", 0, -1, -1, -1, [])
        outcome = "Commit" if transaction.decided else "Abort"
        if transaction.ongoing:
            state = "Ongoing"
        elif transaction.deciding is not None:
            state = f"Prepare{outcome}"
        else:
            state = f"Complete{outcome}" if transaction.ended else "Empty"
        return DescribedTransaction(
            NONE, transactional_id, state, 0, -1, transaction.producer_id, transaction.epoch, []
        )

    def _describe_producers(self, node: int, topics: list[TopicPartitions]) -> DescribeProducersResponse:
        def told(place: Place) -> PartitionProducers:
            # A follower answers too; this one has heard of nobody.
            producers = self.logs[place].producers() if self.leaders.of(place) == node else []
            return PartitionProducers(place[1], NONE, None, producers)

        answers = [TopicProducers(topic, [told((topic, number)) for number in numbers]) for topic, numbers in topics]
        return DescribeProducersResponse(0, answers)

    def _write_markers(self, node: int, markers: list[Marker]) -> WriteTxnMarkersResponse:
        answers = []
        for producer_id, epoch, commit, topics, _ in markers:
            places = [(topic, number) for topic, numbers in topics for number in numbers]
            codes = [self._write_marker(node, place, producer_id, epoch, commit) for place in places]
            answered = [
                MarkedTopic(topic, [MarkedPartition(number, code)])
                for (topic, number), code in zip(places, codes, strict=True)
            ]
            answers.append(WrittenMarker(producer_id, answered))
        return WriteTxnMarkersResponse(answers)

    def _write_marker(self, node: int, place: Place, producer_id: int, epoch: int, commit: bool) -> int:
        if self.leaders.of(place) != node:
            return NOT_LEADER_OR_FOLLOWER
        log = self.logs[place]
        if epoch < log.epoch_of(producer_id):
            return UNKNOWN_SERVER_ERROR  # as brokers do say
        log.mark(producer_id, epoch, commit=commit, timestamp=self.wall_ms())
        return NONE

    def _abort_timed_out(self) -> None:
        self.later(_TIME_OUT_CHECK_S, self._abort_timed_out)
        for transactional_id, transaction in self.transactions.items():
            if transaction.ongoing and self._loop.time() - transaction.started > transaction.timeout_s:
                self.on_event(f"{transactional_id} was open too long")
                self._fence(transactional_id, transaction, lambda: None)


def _produced(outcomes: dict[Place, tuple[int, int]]) -> ProduceResponse:
    return ProduceResponse(
        [
            ProducedTopic(topic, [ProducedPartition(partition, code, base)])
            for (topic, partition), (code, base) in outcomes.items()
        ]
    )
