"""Whether a gateway is ready, degraded or not ready, and why."""

import pytest

from gateway.health import ReasonCode
from schemas.status import PartitionStatus, encode_status, key_of
from tests.gateway.conftest import PARTITIONS


@pytest.fixture
def hear(gateway):
    """Return a function that brings a status of a partition into the gateway's view, which is live."""
    gateway.owners_reader.complete.set()

    def hear(partition, state, *, recovered=0, to_recover=0):
        status = PartitionStatus(
            partition=partition, worker="w1", state=state, position=0, log_end=0, recovered=recovered,
            to_recover=to_recover, transaction_ms=None, epoch=1, at=0,
        )  # fmt: skip
        gateway.owners.apply(partition, key_of(partition), encode_status(status))

    hear.silent = gateway.owners._heard.pop
    for partition in range(PARTITIONS):
        hear(partition, "open")
    return hear


async def ready(client, query=""):
    """Return HTTP status, status, and the reasons by code."""
    answer = await client.get(f"/health/ready{query}")
    document = answer.json()
    return answer.status_code, document["status"], {reason.pop("code"): reason for reason in document["reasons"]}


@pytest.mark.usefixtures("hear")
async def test_a_gateway_that_serves_everything_is_ready(client):
    assert await ready(client) == (200, "ready", {})
    assert await ready(client, "?strict=true") == (200, "ready", {})


async def test_before_the_topic_of_the_owners_was_read_nothing_is_said_of_them(client):
    assert await ready(client) == (200, "ready", {})


async def test_partitions_without_an_owner_degrade_it_and_are_named(client, hear):
    hear.silent(1)
    hear.silent(3)
    status, said, reasons = await ready(client)
    assert (status, said, reasons["no_owner"]["partitions"]) == (200, "degraded", [1, 3])
    assert (await ready(client, "?strict=true"))[0] == 503
    assert (await ready(client, "?strict=false"))[0] == 200


async def test_a_partition_that_changes_hands_is_no_reason_yet(client, hear):
    hear(1, "stopped")
    assert await ready(client) == (200, "ready", {})


async def test_partitions_that_recover_are_named_with_their_progress(client, hear):
    hear(0, "recovering", recovered=10, to_recover=100)
    hear(2, "recovering", recovered=5, to_recover=50)
    _, said, reasons = await ready(client)
    assert said == "degraded"
    assert reasons["recovering"]["partitions"] == [0, 2]
    assert reasons["recovering"]["progress"] == {"done": 15, "total": 150}


@pytest.mark.usefixtures("hear")
async def test_a_view_that_is_being_read_makes_it_not_ready_with_its_progress(client, gateway):
    gateway.reader.complete.clear()
    gateway.reader.read, gateway.reader.lag = 30, 70
    status, said, reasons = await ready(client)
    assert (status, said) == (503, "not_ready")
    assert reasons["view_not_ready"]["progress"] == {"done": 30, "total": 100}


@pytest.mark.usefixtures("hear")
@pytest.mark.parametrize("event", ["draining", "stopping"])
async def test_a_gateway_that_was_told_to_end_is_not_ready(client, gateway, event):
    getattr(gateway, event).set()
    assert (await ready(client))[:2] == (503, "not_ready")


@pytest.mark.usefixtures("hear")
async def test_while_kafka_is_away_it_is_degraded_for_its_view_still_answers(client, ledger):
    ledger.unavailable = "no broker answers at 10.0.0.1:9092"
    status, said, reasons = await ready(client)
    assert (status, said, [*reasons]) == (200, "degraded", ["kafka_unavailable"])
    assert "10.0.0.1" not in str(reasons)


@pytest.mark.usefixtures("hear")
async def test_a_partition_that_refuses_requests_is_named(client, ledger):
    ledger.loads.begin(2, 1_000)
    load = ledger.loads._loads[2]
    ledger.loads.begin(2)
    load.crowded_since -= 1
    assert not ledger.loads.begin(2)
    _, said, reasons = await ready(client)
    assert (said, reasons["shedding"]["partitions"]) == ("degraded", [2])


@pytest.mark.usefixtures("hear")
async def test_keys_that_cannot_be_read_anew_degrade_it(client, gateway):
    gateway.health.credentials_are_stale = lambda: True
    assert (await ready(client))[1:] == (
        "degraded",
        {"credentials_stale": {"detail": "The keys cannot be read anew; the last good ones hold."}},
    )


async def test_strict_must_be_true_or_false(client):
    answer = await client.get("/health/ready?strict=1")
    assert (answer.status_code, answer.json()["field"]) == (422, "strict")


async def test_every_reason_has_a_sentence_for_people(client, gateway, hear, ledger):
    hear.silent(0)
    hear(1, "recovering")
    gateway.reader.complete.clear()
    gateway.draining.set()
    gateway.health.credentials_are_stale = lambda: True
    ledger.unavailable = "x"
    ledger.loads._loads[2].shed_at = ledger.loads._clock()
    _, _, reasons = await ready(client)
    assert {*reasons} == {*ReasonCode}
    assert all(reason["detail"].endswith(".") for reason in reasons.values())
