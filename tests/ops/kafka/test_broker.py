"""The embedded broker is a real Kafka: after a kill it starts again with all its records."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from ops.kafka.broker import Broker, free_port
from ops.kafka.topics import ensure_topics
from schemas.topics import COMMANDS


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
