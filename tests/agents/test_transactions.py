"""The transaction client on a real broker: readers see what is committed, and a fenced client is refused."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from agents.batches import TransactionOutput
from agents.transactions import (
    FencedError,
    TooLargeError,
    TransactionClient,
    UnknownOutcomeError,
    check_transactions_v2,
)
from schemas.topics import CHANGELOG


@pytest.fixture
async def topic(broker):
    name = f"transactions-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    await admin.close()
    await asyncio.sleep(0.3)
    return name


@pytest.fixture
async def new_client(broker, topic):
    clients = []

    async def make(transactional_id):
        client = TransactionClient(broker.bootstrap, transactional_id, timeout_ms=5_000)
        clients.append(client)
        await client.start([topic])
        await client.begin()
        return client

    yield make
    for client in clients:
        await client.close()


def batch(value=b"v"):
    return TransactionOutput().batches([(b"k", value)], 0)[CHANGELOG]


async def committed(broker, topic):
    """Return everything that a read_committed consumer sees."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        values = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                values += [record.value for record in records]
        return values


async def test_transactions_follow_each_other_and_all_are_seen(broker, topic, new_client):
    client = await new_client(topic)
    for number in range(20):
        await client.produce(0, {topic: batch(b"%d" % number)})
        await client.end()
    assert await committed(broker, topic) == [b"%d" % number for number in range(20)]


async def test_produce_says_where_its_records_are(topic, new_client):
    client = await new_client(topic)
    assert await client.produce(0, {topic: batch()}) == {topic: 0}
    await client.end()
    assert await client.produce(0, {topic: batch()}) == {topic: 2}  # the marker took 1


async def test_an_open_transaction_is_undone_by_the_next_owner(broker, topic, new_client):
    zombie = await new_client(topic)
    await zombie.produce(0, {topic: batch(b"half done")})
    owner = await new_client(topic)
    await owner.produce(0, {topic: batch(b"whole")})
    await owner.end()
    assert await committed(broker, topic) == [b"whole"]


async def test_a_zombie_is_fenced_at_its_next_produce_and_at_its_next_end(topic, new_client):
    producing, ending = await new_client(topic), await new_client(f"{topic}-2")
    await ending.produce(0, {topic: batch()})
    await new_client(topic)
    await new_client(f"{topic}-2")
    with pytest.raises(FencedError):
        await producing.produce(0, {topic: batch()})
    with pytest.raises(FencedError):
        await ending.end()


async def test_a_batch_over_the_topics_limit_is_refused_as_such_and_nothing_of_it_stays(broker, topic, new_client):
    client = await new_client(topic)
    with pytest.raises(TooLargeError, match=topic):
        await client.produce(0, {topic: batch(b"x" * 1_100_000)})
    await client.begin()
    await client.produce(0, {topic: batch(b"small")})
    await client.end()
    assert await committed(broker, topic) == [b"small"]


async def test_an_end_without_an_answer_is_unknown_and_is_not_sent_again(topic, new_client, monkeypatch):
    client = await new_client(topic)
    await client.produce(0, {topic: batch()})
    sent = []

    async def lose_the_answer(node, request, **_):
        sent.append((node, request))
        raise OSError("connection lost")

    monkeypatch.setattr(client._client, "send", lose_the_answer)
    with pytest.raises(UnknownOutcomeError):
        await client.end()
    assert len(sent) == 1


async def test_the_end_of_the_log_includes_what_is_not_decided(topic, new_client):
    client = await new_client(topic)
    assert await client.log_range(topic, 0) == (0, 0)
    await client.produce(0, {topic: batch()})
    assert await client.log_range(topic, 0) == (0, 1)


async def test_the_cluster_is_checked_for_transactions_version_2(broker):
    await check_transactions_v2(broker.bootstrap)


async def test_an_older_cluster_is_refused_with_what_to_do(broker, monkeypatch):
    monkeypatch.setattr("agents.transactions.finalized_features", lambda _: {"transaction.version": 1})
    with pytest.raises(RuntimeError, match=r"transaction.version is 1.*kafka-features"):
        await check_transactions_v2(broker.bootstrap)
