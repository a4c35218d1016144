"""Owns the search for open transactions on partitions, and for their producers (KIP-664)."""

from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import AIOKafkaClient, TopicPartition
from aiokafka.errors import for_code

from agents.kafka.leaders import by_leader
from agents.kafka.wire import (
    DescribedProducer,
    DescribedTransaction,
    DescribeProducers,
    DescribeProducersResponse,
    DescribeTransactions,
    DescribeTransactionsResponse,
    ListTransactions,
    ListTransactionsResponse,
    TopicPartitions,
)

_ONGOING = "Ongoing"
_BEING_ENDED = frozenset({"PrepareCommit", "PrepareAbort", "PrepareEpochFence"})


@dataclass(frozen=True, kw_only=True)
class OpenTransaction:
    """A transaction that is open on a partition; times in ms since 1970.

    Args:
        partition: the partition.
        first_offset: its first record there.
        producer_id: its producer.
        epoch: the producer's epoch.
        since_ms: when it began; if no coordinator knows it, when its producer wrote the last record there.
        transactional_id: the producer's; None when no coordinator knows the producer.
        state: its coordinator's name of the id's state.
        timeout_ms: how long after its begin its coordinator aborts it; 0 when none does.
    """

    partition: int
    first_offset: int
    producer_id: int
    epoch: int
    since_ms: int
    transactional_id: str | None = None
    state: str = ""
    timeout_ms: int = 0

    @property
    def is_hanging(self) -> bool:
        """Return whether no coordinator will ever end it."""
        return self.timeout_ms == 0


async def find_open(client: AIOKafkaClient, places: Collection[TopicPartition]) -> list[OpenTransaction]:
    """Return the open transactions on partitions, in the order of the partitions.

    Args:
        client: a connected client.
        places: the partitions.

    Raises:
        KafkaError: a broker cannot be reached, or refuses.
    """
    first = await _writers(client, places)
    if not first:
        return []
    owners = await _owners(client, {it.producer_id for _, it in first})
    # Asked again after the coordinators: if a transaction was complete then and is still open here, its marker is
    # missing.
    second = {
        (place, it.producer_id, it.open_from) for place, it in await _writers(client, {place for place, _ in first})
    }
    return sorted(
        (
            _open(place.partition, it, owners.get(it.producer_id))
            for place, it in first
            if (place, it.producer_id, it.open_from) in second
        ),
        key=lambda it: (it.partition, it.first_offset),
    )


async def _writers(
    client: AIOKafkaClient, places: Collection[TopicPartition]
) -> list[tuple[TopicPartition, DescribedProducer]]:
    """Return the producers with an open transaction, and its partitions."""
    found = []
    for leader, led in (await by_leader(client, places)).items():
        question = DescribeProducers([TopicPartitions(topic, [number]) for topic, number in led])
        answer: DescribeProducersResponse = await client.send(leader, question)
        for topic in answer.topics:
            for told in topic.partitions:
                if told.error_code:
                    raise for_code(told.error_code)(f"DescribeProducers of {topic.name}-{told.partition}")
                place = TopicPartition(topic.name, told.partition)
                found += [(place, it) for it in told.producers if it.open_from >= 0]
    return found


async def _owners(client: AIOKafkaClient, producer_ids: set[int]) -> dict[int, DescribedTransaction]:
    """Return the transactional ids of some producers. Every broker is asked, because each coordinates some ids."""
    owners: dict[int, DescribedTransaction] = {}
    for broker in client.cluster.brokers():
        listed: ListTransactionsResponse = await client.send(broker.nodeId, ListTransactions([], sorted(producer_ids)))
        if listed.error_code:
            raise for_code(listed.error_code)(f"ListTransactions of broker {broker.nodeId}")
        names = [it.transactional_id for it in listed.transactions]
        if names:
            described: DescribeTransactionsResponse = await client.send(broker.nodeId, DescribeTransactions(names))
            # An id that was forgotten in the meantime gives an error; its transaction is over.
            owners |= {it.producer_id: it for it in described.transactions if not it.error_code}
    return owners


def _open(partition: int, it: DescribedProducer, owner: DescribedTransaction | None) -> OpenTransaction:
    known = owner if owner is not None and _will_end(it, owner) else None
    return OpenTransaction(
        partition=partition,
        first_offset=it.open_from,
        producer_id=it.producer_id,
        epoch=it.producer_epoch,
        since_ms=known.start_time_ms if known else it.last_timestamp_ms,
        transactional_id=owner.transactional_id if owner else None,
        state=owner.state if owner else "",
        timeout_ms=known.timeout_ms if known else 0,
    )


def _will_end(it: DescribedProducer, owner: DescribedTransaction) -> bool:
    # While a coordinator writes the markers of a transaction, its own epoch may already be one higher.
    ahead = owner.producer_epoch - it.producer_epoch
    return (owner.state == _ONGOING and ahead == 0) or (owner.state in _BEING_ENDED and ahead in (0, 1))
