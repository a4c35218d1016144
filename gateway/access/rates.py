"""Owns what a credential uses of one gateway: its rate, its streams and its waiting requests.

All of it counts in this gateway alone: G gateways let G times as much through (ADR 0012).
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from time import monotonic
from typing import NamedTuple

from gateway.problems import RateLimited

_UNLIMITED = 1 << 62


class Allowance(NamedTuple):
    """How many requests a credential may make: `per_s` on average, and `burst` at once."""

    per_s: float
    burst: int


class Bucket:
    """A token bucket: full at first, it fills up by `per_s` tokens a second, and each request takes one.

    Args:
        rate: how fast it fills, and how much it holds.
        clock: returns the time in seconds.
    """

    __slots__ = ("_at", "_clock", "rate", "tokens")

    def __init__(self, rate: Allowance, clock: Callable[[], float] = monotonic) -> None:
        self.rate = rate
        self.tokens = float(rate.burst)
        self._clock = clock
        self._at = clock()

    def wait_for(self, wanted: int, paid: int = 0) -> float:
        """Take tokens and return 0, or take none and return in how many seconds they will be there.

        More than the bucket holds can be taken from a full one; it then owes the rest.

        Args:
            wanted: how many.
            paid: how many were taken before for the same request: a bucket that lacks only these is full.
        """
        now = self._clock()
        self.tokens = min(float(self.rate.burst), self.tokens + (now - self._at) * self.rate.per_s)
        self._at = now
        missing = min(wanted, self.rate.burst - paid) - self.tokens
        if missing > 0:
            return missing / self.rate.per_s
        self.tokens -= wanted
        return 0.0


class Usage:
    """What one credential uses of this gateway now.

    Args:
        rate: its rate; None: no limit.
        most_streams: how many streams it may have open.
        most_waiting: how many of its requests may wait.
        clock: returns the time in seconds.
    """

    __slots__ = ("bucket", "most_streams", "most_waiting", "revoked", "streams", "waits")

    def __init__(
        self,
        rate: Allowance | None = None,
        *,
        most_streams: int = _UNLIMITED,
        most_waiting: int = _UNLIMITED,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.bucket = None if rate is None else Bucket(rate, clock)
        self.most_streams = most_streams
        self.most_waiting = most_waiting
        self.streams = 0
        self.waits = 0
        self.revoked = False  # what its holder still has open ends

    def take(self, wanted: int = 1, *, paid: int = 0) -> None:
        """Take a token for each of some requests.

        Args:
            wanted: how many.
            paid: how many were taken before for the same request.

        Raises:
            RateLimited: not enough are there; none was taken.
        """
        if self.bucket is not None and (wait_s := self.bucket.wait_for(wanted, paid)) > 0:
            raise RateLimited(*_described(self.bucket, wait_s))

    def enter(self, count: int = 1) -> None:
        """Note that requests wait.

        Raises:
            RateLimited: more would wait than the credential may have; none was noted.
        """
        if self.waits + count > self.most_waiting:
            raise RateLimited(
                f"{self.waits} requests of this credential are waiting; it may have {self.most_waiting}.", 1
            )
        self.waits += count

    def leave(self, count: int = 1) -> None:
        """Note that requests wait no more."""
        self.waits -= count

    @contextlib.contextmanager
    def waiting(self, count: int) -> Iterator[None]:
        """Have requests wait during the block.

        Raises:
            RateLimited: more would wait than the credential may have.
        """
        self.enter(count)
        try:
            yield
        finally:
            self.leave(count)

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Have a stream open during the block.

        Raises:
            RateLimited: the credential has as many streams as it may have.
        """
        if self.streams >= self.most_streams:
            raise RateLimited(f"This credential has {self.streams} streams open, which is the most.", 1)
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1


def _described(bucket: Bucket, wait_s: float) -> tuple[str, int, tuple[tuple[bytes, bytes], ...]]:
    """Return the sentence, the seconds to wait, and the headers of the IETF's draft of rate limit fields."""
    rate, seconds = bucket.rate, max(1, math.ceil(wait_s))
    window = max(1, math.ceil(rate.burst / rate.per_s))
    left = max(0, math.floor(bucket.tokens))
    headers = (
        (b"ratelimit-policy", b'"credential";q=%d;w=%d' % (rate.burst, window)),
        (b"ratelimit", b'"credential";r=%d;t=%d' % (left, seconds)),
    )
    return f"The credential's rate is {rate.per_s:g} a second, {rate.burst} at once.", seconds, headers
