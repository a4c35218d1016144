"""A `holdfast gateway` process for fault tests, and a load over HTTP that proves that nothing is lost or doubled."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter

import httpx

from ops.child import die_with_parent
from ops.kafka.broker import free_port
from schemas.partitioner import partition_of
from tests.harness import PARTITIONS

KEY = f"hf_tests_{'A' * 43}"
ENTRY = {"id": "tests", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "scopes": ["admin"]}
UNITS = 1_000_000


def skus_of(prefix):
    """Return one SKU of each partition."""
    names = [f"{prefix}-{number}" for number in range(64)]
    return [
        next(name for name in names if partition_of(name, PARTITIONS) == partition) for partition in range(PARTITIONS)
    ]


SKUS = skus_of("load")
ASIDE = skus_of("aside")  # those that a load does not touch


class GatewayProcess:
    """A gateway with a key file, and a client of it. Its standard error is kept in the folder."""

    def __init__(self, bootstrap, folder, *, timeout_s=1.0, **settings):
        folder.mkdir(parents=True, exist_ok=True)
        self.keys = folder / "keys.json"
        self.write_keys(json.dumps({"keys": [ENTRY]}))
        self.port = free_port()
        self.log_path = folder / "gateway.log"
        environment = os.environ | {"HOLDFAST_KEYS_FILE": str(self.keys)} | settings
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "gateway", "--bootstrap", bootstrap, "--port", str(self.port),
                 "--partitions", str(PARTITIONS), "--request-timeout", str(timeout_s)],
                stdout=subprocess.DEVNULL, stderr=log, env=environment,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks Linux to end the child with its starter
            )  # fmt: skip

    def write_keys(self, text):
        self.keys.write_text(text)
        self.keys.chmod(0o600)

    def client(self):
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"authorization": f"Bearer {KEY}"},
            timeout=30,
        )

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


async def until(what, within_s=40.0):
    """Wait until a coroutine function gives something true, and return that."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if found := await what():
                return found
        except httpx.TransportError:
            pass  # it does not listen yet
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {within_s} s: {what}")


class Watch:
    """What a gateway says of itself."""

    def __init__(self, client):
        self._client = client

    async def reasons(self):
        """Return the reasons of `/health/ready` by code."""
        answer = await self._client.get("/health/ready")
        return {reason["code"]: reason for reason in answer.json()["reasons"]}

    async def names(self, code, is_right=lambda _: True, within_s=40.0):
        """Wait until a reason is given that is right, and return it."""

        async def is_named():
            reason = (await self.reasons()).get(code)
            return reason if reason and is_right(reason) else None

        return await until(is_named, within_s)

    async def is_ready(self):
        """Wait until nothing is wrong."""

        async def no_reasons():
            answer = await self._client.get("/health/ready")
            return answer.json()["status"] == "ready"

        await until(no_reasons)


class Load:
    """Reserves one unit again and again, each under its own key; asks again with the same key until it has a result.

    Args:
        client: the gateway's.
        name: part of the keys.
        per_s: how many it begins in a second.
    """

    def __init__(self, client, name, per_s=20.0):
        self._client = client
        self._name = name
        self._every_s = 1 / per_s
        self._tasks = []
        self.first = []  # (when it was sent, HTTP status, how long it took) of each first attempt
        self.statuses = Counter()

    async def __aenter__(self):
        self._before = await self._reserved()
        self._beginning = asyncio.create_task(self._begin())
        return self

    async def __aexit__(self, *_):
        self._beginning.cancel()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 60)
        assert await self._reserved() == self._before + len(self._tasks), "lost or doubled"

    async def _begin(self):
        # An absolute beat: a pause of the gateway makes no pause of the load.
        begun = time.monotonic()
        for number in range(1_000_000):
            await asyncio.sleep(max(0.0, begun + number * self._every_s - time.monotonic()))
            self._tasks.append(asyncio.create_task(self._reserve(number)))

    async def _reserve(self, number):
        sku, key = SKUS[number % PARTITIONS], f"{self._name}-{number}"
        body = {"sku": sku, "quantity": 1, "ttl_ms": 0}
        began = time.monotonic()
        while True:
            answer = await self._client.post("/v1/reservations", json=body, headers={"idempotency-key": key})
            self.statuses[answer.status_code] += 1
            if began is not None:
                self.first.append((began, answer.status_code, time.monotonic() - began))
                began = None
            if answer.status_code == httpx.codes.CREATED:
                return
            assert answer.status_code in {429, 503, 504}, answer.text
            await asyncio.sleep(0.2)

    async def _reserved(self):
        return sum([await reserved(self._client, sku) for sku in SKUS])


async def reserved(client, sku):
    """Return how many units of a SKU are reserved, read through the log."""

    async def read():
        answer = await client.get("/v1/stock", params={"sku": sku})
        return answer if answer.status_code == httpx.codes.OK else None

    return sum(row["reserved"] for row in (await until(read)).json()["stock"])


class _Connections:
    """Connections to a gateway that are kept; httpx takes longer for a request than the gateway does."""

    def __init__(self, port):
        self._port = port
        self._idle = []

    async def post(self, path, body):
        """Send a request and return the status of its answer."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        self._idle.append((reader, writer))
        return int(head.split(" ", 2)[1])

    async def close(self):
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


async def flood(port, sku, *, per_s, seconds):
    """Reserve one unit again and again, however quickly it is answered.

    Returns the times of those that were taken, also of those whose result came too late (504), and of those that were
    refused with 429.
    """
    taken, refused = [], []
    times, connections = {201: taken, 504: taken, 429: refused}, _Connections(port)
    body = json.dumps({"sku": sku, "quantity": 1, "ttl_ms": 0})

    async def reserve(due):
        status = await connections.post("/v1/reservations", body)
        times[status].append(time.monotonic() - due)

    begun, tasks = time.monotonic(), []
    for number in range(int(per_s * seconds)):
        due = begun + number / per_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        tasks.append(asyncio.create_task(reserve(due)))
    await asyncio.gather(*tasks)
    await connections.close()
    return taken, refused


async def stock_up(client):
    """Give every SKU its stock."""

    async def stocked(sku):
        body = {"sku": sku, "warehouse": "leeds", "delta": UNITS, "reason": "receipt"}
        return (await client.post("/v1/adjustments", json=body, headers={"idempotency-key": "in"})).is_success

    for sku in (*SKUS, *ASIDE):
        await until(lambda sku=sku: stocked(sku))
