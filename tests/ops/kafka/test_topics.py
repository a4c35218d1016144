"""Topics are made once, with their configuration; what exists otherwise is refused. `holdfast topics` lists them."""

import json

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ops.kafka.broker import Broker
from ops.kafka.cluster import connect
from ops.kafka.topics import ensure_topics
from schemas.topics import COMMANDS, RESULTS, TOPICS


def test_topics_lists_all_with_their_configuration(holdfast, cluster):
    bootstrap, count = cluster
    result = holdfast("topics", "--bootstrap", bootstrap, "--partitions", count, "--json")
    assert result.exit_code == 0
    listed = json.loads(result.stdout)["topics"]
    assert listed == {name: {"partitions": count, "configs": dict(configs)} for name, configs in TOPICS.items()}


def test_topics_prints_a_table_for_people(holdfast, cluster):
    bootstrap, count = cluster
    result = holdfast("topics", "--bootstrap", bootstrap, "--partitions", count)
    assert COMMANDS in result.stdout
    assert "message.timestamp.type=LogAppendTime" in result.stdout
    assert "all were there" in result.stderr


def test_topics_refuses_another_partition_count(holdfast, cluster):
    bootstrap, count = cluster
    result = holdfast("topics", "--bootstrap", bootstrap, "--partitions", count + 1)
    assert result.exit_code == 2
    assert f"set HOLDFAST_PARTITIONS to {count}" in result.stderr


async def test_topics_are_made_once_and_another_partition_count_is_refused(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    try:
        assert await ensure_topics(broker.bootstrap, 2) == list(TOPICS)
        assert await ensure_topics(broker.bootstrap, 2) == []
        async with connect(broker.bootstrap) as cluster:
            assert await cluster.partition_counts() == dict.fromkeys(TOPICS, 2)
        with pytest.raises(RuntimeError, match="set HOLDFAST_PARTITIONS to 2"):
            await ensure_topics(broker.bootstrap, 3)
    finally:
        broker.stop()


async def test_a_topic_that_takes_too_little_is_refused_with_what_to_do(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(RESULTS, num_partitions=2, replication_factor=1)])
        with pytest.raises(RuntimeError, match=r"inventory.results has max.message.bytes=1048588.*kafka-configs"):
            await ensure_topics(broker.bootstrap, 2)
    finally:
        await admin.close()
        broker.stop()
