"""`holdfast topics` makes and lists the topics; `holdfast doctor` checks them and everything around them."""

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from agents.kafka.wire import (
    DescribedProducer,
    DescribedTransaction,
    DescribeProducersResponse,
    DescribeTransactions,
    DescribeTransactionsResponse,
    ListedTransaction,
    ListTransactions,
    ListTransactionsResponse,
    PartitionProducers,
    TopicProducers,
)
from ops.kafka.cluster import GroupState, TopicState
from ops.kafka.doctor import (
    MAX_LAG,
    check_data_dir,
    check_features,
    check_group,
    check_open_transactions,
    check_topic,
)
from ops.kafka.open_transactions import find_open
from schemas.topics import CHANGELOG, COMMANDS, TOPICS


def checks_of(result):
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


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


def test_the_doctor_finds_that_no_worker_runs(holdfast, cluster, tmp_path):
    bootstrap, count = cluster
    result = holdfast("doctor", "--bootstrap", bootstrap, "--partitions", count, "--data-dir", tmp_path, "--json")
    assert result.exit_code == 1
    checks = checks_of(result)
    assert not checks["workers"]["ok"]
    assert "holdfast worker" in checks["workers"]["to_do"]
    sound = ["Kafka", "transactions", "data directory", "embedded Kafka", *TOPICS]
    assert [name for name in sound if not checks[name]["ok"]] == []


async def test_the_doctor_shows_who_keeps_a_transaction_open_on_the_commands(holdfast, cluster, tmp_path, monkeypatch):
    bootstrap, count = cluster
    arguments = ("doctor", "--bootstrap", bootstrap, "--partitions", count, "--data-dir", tmp_path, "--json")

    async def look():
        return checks_of(await asyncio.to_thread(holdfast, *arguments))["open transactions"]

    assert (await look())["found"] == f"none on {COMMANDS}"
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="shop-7", transaction_timeout_ms=30_000)
    async with producer:
        await producer.begin_transaction()
        before = time.time_ns() // 1_000_000
        record = await producer.send_and_wait(COMMANDS, b"{}", partition=1)
        young = await look()
        monkeypatch.setattr("ops.kafka.doctor.MAX_OPEN_S", 0.0)
        old = await look()
        await producer.abort_transaction()
    (shown,) = old["data"]["transactions"]
    assert (shown["partition"], shown["first_offset"]) == (1, record.offset)
    assert (shown["transactional_id"], shown["state"], shown["timeout_ms"]) == ("shop-7", "Ongoing", 30_000)
    assert abs(shown["since_ms"] - before) < 5_000
    assert young["ok"]
    assert not old["ok"]
    assert f"partition 1 stands still at offset {record.offset} since 20" in old["found"]
    assert f"transactional id shop-7 (producer {shown['producer_id']}, epoch {shown['epoch']})" in old["found"]
    assert "Kafka aborts it 30 s after its beginning" in old["to_do"]


class Asked:
    """Stands for a broker that leads the partition, and coordinates the ids it is given."""

    def __init__(self, *described, is_over=False):
        self.described, self.is_over, self.looks = described, is_over, 0
        brokers = [SimpleNamespace(nodeId=1)]
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1, brokers=lambda: brokers)

    async def send(self, _node, request):
        if isinstance(request, ListTransactions):
            listed = [ListedTransaction(it.transactional_id, it.producer_id, it.state) for it in self.described]
            return ListTransactionsResponse(0, 0, [], listed)
        if isinstance(request, DescribeTransactions):
            return DescribeTransactionsResponse(0, list(self.described))
        self.looks += 1
        open_from = -1 if self.is_over and self.looks > 1 else 7
        writer = DescribedProducer(9, 4, 0, 1_764_000_000_000, 0, open_from)
        return DescribeProducersResponse(0, [TopicProducers(COMMANDS, [PartitionProducers(3, 0, None, [writer])])])


def owner(state, epoch):
    return DescribedTransaction(0, "shop-7", state, 30_000, 1_764_000_005_000, 9, epoch, [])


@pytest.mark.parametrize(
    ("described", "hangs", "since_ms"),
    [
        ([], True, 1_764_000_000_000),
        ([owner("Ongoing", 4)], False, 1_764_000_005_000),
        ([owner("Ongoing", 5)], True, 1_764_000_000_000),
        ([owner("PrepareCommit", 5)], False, 1_764_000_005_000),
        ([owner("CompleteCommit", 5)], True, 1_764_000_000_000),
    ],
)
async def test_a_transaction_that_no_coordinator_will_end_hangs(described, hangs, since_ms):
    (found,) = await find_open(Asked(*described), [TopicPartition(COMMANDS, 3)])
    assert (found.is_hanging, found.since_ms) == (hangs, since_ms)
    check = check_open_transactions([found], now_ms=since_ms + 1)
    assert check.ok is not hangs
    command = f"abort --topic {COMMANDS} --partition 3 --start-offset 7"
    assert (command in check.to_do) is hangs


async def test_a_transaction_that_ends_while_it_is_looked_at_is_not_shown():
    assert await find_open(Asked(owner("CompleteCommit", 5), is_over=True), [TopicPartition(COMMANDS, 3)]) == []


def test_the_doctor_finds_another_partition_count(holdfast, cluster, tmp_path):
    bootstrap, count = cluster
    result = holdfast("doctor", "--bootstrap", bootstrap, "--partitions", count + 1, "--data-dir", tmp_path, "--json")
    assert f"HOLDFAST_PARTITIONS to {count}" in checks_of(result)[COMMANDS]["to_do"]


def test_the_doctor_of_an_absent_kafka_fails_but_goes_on(holdfast, nowhere, tmp_path):
    result = holdfast("doctor", "--bootstrap", nowhere, "--data-dir", tmp_path)
    assert result.exit_code == 1
    assert "data directory" in result.stdout
    assert "Kafka: no Kafka answers at" in result.stderr


def test_the_doctor_leaves_nothing_in_the_data_directory(holdfast, nowhere, tmp_path):
    holdfast("doctor", "--bootstrap", nowhere, "--data-dir", tmp_path / "later")
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_that_cannot_be_written_is_found():
    check = check_data_dir(Path("/proc/holdfast"))
    assert not check.ok
    assert "HOLDFAST_DATA_DIR" in check.to_do


@pytest.mark.parametrize(("level", "ok"), [(0, False), (1, False), (2, True), (3, True)])
def test_transactions_need_version_2(level, ok):
    assert check_features({"transaction.version": level}).ok is ok


def test_every_setting_of_every_topic_is_checked():
    for name, configs in TOPICS.items():
        assert check_topic(name, TopicState(partitions=4, configs=dict(configs)), 4).ok
        for key in configs:
            check = check_topic(name, TopicState(partitions=4, configs={**configs, key: "other"}), 4)
            assert not check.ok
            assert f"{key}={configs[key]}" in check.to_do


def test_a_topic_that_does_not_exist_is_found():
    assert "holdfast topics" in check_topic(CHANGELOG, None, 4).to_do


def test_a_partition_without_a_worker_is_found():
    group = GroupState(state="Stable", members={"w": [0, 2]}, positions={0: 5, 2: 7})
    workers, *lags = check_group(group, {0: 5, 1: 0, 2: 10})
    assert not workers.ok
    assert "partitions [1]" in workers.to_do
    assert [check.data["lag"] for check in lags] == [0, 0, 3]


def test_a_partition_far_behind_is_found():
    group = GroupState(state="Stable", members={"w": [0]}, positions={0: 1})
    _, lag = check_group(group, {0: MAX_LAG + 2})
    assert not lag.ok
