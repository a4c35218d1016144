"""A broker of its own for each module of fault tests, and workers that are gone when a test is over."""

import asyncio

import pytest

from ops.broker import SHORT_LIVED, Broker
from ops.topics import ensure_topics
from tests.harness import PARTITIONS, Worker


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"), java_flags=SHORT_LIVED)
    broker.start()
    asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
    yield broker
    broker.stop()


@pytest.fixture
def start_worker(kafka):
    started = []

    def start(data_dir, **options):
        worker = Worker(kafka.bootstrap, data_dir, **options)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
