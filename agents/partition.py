"""Owns the partition protocol: COMMIT, RECOVER and REVOKE, step by step.

The numbers are those of ADR 0002 and of the failpoints. The basic rule: the changelog is the ledger, and RocksDB never
has rows that are not committed there. After any error the overlay is dropped and RECOVER starts.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents import failpoints
from agents.batches import CommandBatch
from agents.config import WorkerConfig
from agents.errors import TooLargeError, TransactionError
from agents.fold import Folded, fold
from agents.lately import Lately
from agents.local_store import LocalStore, LostLedgerError
from agents.reading import LogReader
from agents.transactions import TransactionClient
from schemas.topics import CHANGELOG, COMMANDS, DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY, Position, encode_row
from tables.ledger import Ledger, checkpoint_of

_OUTPUTS = (CHANGELOG, RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE)
_FORGET_PER_TRANSACTION = 1_000
_REVOKE_WAIT_S = 3.0
_RESULT_BYTES = 64 * 1024
_RESULT_WAIT_MS = 100

log = structlog.get_logger()


class NotOursError(Exception):
    """The partition was taken away in the meantime."""


class DamagedStoreError(OSError):
    """A file of the local store was damaged. The store is empty now; RECOVER fills it from the changelog."""


class LostCommandsError(Exception):
    """The log does not hold the next command: retention deleted it, or the topic was made anew."""


class Partition:
    """One partition of the ledger on this worker, from assignment to revocation.

    Args:
        number: the partition.
        config: the worker's settings.
        is_ours: says whether the group still assigns the partition to this worker.
    """

    def __init__(self, number: int, config: WorkerConfig, is_ours: Callable[[], bool]) -> None:
        self.number = number
        self.log = log.bind(partition=number)
        self._config = config
        self._is_ours = is_ours
        self._ledger: Ledger | None = None
        self._local: LocalStore | None = None
        self._transactions: TransactionClient | None = None
        self._busy = asyncio.Lock()
        self._recovery: asyncio.Task[int] | None = None
        self._recoveries = 0
        self._revoked = False
        self._batch_limit = config.batch_commands
        self.lately = Lately()
        self.read_position = -1  # the offset at which the next batch must start

    @property
    def is_open(self) -> bool:
        """Whether the gate is open: the partition is recovered and not revoked."""
        return self._ledger is not None and not self._revoked

    @property
    def is_recovering(self) -> bool:
        """Whether a RECOVER runs, or waits for a transaction to end."""
        return self._recoveries > 0

    @property
    def may_hang(self) -> bool:
        """Whether a committed transaction's marker has not been seen in every partition (`agents.hanging`)."""
        return self._transactions is not None and self._transactions.may_hang

    @property
    def position(self) -> Position | None:
        """Return the ledger's position; None before it is recovered."""
        return self._ledger.position if self._ledger else None

    @property
    def epoch(self) -> int:
        """Return a number that grows with each owner and each transaction; 0 before earlier owners are fenced."""
        return self._transactions.status_epoch if self._transactions is not None else 0

    @property
    def recovery(self) -> tuple[int, int]:
        """Return how many offsets of the changelog RECOVER has read, and how many it reads in all."""
        return self._local.progress if self._local is not None else (0, 0)

    @property
    def next_due_at(self) -> int | None:
        """Return the time (ms) at which a reservation may expire; None while the gate is closed."""
        return self._ledger.expiries.next_due_at if self._ledger and not self._revoked else None

    @property
    def ticks_to_settle(self) -> int:
        """Return how many ticks would settle what waits, a few at a time; 0 when nothing is pending."""
        return self._ledger.ticks_to_settle if self._ledger and not self._revoked else 0

    # COMMIT

    async def commit_batch(self, batch: CommandBatch) -> bool:
        """Apply a batch of commands, in one transaction or several.

        Returns:
            False when the batch does not start at the ledger's position: it was read before the last RECOVER.

        Raises:
            TransactionError, KafkaError: the transaction failed or may have failed; call `recover` next.
            NotOursError: the partition was revoked.
            LostLedgerError: the changelog was made anew.
            DamagedStoreError: call `recover` next.
        """
        async with self._busy:
            if not self.is_open or batch.read_from != self.read_position:
                return False
            # Records before the position were decided earlier.
            position = self._ledger.position if self._ledger else None
            done = position.next_offset if position else 0
            records = [record for record in batch.records if record.offset >= done]
            try:
                with self._rebuilding_if_damaged():
                    clock = asyncio.get_running_loop().time
                    while records:
                        began = clock()
                        folded = await self._commit(records, batch.read_to)
                        self.lately.add(began, clock())
                        records = records[folded.commands :]
            except BaseException:
                self._ledger = None  # its overlay may hold uncommitted rows
                raise
            self.read_position = batch.read_to
            return True

    async def _commit(self, records: list[Any], read_to: int) -> Folded:
        ledger, transactions = self._ledger, self._transactions
        if ledger is None or transactions is None:
            raise NotOursError
        failpoints.hit("commit.1")
        # 1. Decide one by one, against an overlay. Nothing is written to disk.
        ledger.forget(_FORGET_PER_TRANSACTION)
        folded = fold(
            ledger,
            records,
            partition=self.number,
            partitions=self._config.partitions,
            limit=self._batch_limit,
        )
        failpoints.hit("commit.2")
        # 2. Build one record batch per topic; the position row goes last.
        assert ledger.position is not None  # noqa: S101 - recovery leaves none without one
        # Markers may follow the last record; the position is behind them, like the reader's.
        at_end = folded.next_offset > records[-1].offset
        position = Position(read_to if at_end else folded.next_offset, folded.now_ms, ledger.position.incarnation)
        rows = ledger.pending()
        rows.append((POSITION_KEY, encode_row(position)))
        batches = folded.output.batches(rows, folded.now_ms)
        failpoints.hit("commit.3")
        # 3. Produce. Any error in any partition's answer ends the attempt.
        try:
            offsets = await transactions.produce(self.number, batches)
        except TooLargeError:
            self._batch_limit = max(1, folded.commands // 2)
            raise
        if self._revoked:
            raise NotOursError
        self._check_changelog_grew(offsets[CHANGELOG])
        failpoints.hit("commit.4")
        # 4. EndTxn. Without a clear answer only RECOVER can find out what happened.
        await transactions.end()
        failpoints.hit("commit.5")
        # 5. One atomic write of rows, position and changelog offset.
        if self._ledger is not ledger:
            raise NotOursError  # REVOKE waited no longer; the next RECOVER reads what the store lacks
        ledger.checkpoint(position, offsets[CHANGELOG] + len(rows) - 1)
        failpoints.hit("commit.done")
        self._batch_limit = min(self._config.batch_commands, self._batch_limit * 2)
        return folded

    def _check_changelog_grew(self, written_at: int) -> None:
        """Refuse to commit to a changelog that has lost earlier rows: a rebuilt store would lack them."""
        checkpoint = checkpoint_of(self._local.store) if self._local else None
        if checkpoint is not None and written_at <= checkpoint.position_offset:
            raise LostLedgerError(
                f"partition {self.number}: {CHANGELOG} ended at {written_at}, but the ledger was written to it up to "
                f"{checkpoint.position_offset}. The topic was made anew, or its end was lost; see docs/runbook.md."
            )

    async def hangs(self) -> bool:
        """Return whether a committed transaction hangs.

        Raises:
            TransactionError, KafkaError, OSError: a broker cannot be asked.
        """
        return self._transactions is not None and await self._transactions.hangs()

    # RECOVER

    async def recover(self) -> int:
        """Bring the ledger to the committed end of its changelog; try again until it works or the partition is revoked.

        Returns:
            The offset of the next command.

        Raises:
            NotOursError: the partition was revoked meanwhile.
            LostCommandsError: the log does not hold the next command.
            LostLedgerError: results exist, but the changelog has no ledger.
        """
        self._recoveries += 1
        try:
            async with self._busy:
                return await self._recover_alone()
        finally:
            self._recoveries -= 1

    async def _recover_alone(self) -> int:
        # A task of its own, so that REVOKE can cancel it.
        self._recovery = asyncio.create_task(self._recover_until_done())
        try:
            return await self._recovery
        except asyncio.CancelledError:
            if self._revoked:
                raise NotOursError from None
            raise
        finally:
            self._recovery = None

    async def _recover_until_done(self) -> int:
        pause_s = 0.05
        while True:
            try:
                with self._rebuilding_if_damaged():
                    return await self._recover()
            except (TransactionError, KafkaError, OSError, failpoints.FailpointError) as error:
                self._check_ours()
                self.log.warning("recovery failed, trying again", error=repr(error), in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 2.0)

    async def _recover(self) -> int:
        failpoints.hit("recover.1")
        # 1. Close the gate.
        await self._close()
        self._check_ours()
        failpoints.hit("recover.2")
        # 2. Open RocksDB.
        local = self._local = LocalStore(
            self._config.store_path(self.number), self._config.bootstrap, self.number, self._check_ours
        )
        failpoints.hit("recover.3")
        # 3. Fence: from here on earlier transactions of this id are over, and zombies are refused.
        transactions = self._transactions = TransactionClient(
            self._config.bootstrap, f"holdfast-{self.number}", timeout_ms=self._config.transaction_timeout_ms
        )
        await transactions.start((COMMANDS, *_OUTPUTS))
        self._check_ours()
        await transactions.begin([TopicPartition(topic, self.number) for topic in _OUTPUTS])
        failpoints.hit("recover.4")
        # 4. Only now ask for the changelog's end, with read_uncommitted: the last stable offset may hide records.
        log_start, log_end = await transactions.log_range(CHANGELOG, self.number)
        # 5. and 6. Check the local store and read the rows that it lacks.
        await local.catch_up(log_start, log_end)
        failpoints.hit("recover.7")
        # 7. No position row at all: this is the first run.
        ledger = Ledger(local.store)
        commands_start, commands_end = await transactions.log_range(COMMANDS, self.number)
        if ledger.position is None:
            await self._check_nothing_was_published(transactions, log_end)
            ledger.position = Position(commands_start, 0, uuid.uuid4().hex)
        next_offset = ledger.position.next_offset
        if not commands_start <= next_offset <= commands_end:
            raise LostCommandsError(
                f"partition {self.number}: command {next_offset} is next, but {COMMANDS} holds {commands_start} to "
                f"{commands_end}. Commands were lost to retention, or the topic was made anew; see docs/runbook.md."
            )
        failpoints.hit("recover.8")
        # 8. Still ours?
        self._check_ours()
        failpoints.hit("recover.9")
        # 9. Open the gate; the caller starts to read.
        self._ledger = ledger
        self.read_position = next_offset
        failpoints.hit("recover.done")
        return next_offset

    async def _check_nothing_was_published(self, transactions: TransactionClient, changelog_end: int) -> None:
        """Check that a first run has no results: results and the first position are written in one transaction."""
        position, end = await transactions.log_range(RESULTS, self.number)
        reader = LogReader(
            self._config.bootstrap,
            RESULTS,
            self.number,
            client_id=f"holdfast-recovery-{self.number}",
            fetch_bytes=_RESULT_BYTES,
            wait_ms=_RESULT_WAIT_MS,
        )
        try:
            await reader.start()
            while position < end:
                fetched = await reader.fetch(position)
                self._check_ours()
                if fetched.records:
                    if (await transactions.log_range(CHANGELOG, self.number))[1] != changelog_end:
                        raise TransactionError("another owner has begun this ledger in the meantime")
                    raise LostLedgerError(
                        f"partition {self.number}: {RESULTS} holds results, but {CHANGELOG} holds no ledger. The "
                        "changelog was deleted; a new one would publish results a second time. See docs/runbook.md."
                    )
                position = fetched.position
        finally:
            await reader.close()

    @contextlib.contextmanager
    def _rebuilding_if_damaged(self) -> Iterator[None]:
        """Turn an error of RocksDB's checksums into `DamagedStoreError`: RECOVER reads every row from the changelog."""
        try:
            yield
        except Exception as error:
            if self._local is None or not self._local.wipe_if_damaged(error):
                raise
            raise DamagedStoreError(str(error)) from error

    def _check_ours(self) -> None:
        if self._revoked or not self._is_ours():
            raise NotOursError

    # REVOKE

    async def revoke(self) -> None:
        """Give the partition up: wait a limited time for a running EndTxn, then close everything."""
        try:
            failpoints.hit("revoke.1")
            # 1. Close the gate: a transaction before step 4 of COMMIT is dropped.
            self._revoked = True
            failpoints.hit("revoke.2")
            # 2. Wait for an EndTxn in flight, so that its rows reach the store. Cancel a RECOVER.
            if self._recovery is not None:
                self._recovery.cancel()
            try:
                await asyncio.wait_for(self._busy.acquire(), _REVOKE_WAIT_S)
            except TimeoutError:
                self.log.warning("a transaction did not end in time; the next owner will settle it")
            else:
                self._busy.release()
            failpoints.hit("revoke.3")
        finally:
            # 3. Close the store before returning, even after an error: another process, or this one, may get the
            # partition next and could not open a store that is still open.
            self._revoked = True
            await self._close()

    async def _close(self) -> None:
        self._ledger = None
        local, self._local = self._local, None
        if local is not None:
            local.close()
        transactions, self._transactions = self._transactions, None
        if transactions is not None:
            await transactions.close()
