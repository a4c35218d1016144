"""The audit as an operator runs it: against a real Kafka and a real worker, twice, and a look into the past."""

import asyncio
import json

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from audit.run import Progress
from ops.audit import Rate
from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from schemas.partitioner import partition_of
from schemas.topics import RESULTS
from tests.harness import PARTITIONS, Worker, commands, send

SKU = "in the past"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    yield broker.bootstrap
    broker.stop()


@pytest.fixture
def worker(kafka, tmp_path):
    process = Worker(kafka, tmp_path / "worker")
    asyncio.run(process.ready())
    yield process
    process.process.kill()
    process.process.wait()


def audit(holdfast, kafka, *options, wait_s=60, code=0):
    result = holdfast("audit", "--bootstrap", kafka, "--wait", wait_s, "--json", *options)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def adjust(number, delta):
    fields = {"command_id": f"past-{number}", "sku": SKU, "type": "adjust", "warehouse": "w", "reason": "receipt"}
    return SKU, partition_of(SKU, PARTITIONS), json.dumps(fields | {"delta": delta}).encode()


def test_an_audit_goes_on_from_a_checkpoint_and_finds_what_was_published_twice(holdfast, kafka, worker, tmp_path):
    checkpoint, page = tmp_path / "checkpoint", tmp_path / "audit.html"
    asyncio.run(send(kafka, [adjust(1, 7), *commands(1, 600), adjust(2, 5)]))
    first = audit(holdfast, kafka, "--checkpoint", checkpoint, "--html", page)
    assert (first["equal"], first["complete"], first["oversold"]) == (True, True, 0)
    assert first["cluster"] in page.read_text()
    asyncio.run(send(kafka, [*commands(2, 300), adjust(3, 1)]))
    audit(holdfast, kafka)
    asyncio.run(worker.stop())  # expiries would go on
    # In processes of their own, as a large audit does it.
    second = audit(holdfast, kafka, "--checkpoint", checkpoint, "--processes", 2, wait_s=0)
    full = audit(holdfast, kafka, wait_s=0)
    assert 0 < second["compared"]["commands"] < full["compared"]["commands"]
    assert [it["digests"] for it in second["partitions"]] == [it["digests"] for it in full["partitions"]]
    assert all(it["holds"] for part in second["partitions"] for it in part["invariants"])
    past_is_told(holdfast, kafka, full, checkpoint)
    asyncio.run(publish_again(kafka))
    spoiled = audit(holdfast, kafka, "--checkpoint", checkpoint, wait_s=0, code=1)
    assert (spoiled["doubled"], spoiled["checkpoint"]) == (1, None)
    assert [(it["kind"], it["what"]) for it in spoiled["differences"]] == [("result", "doubled")], spoiled


def past_is_told(holdfast, kafka, report, checkpoint):
    partition = partition_of(SKU, PARTITIONS)
    end = report["partitions"][partition]["position"]

    def on_hand(at, *options):
        result = holdfast("stock", SKU, "--at", at, "--bootstrap", kafka, "--json", *options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["stock"][0]["on_hand"]

    assert on_hand(f"{partition}:{end - 1}") == 13
    assert on_hand(f"{partition}:0") == 7
    assert on_hand("2100-01-01", "--checkpoint", checkpoint) == 13
    beginning = holdfast("stock", SKU, "--at", "2001-01-01", "--bootstrap", kafka)
    assert (beginning.exit_code, "had no stock row before command 0" in beginning.stderr) == (1, True)
    elsewhere = holdfast("stock", SKU, "--at", f"{(partition + 1) % PARTITIONS}:0", "--bootstrap", kafka)
    assert (elsewhere.exit_code, f"is in partition {partition}" in elsewhere.stderr) == (2, True)


async def publish_again(kafka):
    place = TopicPartition(RESULTS, 0)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        consumer.assign([place])
        record = await consumer.getone(place)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await producer.send_and_wait(RESULTS, record.value, key=record.key, partition=0)


def test_a_moment_that_is_none_is_refused(holdfast, nowhere):
    result = holdfast("stock", "S", "--at", "yesterday", "--bootstrap", nowhere)
    assert (result.exit_code, "is no moment" in result.stderr) == (2, True)


def test_a_checkpoint_is_of_no_use_for_the_present(holdfast, nowhere, tmp_path):
    result = holdfast("stock", "S", "--checkpoint", tmp_path, "--bootstrap", nowhere)
    assert (result.exit_code, "--checkpoint needs --at" in result.stderr) == (2, True)


def test_a_page_that_cannot_be_written_is_said_before_the_audit(holdfast, nowhere, tmp_path):
    result = holdfast("audit", "--html", tmp_path / "no" / "page.html", "--bootstrap", nowhere)
    assert (result.exit_code, "page.html cannot be written" in result.stderr) == (2, True)


def test_a_page_that_is_there_stays_when_no_audit_could_be_made(holdfast, nowhere, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("signed off")
    assert holdfast("audit", "--html", page, "--bootstrap", nowhere).exit_code == 2
    assert page.read_text() == "signed off"


def test_rate_and_time_left_are_over_all_partitions():
    rate = Rate()
    assert rate.advance(Progress(0, "comparing", 1000, 5000, 1000), 10.0) == ""
    assert rate.advance(Progress(1, "comparing", 0, 2000), 11.0) == ""
    assert rate.advance(Progress(0, "comparing", 2000, 5000, 1000), 12.0) == "500 commands/s, 0:10 left"
    assert rate.advance(Progress(1, "comparing", 2000, 2000), 13.0) == "1,000 commands/s, 0:03 left"
