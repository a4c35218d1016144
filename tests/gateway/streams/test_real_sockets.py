"""Streams of gateways in processes of their own: one that is killed, and a client that does not read."""

import asyncio
import contextlib
import json
import os
import socket
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from ops.kafka.broker import free_port
from ops.kafka.topics import ensure_topics
from schemas.partitioner import partition_of
from schemas.topics import STOCK_CHANGES

CODE = """
import sys
from gateway.config import GatewayConfig
from gateway.server import run
from gateway.streams import stream
from ops.logs import log_to_stderr
log_to_stderr()
stream.TOO_SLOW_S, stream._FAREWELL_S = 0.7, 0.3
run(GatewayConfig(bootstrap=sys.argv[1], port=int(sys.argv[2]), partitions=4, drain_ms=0))
"""
KILOBYTES = "x" * 100_000


@contextlib.asynccontextmanager
async def gateway(broker):
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", CODE, broker.bootstrap, str(port)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert (await asyncio.wait_for(process.stdout.readline(), 60)).startswith(b"ready")
        process.url, process.port = f"http://127.0.0.1:{port}", port
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def publish(broker):
    await ensure_topics(broker.bootstrap, 4)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=2_000_000)
    await producer.start()

    async def publish(sku, seqs, **more):
        key, partition = f"{sku}/york".encode(), partition_of(sku, 4)
        sent = []
        for seq in seqs:
            value = json.dumps({"sku": sku, "warehouse": "york", "seq": seq, **more}).encode()
            sent.append(await producer.send(STOCK_CHANGES, value, key=key, partition=partition))
        await asyncio.gather(*sent)

    yield publish
    await producer.stop()


async def events(url, sku, last_event_id=None):
    """Yield the id and sequence number of each event of a stream, and first its id alone."""
    headers = {} if last_event_id is None else {"last-event-id": last_event_id}
    given = {"params": {"sku": sku}, "headers": headers}
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("GET", f"{url}/v1/stock-changes", **given) as answer,
    ):
        id_, seq = None, None
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                id_ = value
            elif name == "data":
                seq = json.loads(value)["seq"]
            elif not line:
                yield id_, seq
                id_ = seq = None


def memory_mb(pid):
    line = next(it for it in Path(f"/proc/{pid}/status").read_text().splitlines() if it.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def test_whoever_resumes_after_a_gateway_was_killed_misses_nothing(broker, publish):
    sku = uuid.uuid4().hex
    async with gateway(broker) as first, gateway(broker) as second:
        last, seen, unconfirmed = None, [], []

        async def write():
            for seq in range(1, 301, 5):
                await publish(sku, range(seq, seq + 5))
                await asyncio.sleep(0.005)

        with pytest.raises(httpx.HTTPError):  # noqa: PT012 - the gateway is killed while the client reads
            async for id_, seq in events(first.url, sku):
                if seq is None:
                    writing = asyncio.ensure_future(write())
                else:
                    unconfirmed.append(seq)
                if id_ is not None:
                    last, seen, unconfirmed = id_, seen + unconfirmed, []
                if len(seen) > 100 and first.returncode is None:
                    first.kill()
                    await first.wait()
        assert len(seen) < 300
        async for _, seq in events(second.url, sku, last):
            seen += [] if seq is None else [seq]
            if seq == 300:
                break
        assert seen == list(range(1, 301))
        await writing


async def test_a_client_that_does_not_read_is_ended_and_costs_no_memory(broker, publish):
    sku, other = uuid.uuid4().hex, uuid.uuid4().hex
    async with gateway(broker) as process, httpx.AsyncClient(base_url=process.url) as client:
        stuck = socket.create_connection(("127.0.0.1", process.port))
        stuck.sendall(b"GET /v1/stock-changes?sku=%b HTTP/1.1\r\nhost: localhost\r\n\r\n" % sku.encode())
        reading = aiter(events(process.url, other))
        await anext(reading)
        before = memory_mb(process.pid)
        for seq in range(1, 1_001, 10):
            await publish(sku, range(seq, seq + 10), text=KILOBYTES)
        await publish(other, [1])
        assert (await asyncio.wait_for(anext(reading), 10))[1] == 1  # nobody else waits for it
        async with asyncio.timeout(20):
            while (await client.get("/v1/status")).json()["streams"] != 1:
                await asyncio.sleep(0.1)
        # The ring may have 64 MiB, and what the client was sent is in its connection.
        assert memory_mb(process.pid) - before < 160
        await reading.aclose()
        stuck.settimeout(5)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := stuck.recv(1 << 20):
                received = (received + chunk)[-100_000:]
                if received.endswith(b"\r\n0\r\n\r\n"):
                    break
        assert received  # its connection has ended, without waiting for more
        stuck.close()
