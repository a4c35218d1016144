"""Owns the settling of hanging transactions: complete for the coordinator, but without a marker in some partition.

When a partition has no leader at the moment its marker should be written, Kafka 4.1 to 4.3 treat it as deleted, skip
it, and call the transaction complete (KAFKA-20734). So a broker that is killed between the decision and the markers,
and started again, may leave committed records that no reader ever sees. The next commit or abort of the same producer
there would end them too. The coordinator remembers the decision until the next InitProducerId, so the missing markers
are written before that.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.errors import for_code
from aiokafka.record.control_record import COMMIT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from agents.errors import HangingError
from agents.kafka.codes import CONCURRENT_TRANSACTIONS, NO_RIGHTS, OK, TRANSACTIONAL_ID_NOT_FOUND
from agents.kafka.fetching import fetch
from agents.kafka.leaders import EARLIEST, LATEST, READ_UNCOMMITTED, by_leader, leader_of, offsets, offsets_from
from agents.kafka.wire import (
    DescribeProducers,
    DescribeProducersResponse,
    DescribeTransactions,
    DescribeTransactionsResponse,
    Marker,
    TopicPartitions,
    WriteTxnMarkers,
    WriteTxnMarkersResponse,
)

_BEING_SETTLED = frozenset({"PrepareCommit", "PrepareAbort", "PrepareEpochFence"})
_OUTCOMES = {"CompleteCommit": True, "CompleteAbort": False}
_OVER = frozenset({*_OUTCOMES, "Empty"})
_FETCH_BYTES = 1 << 20
_WAIT_MS = 50

log = structlog.get_logger()


class End(Enum):
    """The state of a committed transaction in a partition."""

    THERE = "it has ended"
    COMING = "its coordinator has not written its end yet"
    MISSING = "it hangs"


class _State(NamedTuple):
    """The state of a transactional id: error code, the coordinator's name of the state, producer id and epoch."""

    code: int
    word: str
    producer_id: int
    epoch: int


class OpenTransaction(NamedTuple):
    """A partition with an open transaction: first offset, last epoch, and the coordinator epoch of the last marker."""

    place: TopicPartition
    offset: int
    epoch: int
    coordinator_epoch: int


async def end_hanging(
    client: AIOKafkaClient, coordinator: int, transactional_id: str, places: Sequence[TopicPartition]
) -> int:
    """Check that the decided transaction has its marker in every partition, and write the missing markers.

    Args:
        client: a connected client.
        coordinator: the broker that coordinates the id.
        transactional_id: the id.
        places: the partitions it writes to; one of them is part of every transaction.

    Returns:
        `OK` when nothing of the id hangs: it is new, idle, or has a transaction open that InitProducerId will abort.
        `CONCURRENT_TRANSACTIONS` when its last transaction is still being settled. Else the coordinator's error code.

    Raises:
        HangingError: nobody knows the decision, or we have no right to ask or to write markers.
        KafkaError: a broker cannot be reached, or refuses.
    """
    state = await _describe(client, coordinator, transactional_id)
    if state.code:
        return OK if state.code == TRANSACTIONAL_ID_NOT_FOUND else state.code
    if state.word in _BEING_SETTLED:
        return CONCURRENT_TRANSACTIONS
    hanging = await _find_open(client, state.producer_id, places)
    if not hanging:
        return OK
    if await _describe(client, coordinator, transactional_id) != state:
        return CONCURRENT_TRANSACTIONS  # an earlier owner still runs and has begun another transaction
    first_epochs = [await _first_epoch(client, it.place, it.offset) for it in hanging]
    if None in first_epochs:
        return CONCURRENT_TRANSACTIONS
    if first_epochs != [it.epoch for it in hanging]:
        # One marker would end both, even if the first of them was decided in another way.
        raise HangingError(f"{transactional_id}: one transaction was written behind another. {_unknown(hanging)}")
    if state.word not in _OVER:
        hanging = [it for it in hanging if it.epoch != state.epoch]  # InitProducerId aborts those of this epoch
    for it in hanging:
        committed = await _outcome(client, state, it, places)
        if committed is None:
            raise HangingError(f"{transactional_id}: {_unknown(hanging)}")
        await _write_marker(client, state.producer_id, it, committed=committed)
        log.warning("a hanging transaction was settled", id=transactional_id, committed=committed, where=_names([it]))
    return CONCURRENT_TRANSACTIONS if hanging else OK


async def find_ends(
    client: AIOKafkaClient,
    coordinator: int,
    transactional_id: str,
    committed: Mapping[TopicPartition, tuple[int, int]],
) -> dict[TopicPartition, End]:
    """Return the state of committed transactions in partitions with an open transaction.

    Args:
        client: a connected client.
        coordinator: the broker that coordinates the id.
        transactional_id: the id.
        committed: partition -> producer id and epoch of the last transaction there.

    Raises:
        HangingError: we have no right to ask.
        KafkaError: a broker cannot be reached, or refuses.
    """
    state = await _describe(client, coordinator, transactional_id)
    _check(client, state.code, f"DescribeTransactions of {transactional_id}")
    ends = {}
    for producer_id in {producer_id for producer_id, _ in committed.values()}:
        epochs = {place: epoch for place, (owner, epoch) in committed.items() if owner == producer_id}
        # Asked after the coordinator: if the transaction was complete then and is still open here, its marker is
        # missing.
        still_open = {it.place: it.epoch for it in await _find_open(client, producer_id, list(epochs))}
        for place, epoch in epochs.items():
            # While the coordinator writes the markers of a transaction, its own epoch is already one higher.
            if state.word in _BEING_SETTLED and (state.producer_id, state.epoch) == (producer_id, epoch + 1):
                ends[place] = End.COMING
            # A later transaction with a larger epoch may be open there too; its commit would end both.
            else:
                ends[place] = End.THERE if still_open.get(place, epoch + 1) > epoch else End.MISSING
    return ends


async def check_nothing_is_open(
    client: AIOKafkaClient, transactional_id: str, producer_id: int, places: Sequence[TopicPartition]
) -> None:
    """Check that no transaction of a producer is open after its earlier users were fenced.

    Raises:
        HangingError: one is open, although InitProducerId or an earlier user has ended it.
        KafkaError: a broker cannot be reached, or refuses.
    """
    if hanging := await _find_open(client, producer_id, places):
        raise HangingError(f"{transactional_id}: {_unknown(hanging)}")


async def _describe(client: AIOKafkaClient, coordinator: int, transactional_id: str) -> _State:
    answer: DescribeTransactionsResponse = await client.send(coordinator, DescribeTransactions([transactional_id]))
    found = answer.transactions[0]
    if found.error_code in NO_RIGHTS:
        _check(client, found.error_code, f"DescribeTransactions of {transactional_id}")
    return _State(found.error_code, found.state, found.producer_id, found.producer_epoch)


async def _find_open(
    client: AIOKafkaClient, producer_id: int, places: Collection[TopicPartition]
) -> list[OpenTransaction]:
    """Return those partitions in which a producer's transaction is open: undecided, or without its marker."""
    found = []
    for leader, led in (await by_leader(client, places)).items():
        question = DescribeProducers([TopicPartitions(topic, [number]) for topic, number in led])
        answer: DescribeProducersResponse = await client.send(leader, question)
        # A follower also answers for producers, with what it knows so far; but it refuses a question for an offset.
        await offsets_from(client, leader, led, LATEST, READ_UNCOMMITTED)
        for topic in answer.topics:
            for told in topic.partitions:
                _check(client, told.error_code, f"DescribeProducers of {topic.name}-{told.partition}")
                place = TopicPartition(topic.name, told.partition)
                found += [
                    OpenTransaction(place, it.open_from, it.producer_epoch, it.coordinator_epoch)
                    for it in told.producers
                    if it.producer_id == producer_id and it.open_from >= 0
                ]
    return found


async def _outcome(
    client: AIOKafkaClient, state: _State, hanging: OpenTransaction, places: Sequence[TopicPartition]
) -> bool | None:
    """Return whether a hanging transaction was committed; None when nobody knows.

    The coordinator remembers only the outcome of the previous epoch, and forgets it when the next transaction begins.
    After that, the other partitions are looked at.
    """
    if hanging.epoch == state.epoch - 1 and state.word in _OUTCOMES:
        return _OUTCOMES[state.word]
    for place in places:
        if place != hanging.place:
            outcome = await _outcome_in_log(client, place, state.producer_id, hanging.epoch)
            if outcome is not None:
                return outcome
    return None


async def _outcome_in_log(client: AIOKafkaClient, place: TopicPartition, producer_id: int, epoch: int) -> bool | None:
    """Return from a log how a producer's transaction of an epoch ended; None when the log does not show it.

    Its marker shows it. A record with the next epoch shows that it was committed: our client never aborts, and whoever
    aborts in its place takes the next epoch and gives it to no producer. (The coordinator's own next epoch shows
    nothing: Kafka 4.0.0 raises it before it writes down an abort.)
    """
    position, found = (await offsets(client, [place], EARLIEST, READ_UNCOMMITTED))[place], False
    while batches := await _batches(client, place, position):
        for batch in batches:
            position = batch.next_offset
            if batch.producer_id != producer_id:
                continue
            if not batch.is_control_batch:
                if batch.producer_epoch == epoch + 1:
                    return True
                found = batch.producer_epoch == epoch
            elif found:
                return bool(ControlRecord.parse(next(batch).key) == COMMIT_MARKER)
    return None


async def _first_epoch(client: AIOKafkaClient, place: TopicPartition, offset: int) -> int | None:
    """Return the epoch of the batch at an offset; None when the followers do not have it yet."""
    batches = await _batches(client, place, offset)
    return batches[0].producer_epoch if batches else None


async def _batches(client: AIOKafkaClient, place: TopicPartition, position: int) -> list[Any]:
    """Return record batches from a position on, aborted ones too; none at the end."""
    topic, number = place
    fetched = await fetch(
        client,
        await leader_of(client, topic, number),
        place,
        position,
        isolation=READ_UNCOMMITTED,
        max_bytes=_FETCH_BYTES,
        wait_ms=_WAIT_MS,
        min_bytes=0,
    )
    _check(client, fetched.error_code, f"Fetch of {topic}-{number} at {position}")
    records, batches = MemoryRecords(fetched.records), []
    while records.has_next():
        batches.append(records.next_batch())
    return batches


async def _write_marker(client: AIOKafkaClient, producer_id: int, hanging: OpenTransaction, *, committed: bool) -> None:
    topic, number = hanging.place
    # With the transaction's own epoch, so a broker refuses the marker if another transaction has begun there. Before
    # the first marker the coordinator epoch is -1, which a broker does not accept.
    topics = [TopicPartitions(topic, [number])]
    marker = Marker(producer_id, hanging.epoch, committed, topics, max(hanging.coordinator_epoch, 0))
    leader = await leader_of(client, topic, number)
    answer: WriteTxnMarkersResponse = await client.send(leader, WriteTxnMarkers([marker]))
    for written in answer.markers:
        for marked in written.topics:
            for partition in marked.partitions:
                _check(client, partition.error_code, f"WriteTxnMarkers to {topic}-{number}")


def _check(client: AIOKafkaClient, code: int, what: str) -> None:
    if code in NO_RIGHTS:
        raise HangingError(f"{what}: {for_code(code).__name__}; the rights a worker needs are in docs/runbook.md.")
    if code:
        client.force_metadata_update()  # the leader may have moved
        raise for_code(code)(what)


def _unknown(hanging: Sequence[OpenTransaction]) -> str:
    return (
        f"a transaction hangs in {_names(hanging)}, and nobody knows any more whether it was committed; see "
        "docs/runbook.md."
    )


def _names(hanging: Sequence[OpenTransaction]) -> str:
    return ", ".join(f"{topic}-{number} from {offset} on" for (topic, number), offset, *_ in hanging)
