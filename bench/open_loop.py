"""Owns the open loop: it sends requests at fixed times, answered or not, and measures how long they take."""

import asyncio
import ctypes
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ops.collector import no_garbage_collection

clock = time.perf_counter

_CLOCK_MONOTONIC = 1  # the clock that `time.perf_counter` reads on Linux
_ABSOLUTE = 1
_NONBLOCKING = os.O_NONBLOCK
_LATE_S = 10.0
_NEVER = math.inf
MAX_OWN_P50_MS = 1.0
_OWN_SECONDS, _OWN_TRIES = 1.0, 5


class VoidError(Exception):
    """The load generator itself is late, so its latencies mean nothing."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def _timespec(nanoseconds: int) -> _Timespec:
    return _Timespec(nanoseconds // 1_000_000_000, nanoseconds % 1_000_000_000)


class Metronome:
    """Calls back at a steady rate, to some microseconds (Linux's timerfd); the loop's own timers round to 1 ms.

    Args:
        rate: calls per second.
        tick: is called.
    """

    def __init__(self, rate: float, tick: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._rate = rate
        self._tick = tick
        self._descriptor = -1

    def start(self, first_at: float) -> None:
        """Begin.

        Args:
            first_at: when the first call is due, by `clock` (seconds); all others follow from it.

        Raises:
            OSError: the system gives no timer.
        """
        self._descriptor = self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCKING)
        nanoseconds = math.ceil(1e9 / self._rate)  # a beat too early would find nothing due
        setting = _Itimerspec(_timespec(nanoseconds), _timespec(math.ceil(first_at * 1e9)))
        if self._descriptor < 0 or self._libc.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(setting), None):
            raise OSError(ctypes.get_errno(), "timerfd")
        asyncio.get_running_loop().add_reader(self._descriptor, self._on_time)

    def _on_time(self) -> None:
        os.read(self._descriptor, 8)
        self._tick()

    def stop(self) -> None:
        """End."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Requests per second, the seconds that count, and the seconds before them for warming up."""

    rate: int
    seconds: float
    warm_up_s: float = 1.0

    @property
    def skipped(self) -> int:
        """Return how many requests come first that do not count."""
        return math.ceil(self.rate * self.warm_up_s)

    @property
    def count(self) -> int:
        """Return how many requests there are in all."""
        return self.skipped + math.ceil(self.rate * self.seconds)


class Trial:
    """A series of requests: the intended send time of each, and the time of its answer.

    Args:
        pace: how many requests, and when.
        send: sends the request of this number; must not wait.
    """

    def __init__(self, pace: Pace, send: Callable[[int], None]) -> None:
        self._pace = pace
        self._send = send
        self._sent = 0
        self._answered = 0
        self._started = 0.0
        self._taken = [_NEVER] * pace.count
        self._over = asyncio.Event()

    async def run(self) -> list[float]:
        """Send everything in its time and wait for the answers.

        Returns:
            Seconds from the intended time to the answer, per request; infinite for those that got none.
        """
        metronome = Metronome(self._pace.rate, self._send_due)
        with no_garbage_collection():
            # Beat and latencies count from the same origin, taken after everything slow is done.
            self._started = clock() + 1 / self._pace.rate
            metronome.start(self._started)
            try:
                async with asyncio.timeout(self._pace.count / self._pace.rate + _LATE_S):
                    await self._over.wait()
            except TimeoutError:
                pass  # what is missing stays infinite
            finally:
                metronome.stop()
        return self._taken[self._pace.skipped :]

    def _send_due(self) -> None:
        due = min(len(self._taken), math.floor((clock() - self._started) * self._pace.rate) + 1)
        for number in range(self._sent, due):
            self._send(number)
        self._sent = max(self._sent, due)

    def answered(self, number: int) -> None:
        """Note that the answer of this request is there."""
        if self._taken[number] == _NEVER:
            self._taken[number] = clock() - (self._started + number / self._pace.rate)
            self._answered += 1
            if self._answered == len(self._taken):
                self._over.set()


async def own_p50_ms(rate: int, seconds: float = _OWN_SECONDS) -> float:
    """Measure the load generator alone: the median latency (ms) of a target that answers in no time."""

    def answer(number: int) -> None:
        trial.answered(number)

    trial = Trial(Pace(rate=rate, seconds=seconds, warm_up_s=0.1), answer)
    return float(summary(await trial.run())["p50_ms"])


async def check_own_p50(rate: int) -> float:
    """Check that the load generator is on time on this machine now, and return its own median latency (ms).

    Raises:
        VoidError: it is late in every try.
    """
    found = []
    for _ in range(_OWN_TRIES):
        found.append(await own_p50_ms(rate))
        if found[-1] <= MAX_OWN_P50_MS:
            return found[-1]
    raise VoidError(
        f"at {rate} requests/s the load generator is {min(found)} ms late by itself (at the median; allowed are "
        f"{MAX_OWN_P50_MS}): this machine is too busy to measure latencies on"
    )


def summary(taken: Sequence[float]) -> dict[str, Any]:
    """Return the percentiles of latencies (ms), and how many requests got no answer; those count as infinitely late."""
    in_order = sorted(taken)

    def percentile(share: float) -> float | None:
        found = in_order[max(0, math.ceil(share * len(in_order)) - 1)]
        return None if math.isinf(found) else round(found * 1000, 3)

    return {
        "p50_ms": percentile(0.5),
        "p99_ms": percentile(0.99),
        "p999_ms": percentile(0.999),
        "requests": len(in_order),
        "unanswered": sum(map(math.isinf, in_order)),
    }
