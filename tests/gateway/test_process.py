"""The process: granian, the ready line, a Kafka that goes away and comes back, the end on SIGTERM."""

import asyncio
import os
import signal
import sys

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import GatewayConfig
from ops.kafka.broker import Broker, free_port
from ops.kafka.topics import ensure_topics

CODE = """
import sys
from gateway.config import GatewayConfig
from gateway.server import run
from ops.logs import log_to_stderr
log_to_stderr()
run(GatewayConfig(bootstrap=sys.argv[1], port=int(sys.argv[2]), partitions=4, request_timeout_s=3.0, drain_ms=0))
"""


@pytest.fixture
async def stopped_broker(tmp_path):
    broker = Broker(tmp_path / "broker", port=free_port())
    yield broker
    broker.kill()


@pytest.fixture
async def process(stopped_broker):
    """Start a gateway whose Kafka is not there yet."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", CODE, stopped_broker.bootstrap, str(port)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.url = f"http://127.0.0.1:{port}"
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def until(check):
    while not await check():
        await asyncio.sleep(0.1)


async def test_a_gateway_is_live_without_kafka_recovers_with_it_and_ends_on_sigterm(process, stopped_broker, helpers):
    async with httpx.AsyncClient(base_url=process.url, timeout=30) as client:

        async def get(path, **params):
            try:
                return await client.get(path, params=params)
            except httpx.ConnectError:
                return httpx.Response(0)

        async def is_live():
            return (await get("/health/live")).status_code == 200

        async def is_ready():
            return (await get("/health/ready")).status_code == 200

        async def is_connected():
            return "kafka_unavailable" not in (await get("/health/ready")).text

        async def is_refused():
            return (await get("/v1/stock", sku="a")).status_code == 503

        # Kafka is away at the start: live, not ready, and requests are refused at once.
        await until(is_live)
        answer = await get("/v1/stock", sku="a")
        assert (answer.status_code, answer.json()["code"]) == (503, "kafka_unavailable")
        assert answer.headers["retry-after"] == "1"
        codes = {reason["code"] for reason in (await get("/health/ready")).json()["reasons"]}
        assert {"view_not_ready", "kafka_unavailable"} <= codes
        assert not await is_ready()

        # It comes: the ready line, and requests are answered.
        stopped_broker.start()
        await ensure_topics(stopped_broker.bootstrap, helpers.partitions)
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line.decode().startswith(f"ready {process.url}")
        async with helpers.scripted_ledger(stopped_broker.bootstrap):
            assert (await get("/v1/stock", sku="a")).status_code == 200
            assert (await get("/v1/availability", sku="a")).status_code == 200

        # It is killed: refused, and the view still answers.
        stopped_broker.kill()
        await until(is_refused)
        answer = await get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["reasons"][0]["code"] == "kafka_unavailable"
        assert (await get("/health/ready", strict="true")).status_code == 503
        assert (await get("/v1/availability", sku="a")).status_code == 200

        # It comes back: the same process serves again.
        stopped_broker.start()
        await until(is_connected)
        async with helpers.scripted_ledger(stopped_broker.bootstrap):
            assert (await get("/v1/stock", sku="a")).status_code == 200

        # It is told to stop while a request waits that nobody answers, and a stream is open: both end as they should.
        stream = asyncio.ensure_future(get("/v1/stock-changes"))
        waiting = asyncio.ensure_future(get("/v1/stock", sku="a"))
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
        assert answer.headers["holdfast-command-id"]
        assert (await stream).text.endswith("event: bye\ndata: {}\n\n")
        await asyncio.wait_for(process.wait(), 20)
    assert process.returncode == 0
    assert await process.stdout.read() == b""
    assert "Traceback" not in (await process.stderr.read()).decode()


async def test_a_connection_that_is_made_anew_while_kafka_is_away_comes_back(stopped_broker, helpers, monkeypatch):
    monkeypatch.setattr("gateway.requests._PATIENCE_S", 0.5)
    stopped_broker.start()
    await ensure_topics(stopped_broker.bootstrap, helpers.partitions)
    gateway = Gateway(GatewayConfig(bootstrap=stopped_broker.bootstrap, partitions=helpers.partitions))
    async with gateway.running():
        await gateway.until_ready()
        stopped_broker.kill()

        async def cannot_connect():
            return "KafkaConnectionError" in (gateway.ledger.unavailable or "")

        await until(cannot_connect)
        stopped_broker.start()
        await gateway.until_ready()
        assert not gateway.failed.is_set()
