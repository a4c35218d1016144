"""Owns what keeps a demo alive that stays up: a gentle load, and a few things that need a person's attention.

Over HTTP, as shops would: so the console (`/console`) has something to show in each of its panels.
"""

import asyncio
import json
import time
from collections.abc import Iterator

import aiohttp
from aiokafka import AIOKafkaProducer

from ops.demo.load import WAREHOUSES, DemoLoad, sku_of
from schemas.codec import encode
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS

REQUESTS_PER_S = 8
_COMMANDS_AT_ONCE = 3
_FEED_EVERY_MS = 15 * 60_000
_A_DAY_MS = 24 * 60 * 60_000
_PATIENCE_S = 10.0


def unread_records(partitions: int) -> list[tuple[int, bytes, bytes]]:
    """Return records that are no valid commands, with partition and key."""
    wrong: list[tuple[str, dict[str, object] | str]] = [
        (
            sku_of(7),
            {"command_id": "erp-99182", "type": "adjust", "warehouse": "hull", "delta": "5", "reason": "receipt"},
        ),
        (sku_of(101), '{"command_id":"erp-99183","type":"reserve","sku":"DEMO-101","quantity":2,'),
    ]
    records = []
    for sku, content in wrong:
        value = content.encode() if isinstance(content, str) else encode({"sku": sku, **content})
        records.append((partition_of(sku, partitions), sku.encode(), value))
    return records


def counts_of_a_feed(partitions: int, now_ms: int) -> list[tuple[int, bytes, bytes]]:
    """Return the records that say how far a feed of counts has come: one for each partition."""
    command = {
        "command_id": f"demo-feed-{now_ms}",
        "type": "set_feed",
        "feed": "wms-hull",
        "version": now_ms,
        "as_of_at": now_ms - 60_000,
        "interval_ms": _FEED_EVERY_MS,
        "rows": 400,
        "refused": 2,
    }
    return [(partition, b"feed/wms-hull", encode(command)) for partition in range(partitions)]


def scenes(now_ms: int) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Return requests that give the console something to show: method, path and body."""
    for channel in ("shop", "web"):
        yield "PUT", f"/v1/channels/{channel}", {"version": now_ms, "cap": 5_000}
    coming: dict[str, object] = {"warehouse": "leeds", "quantity": 120, "eta_at": now_ms + 3 * _A_DAY_MS}
    yield "POST", "/v1/inbounds", {"sku": sku_of(7), "inbound_id": "PO-4711", **coming}
    # A count that finds fewer goods than are promised, in two warehouses.
    for number, warehouse in ((3, WAREHOUSES[0]), (7, WAREHOUSES[2])):
        hold = {"sku": sku_of(number), "warehouse": warehouse}
        yield "POST", "/v1/adjustments", {**hold, "delta": 20, "reason": "receipt"}
        yield "POST", "/v1/reservations", {**hold, "quantity": 9, "channel": "web", "order_id": f"SO-90{number:02d}"}
        yield "POST", "/v1/adjustments", {**hold, "count": 4, "reason": "cycle_count", "actor": "mia"}


class GentleLoad:
    """A few requests a second, for as long as the demo stays up.

    Args:
        url: the gateway's address.
        load: makes the commands; it goes on where the demo stopped.
    """

    def __init__(self, url: str, load: DemoLoad) -> None:
        self._url = url
        self._load = load

    async def prepare(self, producer: AIOKafkaProducer, partitions: int) -> None:
        """Bring about what needs attention; what fails is left out."""
        now_ms = time.time_ns() // 1_000_000
        for partition, key, value in (*unread_records(partitions), *counts_of_a_feed(partitions, now_ms)):
            await producer.send_and_wait(COMMANDS, value, key=key, partition=partition)
        async with self._session() as session:
            for method, path, body in scenes(now_ms):
                await self._request(session, method, path, body)

    async def run(self) -> None:
        """Send until cancelled."""
        async with self._session() as session:
            while True:
                steps = [json.loads(sent.step.value) for sent in self._load.commands(_COMMANDS_AT_ONCE)]
                await self._request(session, "POST", "/v1/commands", {"commands": steps})
                await asyncio.sleep(1 / REQUESTS_PER_S)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self._url, timeout=aiohttp.ClientTimeout(total=_PATIENCE_S))

    async def _request(self, session: aiohttp.ClientSession, method: str, path: str, body: dict[str, object]) -> None:
        try:
            async with session.request(method, path, json=body) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            # Whoever plays with it may have stopped something; the load goes on when it is back.
            await asyncio.sleep(1.0)
