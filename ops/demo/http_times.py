"""Owns the load of the demo over HTTP: requests at a steady rate, each repeated until it is answered."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from ops.collector import no_garbage_collection
from ops.demo.load import SKUS, sku_of

# Final answers for a shop: accepted, or refused because of the stock. After any other answer it tries again.
_ANSWERS = frozenset({200, 201, 404, 409})
_ASK_AGAIN_S = 0.2
_ANSWERED_WITHIN_S = 40.0


@dataclass(kw_only=True)
class HttpTimes:
    """The times (s) that requests took, from their due time to their answer, with failed tries."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    asked_again: int = 0
    unanswered: int = 0

    def percentile_ms(self, share: float) -> float | None:
        """Return the time (ms) within which that share of the requests was answered; None without requests."""
        if not self.seconds:
            return None
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class HttpLoad:
    """Sends requests to a gateway.

    Args:
        url: the gateway's address.
        seed: determines the requests.
    """

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._random = random.Random(f"http {seed}")
        self._number = 0

    async def run(self, *, per_second: float, seconds: float) -> HttpTimes:
        """Send requests at a steady rate, without waiting for earlier answers, and then wait for all answers."""
        times = HttpTimes()
        connector = aiohttp.TCPConnector(limit=0)
        with no_garbage_collection():
            await self._run(per_second, seconds, times, connector)
        return times

    async def _run(self, per_second: float, seconds: float, times: HttpTimes, connector: aiohttp.TCPConnector) -> None:
        began = time.monotonic()
        async with aiohttp.ClientSession(self._url, connector=connector) as session, asyncio.TaskGroup() as requests:
            for index in range(int(per_second * seconds)):
                due = began + index / per_second
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                requests.create_task(self._request(session, due, times))

    async def _request(self, session: aiohttp.ClientSession, due: float, times: HttpTimes) -> None:
        self._number += 1
        key = f"shop-{self._number}"
        sku = sku_of(self._random.randrange(SKUS))
        give_up_at = due + _ANSWERED_WITHIN_S
        status = await self._reserve(session, key, sku, times, give_up_at)
        if status is None:
            times.unanswered += 1
            return
        times.seconds.append(time.monotonic() - due)
        times.statuses[status] += 1

    async def _reserve(
        self, session: aiohttp.ClientSession, key: str, sku: str, times: HttpTimes, give_up_at: float
    ) -> int | None:
        body = {"sku": sku, "quantity": 1, "channel": "shop"}
        while time.monotonic() < give_up_at:
            try:
                async with session.post("/v1/reservations", json=body, headers={"Idempotency-Key": key}) as answer:
                    await answer.read()
                    if answer.status in _ANSWERS:
                        return answer.status
            except aiohttp.ClientError:
                pass
            # With the same key a retry is safe, as 504 and 503 say.
            times.asked_again += 1
            await asyncio.sleep(_ASK_AGAIN_S)
        return None
