"""Owns the load of the demo: it sends commands in stages, counts the results, and measures when a worker is back."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Self

import msgspec

from ops.bulk import BulkSender
from ops.demo.http_times import HttpLoad, HttpTimes
from ops.demo.load import PREFIX, DemoLoad, Sent
from ops.exchange import Exchange, Fence, Follower
from ops.importing.tally import Tally
from ops.problems import CannotDo, no_kafka
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS

PATIENCE_S = 60.0
KAFKA_PER_S = 200
HTTP_PER_S = 60.0
_PACE_STEP_S = 0.02
# At most this many commands without a result: enough to keep the workers busy, and little memory.
_MAX_UNANSWERED = 30_000


class _Applied(msgspec.Struct):
    """The place and time at which a command was applied, from its result."""

    partition: int
    at: int


_applied = msgspec.json.Decoder(_Applied).decode


class Drive:
    """Sends the load and counts the results, during a block.

    Args:
        link: the exchange with the ledger.
        load: the commands to send.
    """

    def __init__(self, link: Exchange, load: DemoLoad) -> None:
        self.tally = Tally(prefix=PREFIX)
        self.served_again_s: float | None = None
        self._load = load
        self._partitions = link.partitions
        self._bootstrap = link.bootstrap
        self._fence = Fence(link)
        self._sender = BulkSender(link.producer, COMMANDS, link.partitions, patience_s=PATIENCE_S)
        self._follower = Follower(link.results, self._take)
        self._awaited: frozenset[int] = frozenset()
        self._killed_at_ms = 0

    async def __aenter__(self) -> Self:
        await self._follower.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._follower.__aexit__(*error)

    def _take(self, value: bytes) -> bool:
        if self._awaited:
            self._look_for_service(value)
        return self.tally.receive_result(value) or self._fence.receive_result(value)

    async def open(self) -> None:
        """Send the first receipts, so that the warehouses have stock."""
        await self._send(self._load.opening())
        await self._settle()

    async def burst(self, count: int) -> float:
        """Send that many commands as fast as possible.

        Returns:
            The seconds from the first command to the last result.
        """
        began = time.monotonic()
        await self._send(self._load.commands(count))
        await self._settle()
        return time.monotonic() - began

    async def steady(
        self, http: HttpLoad, seconds: float, fault: Callable[[], Awaitable[None]] | None = None
    ) -> HttpTimes:
        """Send at a steady rate over Kafka and over HTTP.

        Args:
            http: the load over HTTP.
            seconds: how long.
            fault: what to do to the workers meanwhile.
        """
        requests = asyncio.create_task(http.run(per_second=HTTP_PER_S, seconds=seconds))
        beside = [self._paced(seconds), *([fault()] if fault else [])]
        await asyncio.gather(requests, *beside)
        await self._settle()
        return requests.result()

    def watch(self, partitions: Iterable[int]) -> None:
        """Measure how long it takes until a new command is applied in one of the partitions."""
        self._awaited = frozenset(partitions)
        self._killed_at_ms = time.time_ns() // 1_000_000

    def _look_for_service(self, value: bytes) -> None:
        applied = _applied(value)
        # Results from before the kill may still arrive; the time of the broker's clock, which is this machine's, shows
        # it.
        if applied.partition in self._awaited and applied.at > self._killed_at_ms:
            self._awaited = frozenset()
            self.served_again_s = time.time() - self._killed_at_ms / 1000

    async def _paced(self, seconds: float) -> None:
        began = time.monotonic()
        sent = 0
        while (passed_s := time.monotonic() - began) < seconds:
            due = int(passed_s * KAFKA_PER_S)
            await self._send(self._load.commands(due - sent))
            await self._in_time(self._sender.ship_all())
            sent = due
            await asyncio.sleep(_PACE_STEP_S)

    async def _send(self, commands: Iterable[Sent]) -> None:
        for step, again in commands:
            if again:
                self.tally.sent_twice(step.command_id)
            else:
                self.tally.sent((step,))
            partition = partition_of(step.sku, self._partitions)
            if not self._sender.offer(partition, step.sku.encode(), step.value):
                await self._in_time(self._sender.ship(partition))
                self._sender.offer(partition, step.sku.encode(), step.value)
                if self.tally.unanswered > _MAX_UNANSWERED:
                    await self._until(lambda: self.tally.unanswered <= _MAX_UNANSWERED)

    async def _settle(self) -> None:
        """Wait until every command has its result."""
        await self._in_time(self._sender.flush())
        await self._fence.put_up()
        await self._until(lambda: not self._fence.silent)

    async def _until(self, done: Callable[[], bool]) -> None:
        if not await self._follower.until(done, PATIENCE_S):
            unanswered = f"{self.tally.unanswered:,} of {self.tally.commands:,} commands"
            raise CannotDo(f"no result for {PATIENCE_S:g} s; {unanswered} have none.")

    async def _in_time(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except TimeoutError:
            raise no_kafka(self._bootstrap) from None
