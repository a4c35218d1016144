"""Owns a partition in this process: commands are folded into a ledger in RocksDB, one transaction at a time."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from agents.fold import fold
from bench.shop import Sent
from schemas.codec import encode
from tables.core.rows import POSITION_KEY, Position, encode_row
from tables.ledger import Ledger
from tables.store import RocksStore

START_MS = 1_764_000_000_000
_TRANSACTION = 1_000
_REFUSED = b'"status":"rejected"'

Fields = Mapping[str, object]


class Cost(NamedTuple):
    """What some commands took: processor seconds of the thread that folds, and how many results came of them."""

    seconds: float
    commands: int
    results: int

    @property
    def us_per_command(self) -> float:
        """Microseconds per command."""
        return self.seconds / self.commands * 1e6

    @property
    def us_per_result(self) -> float:
        """Microseconds per result: those of the steps that the commands caused count as well."""
        return self.seconds / self.results * 1e6


class InProcess:
    """A partition without a broker: what a worker does for each transaction, but for sending and receiving.

    Args:
        folder: of the store; it must not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._store = RocksStore(folder)
        self.ledger = Ledger(self._store)
        self.ledger.position = Position(0, START_MS, "bench")
        self._offset = self._written = 0
        self._published: deque[bytearray] = deque(maxlen=100)

    def tell(self, commands: Iterable[Fields]) -> None:
        """Apply commands, some at a time."""
        rest = iter(commands)
        while records := list(islice(self._records(rest), _TRANSACTION)):
            self._apply(records)

    def measure(self, commands: Iterable[Fields]) -> Cost:
        """Apply commands in one transaction (several, if one is too small for what they cause).

        Raises:
            RuntimeError: one was refused, so what was measured is another thing.
        """
        records = list(self._records(commands))
        self._published.clear()
        began = time.thread_time()
        results = self._apply(records)
        seconds = time.thread_time() - began
        if any(_REFUSED in bytes(batch) for batch in self._published):
            raise RuntimeError(f"a command was refused, of those from {records[0].value.decode()} on")
        return Cost(seconds, len(records), results)

    def restart(self) -> None:
        """Drop all that is in memory, as a worker that comes back does."""
        self.ledger = Ledger(self._store)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _records(self, commands: Iterable[Fields]) -> Iterator[Sent]:
        for fields in commands:
            yield Sent(self._offset, START_MS + self._offset, b"key", encode(fields))
            self._offset += 1

    def _apply(self, records: list[Sent]) -> int:
        results = 0
        while records:
            folded = fold(self.ledger, records, partition=0, partitions=1, limit=len(records))
            position = Position(folded.next_offset, folded.now_ms, "bench")
            rows = [*self.ledger.pending(), (POSITION_KEY, encode_row(position))]
            for batch in folded.output.batches(rows, folded.now_ms).values():
                self._published.append(batch.build())
            self._written += len(rows)
            self.ledger.checkpoint(position, self._written - 1)
            results += folded.output.results.count
            records = records[folded.commands :]
        return results
