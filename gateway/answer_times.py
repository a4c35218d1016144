"""Owns how quickly this gateway answered lately: how many requests a second, and their median and 99th percentile."""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from time import perf_counter
from typing import NamedTuple

_WITHIN_S = 10
_FAILED_FROM, _TOO_MANY = 500, 429
_RATIO = 1.08  # of neighbouring edges: a time is told with an error of 4 % at most
_EDGES = [*accumulate(range(180), lambda edge, _: edge * _RATIO, initial=0.0001)]  # seconds, to 100


class AnswerFigures(NamedTuple):
    """The answers of the last 10 s."""

    per_second: float
    failed_per_second: float  # answered 500 and above
    refused_per_second: float  # answered 429
    p50_ms: float | None
    p99_ms: float | None


class _Second:
    __slots__ = ("bins", "failed", "number", "refused")

    def __init__(self, number: int) -> None:
        self.number = number
        self.bins = [0] * (len(_EDGES) + 1)
        self.failed = 0
        self.refused = 0


class AnswerTimes:
    """The times of the answers, by the second.

    Args:
        clock: seconds that never go back, as `began` of an answer.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._second = _Second(int(clock()))
        self._past: deque[_Second] = deque(maxlen=_WITHIN_S)

    def add(self, began: float, status: int) -> None:
        """Note an answer that is given now."""
        now = self._clock()
        second = self._second
        if int(now) != second.number:
            second = self._turn(int(now))
        second.bins[bisect_left(_EDGES, now - began)] += 1
        if status >= _FAILED_FROM:
            second.failed += 1
        elif status == _TOO_MANY:
            second.refused += 1

    def _turn(self, number: int) -> _Second:
        self._past.append(self._second)
        self._second = _Second(number)
        return self._second

    def lately(self) -> AnswerFigures:
        """Return the figures of the last 10 full seconds."""
        now = int(self._clock())
        if now != self._second.number:
            self._turn(now)
        seconds = [second for second in self._past if second.number >= now - _WITHIN_S]
        bins = [sum(counts) for counts in zip(*(second.bins for second in seconds), strict=True)]
        return AnswerFigures(
            sum(bins) / _WITHIN_S,
            sum(second.failed for second in seconds) / _WITHIN_S,
            sum(second.refused for second in seconds) / _WITHIN_S,
            _quantile(bins, 0.5),
            _quantile(bins, 0.99),
        )


def _quantile(bins: list[int], share: float) -> float | None:
    total = sum(bins)
    if not total:
        return None
    wanted = math.ceil(share * total)
    index = bisect_left([*accumulate(bins)], wanted)
    edge: float = _EDGES[min(index, len(_EDGES) - 1)]
    return round(1000 * edge / math.sqrt(_RATIO), 2)
