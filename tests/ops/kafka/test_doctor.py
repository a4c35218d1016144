"""`holdfast doctor` checks the topics and everything else that the service depends on."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from ops.kafka.cluster import GroupState, TopicState
from ops.kafka.doctor import (
    MAX_LAG,
    check_data_dir,
    check_features,
    check_feeds,
    check_group,
    check_runtime,
    check_topic,
)
from schemas.reference import FeedState
from schemas.topics import CHANGELOG, COMMANDS, TOPICS


def checks_of(result):
    return {check["name"]: check for check in json.loads(result.stdout)["checks"]}


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
    assert f"partition 1 has an open transaction from offset {record.offset} since 20" in young["found"]
    assert not old["ok"]
    assert f"partition 1 stands still at offset {record.offset} since 20" in old["found"]
    assert f"transactional id shop-7 (producer {shown['producer_id']}, epoch {shown['epoch']})" in old["found"]
    assert "Kafka aborts it 30 s after its beginning" in old["to_do"]


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


def test_a_feed_is_late_when_its_counts_are_older_than_its_interval():
    hour, now = 3_600_000, 1_764_000_000_000
    feeds = [
        FeedState(name, 1, "c", now, as_of_at=now - age, interval_ms=24 * hour, rows=1_200, refused=3)
        for name, age in (("in-time", 24 * hour), ("late", 24 * hour + 1), ("ahead", -hour))
    ]
    in_time, late, ahead = check_feeds(feeds, now_ms=now)
    assert [check.ok for check in (in_time, late, ahead)] == [True, False, True]
    assert late.name == "feed late"
    assert late.found == "last counted 24 h ago, comes every 24 h; 1,200 rows, 3 of them refused"
    assert late.to_do == "find out why no counts came since 2025-11-23 15:59:59 UTC (docs/runbook.md)"
    assert (in_time.data["age_ms"], ahead.data["age_ms"], in_time.to_do) == (24 * hour, 0, "")
    assert [*check_feeds([], now_ms=now)] == []


def test_the_doctor_knows_that_the_embedded_kafka_is_there(broker):
    assert broker
    assert "is in" in check_runtime().found
