"""Fixtures of the end-to-end tests."""

import asyncio
import signal

import pytest

from tests.e2e.stage import BROKER, Stage
from tests.harness import PARTITIONS
from tests.secure import IS_WANTED, make_topics, operating


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("readme"))
    try:
        broker = stage.open(1)
        with operating(stage.folder / BROKER):
            if IS_WANTED:
                asyncio.run(make_topics(stage.bootstrap, PARTITIONS))
            stage.started = {1: broker, 2: stage.open(2), 3: stage.open(3)}
            yield stage
    finally:
        for number in sorted(stage.terminals, reverse=True):
            stage.terminals[number].end(signal.SIGTERM)
