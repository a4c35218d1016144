"""Owns how long the transactions of a partition took lately."""

from collections import deque
from math import ceil

from schemas.status import TransactionTimes

_WITHIN_S = 10.0
_MOST = 1_000  # a sample that is sorted in 0.1 ms


class Lately:
    """The times of the transactions of the last 10 s, of the last 1,000 at most."""

    def __init__(self) -> None:
        self._taken: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def add(self, began_s: float, ended_s: float) -> None:
        """Note a transaction, by the loop's clock."""
        self._taken.append((ended_s, ended_s - began_s))

    def times(self, now_s: float) -> TransactionTimes | None:
        """Return median and 99th percentile; None when there was no transaction."""
        while self._taken and self._taken[0][0] < now_s - _WITHIN_S:
            self._taken.popleft()
        if not self._taken:
            return None
        took = sorted(seconds for _, seconds in self._taken)
        return TransactionTimes(p50=_ms(took, 0.5), p99=_ms(took, 0.99))


def _ms(took: list[float], share: float) -> int:
    return round(1000 * took[ceil(share * len(took)) - 1])
