"""Owns the load of each partition: how many requests wait for it, how quickly it answers, and when that is too many.

A request that its partition would answer later than `shed_after_ms` is refused at once: the wait would be useless to
its caller, and would make that of everybody after it longer. The wait is estimated: those that wait here by the answers
that they got in the last second. (What other gateways send stands in the same line, but they get their share of the
results too.) A partition in which few wait shows how much it is asked, not how much it could do; so it counts from when
it became crowded, and 150 ms pass before anything is refused. The estimate lags behind what it measures,
and the rate varies, so half is added to it.
"""

import time
from collections import deque
from collections.abc import Callable

# A partition is crowded from so many waiting requests on, until half of them wait. So many may always wait.
_CROWD = 64
_SLOT_S = 0.1
_SLOTS = 10
# A partition gets this long to show its rate after it became crowded.
_LEARN_S = 0.15
_MARGIN = 1.5
# `shedding` names a partition for this long after a refusal.
_SHED_LATELY_S = 2.0


class _Counter:
    """Counts events of the last second, in tenths."""

    __slots__ = ("_counts", "_slot", "total")

    def __init__(self) -> None:
        self._counts: deque[int] = deque([0] * _SLOTS, maxlen=_SLOTS)
        self._slot = 0
        self.total = 0  # of the last second

    def add(self, count: int, now_s: float) -> None:
        """Count events that happen now."""
        self.turn(now_s)
        self._counts[-1] += count
        self.total += count

    def turn(self, now_s: float) -> None:
        """Forget what is more than a second old."""
        slot = int(now_s / _SLOT_S)
        for _ in range(min(slot - self._slot, _SLOTS)):
            self.total -= self._counts[0]
            self._counts.append(0)
        self._slot = max(slot, self._slot)


class _Load:
    """One partition."""

    __slots__ = ("answers", "crowded_since", "results", "shed_at", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.crowded_since: float | None = None
        self.answers = _Counter()  # to requests of this gateway, while it is crowded
        self.results = 0  # everybody's, since the start
        self.shed_at: float | None = None


class Loads:
    """The load of all partitions.

    Args:
        partitions: how many there are.
        shed_after_ms: a request that would wait longer is refused; 0 refuses none.
        clock: seconds that never go back.
    """

    def __init__(self, partitions: int, shed_after_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._loads = [_Load() for _ in range(partitions)]
        self._shed_after_s = shed_after_ms / 1000
        self.shed = 0
        """How many requests were refused."""
        self._clock = clock

    def begin(self, partition: int, count: int = 1) -> bool:
        """Count requests that begin to wait; return False when they would wait too long, and are not counted."""
        load = self._loads[partition]
        if load.waiting >= _CROWD and self._is_too_slow(load):
            load.shed_at = self._clock()
            self.shed += count
            return False
        load.waiting += count
        return True

    def end(self, partition: int, *, answered: bool) -> None:
        """Count a request that waits no more."""
        load = self._loads[partition]
        load.waiting -= 1
        if load.crowded_since is not None:
            if answered:
                load.answers.add(1, self._clock())
            if load.waiting < _CROWD // 2:
                load.crowded_since = None

    def results(self, partition: int, count: int) -> None:
        """Count results of a partition, whoever gets them."""
        self._loads[partition].results += count

    def _is_too_slow(self, load: _Load) -> bool:
        now_s = self._clock()
        if load.crowded_since is None:
            load.crowded_since, load.answers = now_s, _Counter()
        crowded_s = now_s - load.crowded_since
        if crowded_s < _LEARN_S or not self._shed_after_s:
            return False
        load.answers.turn(now_s)
        answers_per_s = load.answers.total / min(crowded_s, _SLOT_S * _SLOTS)
        return load.waiting * _MARGIN > self._shed_after_s * answers_per_s

    def waiting(self, partition: int) -> int:
        """Return how many requests wait for a partition."""
        return self._loads[partition].waiting

    def results_so_far(self, partition: int) -> int:
        """Return how many results of a partition were seen."""
        return self._loads[partition].results

    @property
    def shedding(self) -> list[int]:
        """Return the partitions that refused a request lately."""
        now_s = self._clock()
        return [
            number
            for number, load in enumerate(self._loads)
            if load.shed_at is not None and now_s - load.shed_at < _SHED_LATELY_S
        ]
