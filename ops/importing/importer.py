"""Owns `holdfast import`: it sends the commands of a file of order lines and counts their results."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from ops.bulk import BulkSender
from ops.exchange import Exchange, Fence, Follower, exchange
from ops.importing.order_files import DEFAULT_DELIMITER, DEFAULT_ENCODING, OrderFile, open_orders
from ops.importing.order_lines import Columns, MissingColumn, Planner, Rules, Step, Unusable
from ops.importing.tally import Tally
from ops.problems import CannotDo, kafka_at, no_kafka
from ops.screen import progress, say
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS

# How many commands may wait for an answer: four times a worker's batch of every partition, about 30 MB here.
MAX_UNANSWERED = 100_000
BATCH_BYTES = 256 * 1024
_SHOWN_COMPLAINTS = 10
_LINES_A_CHUNK = 200
# At a recorded pace a command may wait this long in its batch for others.
_PACE_STEP_S = 0.05


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """The settings of an import.

    Args:
        path: the file.
        columns: the names of the columns.
        rules: how lines become commands.
        speed: how many times faster than recorded; None as fast as it goes.
        max_lines: how many lines to import; None all.
        timeout_s: how long to wait without any result before giving up.
        encoding: the file's encoding, as Python names it.
        delimiter: the character between its fields.
    """

    path: Path
    columns: Columns
    rules: Rules
    speed: float | None = None
    max_lines: int | None = None
    timeout_s: float = 60.0
    encoding: str = DEFAULT_ENCODING
    delimiter: str = DEFAULT_DELIMITER


@dataclass(frozen=True, kw_only=True)
class Job:
    """The settings that all imports have.

    Args:
        name: the import's name, the beginning of every id.
        speed: how many times faster than recorded; None as fast as it goes.
        max_lines: how many lines to import; None all.
        timeout_s: how long to wait without any result before giving up.
        complaints: how many unusable lines to report; None for all.
        doing: what the progress line says.
    """

    name: str
    speed: float | None = None
    max_lines: int | None = None
    timeout_s: float = 60.0
    complaints: int | None = _SHOWN_COMPLAINTS
    doing: str = "importing"


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """The counts of an import."""

    name: str
    lines: int
    unusable_lines: int
    seconds: float
    tally: Tally

    @property
    def ok(self) -> bool:
        """Return whether every line became commands, and every command was answered exactly once."""
        return self.unusable_lines == 0 and self.tally.exactly_once

    def as_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        tally = self.tally
        return {
            "name": self.name,
            "lines": self.lines,
            "unusable_lines": self.unusable_lines,
            "commands": tally.commands,
            "accepted": tally.accepted,
            "refused": dict(sorted(tally.refused.items())),
            "follow_on": tally.follow_on,
            "replayed": tally.replayed,
            "missing": tally.unanswered,
            "doubled": tally.doubled,
            "units_asked": tally.units_asked,
            "units_allocated": tally.units_allocated,
            "fill_rate": tally.fill_rate,
            "seconds": round(self.seconds, 3),
            "commands_per_s": round(tally.commands / self.seconds) if self.seconds else None,
            "ok": self.ok,
        }


async def import_orders(plan: ImportPlan, *, bootstrap: str) -> ImportReport:
    """Send a file's commands and wait for all their results.

    Args:
        plan: the settings.
        bootstrap: `HOST:PORT,...` of the brokers.

    Returns:
        The count.

    Raises:
        CannotDo: the file cannot be read, Kafka or the workers are away, or no result came for too long. Start the same
            import again then: commands that were applied are not applied again.
    """
    with open_orders(plan.path, encoding=plan.encoding, delimiter=plan.delimiter) as orders:
        try:
            pick = plan.columns.picker(orders.header)
        except MissingColumn as error:
            raise no_column(orders, error) from error
        planner = Planner(plan.rules)
        job = Job(name=plan.rules.name, speed=plan.speed, max_lines=plan.max_lines, timeout_s=plan.timeout_s)
        return await run_job(job, orders, lambda number, row: planner.steps(number, pick(row)), bootstrap=bootstrap)


def no_column(file: OrderFile, error: MissingColumn) -> CannotDo:
    """Return the error for a missing column, with the option that names another one."""
    hint = ", or name the separator of fields with `--delimiter`" if len(file.header) == 1 else ""
    option = f"--{error.role.replace('_', '-')}-column"
    return CannotDo(f"{file.path}: {error}. Name the right one with `{option}`{hint}.")


async def run_job(
    job: Job,
    file: OrderFile,
    steps_of: Callable[[int, list[str]], Sequence[Step]],
    *,
    bootstrap: str,
    tally: Tally | None = None,
) -> ImportReport:
    """Send the commands of an open file and wait for all their results.

    Args:
        job: the import's name and pace.
        file: the open file.
        steps_of: returns the commands of a row, from its number (the first after the header is 1) and the row, or
            raises `Unusable`.
        bootstrap: `HOST:PORT,...` of the brokers.
        tally: what counts; None for the count of commands whose ids begin with the import's name.

    Returns:
        The count.

    Raises:
        CannotDo: Kafka or the workers are away, or no result came for too long.
    """
    with kafka_at(bootstrap), progress() as bar:
        async with exchange(bootstrap, batch_bytes=BATCH_BYTES) as link:
            try:
                counted = tally or Tally(prefix=f"{job.name}:")
                return await _Import(job, file, steps_of, link, bar, tally=counted).run()
            except TimeoutError:
                raise no_kafka(bootstrap) from None


class _Import:
    """One run: it reads rows, sends commands, and counts results."""

    def __init__(
        self,
        job: Job,
        file: OrderFile,
        steps_of: Callable[[int, list[str]], Sequence[Step]],
        link: Exchange,
        bar: Progress,
        *,
        tally: Tally,
    ) -> None:
        self._job = job
        self._file = file
        self._steps_of = steps_of
        self._link = link
        self._bar = bar
        self._tally = tally
        self._sender = BulkSender(link.producer, COMMANDS, link.partitions, patience_s=job.timeout_s)
        self._fence = Fence(link)
        self._counting = False
        self._lines = 0
        self._unusable = 0
        self._pace = _Pace(job.speed) if job.speed else None

    def _take(self, value: bytes) -> bool:
        if self._counting:
            return self._tally.receive_result(value) or self._fence.receive_result(value)
        # Before the first fence a result may belong to an earlier run; it still counts as progress.
        self._fence.receive_result(value)
        return True

    async def run(self) -> ImportReport:
        task = self._bar.add_task("waiting for the workers", total=self._file.size, note="")
        async with Follower(self._link.results, self._take) as follower:
            await self._pass_fence(follower, "nothing was sent. Start one with `holdfast worker`")
            self._counting = True
            began = time.monotonic()
            self._bar.update(task, description=f"{self._job.doing} {self._file.path.name}")
            for steps, wait_s in self._chunks():
                await self._send(steps)
                await self._room(follower)
                note = f"{self._tally.answered:,} of {self._tally.commands:,} commands answered"
                self._bar.update(task, completed=self._file.position, note=note)
                if wait_s:
                    await self._sender.flush()
                await asyncio.sleep(wait_s)
            await self._sender.flush()
            # When the fence is answered, all results have been read, second ones too.
            await self._pass_fence(follower, self._advice())
        return ImportReport(
            name=self._job.name,
            lines=self._lines,
            unusable_lines=self._unusable,
            seconds=time.monotonic() - began,
            tally=self._tally,
        )

    async def _pass_fence(self, follower: Follower, advice: str) -> None:
        await self._fence.put_up()
        if not await follower.until(lambda: not self._fence.silent, self._job.timeout_s):
            raise CannotDo(
                f"no worker answered for partitions {self._fence.silent} within {self._job.timeout_s:g} s; {advice}."
            )

    def _advice(self) -> str:
        return (
            f"{self._tally.unanswered:,} of {self._tally.commands:,} commands have no result. See `holdfast doctor`, "
            "then run the same command again: what was applied is not applied twice"
        )

    async def _room(self, follower: Follower) -> None:
        if self._tally.unanswered <= MAX_UNANSWERED:
            return
        if not await follower.until(lambda: self._tally.unanswered <= MAX_UNANSWERED, self._job.timeout_s):
            raise CannotDo(f"no result within {self._job.timeout_s:g} s; {self._advice()}.")

    def _chunks(self) -> Iterator[tuple[list[Step], float]]:
        """Yield the commands that are due now, and the seconds until the next are due."""
        steps: list[Step] = []
        for row in self._file.rows():
            if self._lines == self._job.max_lines:
                break
            self._lines += 1
            line_steps = self._steps(row)
            wait_s = self._pace.ahead_s(line_steps[-1].at) if self._pace and line_steps else 0.0
            if wait_s > _PACE_STEP_S or self._lines % _LINES_A_CHUNK == 0:
                yield steps, wait_s
                steps = []
            steps.extend(line_steps)
        yield steps, 0.0

    def _steps(self, row: list[str]) -> Sequence[Step]:
        try:
            return self._steps_of(self._lines, row)
        except Unusable as error:
            self._unusable += 1
            if self._job.complaints is None or self._unusable <= self._job.complaints:
                say(f"{self._file.path}, line {self._file.line}: {error}")
            return []

    async def _send(self, steps: list[Step]) -> None:
        self._tally.sent(steps)
        partitions = self._link.partitions
        offer = self._sender.offer
        for step in steps:
            partition = partition_of(step.sku, partitions)
            if not offer(partition, step.sku.encode(), step.value):
                await self._sender.ship(partition)
                offer(partition, step.sku.encode(), step.value)


class _Pace:
    """Delays sending to a factor of the recorded pace."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._began = time.monotonic()
        self._first_at: int | None = None

    def ahead_s(self, at: int) -> float:
        """Return the seconds until a recorded time (ms) is reached; 0 when it is past."""
        if self._first_at is None:
            self._first_at, self._began = at, time.monotonic()
        due_s = (at - self._first_at) / 1000 / self._factor
        return max(0.0, due_s - (time.monotonic() - self._began))
