"""Owns the consumer group: who is a member, and who has which partition, as Kafka's eager protocol has it.

At every change all live members give everything up and join again; who is silent for a session, or does not join
within the rebalance time-out, is no member any more, and does not know that yet.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

SESSION_S = 2.0
_REBALANCE_S = 1.5
_CHECK_S = 0.4


class Group:
    """The group's coordinator; members call it, and it calls nobody."""

    def __init__(self, partitions: int, random: Random, reaches: Callable[[Any], bool]) -> None:
        self.generation = 0
        self.note: Any = None
        self.on_assigned: Callable[[], None] = lambda: None
        self._partitions = partitions
        self._random = random
        self._reaches = reaches
        self._heard: dict[Any, float] = {}  # member -> when it was last heard of
        self._joining: dict[Any, asyncio.Future[Any]] = {}
        self._rebalancing_until: float | None = None
        self._shaken = False

    def is_current(self, member: Any, generation: int) -> bool:
        """Take a heartbeat; false tells the member to give all up and join again. One that is cut off hears nothing."""
        if not self._reaches(member.process):
            return generation >= 0
        if member not in self._heard:
            return False
        self._heard[member] = asyncio.get_running_loop().time()
        return generation == self.generation and self._rebalancing_until is None

    def join(self, member: Any) -> "asyncio.Future[Any]":
        """Ask for partitions: (generation, numbers), once the rebalance is over."""
        loop = asyncio.get_running_loop()
        for other in [other for other in self._heard if other.machine == member.machine and other is not member]:
            del self._heard[other]  # a static member's new life takes its place
            self._joining.pop(other, None)
        self._heard[member] = loop.time()
        future = self._joining[member] = loop.create_future()
        self._begin(loop.time())
        return future

    def shake(self) -> None:
        """Have everybody join again, for no reason."""
        self._shaken = True

    def _begin(self, now: float) -> None:
        if self._rebalancing_until is None:
            self._rebalancing_until = now + _REBALANCE_S

    async def run(self) -> None:
        """Watch over the members, forever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_CHECK_S * self._random.random())
            now = loop.time()
            silent = [m for m, heard in self._heard.items() if now - heard > SESSION_S and m not in self._joining]
            for member in silent:
                del self._heard[member]
            # Who could not be told the outcome of the last rebalance makes the next one.
            untold = self._rebalancing_until is None and any(self._reaches(m.process) for m in self._joining)
            if silent or self._shaken or untold:
                self._shaken = False
                self._begin(now)
            if self._rebalancing_until is None:
                continue
            if set(self._joining) >= set(self._heard) or now > self._rebalancing_until:
                self._assign()

    def _assign(self) -> None:
        self.generation += 1
        self._rebalancing_until = None
        joined = {m: f for m, f in self._joining.items() if self._reaches(m.process)}
        self._joining = {m: f for m, f in self._joining.items() if m not in joined and m.process.alive}
        now = asyncio.get_running_loop().time()
        self._heard = dict.fromkeys(joined, now)
        shares: dict[Any, list[int]] = {member: [] for member in joined}
        members = list(joined)
        self._random.shuffle(members)
        for number in range(self._partitions):
            if members:
                shares[members[number % len(members)]].append(number)
        if self.note:
            self.note("group", f"generation {self.generation}: { {m.process.name: s for m, s in shares.items()} }")
        self.on_assigned()
        for member, future in joined.items():
            future.set_result((self.generation, shares[member]))
