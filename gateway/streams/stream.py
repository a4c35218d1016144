"""Owns one stream: what a client gets, from its first line to its end.

1. `retry`, and the id of where the stream begins.
2. What the log has from there to where the ring begins, read by the stream itself.
3. The ring's writes, as they come. In between a comment with the id, so that no proxy takes the connection for dead.
4. `bye` when the gateway or the caller's credential ends, `dropped` when the client is too slow.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from litestar.types import Receive, Scope, Send

from gateway.replies import EVENT_STREAM, Reply
from gateway.streams.events import BYE, TOO_SLOW, as_sent
from gateway.streams.followers import Followers
from gateway.streams.past import Past
from gateway.streams.positions import Positions, event_id
from gateway.streams.ring import Portion, Ring
from gateway.streams.wanted import StreamFilter

# Proxies close a connection that is silent for about a minute.
KEEP_ALIVE_S = 15.0
TOO_SLOW_S = 10.0
# A client that was dropped may still read what it is told, for so long.
_FAREWELL_S = 5.0
# What is sent at a time, and must be taken within TOO_SLOW_S.
_PIECE = 64 * 1024
_MOST_BYTES = 256 * 1024
# Another gateway's reader may be ahead of this one's by some milliseconds.
_OTHER_GATEWAYS_S, _LOOK_S = 1.0, 0.02

_log = structlog.get_logger("holdfast.gateway")


class _TooSlowError(Exception):
    """The client does not take what it is sent."""


class Stream(Reply):
    """One client's stream.

    Args:
        followers: the topic's streams, which this one joins until its client leaves.
        past: reads the log before the ring.
        wanted: its filter.
        positions: where to begin; those of the ring's end for now.
        stopping: set when the gateway ends.
        may_go_on: whether the caller's credential still holds.
    """

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_followers",
        "_may_go_on",
        "_past",
        "_place",
        "_positions",
        "_ring",
        "_stopping",
        "_woken",
        "speaks_at",
        "wanted",
    )

    def __init__(
        self,
        followers: Followers,
        past: Past,
        wanted: StreamFilter,
        positions: dict[int, int],
        *,
        stopping: asyncio.Event,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(200, b"", [EVENT_STREAM])
        self._followers = followers
        self._ring: Ring = followers.ring
        self._past = past
        self._positions = positions  # while there is no place in the ring
        self._place: int | None = None
        self._ahead: dict[int, int] = {}  # where the stream joined, until all of the ring's events come after that
        self._stopping = stopping
        self._may_go_on = may_go_on
        self._woken = asyncio.Event()
        self.wanted = wanted
        self.speaks_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send events until the client leaves or is too slow, or the gateway or the credential ends."""
        self._followers.add(self)
        tasks: list[asyncio.Future[None]] = []
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            tasks = [asyncio.ensure_future(part) for part in (self._run(send), _client_gone(receive))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._followers.remove(self)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(ended[0], Exception):
            _log.error("a stream failed", exc_info=ended[0])
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def wake(self, place: int) -> None:
        """Go on: at this place of the ring."""
        self._place = place
        self._woken.set()

    def leave_ring(self) -> None:
        """Keep the positions instead of the place."""
        if self._place is not None and self._place >= self._ring.first:
            self._positions = self._at(self._place)
            self._place = None

    def _at(self, place: int) -> dict[int, int]:
        at, ahead = self._ring.at(place), self._ahead
        return {partition: max(at[partition], ahead.get(partition, 0)) for partition in self.wanted.partitions}

    async def _run(self, send: Send) -> None:
        try:
            await _say(self, send, b"retry: 1000\n" + self._id(self._positions) + b"\n")
            while not self._is_over():
                if self._place is None:
                    await self._join(send)
                else:
                    await self._follow(send, self._place)
            farewell = BYE
        except _TooSlowError:
            farewell = TOO_SLOW
            self._followers.dropped += 1
        with contextlib.suppress(_TooSlowError):
            await _say(self, send, farewell, _FAREWELL_S)

    def _is_over(self) -> bool:
        return self._stopping.is_set() or not self._may_go_on()

    def look(self, now: float) -> None:
        """Make a stream that sleeps say that it is there, when it is time, or end when its credential has."""
        if not self._may_go_on():
            self.speaks_at = now

    def _id(self, positions: Positions) -> bytes:
        return b"id: %b\n" % event_id(positions, self.wanted.partitions)

    async def _join(self, send: Send) -> None:
        """Find the place in the ring, after what the log has before it."""
        until = _clock() + _OTHER_GATEWAYS_S
        while self._is_ahead_of_ring() and _clock() < until and not self._is_over():
            await asyncio.sleep(_LOOK_S)
        place = None if self._is_ahead_of_ring() else self._ring.place_of(self._positions)
        if place is None:
            positions = self._positions
            past = self._past.read(self.wanted, positions, lambda: self._ring.place_of(positions) is not None)
            async with contextlib.aclosing(past) as portions:
                async for data in portions:
                    if self._is_over():
                        return
                    await self._say_or_keep_alive(send, data, positions)
            place = self._ring.place_of(positions)
        self._ahead = dict(self._positions)
        self._place = place

    def _is_ahead_of_ring(self) -> bool:
        end = self._ring.positions
        return end is not None and any(offset > end[partition] for partition, offset in self._positions.items())

    async def _follow(self, send: Send, place: int) -> None:
        """Send what the ring has from a place on; sleep when that is nothing.

        Raises:
            _TooSlowError: the ring has not the place any more.
        """
        if place < self._ring.first:
            raise _TooSlowError
        portion = self._ring.read(place, self.wanted, _MOST_BYTES)
        data = self._not_yet_sent(portion) if self._ahead else portion.data
        self._place = portion.end
        await self._say_or_keep_alive(send, data, None)
        if not data and self._place == self._ring.next and not self._is_over():
            self._woken.clear()
            self._followers.sleep(self)
            await self._woken.wait()

    def _not_yet_sent(self, portion: Portion) -> bytes:
        """Leave out what stands in the ring before the positions at which the stream joined."""
        events = [event for event in portion.events if event.offset >= self._ahead[event.partition]]
        data = as_sent(events, event_id(self._at(portion.end), self.wanted.partitions))
        end = self._ring.at(portion.end)
        if all(end[partition] >= offset for partition, offset in self._ahead.items()):
            self._ahead = {}
        return data

    async def _say_or_keep_alive(self, send: Send, data: bytes, positions: Positions | None) -> None:
        if data:
            await _say(self, send, data)
        elif _clock() >= self.speaks_at:
            place = self._ring.next if self._place is None else self._place
            await _say(self, send, self._id(positions or self._at(place)) + b": still here\n\n")


async def _say(stream: Stream, send: Send, data: bytes, within_s: float | None = None) -> None:
    stream.speaks_at = _clock() + KEEP_ALIVE_S
    for start in range(0, len(data), _PIECE):
        piece = data if len(data) <= _PIECE else data[start : start + _PIECE]
        try:
            async with asyncio.timeout(TOO_SLOW_S if within_s is None else within_s):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            raise _TooSlowError from None


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _clock() -> float:
    return asyncio.get_running_loop().time()
