"""Owns the process `holdfast webhooks`: all endpoints of the file, until a signal comes."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence

import aiohttp
import structlog
from aiokafka import AIOKafkaProducer

from gateway.config import GatewayConfig
from gateway.rules import ReferenceView
from gateway.view_reader import ViewReader
from gateway.webhooks.delivery import Delivery
from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.letters import RefusedLetters
from gateway.webhooks.requests import Sender
from gateway.webhooks.wants import Wants, needs_rules
from schemas.kafka_connection import kafka_options
from schemas.topics import REFERENCE

_log = structlog.get_logger("holdfast.webhooks")


@contextlib.asynccontextmanager
async def sending(proxy: str | None) -> AsyncIterator[Sender]:
    """Have connections during the block; they keep no cookies and unpack nothing."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )
    async with session:
        yield Sender(session, proxy)


@contextlib.asynccontextmanager
async def filtering(bootstrap: str, partitions: int, endpoints: Sequence[Endpoint]) -> AsyncIterator[Wants]:
    """Have the filter of endpoints during the block, with the policies if one needs them."""
    if not any(map(needs_rules, endpoints)):
        yield Wants()
        return
    rules = ReferenceView(partitions)
    config = GatewayConfig(bootstrap=bootstrap, partitions=partitions)
    reader = ViewReader(config, REFERENCE, "reference data", rules.apply, rules.clear)
    reading = asyncio.ensure_future(reader.run())
    try:
        await reader.complete.wait()
        yield Wants(rules)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def serve_endpoints(
    endpoints: Sequence[Endpoint],
    *,
    bootstrap: str,
    partitions: int,
    proxy: str | None = None,
    stopping: asyncio.Event | None = None,
) -> None:
    """Deliver to endpoints until SIGTERM or SIGINT.

    Args:
        endpoints: those of the file.
        bootstrap: the address of Kafka.
        partitions: how many each topic has.
        proxy: the URL of the proxy that all requests take.
        stopping: set when the delivery should end; None makes one that signals set.
    """
    if stopping is None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        sender = await stack.enter_async_context(sending(proxy))
        ready = asyncio.ensure_future(stack.enter_async_context(filtering(bootstrap, partitions, endpoints)))
        ending = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({ready, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
            return
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, client_id="holdfast-webhooks", acks="all", **kafka_options()
        )
        await producer.start()
        stack.push_async_callback(producer.stop)
        letters = RefusedLetters(producer)
        deliveries = [Delivery(endpoint, bootstrap, sender, letters, ready.result()) for endpoint in endpoints]
        sys.stdout.write(f"ready webhooks ({len(endpoints)} endpoints)\n")
        sys.stdout.flush()
        await asyncio.gather(*(delivery.run(stopping) for delivery in deliveries))
    _log.info("stopped")
