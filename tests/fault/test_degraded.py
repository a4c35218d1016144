"""What a gateway does while something is away: it says what, refuses quickly what it cannot do, and does the rest.

Broker, worker and gateway are real; each is stopped. Under all of it runs a load whose every command counts once.
"""

import asyncio
import contextlib
import os
import signal
import time

import pytest

from tests.fault.gateway_process import ASIDE, GatewayProcess, Load, Watch, flood, reserved, stock_up, until
from tests.fault.slow_worker import MOST_PER_S, SlowWorker
from tests.harness import Worker, assert_audit_equal, commands, send

# The claim is a second; a busy machine gets another half.
REFUSED_WITHIN_S = 1.5
# These take longest; `make fault` runs them.
LONG = pytest.mark.skipif(os.environ.get("FAULT_LONG") != "1", reason="`make fault` runs it")
VIEW = f"/v1/availability?sku={ASIDE[0]}"


@pytest.fixture(scope="module")
def gateway(kafka, tmp_path_factory):
    gateway = GatewayProcess(kafka.bootstrap, tmp_path_factory.mktemp("gateway"))
    yield gateway
    gateway.end()


@pytest.fixture(scope="module")
def worker(kafka, tmp_path_factory):
    """Return the worker that runs now, in a list: a test may replace it."""
    folder = tmp_path_factory.mktemp("worker")
    running = [Worker(kafka.bootstrap, folder)]
    yield running
    for it in running:
        with contextlib.suppress(ProcessLookupError):
            it.process.kill()
        it.process.wait()


@pytest.fixture
async def client(kafka, gateway, worker):
    """Return a client of a gateway that is ready; after the test the audit finds nothing lost and nothing doubled."""
    async with gateway.client() as client:
        await Watch(client).is_ready()
        await stock_up(client)
        yield client
        await Watch(client).is_ready()
    await assert_audit_equal(kafka.bootstrap)
    assert gateway.process.poll() is None
    assert worker[0].process.poll() is None


async def refused_since(load, since):
    """Wait for a refusal, check that all later requests are refused at once, and return when the first was."""

    async def refused():
        return [sent for sent, status, _ in load.first if status == 503]

    await until(refused, 10)
    first_s = time.monotonic() - since
    await asyncio.sleep(0.5)
    late = [(status, took) for sent, status, took in load.first if sent > since + REFUSED_WITHIN_S]
    assert all(status == 503 for status, _ in late)
    assert max((took for _, took in late), default=0.0) < 0.3
    return first_s


async def assert_view_goes_on(client):
    """The view answers, and says how old it is."""

    async def has_an_age():
        answer = await client.get(VIEW)
        assert answer.status_code == 200
        return int(answer.headers["holdfast-view-lag-ms"])

    await until(has_an_age)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_a_kafka_that_is_away_is_refused_within_a_second_and_the_view_goes_on(kafka, client, fault):
    watch = Watch(client)
    async with Load(client, f"kafka-{fault}-{time.time_ns()}") as load:
        await asyncio.sleep(1.0)
        since = time.monotonic()
        if fault == "killed":
            kafka.kill()
        else:
            os.kill(kafka.pid, signal.SIGSTOP)
        try:
            assert await refused_since(load, since) < REFUSED_WITHIN_S
            answer = await client.post("/v1/reservations", json={"sku": ASIDE[0], "quantity": 1})
            assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
            assert answer.headers["retry-after"]
            assert (await client.get("/v1/stock", params={"sku": ASIDE[0]})).status_code == 503
            await watch.names("kafka_unavailable")
            await assert_view_goes_on(client)
            assert "no_owner" not in await watch.reasons(), "of the owners nothing is known now"
            assert (await client.get("/health/ready?strict=true")).status_code == 503

            async def status_says_so():
                status = (await client.get("/v1/status")).json()  # a second old at most
                return (status["status"], status["kafka"]) == ("degraded", {"connected": False})

            await until(status_says_so, 3)
        finally:
            if fault == "killed":
                kafka.start()
            else:
                os.kill(kafka.pid, signal.SIGCONT)
        await watch.is_ready()


async def test_without_a_worker_commands_get_504_that_names_them_and_says_why(client, worker):
    watch = Watch(client)
    async with Load(client, f"no-worker-{time.time_ns()}", per_s=10):
        await worker[0].kill()
        await watch.names("no_owner", lambda it: it["partitions"] == [0, 1, 2, 3])
        answer = await client.post(
            "/v1/reservations", json={"sku": ASIDE[1], "quantity": 1}, headers={"idempotency-key": "alone"}
        )
        assert (answer.status_code, answer.json()["code"]) == (504, "result_timeout")
        assert answer.json()["partition_state"] == "no_owner"
        assert answer.headers["holdfast-command-id"] == "alone"
        assert (await client.get(VIEW)).headers["holdfast-view-lag-ms"] == "0"
        worker[0] = Worker(worker[0].bootstrap, worker[0].data_dir)


@LONG
async def test_when_one_of_two_workers_freezes_only_its_partitions_have_no_owner(kafka, client, tmp_path):
    second = Worker(kafka.bootstrap, tmp_path / "second")
    try:
        await second.ready()
        watch = Watch(client)

        async def two_owners():
            status = (await client.get("/v1/status")).json()
            owners = {it["partition"]: it["worker"] for it in status["partitions"] if it["state"] == "open"}
            return owners if len(owners) == len(ASIDE) and len({*owners.values()}) == 2 else None

        owners = await until(two_owners)
        mine = (second.data_dir / "instance-id").read_text()
        lost = sorted(number for number, owner in owners.items() if owner == mine)
        kept = next(number for number in owners if number not in lost)
        second.signal(signal.SIGSTOP)
        await watch.names("no_owner", lambda it: it["partitions"] == lost)
        answer = await client.post("/v1/reservations", json={"sku": ASIDE[kept], "quantity": 1})
        assert answer.status_code == 201
        await watch.is_ready()  # the other one takes them over
        second.signal(signal.SIGCONT)
        # The zombie wakes up: nobody is told that it has anything, or that its partitions have stopped.
        for _ in range(20):
            assert "no_owner" not in await watch.reasons()
            await asyncio.sleep(0.05)
    finally:
        second.signal(signal.SIGCONT)
        await second.stop()


async def test_a_broken_key_file_is_told_and_the_last_good_keys_hold(client, gateway):
    whole = gateway.keys.read_text()
    gateway.write_keys("{")
    try:
        await Watch(client).names("credentials_stale")
        assert (await client.get("/v1/stock", params={"sku": ASIDE[0]})).status_code == 200
    finally:
        gateway.write_keys(whole)
    await Watch(client).is_ready()


@LONG
async def test_a_partition_that_recovers_is_told_with_its_progress(kafka, client, worker):
    await send(kafka.bootstrap, commands(77, 40_000))
    await assert_audit_equal(kafka.bootstrap)
    await worker[0].kill()
    worker[0].wipe()
    worker[0] = Worker(worker[0].bootstrap, worker[0].data_dir)
    watch = Watch(client)
    reason = await watch.names("recovering", is_right=lambda it: it["progress"]["total"] > 0)
    worker[0].signal(signal.SIGSTOP)  # so that there is time to look
    try:
        sku = ASIDE[reason["partitions"][0]]
        answer = await client.post("/v1/reservations", json={"sku": sku, "quantity": 1})
    finally:
        worker[0].signal(signal.SIGCONT)
    assert (answer.status_code, answer.json()["partition_state"]) == (504, "recovering")
    assert 0 <= answer.json()["progress"]["done"] <= answer.json()["progress"]["total"]


@LONG
async def test_at_three_times_what_a_partition_can_do_the_rest_is_refused_at_once(client, gateway, worker):
    await worker[0].stop()
    worker[0] = SlowWorker(worker[0].bootstrap, worker[0].data_dir)
    await worker[0].ready()
    watch = Watch(client)
    await watch.is_ready()
    before = await reserved(client, ASIDE[2])
    flooding = asyncio.create_task(flood(gateway.port, ASIDE[2], per_s=3 * MOST_PER_S, seconds=6.0))
    reason = await watch.names("shedding", within_s=6.0)
    # Reads of the view and commands for other partitions are served meanwhile.
    began = time.monotonic()
    assert (await client.get(VIEW)).status_code == 200
    assert (await client.post("/v1/reservations", json={"sku": ASIDE[1], "quantity": 1})).status_code == 201
    assert time.monotonic() - began < 1.0
    taken, refused = await flooding
    figures = f"{len(taken)} taken, p99 {percentile(taken):.3f}; {len(refused)} refused, p99 {percentile(refused):.3f}"
    assert reason["partitions"] == [2]
    assert len(refused) > len(taken) > 6.0 * MOST_PER_S / 3, figures
    assert percentile(taken) < 1.0, figures
    assert percentile(refused) < 0.3, figures
    units = await reserved(client, ASIDE[2]) - before
    assert units == len(taken), "what was refused was sent, or something was lost or doubled"


def percentile(times):
    return sorted(times)[int(0.99 * len(times))]
