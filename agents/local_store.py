"""Owns a partition's local store, and how it follows the changelog: steps 2, 5 and 6 of RECOVER."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog
from aiokafka.errors import OffsetOutOfRangeError

from agents import failpoints
from agents.changelog import read_changelog
from schemas.topics import DELETE_RETENTION_MS
from tables.core.rows import POSITION_KEY, decode_position
from tables.ledger import checkpoint_of, load, wall_clock_ms
from tables.store import RocksStore, Store, is_damage

_SAY_EVERY_S = 2.0
# RocksDB's words for a directory that is open elsewhere. Not just "lock": that is also in "block" and maybe in a path.
_IN_USE = ("While lock file", "lock hold by current process")

log = structlog.get_logger()


class LostLedgerError(Exception):
    """The changelog was made anew, or its end was lost."""


class LocalStore:
    """A RocksDB store that equals one changelog partition up to its checkpoint; otherwise it is wiped.

    Args:
        path: its directory.
        bootstrap: the brokers.
        partition: the partition.
        check_wanted: called after every chunk; raises when the store is not wanted any more.
    """

    def __init__(self, path: Path, bootstrap: str, partition: int, check_wanted: Callable[[], None]) -> None:
        self._path = path
        self._bootstrap = bootstrap
        self._partition = partition
        self._check_wanted = check_wanted
        self._log = log.bind(partition=partition)
        self.store: Store = self._open()
        self.progress = (0, 0)  # changelog offsets read, and to be read in all

    def _open(self) -> Store:
        try:
            return RocksStore(self._path)
        except Exception as error:
            if any(text in str(error) for text in _IN_USE):
                raise OSError(f"{self._path} is still open: {error}") from error
            self._log.warning("the local store cannot be opened; rebuilding it", error=str(error))
            RocksStore.destroy(self._path)
            return RocksStore(self._path)

    def _wipe(self, reason: str) -> None:
        self._log.warning("rebuilding the local store", reason=reason)
        self.store.close()
        RocksStore.destroy(self._path)
        self.store = RocksStore(self._path)

    def wipe_if_damaged(self, error: BaseException) -> bool:
        """Empty the store if an error says that it is damaged; return whether it did. Then `catch_up` rebuilds it."""
        if not is_damage(error):
            return False
        self._wipe(str(error))
        return True

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    async def catch_up(self, log_start: int, log_end: int) -> None:
        """Read the changelog to its end.

        Args:
            log_start: the first offset in the log.
            log_end: its end with read_uncommitted. An owner asks for it after fencing.

        Raises:
            aiokafka.errors.KafkaError: the broker cannot be reached.
            LostLedgerError: the changelog ends before the store's checkpoint.
        """
        failpoints.hit("recover.5")
        # 5. A store that cannot belong to this changelog is rebuilt.
        start = log_start
        checkpoint = checkpoint_of(self.store)
        if checkpoint is None:
            if next(iter(self.store.scan(b"", b"\xff")), None) is not None:
                self._wipe("it has no checkpoint")
        elif not log_start <= checkpoint.position_offset < log_end:
            if checkpoint.position_offset >= log_end:
                await self._check_another_life(checkpoint.position_offset, log_start, log_end)
            self._wipe(f"it stands at {checkpoint.position_offset}, the changelog holds {log_start} to {log_end}")
        elif wall_clock_ms() - checkpoint.written_at >= DELETE_RETENTION_MS:
            self._wipe("it is older than the changelog keeps its tombstones")
        else:
            start = checkpoint.position_offset
        failpoints.hit("recover.6")
        # 6. Read to the end. The first row must be the store's position row: only then the store belongs to this
        # changelog.
        if start < log_end:
            try:
                same = await self._read(start, log_end)
            except OffsetOutOfRangeError:
                same = False
            if not same:
                self._wipe("it follows another life of the changelog")
                await self._read(log_start, log_end)

    async def _check_another_life(self, offset: int, start: int, end: int) -> None:
        """Check that a changelog that ends before our checkpoint is another one, and not the same with a lost end."""
        held = self.store.get(POSITION_KEY)
        incarnation = None if held is None else decode_position(held).incarnation
        async for chunk in read_changelog(self._bootstrap, self._partition, start, end):
            self._check_wanted()
            for _, key, value in chunk:
                if key == POSITION_KEY and value is not None and decode_position(value).incarnation == incarnation:
                    raise LostLedgerError(
                        f"partition {self._partition}: the changelog ends at {end}, but {self._path} has seen it up to "
                        f"{offset}. Its end was lost, and a ledger without it would publish results a second time; see "
                        "docs/runbook.md."
                    )

    async def _read(self, start: int, end: int) -> bool:
        """Read a part of the changelog into the store; return False when the changelog has another incarnation."""
        held = self.store.get(POSITION_KEY)
        incarnation = None if held is None else decode_position(held).incarnation
        proven = incarnation is None
        rows, loop = 0, asyncio.get_running_loop()
        started = said = loop.time()
        self.progress = (0, end - start)
        async for chunk in read_changelog(self._bootstrap, self._partition, start, end):
            self._check_wanted()
            if incarnation is not None:
                for value in [value for _, key, value in chunk if key == POSITION_KEY and value is not None]:
                    if decode_position(value).incarnation != incarnation:
                        return False
                    proven = True
            load(self.store, chunk)
            rows += len(chunk)
            self.progress = (chunk[-1][0] + 1 - start, end - start)
            if loop.time() - said > _SAY_EVERY_S:
                said = loop.time()
                percent = round(100 * (chunk[-1][0] - start) / max(1, end - start))
                self._log.info("recovering", percent=percent, rows=rows)
            await asyncio.sleep(0)
        self.progress = (end - start, end - start)
        if rows > 1:
            self._log.info("recovered", rows=rows, seconds=round(loop.time() - started, 3))
        return proven
