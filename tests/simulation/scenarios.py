"""Owns the scenarios that are played to the fake and to a real broker, and must look the same from outside.

A scenario uses the product's own clients, and gives what it saw: error codes, offsets, epochs counted from the first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.protocol.offset import OffsetRequest

from agents.batches import TransactionOutput
from agents.kafka.wire import (
    DescribeProducers,
    DescribeTransactions,
    EndTxn,
    InitProducerId,
    Marker,
    PartitionBatch,
    Produce,
    TopicBatches,
    TopicPartitions,
    WriteTxnMarkers,
)
from agents.reading import LogReader
from agents.transactions import TransactionClient, TransactionError
from schemas.topics import CHANGELOG


class Player:
    """What a scenario may use: clients under transactional ids of its own, and two topics of one partition."""

    def __init__(self, bootstrap: str, name: str, topics: list[str]) -> None:
        self.topic, self.other = topics
        self._bootstrap = bootstrap
        self._name = name
        self._open: list[Any] = []

    async def owner(self, which: str = "a", timeout_ms: int = 30_000) -> TransactionClient:
        """Take over a transactional id."""
        client = TransactionClient(self._bootstrap, f"{self._name}-{which}", timeout_ms=timeout_ms)
        self._open.append(client)
        await client.start([self.topic, self.other])
        await client.begin()
        return client

    async def ends(self, client: TransactionClient) -> tuple[int, int]:
        """Ask where the log ends: read_uncommitted, and read_committed."""
        found = []
        for isolation in (0, 1):
            node = client._client.cluster.leader_for_partition(_place(self.topic))
            request = OffsetRequest(-1, isolation, [(self.topic, [(0, -1)])])
            found.append((await client._client.send(node, request)).topics[0][1][0][3])
        return found[0], found[1]

    async def settled(self, client: TransactionClient) -> tuple[int, int]:
        """Wait until no transaction is open in the topic, and give its ends."""
        ends = (-1, -2)
        # Twice, because a broker counts a transaction as over a moment before it shows the marker's offset.
        while ends[0] != ends[1] or ends != await self.ends(client):
            await asyncio.sleep(0.02)
            ends = await self.ends(client)
        return ends

    async def read(self, position: int = 0) -> Any:
        """Read what a committed reader sees: values with offsets, and the positions it stops at."""
        reader = LogReader(self._bootstrap, self.topic, 0, client_id="scenario", fetch_bytes=1 << 20, wait_ms=100)
        self._open.append(reader)
        await reader.start()
        found = []
        try:
            while (fetched := await reader.fetch(position)).position > position:
                found += [(record.offset, record.value) for record in fetched.records]
                position = fetched.position
        except KafkaError as error:
            return type(error).__name__
        return found, position

    async def close(self) -> None:
        for client in self._open:
            await client.close()


def _place(topic: str) -> Any:
    return TopicPartition(topic, 0)


def batch(*values: bytes) -> Any:
    """Make a record batch of these values."""
    return TransactionOutput().batches([(b"k", value) for value in values], 0)[CHANGELOG]


async def error_of(attempt: Awaitable[Any]) -> str | None:
    """Return the kind of an error, and its number."""
    try:
        await attempt
    except TransactionError as error:
        return f"{type(error).__name__} {str(error).partition('(')[2].partition(')')[0]}"
    return None


async def ended(client: TransactionClient) -> None:
    """Wait until the coordinator, too, takes the transaction for ended: it learns last that the markers are written."""
    while True:
        described = await client._client.send(client._coordinator, DescribeTransactions([client._id]))
        if described.transactions[0].state.startswith("Complete"):
            return
        await asyncio.sleep(0.02)


async def end_again(client: TransactionClient, epoch: int, *, commit: bool = True) -> int:
    """Send EndTxn with a given epoch; its error code. While markers are being written it is asked again."""
    while True:
        request = EndTxn(client._id, client._producer_id, epoch, committed=commit)
        code: int = (await client._client.send(client._coordinator, request)).error_code
        if code != 51:
            return code
        await asyncio.sleep(0.01)


async def produce_raw(player: Player, client: TransactionClient, value: bytes, epoch: int, sequence: int = 0) -> Any:
    """Send a Produce with a given epoch and sequence: error code and offset."""
    records = batch(value)
    records.set_producer_state(client._producer_id, epoch, sequence)
    batches = [PartitionBatch(0, bytes(records.build()))]
    request = Produce(client._id, -1, 5_000, [TopicBatches(player.topic, batches)])
    node = client._client.cluster.leader_for_partition(_place(player.topic))
    written = (await client._client.send(node, request)).topics[0].partitions[0]
    return written.error_code, written.base_offset


async def what_commits_is_read(player: Player) -> Any:
    client = await player.owner()
    offsets = [await client.produce(0, {player.topic: batch(b"1", b"2"), player.other: batch(b"3")})]
    await client.end()
    offsets.append(await client.produce(0, {player.topic: batch(b"4")}))
    await client.end()
    seen = [list(offset.values()) for offset in offsets]
    return seen, await player.settled(client), await player.read()


async def an_old_owner_cannot_produce(player: Player) -> Any:
    old = await player.owner()
    new = await player.owner()
    refused = await error_of(old.produce(0, {player.topic: batch(b"old")}))
    await new.produce(0, {player.topic: batch(b"new")})
    refused_while_open = await error_of(old.produce(0, {player.topic: batch(b"old")}))
    await new.end()
    return refused, refused_while_open, await player.settled(new), await player.read()


async def an_old_owner_cannot_commit(player: Player) -> Any:
    old = await player.owner()
    await old.produce(0, {player.topic: batch(b"old")})
    new = await player.owner()
    refused = await error_of(old.end())
    return refused, new._epoch - old._epoch, await player.settled(new), await player.read()


async def an_old_owner_without_a_transaction_cannot_commit(player: Player) -> Any:
    old = await player.owner()
    new = await player.owner()
    return await error_of(old.end()), await error_of(new.end()), new._epoch - old._epoch


async def the_same_end_of_a_transaction_arrives_again(player: Player) -> Any:
    client = await player.owner()
    epoch = client._epoch
    await client.produce(0, {player.topic: batch(b"1")})
    await client.end()
    await player.settled(client)
    at_once = await end_again(client, epoch), await end_again(client, epoch, commit=False)
    await client.produce(0, {player.topic: batch(b"2")})
    while_open = await end_again(client, epoch), await end_again(client, epoch, commit=False)
    await client.end()
    await player.settled(client)
    later = await end_again(client, epoch), await end_again(client, epoch, commit=False)
    return at_once, while_open, later, client._epoch - epoch, await player.read()


async def an_end_of_a_transaction_arrives_after_a_new_owner(player: Player) -> Any:
    old = await player.owner()
    epoch = old._epoch
    await old.produce(0, {player.topic: batch(b"1")})
    await old.end()
    new = await player.owner()
    before = await end_again(old, epoch)
    await new.produce(0, {player.topic: batch(b"2")})
    return before, await end_again(old, epoch), new._epoch - epoch, await player.ends(new)


async def a_new_owner_settles_what_is_open(player: Player) -> Any:
    old = await player.owner()
    await old.produce(0, {player.topic: batch(b"1")})
    request = InitProducerId(old._id, 30_000, -1, -1)
    answers = [await old._client.send(old._coordinator, request)]
    while answers[-1].error_code:
        await asyncio.sleep(0.02)
        answers.append(await old._client.send(old._coordinator, request))
    # Once the new owner has its epoch, all markers are there: the stable offset is the end.
    ends = await player.ends(old)
    return answers[0].error_code, answers[-1].producer_epoch - old._epoch, ends, await player.read()


async def open_data_is_hidden_and_holds_readers_back(player: Player) -> Any:
    first, second = await player.owner("a"), await player.owner("b")
    await first.produce(0, {player.topic: batch(b"1")})
    seen = [await player.ends(first), await player.read()]
    await second.produce(0, {player.topic: batch(b"2")})
    await second.end()
    await asyncio.sleep(0.3)
    seen += [await player.ends(first), await player.read()]
    await first.end()
    return seen, await player.settled(first), await player.read()


async def transactions_side_by_side_end_as_they_will(player: Player) -> Any:
    first, second = await player.owner("a"), await player.owner("b")
    await first.produce(0, {player.topic: batch(b"first")})
    await second.produce(0, {player.topic: batch(b"second")})
    third = await player.owner("a")  # aborts the first
    await third.produce(0, {player.topic: batch(b"third")})
    await second.end()
    await third.end()
    return await player.settled(third), await player.read(), await player.read(1), await player.read(3)


async def what_is_aborted_takes_offsets_and_is_skipped(player: Player) -> Any:
    for value in (b"1", b"2"):
        await (await player.owner()).produce(0, {player.topic: batch(value, value)})
    client = await player.owner()
    await client.produce(0, {player.topic: batch(b"3")})
    await client.end()
    ends = await player.settled(client)
    return ends, [await player.read(position) for position in range(ends[0] + 2)]


async def a_transaction_that_is_open_too_long_is_aborted(player: Player) -> Any:
    client = await player.owner(timeout_ms=3_000)
    epoch = client._epoch
    await client.produce(0, {player.topic: batch(b"1")})
    before = await player.ends(client)
    after = await player.settled(client)
    await ended(client)
    refused = await error_of(client.end()), await error_of(client.produce(0, {player.topic: batch(b"2")}))
    return before, after, refused, (await player.owner())._epoch - epoch, await player.read()


async def the_same_batch_arrives_again(player: Player) -> Any:
    client = await player.owner()
    epoch = client._epoch
    seen = [await produce_raw(player, client, b"1", epoch), await produce_raw(player, client, b"1", epoch)]
    await client.end()
    await player.settled(client)  # until then the partition takes it, and says where it had it already
    seen.append(await produce_raw(player, client, b"1", epoch))
    return seen, await player.ends(client), await player.read()


async def a_sequence_has_no_gaps(player: Player) -> Any:
    client = await player.owner()
    epoch = client._epoch
    seen = [await produce_raw(player, client, b"1", epoch, sequence) for sequence in (3, 0, 1, 3)]
    await client.end()
    return seen, await player.settled(client), await player.read()


async def transactions_follow_each_other_at_once(player: Player) -> Any:
    client = await player.owner()
    epoch, offsets = client._epoch, []
    for number in range(20):
        offsets += (await client.produce(0, {player.topic: batch(b"%d" % number)})).values()
        await client.end()
    return offsets, client._epoch - epoch, await player.settled(client), await player.read()


async def an_empty_transaction_cannot_be_committed(player: Player) -> Any:
    client = await player.owner()
    return await error_of(client.end()), await player.ends(client)


async def what_a_coordinator_and_a_leader_tell_of_a_transaction(player: Player) -> Any:
    client = await player.owner()
    first = client._epoch

    async def told() -> Any:
        described = await client._client.send(client._coordinator, DescribeTransactions([client._id, "nobody"]))
        states = [
            (it.error_code, it.state, None if it.error_code else it.producer_epoch - first)
            for it in described.transactions
        ]
        node = client._client.cluster.leader_for_partition(_place(player.topic))
        answer = await client._client.send(node, DescribeProducers([TopicPartitions(player.topic, [0])]))
        producers = [it for it in answer.topics[0].partitions[0].producers if it.producer_id == client._producer_id]
        return states, [(it.producer_epoch - first, it.open_from) for it in producers]

    seen = [await told()]
    for _ in range(2):
        await client.produce(0, {player.topic: batch(b"1")})
        seen.append(await told())
        await client.end()
        await player.settled(client)
        seen.append(await told())
    await client.produce(0, {player.topic: batch(b"2")})
    old, client = client, await player.owner()
    seen += [await told(), await error_of(old.end())]
    return seen


async def a_marker_by_hand_ends_what_is_open(player: Player) -> Any:
    client = await player.owner()
    node = client._client.cluster.leader_for_partition(_place(player.topic))

    async def mark(epoch: int, *, commit: bool) -> int:
        marker = Marker(client._producer_id, epoch, commit, [TopicPartitions(player.topic, [0])], 0)
        answer = await client._client.send(node, WriteTxnMarkers([marker]))
        code: int = answer.markers[0].topics[0].partitions[0].error_code
        return code

    await client.produce(0, {player.topic: batch(b"1")})
    seen: list[Any] = [await player.ends(client), await mark(client._epoch - 1, commit=True), await player.ends(client)]
    seen += [await mark(client._epoch + 1, commit=True), await player.ends(client), await player.read()]
    return seen


SCENARIOS: list[Callable[[Player], Awaitable[Any]]] = [
    what_commits_is_read,
    an_old_owner_cannot_produce,
    an_old_owner_cannot_commit,
    an_old_owner_without_a_transaction_cannot_commit,
    the_same_end_of_a_transaction_arrives_again,
    an_end_of_a_transaction_arrives_after_a_new_owner,
    a_new_owner_settles_what_is_open,
    open_data_is_hidden_and_holds_readers_back,
    transactions_side_by_side_end_as_they_will,
    what_is_aborted_takes_offsets_and_is_skipped,
    a_transaction_that_is_open_too_long_is_aborted,
    the_same_batch_arrives_again,
    a_sequence_has_no_gaps,
    transactions_follow_each_other_at_once,
    an_empty_transaction_cannot_be_committed,
    what_a_coordinator_and_a_leader_tell_of_a_transaction,
    a_marker_by_hand_ends_what_is_open,
]
