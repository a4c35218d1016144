"""Owns the streams that follow one topic: who sleeps at the ring's end, and who is woken by a write."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from gateway.streams.events import Event
from gateway.streams.ring import Ring
from gateway.streams.wanted import StreamFilter

# Streams that are woken in one turn of the loop, so that requests come in between.
_TOGETHER = 32
# After a round of waking, events gather for about as long as the streams of this gateway need to send: 1,000 streams
# get theirs every 25 ms.
_PAUSE_S = 0.000_025


class Listener(Protocol):
    """A stream, as its topic knows it; `speaks_at` is when it should say something at the latest."""

    wanted: StreamFilter
    speaks_at: float

    def wake(self, place: int) -> None:
        """Go on: at this place of the ring when it slept at the ring's end."""

    def look(self, now: float) -> None:
        """Set `speaks_at` to now when the stream has to end."""

    def leave_ring(self) -> None:
        """Keep the positions instead of the place: the ring is about to forget everything."""


class Followers:
    """The streams on one ring.

    Args:
        ring: the topic's ring.
    """

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.all: set[Listener] = set()
        self.dropped = 0  # how many were too slow
        self._asleep: dict[Listener, None] = {}
        self._of_sku: dict[str, set[Listener]] = {}
        self._of_all: set[Listener] = set()
        self._due: dict[Listener, int] = {}
        self._waking: asyncio.Handle | None = None
        self._next_round_at = 0.0
        ring.on_write = self._written
        ring.on_loss = self._lost

    def add(self, follower: Listener) -> None:
        """Let a stream follow."""
        self.all.add(follower)

    def remove(self, follower: Listener) -> None:
        """Forget a stream that has ended."""
        self.all.discard(follower)
        self._due.pop(follower, None)
        self._awake(follower)

    def sleep(self, follower: Listener) -> None:
        """Wake a stream that has read all of the ring with the next write that has an event of its SKUs."""
        self._asleep[follower] = None
        if follower.wanted.skus is None:
            self._of_all.add(follower)
        for sku in follower.wanted.skus or ():
            self._of_sku.setdefault(sku, set()).add(follower)

    def _awake(self, follower: Listener) -> None:
        if follower not in self._asleep:
            return
        del self._asleep[follower]
        self._of_all.discard(follower)
        for sku in follower.wanted.skus or ():
            of_sku = self._of_sku.get(sku)
            if of_sku is not None:
                of_sku.discard(follower)
                if not of_sku:
                    del self._of_sku[sku]

    def _written(self, events: list[Event]) -> None:
        if self._asleep:
            place = events[0].write
            if self._of_sku:
                for sku in {event.sku for event in events}:
                    self._call(tuple(self._of_sku.get(sku, ())), place)
            self._call(tuple(self._of_all), place)

    def _call(self, followers: Iterable[Listener], place: int) -> None:
        for follower in followers:
            self._awake(follower)
            self._due[follower] = place
        if self._due and self._waking is None:
            loop = asyncio.get_running_loop()
            self._waking = loop.call_at(max(self._next_round_at, loop.time()), self._round)

    def _round(self) -> None:
        loop = asyncio.get_running_loop()
        if len(self._due) <= _TOGETHER:
            self._next_round_at = loop.time() + _PAUSE_S * len(self.all)
        for _ in range(min(_TOGETHER, len(self._due))):
            follower = next(iter(self._due))
            follower.wake(self._due.pop(follower))
        self._waking = loop.call_soon(self._round) if self._due else None

    def wake_all(self) -> None:
        """Wake every stream that sleeps or is about to be woken, to look what else there is to do."""
        for follower in tuple(self._asleep):
            self._awake(follower)
            follower.wake(self.ring.next)
        for follower in tuple(self._due):
            follower.wake(self._due.pop(follower))

    def wake_silent(self, now: float) -> None:
        """Wake the streams that sleep and should say that they are still there, or end."""
        for follower in self._asleep:
            follower.look(now)
        for follower in [follower for follower in self._asleep if follower.speaks_at <= now]:
            self._awake(follower)
            follower.wake(self.ring.next)

    def _lost(self) -> None:
        self.wake_all()  # so that each has its place
        for follower in self.all:
            follower.leave_ring()
