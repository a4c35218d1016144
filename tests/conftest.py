"""Fixtures that all tests share."""

import os
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

from ops.kafka.runtime import KAFKA_VERSION
from tests.secure import running_broker

# The machines that run this are shared: how long an example takes says nothing.
settings.register_profile("holdfast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("holdfast")
# No balancer stands before the gateways that tests start.
os.environ.setdefault("HOLDFAST_DRAIN_MS", "0")


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """Return a Kafka that all tests share; its only promised attribute is `.bootstrap`.

    An external one when `HOLDFAST_BOOTSTRAP` is set, a container when `HOLDFAST_TEST_BROKER=testcontainers`, else the
    embedded one: a secure one when that is `secure`.
    """
    if bootstrap := os.environ.get("HOLDFAST_BOOTSTRAP"):
        yield SimpleNamespace(bootstrap=bootstrap)
    elif os.environ.get("HOLDFAST_TEST_BROKER") == "testcontainers":
        from testcontainers.kafka import KafkaContainer  # noqa: PLC0415 - needs Docker, which few tests have

        with KafkaContainer(f"apache/kafka:{KAFKA_VERSION}").with_kraft() as container:
            yield SimpleNamespace(bootstrap=container.get_bootstrap_server())
    else:
        with running_broker(tmp_path_factory.mktemp("broker")) as embedded:
            yield embedded
