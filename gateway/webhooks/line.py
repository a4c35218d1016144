"""Owns the delivery of one partition to one endpoint: one request at a time, in order."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import structlog
from aiokafka import ConsumerRecord, TopicPartition

from gateway.webhooks.endpoints import Endpoint
from gateway.webhooks.letters import RefusedLetters
from gateway.webhooks.marks import LineMark
from gateway.webhooks.patience import Patience
from gateway.webhooks.requests import Message, Reaction, Sender, message_of

_log = structlog.get_logger("holdfast.webhooks")

# Stores a position with a mark; raises when the partition is another process's by now.
Store = Callable[[TopicPartition, int, LineMark | None], Awaitable[None]]


class DeliveryLine:
    """What waits for an endpoint in one partition.

    Args:
        endpoint: where it goes.
        partition: the partition.
        sender: sends requests.
        letters: takes what the endpoint refuses.
        store: stores the position in the endpoint's group.
        on_stop: called with the reason when the endpoint has to stop.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        partition: TopicPartition,
        sender: Sender,
        letters: RefusedLetters,
        *,
        store: Store,
        on_stop: Callable[[str], None],
    ) -> None:
        self._endpoint = endpoint
        self._partition = partition
        self._sender = sender
        self._letters = letters
        self._store = store
        self._on_stop = on_stop
        self._waiting: deque[ConsumerRecord] = deque()
        self._filled = asyncio.Event()
        self._ending = asyncio.Event()
        self.failing_since: float | None = None
        self.position: int | None = None  # all before it is delivered, or not wanted
        self._stored: int | None = None

    @property
    def is_hungry(self) -> bool:
        """Return whether it should get more."""
        return len(self._waiting) < self._endpoint.batch

    def put(self, wanted: Iterable[ConsumerRecord], read_to: int) -> None:
        """Add what the endpoint wants of some records, and where reading is after them."""
        self._waiting.extend(wanted)
        if not self._waiting:
            self.position = read_to
        else:
            self._filled.set()

    def end(self) -> None:
        """End after the request that is on its way."""
        self._ending.set()
        self._filled.set()

    async def run(self) -> None:
        """Deliver until told to end."""
        while not self._ending.is_set():
            await self._filled.wait()
            if self._ending.is_set() or not self._waiting:
                self._filled.clear()
                continue
            count = min(self._endpoint.batch, len(self._waiting))
            records = [self._waiting[index] for index in range(count)]
            if not await self._deliver(message_of(records)):
                return
            for _ in records:
                self._waiting.popleft()
            if not self._waiting:
                self._filled.clear()
            await self._move_on(records[-1].offset + 1)

    async def _move_on(self, position: int) -> None:
        self.failing_since = None
        self.position = self._stored = position
        await self._store(self._partition, position, None)

    async def store_idle(self) -> None:
        """Store how far reading came over records that the endpoint does not want."""
        if self.position is not None and self.position != self._stored and self.failing_since is None:
            self._stored = self.position
            await self._store(self._partition, self.position, None)

    async def _deliver(self, message: Message) -> bool:
        """Send a request until it is done with, and return True; False: the line ends before."""
        patience = Patience(self.failing_since)
        first = message.records[0].offset
        while not self._ending.is_set():
            answer = await self._sender.send(self._endpoint, message)
            after = patience.after(answer, time.time())
            if after == "next":
                return True
            if after == "dead_letter":
                await self._letters.write(self._endpoint.id, message.records, answer, patience.tries)
                _log.warning(
                    "an endpoint refused a message: it is in the dead letters",
                    endpoint=self._endpoint.id, webhook_id=message.id, reason=answer.reason,
                )  # fmt: skip
                return True
            if after == "stop":
                await self._stop(answer, first)
                return False
            if self.failing_since is None:
                self.failing_since = patience.failing_since
                self._warn(message, answer)
                await self._store(self._partition, first, self._failing(answer))
            await self._pause(patience.pause_s(answer))
        return False

    def _failing(self, answer: Reaction) -> LineMark:
        return LineMark("failing", answer.reason, int((self.failing_since or time.time()) * 1000))

    async def _stop(self, answer: Reaction, position: int) -> None:
        self._on_stop(answer.reason)
        self.position = self._stored = position  # nothing else is stored over the mark
        await self._store(self._partition, position, LineMark("stopped", answer.reason, time.time_ns() // 1_000_000))

    def _warn(self, message: Message, answer: Reaction) -> None:
        _log.warning(
            "an endpoint does not take a message: trying until it does",
            endpoint=self._endpoint.id, webhook_id=message.id, reason=answer.reason,
        )  # fmt: skip

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            pass
