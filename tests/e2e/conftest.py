"""Fixtures of the end-to-end tests."""

import signal

import pytest

from tests.e2e.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("readme"))
    try:
        stage.started = {number: stage.open(number) for number in (1, 2, 3)}
        yield stage
    finally:
        for number in sorted(stage.terminals, reverse=True):
            stage.terminals[number].end(signal.SIGTERM)
