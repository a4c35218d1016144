"""A broker of its own for each module of fault tests, and workers that are gone when a test is over."""

import asyncio
import functools

import pytest

from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from tests.harness import PARTITIONS, worker_starter


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    yield broker
    broker.stop()


@pytest.fixture
def start_worker(kafka):
    with worker_starter() as start:
        yield functools.partial(start, kafka.bootstrap)
