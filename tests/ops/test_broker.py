"""The embedded broker is a real Kafka: after a kill it starts again with all its records."""

import asyncio
import contextlib
import socket
import threading
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ops.kafka.broker import Broker, free_port
from ops.kafka.cluster import connect
from ops.kafka.doctor import check_runtime
from ops.kafka.probe import cluster_at
from ops.kafka.topics import ensure_topics
from schemas.topics import COMMANDS, RESULTS, TOPICS


async def write(bootstrap, value):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(COMMANDS, value, partition=0)


async def read_first(bootstrap):
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        partition = TopicPartition(COMMANDS, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return (await consumer.getone()).value


def test_a_killed_broker_comes_back_at_the_same_address_with_its_records(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    try:
        address = broker.bootstrap
        asyncio.run(ensure_topics(address, 2))
        asyncio.run(asyncio.sleep(1))  # Kafka writes a new partition's identity to disk a moment after making it
        asyncio.run(write(address, b"kept"))
        broker.kill()
        broker.start()
        assert broker.bootstrap == address
        assert asyncio.run(read_first(address)) == b"kept"
    finally:
        broker.stop()
    assert broker.pid is None


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


def test_a_port_or_a_directory_of_somebody_else_is_refused_before_anything_is_touched(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="cannot be had"):
            Broker(tmp_path / "one", port=taken.getsockname()[1]).start()
    first = Broker(tmp_path / "two")
    first.start()
    try:
        before = (tmp_path / "two/server.properties").read_text()
        with pytest.raises(RuntimeError, match="another broker runs on"):
            Broker(tmp_path / "two", port=free_port()).start()
        assert (tmp_path / "two/server.properties").read_text() == before
    finally:
        first.stop()
    (tmp_path / "three").mkdir()
    (tmp_path / "three/instance-id").write_text("w")
    with pytest.raises(RuntimeError, match="is a worker's"):
        Broker(tmp_path / "three").start()


def processes_on(folder):
    commands = Path("/proc").glob("[0-9]*/cmdline")
    for command in commands:
        with contextlib.suppress(OSError):
            if str(folder).encode() in command.read_bytes():
                yield command.parent.name


def test_a_broker_whose_port_another_kafka_takes_while_it_starts_is_not_ready_but_ended(
    holdfast, broker, tmp_path, monkeypatch
):
    monkeypatch.setattr("ops.kafka.broker._check_free", lambda _host, _port: None)  # it was free at that moment
    monkeypatch.setattr("ops.kafka.foreground.signal.signal", lambda _number, _handler: None)  # pytest has its own
    port = broker.bootstrap.rpartition(":")[2]
    result = holdfast("broker", "--data-dir", tmp_path, "--port", port)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"did not start: at 127.0.0.1:{port} another Kafka answers, of cluster" in result.stderr
    assert list(processes_on(tmp_path)) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x08\0\0\0\x02\0\0\0\0",  # an answer to somebody else's question
        b"\0\0\0\x01\0\0\0\x01",  # shorter than its own header
        b"\0\0\0\x0c\0\0\0\x01\0\0\0\x01\0\0",  # it ends in the midst
        b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\x03",
    ],
)
def test_what_is_no_kafka_has_no_cluster(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            link, _ = server.accept()
            with link:
                link.recv(100)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert cluster_at(*server.getsockname()) is None
        thread.join()


def test_a_broker_tells_its_cluster(broker):
    host, _, port = broker.bootstrap.rpartition(":")
    assert len(cluster_at(host, int(port))) == 22


def test_the_doctor_knows_that_the_embedded_kafka_is_there(broker):
    assert broker
    assert "is in" in check_runtime().found
