"""Fixtures of the command line's tests."""

import asyncio

import pytest
from model_worker import ModelWorker
from typer.testing import CliRunner

from ops.cli import app
from ops.kafka.broker import free_port
from ops.kafka.cluster import connect
from ops.kafka.topics import ensure_topics
from schemas.topics import COMMANDS


async def partition_counts(bootstrap):
    async with connect(bootstrap) as cluster:
        return await cluster.partition_counts()


@pytest.fixture(scope="session")
def cluster(broker):
    """Return the address of a Kafka whose topics exist, and their partition count."""
    count = asyncio.run(partition_counts(broker.bootstrap)).get(COMMANDS, 4)
    asyncio.run(ensure_topics(broker.bootstrap, count))
    return broker.bootstrap, count


@pytest.fixture(scope="session")
def bootstrap(cluster):
    """Return the address of a Kafka whose topics exist."""
    return cluster[0]


@pytest.fixture
def answering(cluster):
    """Return the address of a Kafka whose commands are answered, as a worker would."""
    with ModelWorker(*cluster):
        yield cluster[0]


@pytest.fixture
def nowhere():
    """Return an address at which nothing listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def holdfast(monkeypatch):
    """Return a function that runs the command line and returns its exit code, output and errors."""
    for name in ("HOLDFAST_BOOTSTRAP", "HOLDFAST_PARTITIONS", "HOLDFAST_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, given=None):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
