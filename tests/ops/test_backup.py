"""The backup page, followed step by step: what can be restored from which copy, and what a mirror of the topics does.

This file has brokers of its own, because a backup stops them. The first two tests leave the restored one as it is.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from audit.run import audit
from bench.topics import delete_topics, make_holdfast_topics
from ops.kafka.broker import Broker, free_port
from schemas.partitioner import partition_of
from schemas.topics import CHANGELOG, COMMANDS, RESULTS, STOCK_CHANGES, TOPICS
from tests.harness import PARTITIONS, assert_audit_equal, commands, send, worker_starter
from tests.tidy.repository import document

COPIED = (CHANGELOG, COMMANDS, RESULTS, STOCK_CHANGES)
LOST = 3  # commands that retention deleted in each partition, before somebody copied the records
BUCKETS = ("on_hand", "damaged", "safety_stock")


def adjust(command_id, sku, warehouse="w", bucket="on_hand", **quantity):
    fields = {"type": "adjust", "command_id": command_id, "sku": sku, "warehouse": warehouse, "bucket": bucket}
    return sku, partition_of(sku, PARTITIONS), json.dumps(fields | {"reason": "correction"} | quantity).encode()


def hold(command_id, type_, sku, **more):
    fields = {"type": type_, "command_id": command_id, "sku": sku, "reservation_id": "held"}
    return sku, partition_of(sku, PARTITIONS), json.dumps(fields | more).encode()


def one_sku_per_partition():
    names = {partition_of(sku, PARTITIONS): sku for sku in (f"place-{number}" for number in range(100))}
    return [names[partition] for partition in range(PARTITIONS)]


async def read(bootstrap, topic):
    """Return the committed records of each partition of a topic."""
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    found = {place.partition: [] for place in places}
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed") as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        for place, end in (await consumer.end_offsets(places)).items():
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(place, timeout_ms=500)).values():
                    found[place.partition] += records
    return found


async def copy_records(bootstrap, records):
    """Write records into topics made anew, partition by partition, as a tool that mirrors topics does."""
    await delete_topics(bootstrap, list(TOPICS))
    await make_holdfast_topics(bootstrap)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for topic, partitions in records.items():
            for partition, kept in partitions.items():
                for record in kept[LOST if topic == COMMANDS else 0 :]:
                    await producer.send(topic, record.value, key=record.key, partition=partition)


async def results_of(bootstrap):
    """Return the results by command, in order."""
    found = {}
    for records in (await read(bootstrap, RESULTS)).values():
        for result in (json.loads(record.value) for record in records):
            found.setdefault(result["command_id"], []).append(result)
    return found


def digests_of(report):
    return [(part.position, part.digests) for part in report.partitions]


@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    """Return a copy of the data of a stopped broker, what an audit said before, and the records that it holds."""
    folder = tmp_path_factory.mktemp("backup")
    broker = Broker(folder / "broker")
    broker.start()
    try:
        digests, records = asyncio.run(work_and_stop(broker.bootstrap, folder / "worker"))
    finally:
        broker.stop()
    shutil.copytree(folder / "broker", folder / "copy")
    return folder / "copy", digests, records


async def work_and_stop(bootstrap, data_dir):
    await make_holdfast_topics(bootstrap)
    with worker_starter() as start:
        worker = start(bootstrap, data_dir)
        await worker.ready()
        skus = one_sku_per_partition()
        await send(bootstrap, [adjust(f"kept-{sku}", sku, delta=7) for sku in skus])
        await send(bootstrap, [hold(f"hold-{sku}", "reserve", sku, quantity=2, ttl_ms=0) for sku in skus])
        await send(bootstrap, commands(11, 400))
        await assert_audit_equal(bootstrap)
        assert await worker.stop() == 0
        while (await audit(bootstrap)).pending:  # a tick that was written while the worker stopped
            worker = start(bootstrap, data_dir)
            await worker.ready()
            assert await worker.stop() == 0
    report = await assert_audit_equal(bootstrap)
    return digests_of(report), {topic: await read(bootstrap, topic) for topic in COPIED}


@pytest.fixture(scope="module")
def restored(backup):
    """Return the address of a broker that was started on the copy."""
    broker = Broker(backup[0], port=free_port())
    broker.start()
    yield broker.bootstrap
    broker.stop()


async def test_a_copy_of_the_brokers_data_is_the_same_ledger_and_goes_on(backup, restored, tmp_path):
    assert digests_of(await assert_audit_equal(restored)) == backup[1]
    skus = one_sku_per_partition()
    before = await results_of(restored)
    with worker_starter() as start:
        await start(restored, tmp_path / "worker").ready()
        await send(restored, [adjust(f"kept-{sku}", sku, delta=7) for sku in skus])
        await send(restored, [adjust(f"new-{sku}", sku, delta=1) for sku in skus])
        await assert_audit_equal(restored)
    after = await results_of(restored)
    for sku in skus:
        first, repeated = after[f"kept-{sku}"]
        assert [first] == before[f"kept-{sku}"]
        assert (first["replayed"], repeated) == (False, first | {"replayed": True})
        assert [row["on_hand"] for [result] in [after[f"new-{sku}"]] for row in result["stock"]] == [8]


def copy_ledger(folder, source, target):
    [script] = re.findall(r"^```python\n(.*?)^```$", document("docs/how-to/backup.md"), re.MULTILINE | re.DOTALL)
    (folder / "copy_ledger.py").write_text(script)
    command = [sys.executable, folder / "copy_ledger.py", source, target]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def elsewhere(tmp_path):
    """Return the address of another cluster, with new topics."""
    broker = Broker(tmp_path / "elsewhere")
    broker.start()
    asyncio.run(make_holdfast_topics(broker.bootstrap))
    yield broker.bootstrap
    broker.stop()


def test_the_ledgers_records_go_on_in_a_new_cluster(restored, elsewhere, tmp_path):
    asyncio.run(send(restored, [adjust("not-decided", "place-1", delta=1)]))
    early = copy_ledger(tmp_path, restored, elsewhere)
    assert (early.returncode, "are not decided; start the workers again" in early.stderr) == (1, True), early.stderr
    again = copy_ledger(tmp_path, restored, elsewhere)
    assert (again.returncode, "is not new" in again.stderr) == (1, True), again.stderr
    asyncio.run(renew_and_decide(restored, elsewhere, tmp_path / "source"))
    copied = copy_ledger(tmp_path, restored, elsewhere)
    assert (copied.returncode, copied.stdout.count("copied up to")) == (0, PARTITIONS), copied.stderr
    asyncio.run(goes_on(restored, elsewhere, tmp_path / "target"))


async def renew_and_decide(source, target, data_dir):
    await delete_topics(target, list(TOPICS))
    await make_holdfast_topics(target)
    with worker_starter() as start:
        worker = start(source, data_dir)
        await worker.ready()
        await assert_audit_equal(source)
        assert await worker.stop() == 0


async def goes_on(source, target, data_dir):
    before, stock = await results_of(source), latest(await read(source, STOCK_CHANGES))
    assert latest(await read(target, STOCK_CHANGES)) == stock
    skus = one_sku_per_partition()
    with worker_starter() as start:
        await start(target, data_dir).ready()
        await send(target, [adjust(f"kept-{sku}", sku, delta=7) for sku in skus])
        await send(target, [adjust(f"target-{sku}", sku, delta=1) for sku in skus])
        await send(target, [hold(f"commit-{sku}", "commit", sku) for sku in skus])
        await send(target, commands(12, 200))
        report = await audit(target, wait_s=60)
    assert (report.equal, report.pending, report.lost, report.doubled) == (True, 0, 0, 0), report.differences[:5]
    after = await results_of(target)
    for sku in skus:
        assert after[f"kept-{sku}"] == [before[f"kept-{sku}"][0] | {"replayed": True}]
        [answer], last = after[f"target-{sku}"], max(result["seq"] for result in of_sku(before, sku))
        assert (answer["seq"], answer["stock"][0]["on_hand"]) == (last + 1, stock[sku, "w"][0] + 1)
        [committed] = after[f"commit-{sku}"]
        assert (committed["reservation"]["state"], committed["stock"][0]["reserved"]) == ("committed", 0)


def of_sku(results, sku):
    return [result for answers in results.values() for result in answers if result["sku"] == sku]


async def test_a_copy_of_the_records_stops_the_workers_and_later_skips_commands(backup, restored, tmp_path):
    await copy_records(restored, backup[2])
    skus = one_sku_per_partition()
    with worker_starter() as start:
        worker = start(restored, tmp_path / "refused")
        assert await worker.dead() == 1
        assert "LostCommandsError" in worker.log()
        # As soon as callers have filled the gap, nothing shows it any more.
        await send(restored, [adjust(f"skipped-{n}-{sku}", sku, delta=1) for sku in skus for n in range(LOST)])
        await send(restored, [adjust(f"answered-{sku}", sku, delta=1) for sku in skus])
        worker = start(restored, tmp_path / "deceived")
        await worker.ready()
        for _ in range(400):
            results = await results_of(restored)
            if all(f"answered-{sku}" in results for sku in skus):
                break
            await asyncio.sleep(0.05)
    assert [result["stock"][0]["on_hand"] for sku in skus for result in results[f"answered-{sku}"]] == [8] * PARTITIONS
    assert not [command_id for command_id in results if str(command_id).startswith("skipped")]


def latest(changes):
    """Return the quantities that can be set of each stock row that has any, from the stock changes."""
    rows = {}
    for records in changes.values():
        for change in (json.loads(record.value) for record in records):
            rows[change["sku"], change["warehouse"]] = [change["after"][bucket] for bucket in BUCKETS]
    return {place: quantities for place, quantities in rows.items() if any(quantities)}


async def test_the_stock_alone_is_rebuilt_by_counts_from_the_stock_changes(backup, restored, tmp_path):
    stock = latest(backup[2][STOCK_CHANGES])
    assert len(stock) > 20
    await delete_topics(restored, list(TOPICS))
    await make_holdfast_topics(restored)
    with worker_starter() as start:
        await start(restored, tmp_path / "new").ready()
        await send(
            restored,
            [
                adjust(f"count-{number}-{bucket}", sku, warehouse, bucket, count=quantity)
                for number, ((sku, warehouse), quantities) in enumerate(stock.items())
                for bucket, quantity in zip(BUCKETS, quantities, strict=True)
            ],
        )
        await assert_audit_equal(restored)
    assert latest(await read(restored, STOCK_CHANGES)) == stock
