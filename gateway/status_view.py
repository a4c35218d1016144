"""Owns the view of the partitions' owners: the latest record of each partition in `inventory.status`.

How old a record is, the gateway's own clock says: it counts from when the record was received. Only what stood in the
topic when the gateway started is as old as the worker's time in it says; the next record comes within a second. While
Kafka is away nothing is received, and nothing gets older.
"""

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from schemas.status import OWNER_SILENT_S, PartitionStatus, decode_status

OwnerState = Literal["open", "recovering", "stopped", "no_owner", "unknown"]


class Owned(NamedTuple):
    """A partition as it is seen now.

    Args:
        state: `stopped` while it changes hands; `unknown` until the topic was read to its end once.
        status: the latest record; None without any.
        silent_s: how old the record is.
    """

    state: OwnerState
    status: PartitionStatus | None
    silent_s: float


class _Heard(NamedTuple):
    status: PartitionStatus
    at_s: float  # by this process's clock


class StatusView:
    """The owners of all partitions.

    Args:
        partitions: how many there are.
        clock: seconds that never go back.
        wall_ms: the time of day.
    """

    def __init__(
        self,
        partitions: int,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._wall_ms = wall_ms
        self._heard: dict[int, _Heard] = {}
        # Set by whoever reads the topic: whether it was read to its end, and how long ago it was last read to its end.
        self.is_live: Callable[[], bool] = lambda: False
        self.behind_ms: Callable[[], int] = lambda: 0

    def clear(self) -> None:
        """Forget all records, before the topic is read again from its beginning."""
        self._heard.clear()

    def apply(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Take a record, unless it is a zombie's.

        Raises:
            msgspec.DecodeError: no worker wrote it.
        """
        if value is None or key is None or not key.startswith(b"inventory/"):
            return
        status = decode_status(value)
        if status.partition != partition or self._is_zombies(status):
            return
        age_s = 0.0 if self.is_live() else max(0.0, (self._wall_ms() - status.at) / 1000)
        self._heard[partition] = _Heard(status, self._clock() - age_s)

    def _is_zombies(self, status: PartitionStatus) -> bool:
        """Return whether another worker with a greater epoch has the partition and has spoken lately."""
        known = self._heard.get(status.partition)
        return (
            known is not None
            and known.status.worker != status.worker
            and known.status.epoch > status.epoch
            and known.status.state != "stopped"
            and self._clock() - known.at_s < OWNER_SILENT_S
        )

    def owned(self, partition: int) -> Owned:
        """Return a partition as it is seen now."""
        heard = self._heard.get(partition)
        seen_until = self._clock() - self.behind_ms() / 1000
        silent_s = max(0.0, seen_until - heard.at_s) if heard else 0.0
        status = heard.status if heard else None
        if not self.is_live():
            return Owned("unknown", status, silent_s)
        if status is None or silent_s > OWNER_SILENT_S:
            return Owned("no_owner", status, silent_s)
        return Owned(status.state, status, silent_s)

    def all(self) -> dict[int, Owned]:
        """Return all partitions as they are seen now."""
        return {partition: self.owned(partition) for partition in range(self._partitions)}
