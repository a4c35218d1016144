"""A gateway that is told to stop answers every request that waits, and ends with exit code 0."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time

import httpx
import pytest

from ops.kafka.broker import free_port

# Its ledger answers after as many seconds as the SKU says; there is no Kafka.
CODE = """
import asyncio, os, sys
from gateway import server
from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.loads import Loads
from gateway.pending import Answer, _head_of
from ops.logs import log_to_stderr

class SlowLedger:
    unavailable, in_flight, loads = None, 0, Loads(4, 1_000)

    async def ask(self, command):
        await asyncio.sleep(float(command.sku))
        document = b'{"command_id":"q","status":"accepted","code":null,"offset":1}'
        return Answer(_head_of(document), document)

    post = ask

class GatewayWithoutKafka(Gateway):
    def __init__(self, config, **events):
        super().__init__(config, SlowLedger(), **events)
        self.reader.complete.set()
        self.rules_reader.complete.set()
        if len(sys.argv) > 2:
            asyncio.get_running_loop().call_later(float(sys.argv[2]), self.failed.set)

server.Gateway = GatewayWithoutKafka
log_to_stderr()
drain_ms = int(os.environ.get("DRAIN_MS", 0))
server.run(GatewayConfig(bootstrap="127.0.0.1:1", port=int(sys.argv[1]), request_timeout_s=60, drain_ms=drain_ms))
"""
RESERVE = b'{"sku":"50","quantity":1,"ttl_ms":1000}'


@contextlib.asynccontextmanager
async def running_gateway(fails_after_s=None, drain_ms=0):
    """Run a gateway and a client of it; it must have ended cleanly at the end of the block.

    Args:
        fails_after_s: when a part of it ends by itself; None: never.
        drain_ms: how long it serves after SIGTERM.
    """
    port = free_port()
    failing = [] if fails_after_s is None else [str(fails_after_s)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CODE, str(port), *failing, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"DRAIN_MS": str(drain_ms)},
    )  # fmt: skip
    try:
        address, json_body = f"http://127.0.0.1:{port}", {"content-type": "application/json"}
        async with httpx.AsyncClient(base_url=address, timeout=30, headers=json_body) as client:
            process.client, process.port = client, port
            await until_live(client)
            yield process
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        process.errors = errors.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == (0 if fails_after_s is None else 1), process.errors
    assert "Traceback" not in process.errors
    assert "panicked" not in process.errors
    assert "stopped" in process.errors


async def until_live(client):
    while True:
        with contextlib.suppress(httpx.TransportError):
            if (await client.get("/health/live")).status_code == 200:
                return
        await asyncio.sleep(0.05)


async def sent_by_half(port):
    """Send a request whose body does not come, and return what reads the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/reservations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    writer.write(head + b"content-length: 100\r\n\r\n{")
    await asyncio.sleep(0.3)
    return reader, writer


async def in_flight(*requests):
    """Start requests, and return them when they have surely arrived."""
    tasks = [asyncio.ensure_future(request) for request in requests]
    await asyncio.sleep(0.5)
    assert not [task for task in tasks if task.done()]
    return tasks


def told(answer):
    return answer.status_code, answer.headers["content-type"], answer.json()["code"]


STOPPING = (503, "application/problem+json", "stopping")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_every_kind_of_request_that_waits_is_told_that_the_gateway_stops(number):
    async with running_gateway() as gateway:
        client = gateway.client
        named = {"idempotency-key": "k1"}
        waiting = await in_flight(
            client.post("/v1/reservations", content=RESERVE, headers=named),
            client.post("/v1/reservations", content=RESERVE),
            client.post("/v1/reservations", content=RESERVE, headers={**named, "prefer": "respond-async"}),
            client.get("/v1/stock", params={"sku": "50"}),
            client.get("/v1/availability", params={"sku": "50", "min_seq": 3}),
        )
        half, writer = await sent_by_half(gateway.port)
        gateway.send_signal(number)
        answers = await asyncio.gather(*waiting)
        to_half = (await half.read()).decode()
        writer.close()
    assert [told(answer) for answer in answers] == [STOPPING] * len(waiting)
    # Sent commands may be applied: their ids are told, so that asking again is safe.
    assert [answer.headers.get("holdfast-command-id") for answer in answers[::2]] == ["k1", "k1", None]
    assert answers[1].headers["holdfast-command-id"]
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    assert to_half.startswith("HTTP/1.1 503")
    assert '"code":"stopping"' in to_half


async def test_a_result_that_comes_soon_is_still_given_while_new_requests_are_refused():
    async with running_gateway() as gateway:
        (waiting,) = await in_flight(gateway.client.get("/v1/stock", params={"sku": "1.2"}))
        gateway.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        assert told(await gateway.client.get("/v1/stock", params={"sku": "0"})) == STOPPING
        ready = await gateway.client.get("/health/ready")
        assert ready.status_code == 503
        assert "draining" in [reason["code"] for reason in ready.json()["reasons"]]
        assert (await gateway.client.get("/health/live")).status_code == 200
        assert (await waiting).status_code == 200
        assert json.loads((await waiting).content)["status"] == "accepted"


async def test_after_sigterm_requests_are_served_until_the_balancer_had_time_to_notice():
    async with running_gateway(drain_ms=1_500) as gateway:
        (waiting,) = await in_flight(gateway.client.get("/v1/stock", params={"sku": "2.2"}))
        gateway.send_signal(signal.SIGTERM)
        told_at = time.monotonic()
        await asyncio.sleep(0.1)
        ready = await gateway.client.get("/health/ready")
        assert (ready.status_code, ready.json()["reasons"][0]["code"]) == (503, "draining")
        assert (await gateway.client.get("/v1/stock", params={"sku": "0"})).status_code == 200
        assert (await waiting).status_code == 200  # it waited for longer than the drain lasts
    assert 1.5 < time.monotonic() - told_at < 6


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_drain(second):
    async with running_gateway(drain_ms=60_000) as gateway:
        gateway.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert (await gateway.client.get("/v1/stock", params={"sku": "0"})).status_code == 200
        gateway.send_signal(second)


async def test_whoever_interrupts_at_a_terminal_waits_for_no_balancer():
    async with running_gateway(drain_ms=60_000) as gateway:
        gateway.send_signal(signal.SIGINT)


async def test_a_client_that_sends_half_a_request_keeps_no_gateway_from_its_end():
    async with running_gateway() as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /v1/sto")
        await asyncio.sleep(0.3)
        gateway.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert "unfinished request" in gateway.errors


@pytest.mark.parametrize("half", [b"", b"GET /v1/sto"], ids=["with all threads", "with a thread that still waits"])
async def test_a_gateway_of_which_a_part_fails_says_so_and_ends_with_1(half):
    async with running_gateway(fails_after_s=1.5) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(half)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert "a part of the gateway ended by itself" in gateway.errors
    assert ("unfinished request" in gateway.errors) is bool(half)
