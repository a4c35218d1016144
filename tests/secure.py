"""Owns a run of tests over a Kafka with TLS, users and rights (`make secure`): who this process and its children are.

The test's process is the broker's `operator`; each service that it starts is its own user.
"""

import contextlib
import os
from pathlib import Path
from unittest import mock

from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from schemas.kafka_connection import PASSWORD_FILE, USERNAME, VARIABLES

IS_WANTED = os.environ.get("HOLDFAST_TEST_BROKER") == "secure"


@contextlib.contextmanager
def running_broker(folder):
    """Run a broker, a secure one if that is wanted; this process is its operator meanwhile."""
    broker = Broker(folder, secure=IS_WANTED)
    broker.start()
    try:
        with operating(folder):
            yield broker
    finally:
        broker.stop()


@contextlib.contextmanager
def operating(folder):
    """Let this process be the operator of the broker in a folder, if that is a secure one."""
    with mock.patch.dict(os.environ):
        if IS_WANTED:
            os.environ |= settings_in(Path(folder) / "operator.env")
        yield


def settings_in(file):
    """Return the variables in a file of settings, but where Kafka is: tests say that themselves."""
    pairs = dict(line.split("=", 1) for line in file.read_text().splitlines())
    return {name: value.strip("'") for name, value in pairs.items() if name in VARIABLES}


@contextlib.contextmanager
def acting_as(role):
    """Let this process, and what it starts, be another user of the same broker for a block."""
    with mock.patch.dict(os.environ, environment_of(role)):
        yield


def environment_of(role):
    """Return this process's environment for a child that is another user of the same broker."""
    environment = dict(os.environ)
    if USERNAME in environment:
        environment[USERNAME] = role
        environment[PASSWORD_FILE] = str(Path(environment[PASSWORD_FILE]).with_name(f"{role}.password"))
    return environment


async def make_topics(bootstrap, partitions):
    """Make the topics as the user who may."""
    with acting_as("topics"):
        await ensure_topics(bootstrap, partitions)
