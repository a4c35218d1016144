"""A transaction without its marker in one partition, on a real broker, is settled as decided, or refused.

A broker that restarts leaves such transactions by chance (KAFKA-20734). Here they are made on purpose: with Produce v11
the broker does not add the partition to the transaction, and does not even ask the coordinator while its setting says
so. The coordinator never hears of the records, and their partition gets no marker.
"""

import asyncio
import uuid

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.batches import TransactionOutput
from agents.errors import HangingError, TransactionError
from agents.kafka.leaders import leader_of
from agents.kafka.wire import (
    I16,
    I32,
    InitProducerId,
    KafkaRequest,
    PartitionBatch,
    Produce,
    ProduceResponse,
    Text,
    TopicBatches,
)
from agents.reading import LogReader
from agents.transactions import TransactionClient
from schemas.topics import CHANGELOG


class OldProduce(KafkaRequest, key=0, version=11, answer=ProduceResponse):
    """Produce v11: the broker verifies that the transaction knows the partition, or takes it on trust."""

    transactional_id: Text
    acks: I16
    timeout_ms: I32
    topics: list[TopicBatches]


class Player:
    """Clients of one transactional id, and three topics: `known` to the coordinator, `forgotten` by it, and `beside`.

    Owners settle the first two.
    """

    def __init__(self, bootstrap):
        self._bootstrap = bootstrap
        self._open = []
        name = uuid.uuid4().hex[:8]
        self.transactional_id, self.known, self.forgotten = name, f"{name}-known", f"{name}-forgotten"
        self.beside = f"{name}-beside"
        self.places = [TopicPartition(self.known, 0), TopicPartition(self.forgotten, 0)]

    async def owner(self, places=None):
        client = TransactionClient(self._bootstrap, self.transactional_id, timeout_ms=30_000)
        self._open.append(client)
        await client.start([self.known, self.forgotten, self.beside])
        await asyncio.wait_for(client.begin(self.places if places is None else places), 10.0)
        return client

    async def produce(self, client, value):
        """Write a record to both topics; the second without the coordinator's knowledge."""
        await client.produce(0, {self.known: batch(value)})
        await self.produce_raw(client, self.forgotten, value)

    async def produce_raw(self, client, topic, value, kind=OldProduce):
        records = batch(value)
        records.set_producer_state(client._producer_id, client._epoch, 0)
        request = kind(client._id, -1, 5_000, [TopicBatches(topic, [PartitionBatch(0, bytes(records.build()))])])
        answer = await client._client.send(await leader_of(client._client, topic, 0), request)
        written = answer.topics[0].partitions[0]
        assert written.error_code == 0, answer
        place = TopicPartition(topic, 0)
        client._offsets[place] = written.base_offset
        client._connections |= await client._connections_to([place])

    async def read(self, topic):
        """Return what a committed reader gets to see by now, and whether it reaches the end of the log."""
        reader = LogReader(self._bootstrap, topic, 0, client_id="test", fetch_bytes=1 << 20, wait_ms=100)
        self._open.append(reader)
        await reader.start()
        values, position = [], 0
        while (fetched := await reader.fetch(position)).position > position:
            values += [record.value for record in fetched.records]
            position = fetched.position
        return values, position == fetched.log_end

    async def close(self):
        for client in self._open:
            await client.close()


def batch(value):
    return TransactionOutput().batches([(b"k", value)], 0)[CHANGELOG]


@pytest.fixture
async def player(kafka):
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    trusting = {"transaction.partition.verification.enable": "false"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", configs=trusting)])
    player = Player(kafka.bootstrap)
    await admin.create_topics([NewTopic(topic, 1, 1) for topic in (player.known, player.forgotten, player.beside)])
    await asyncio.sleep(0.5)
    yield player
    await player.close()
    await admin.close()


async def test_what_was_committed_is_committed_everywhere(player):
    client = await player.owner()
    await player.produce(client, b"1")
    await client.end()
    await asyncio.sleep(0.3)
    assert await player.read(player.known) == ([b"1"], True)
    assert await player.read(player.forgotten) == ([], False)
    await player.owner()
    assert await player.read(player.forgotten) == ([b"1"], True)


async def test_what_was_aborted_is_aborted_everywhere(player):
    await player.produce(await player.owner(), b"1")
    await player.owner()
    assert await player.read(player.known) == ([], True)
    assert await player.read(player.forgotten) == ([], True)


@pytest.mark.parametrize("committed", [True, False])
async def test_what_hangs_since_an_older_transaction_was_committed_whatever_came_of_the_last(player, committed):
    client = await player.owner()
    await player.produce(client, b"1")
    await client.end()
    await client.produce(0, {player.known: batch(b"2")})
    if committed:
        await client.end()
    await player.owner()
    assert await player.read(player.known) == ([b"1", b"2"] if committed else [b"1"], True)
    assert await player.read(player.forgotten) == ([b"1"], True)


async def test_an_owner_that_does_not_look_takes_the_decision_from_the_coordinator_but_not_from_the_log(player):
    client = await player.owner()
    await player.produce(client, b"1")
    await client.end()
    await player.owner(places=[])
    await player.owner()
    assert await player.read(player.forgotten) == ([b"1"], True)


@pytest.mark.parametrize("committed", [True, False])
async def test_what_was_aborted_before_such_an_owner_is_not_committed_with_what_it_writes(player, committed):
    await player.produce(await player.owner(), b"1")
    client = await player.owner(places=[])  # aborts it
    await client.produce(0, {player.known: batch(b"2")})
    if committed:
        await client.end()
    await player.owner()
    assert await player.read(player.known) == ([b"2"] if committed else [], True)
    assert await player.read(player.forgotten) == ([], True)


async def test_what_nobody_can_decide_any_more_is_refused_and_left_as_it_is(player):
    client = await player.owner()
    await player.produce(client, b"1")
    await client.end()
    await player.owner(places=[])
    for _ in range(2):
        with pytest.raises(HangingError, match=rf"{player.forgotten}-0 from 0 on.*runbook"):
            await player.owner(places=player.places[1:])
    assert await player.read(player.forgotten) == ([], False)


async def test_what_its_owner_followed_with_another_transaction_was_committed(player):
    """Nobody remembers the decision: the coordinator is at the next transaction, and no partition has a marker."""
    client = await player.owner()
    await client.produce(0, {player.beside: batch(b"1")})
    await player.produce_raw(client, player.forgotten, b"1")
    await client.end()
    await client.produce(0, {player.known: batch(b"2")})
    await player.owner()
    assert await player.read(player.forgotten) == ([b"1"], True)
    assert await player.read(player.known) == ([], True)


async def test_a_later_transaction_of_the_same_owner_tells_of_an_earlier_one(player):
    client = await player.owner()
    for topic in (player.known, player.forgotten):
        await player.produce_raw(client, topic, b"1")
    await player.produce_raw(client, player.beside, b"1", kind=Produce)
    await client.end()
    await player.produce_raw(client, player.known, b"2", kind=Produce)
    await client.end()
    await player.owner(places=[])
    await player.owner()
    assert await player.read(player.known) == ([b"1", b"2"], True)
    assert await player.read(player.forgotten) == ([b"1"], True)


async def test_an_owner_sees_that_its_last_transaction_has_ended(player):
    client = await player.owner()
    assert not client.may_hang
    await client.produce(0, {player.known: batch(b"1")})
    await client.end()
    while client.may_hang:
        assert not await client.hangs()
    await player.produce(client, b"2")
    await client.end()
    await asyncio.sleep(0.3)
    assert await client.hangs()
    assert client.may_hang


async def test_two_transactions_that_one_marker_would_decide_are_refused_and_left_as_they_are(player):
    client = await player.owner()
    await player.produce(client, b"1")
    await client.end()
    await player.produce(client, b"2")
    for _ in range(2):
        with pytest.raises(HangingError, match="one transaction was written behind another"):
            await player.owner()
    assert await player.read(player.forgotten) == ([], False)


async def test_a_new_owner_works_on_as_ever(player):
    await player.produce(await player.owner(), b"1")
    client = await player.owner()
    await client.produce(0, {player.known: batch(b"2"), player.forgotten: batch(b"2")})
    await client.end()
    await player.owner()
    assert await player.read(player.forgotten) == ([b"2"], True)


async def test_a_client_does_not_go_on_over_a_new_connection(player):
    client = await player.owner()
    await client.produce(0, {player.known: batch(b"1")})
    await client.end()
    for connection in list(client._client._conns.values()):
        connection.close()
    await client._client.send(client._coordinator, InitProducerId("another", 1_000, -1, -1))  # connects anew
    with pytest.raises(TransactionError, match="was away"):
        await client.produce(0, {player.known: batch(b"2")})
    assert await player.read(player.known) == ([b"1"], True)
