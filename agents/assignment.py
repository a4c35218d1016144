"""Owns the partitions assigned to this worker: their readers, their RECOVER, and the watch for hanging transactions.

It knows nothing of Faust. The consumer (`agents/transport.py`) reports what was assigned and revoked, and asks which
agent has commands to apply; the agent then calls `serve`.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, NamedTuple

import structlog
from aiokafka.errors import KafkaError

from agents import failpoints
from agents.batches import CommandBatch
from agents.config import WorkerConfig
from agents.errors import TransactionError
from agents.partition import NotOursError, Partition
from agents.reading import CommandReader

# While a committed transaction's marker has not been seen, ask the broker for it this often; or this long after a
# request that got no answer.
_ASK_EVERY_S, _ASK_AGAIN_S = 0.5, 1.0

log = structlog.get_logger()


class Assigned(NamedTuple):
    """A partition and the reader of its commands."""

    partition: Partition
    reader: CommandReader


class Partitions:
    """The partitions of this worker, with their readers and recoveries.

    Args:
        config: the worker's settings.
        crash: ends the worker because of an error; only a new process can be trusted then.
    """

    def __init__(self, config: WorkerConfig, crash: Callable[[BaseException], Coroutine[Any, Any, None]]) -> None:
        self._config = config
        self._crash = crash
        self._assigned: dict[int, Assigned] = {}
        self._announced: asyncio.Queue[CommandBatch] = asyncio.Queue()
        self._beside: set[asyncio.Task[None]] = set()  # so that none is collected while it runs
        self._asking: set[int] = set()  # partitions
        self._ask_at: dict[int, float] = {}  # partition -> not before, by the loop's clock in seconds

    # What is assigned

    @property
    def numbers(self) -> list[int]:
        """Return the numbers of the partitions, sorted."""
        return sorted(self._assigned)

    @property
    def are_open(self) -> bool:
        """Whether the gate of every partition is open."""
        return all(it.partition.is_open for it in self._assigned.values())

    def get(self, number: int) -> Partition | None:
        """Return a partition; None when it is not assigned to this worker."""
        assigned = self._assigned.get(number)
        return assigned.partition if assigned is not None else None

    def positions(self) -> dict[int, int]:
        """Return the offset of the next command of each recovered partition."""
        return {
            number: it.partition.position.next_offset
            for number, it in self._assigned.items()
            if it.partition.position is not None
        }

    def log_end(self, number: int) -> int:
        """Return the end of a commands partition as of the last fetch."""
        assigned = self._assigned.get(number)
        return assigned.reader.log_end if assigned is not None else 0

    def due(self, now_ms: int) -> dict[int, int]:
        """Return how many ticks each partition needs: one when a reservation has expired, more for a queue.

        A partition in which commands wait gets none for its queue: each of them settles as much as a tick.
        """
        ticks = {}
        for number, it in self._assigned.items():
            due_at, position = it.partition.next_due_at, it.partition.position
            count = int(due_at is not None and due_at <= now_ms)
            if position is not None and position.next_offset >= it.reader.log_end:
                count = max(count, it.partition.ticks_to_settle)
            if count:
                ticks[number] = count
        return ticks

    @property
    def are_settling(self) -> bool:
        """Whether a queue is unfinished in any partition."""
        return any(it.partition.ticks_to_settle for it in self._assigned.values())

    def add(self, number: int, is_ours: Callable[[], bool]) -> None:
        """Add a partition and its reader, unless it is there; call `start_recoveries` next.

        Args:
            number: the partition.
            is_ours: says whether the group still assigns it to this worker.
        """
        if number in self._assigned:
            return
        reader = CommandReader(
            self._config.bootstrap,
            number,
            wake=self._announced.put_nowait,
            # The log does not hold the next offset: RECOVER reports lost commands, or finds where to go on.
            lost=lambda: self._run_beside(self._recover(assigned)),
            failed=lambda error: self._run_beside(self._crash(error)),
        )
        assigned = self._assigned[number] = Assigned(Partition(number, self._config, is_ours), reader)

    async def revoke(self, numbers: Collection[int]) -> None:
        """REVOKE partitions; those that are not here are left out."""
        gone = [self._assigned.pop(number) for number in sorted(numbers) if number in self._assigned]
        for it in gone:
            it.reader.stop()
        # When one fails, the rebalance must still wait for the others, and Faust must still hear that it is done.
        outcomes = await asyncio.gather(*(it.partition.revoke() for it in gone), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                log.error("a partition was closed in the midst of REVOKE", error=repr(outcome))

    # RECOVER

    def start_recoveries(self) -> None:
        """Start RECOVER of every partition that is not open; each is read as soon as its own RECOVER is done."""
        for it in self._assigned.values():
            if not it.partition.is_open and not it.partition.is_recovering:
                self._run_beside(self._recover(it))

    async def _recover(self, assigned: Assigned) -> None:
        """RECOVER a partition and read on from its position; one that cannot go on ends the worker."""
        partition = assigned.partition
        try:
            if self._is_assigned(assigned):
                assigned.reader.stop()
            await partition.recover()
            self._read_from_ledger(assigned)
        except NotOursError:
            partition.log.info("the partition was taken away while it was recovered")
        except Exception as error:
            partition.log.exception("the worker cannot go on")
            await self._crash(error)

    def _read_from_ledger(self, assigned: Assigned) -> None:
        """Read a partition's commands from its ledger's position on, and drop what was read before."""
        if assigned.partition.is_open and self._is_assigned(assigned):
            assigned.reader.start(assigned.partition.read_position)

    def _is_assigned(self, assigned: Assigned) -> bool:
        # After a revocation the partition may be assigned again, as a new object.
        return self._assigned.get(assigned.partition.number) is assigned

    def recover_hanging(self) -> None:
        """Find out whether committed transactions have their markers, and RECOVER partitions in which one hangs."""
        now = asyncio.get_running_loop().time()
        for number, it in self._assigned.items():
            partition = it.partition
            is_due = partition.is_open and partition.may_hang and now >= self._ask_at.get(number, 0.0)
            if is_due and number not in self._asking:
                self._ask_at[number] = now + _ASK_EVERY_S
                self._run_beside(self._recover_if_hanging(it))

    async def _recover_if_hanging(self, assigned: Assigned) -> None:
        partition = assigned.partition
        self._asking.add(partition.number)
        try:
            hangs = await partition.hangs()
        except (TransactionError, KafkaError, OSError) as error:
            partition.log.info("cannot see how the last transactions ended; asking again", error=repr(error))
            self._ask_at[partition.number] = asyncio.get_running_loop().time() + _ASK_AGAIN_S
            return
        except Exception as error:
            partition.log.exception("the worker cannot go on")
            await self._crash(error)
            return
        finally:
            self._asking.discard(partition.number)
        if hangs and partition.is_open and not partition.is_recovering:
            partition.log.warning("a transaction hangs; recovering")
            await self._recover(assigned)

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    # Commands

    async def next_announced(self) -> CommandBatch:
        """Wait until there are commands for an agent that had none, and return the first batch.

        The batch is only an announcement: the agent then takes everything that has been fetched by that time (`serve`).
        So the announcement passes Faust's queues while the transaction before is being written, and later fetches
        join the next transaction. If the agent got this batch only, each fetch would become a transaction, which
        costs broker and worker about 3 ms of processor time, however few commands it has.
        """
        while True:
            batch = await self._announced.get()
            # A partition that was revoked after the fetch has no agent any more.
            if batch.partition in self._assigned:
                return batch

    async def serve(self, number: int) -> None:
        """Apply all commands of a partition that were fetched by now."""
        if (assigned := self._assigned.get(number)) is None:
            return
        try:
            batch = assigned.reader.pop_batch()
        except RuntimeError as error:
            await self._crash(error)
            return
        if batch is not None:
            await self._apply(assigned, batch)
            assigned.reader.done()

    async def _apply(self, assigned: Assigned, batch: CommandBatch) -> None:
        """Apply a batch; after an error, RECOVER, and read on from the ledger's position."""
        partition = assigned.partition
        try:
            if not await partition.commit_batch(batch):
                self._read_from_ledger(assigned)
        except NotOursError:
            partition.log.info("the partition was taken away during a transaction")
        except (TransactionError, KafkaError, OSError, failpoints.FailpointError) as error:
            partition.log.warning("transaction failed; recovering", error=repr(error))
            await self._recover(assigned)
        except Exception as error:
            # A bug, or a fault of the machine: only a new process can be trusted.
            partition.log.exception("the worker cannot go on")
            await self._crash(error)
