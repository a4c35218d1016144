"""Owns the matrix of faults: every action at every step of COMMIT, RECOVER and REVOKE, on every kind of disk.

    python -m tests.fault.matrix [--seed N] [--spread] [--only kill:commit.4:wiped ...] [--results FILE] [--out FILE]

A cell is (action, step, disk). Each has a load, a reader that is there all along, and an audit of its own. The table of
what happened is written to `--out`; with `--results`, cells that ran before are kept in it.
"""

import argparse
import asyncio
import itertools
import logging
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from tests.harness import PARTITIONS, CommittedReader, Worker, assert_audit_equal, commands, send

COMMIT = [*(f"commit.{step}" for step in range(1, 6)), "commit.done"]
RECOVER = [*(f"recover.{step}" for step in range(1, 10)), "recover.done"]
REVOKE = [f"revoke.{step}" for step in range(1, 4)]
ACTIONS = {
    "kill": "SIGKILL",
    "stop": "SIGSTOP for 7 s (the session is 6 s), then SIGCONT",
    "raise": "an exception",
    "hang": "the process hangs, until SIGKILL",
}
DISKS = {
    "same": "the same disk",
    "wiped": "a wiped disk",
    "stale": "an earlier copy of the disk",
    "moves": "another worker",
}
# The third transaction, so that there is something before it; the RECOVER and REVOKE of the second partition.
_PASSING = {"commit": 3, "recover": 2, "revoke": 2}
_STOPPED_S = 7.0
_HANGS_S = 1.5
_REACHED_WITHIN_S = 40.0
_CELLS_PER_BROKER = 40


class Cell(NamedTuple):
    """One fault: the action, the step, and which worker continues with which disk."""

    action: str
    step: str
    disk: str

    @property
    def name(self):
        return ":".join(self)


class CellResult(msgspec.Struct):
    """What happened in a cell."""

    cell: str
    good: bool
    happened: str
    commands: int = 0
    seconds: float = 0.0


def all_cells():
    """Return the 304 cells, those of one action and procedure side by side."""
    return [Cell(*cell) for cell in itertools.product(ACTIONS, COMMIT + RECOVER + REVOKE, DISKS)]


def spread():
    """Return one cell for each action and step, the disks in turn: a quarter of the matrix that leaves no step out."""
    disks = list(DISKS)
    return [
        Cell(action, step, disks[(row + number) % len(disks)])
        for row, action in enumerate(ACTIONS)
        for number, step in enumerate(COMMIT + RECOVER + REVOKE)
    ]


class Stage:
    """A broker and two disks on which cells run one after the other.

    Args:
        home: a directory for all of it.
    """

    def __init__(self, home):
        self._home = Path(home)
        self._broker = Broker(self._home / "broker")
        self._workers = []

    async def start(self):
        """Start the broker; run a worker for a while, and keep a copy of its disk as the earlier one. Once will do."""
        if self._broker.pid is not None:
            return
        self._broker.start()
        await ensure_topics(self._broker.bootstrap, PARTITIONS)
        worker = self._worker("victim")
        await send(self._broker.bootstrap, commands(0, 100))
        await worker.ready()
        await assert_audit_equal(self._broker.bootstrap)
        assert await worker.stop() == 0
        shutil.copytree(worker.data_dir / "ledger", self._home / "earlier")

    def stop(self):
        self._end_workers()
        self._broker.kill()

    def _worker(self, name, **options):
        worker = Worker(self._broker.bootstrap, self._home / name, **options)
        self._workers.append(worker)
        return worker

    def _end_workers(self):
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        self._workers = []

    async def run(self, cell, seed):
        """Run a cell and return its outcome, also after a failure."""
        started = time.monotonic()
        try:
            happened, report = await self._run(cell, seed)
        except AssertionError as error:
            return CellResult(cell.name, good=False, happened=str(error)[:4000] or "an assertion failed")
        finally:
            self._end_workers()
        return CellResult(cell.name, True, happened, report.compared.commands, round(time.monotonic() - started, 1))

    async def _run(self, cell, seed):
        bootstrap = self._broker.bootstrap
        async with CommittedReader(bootstrap) as reader:
            passing = _PASSING[cell.step.split(".")[0]]
            victim = self._worker("victim", failpoint=f"{cell.step}:{cell.action}:{passing}")
            load = asyncio.create_task(send(bootstrap, commands(seed, 250), pause_s=0.1))
            heir = None
            if cell.step in REVOKE:
                await victim.ready()
                heir = self._worker("heir")
            await victim.passed(f"failpoint {cell.step}: {cell.action}", within_s=_REACHED_WITHIN_S)
            if cell.disk == "moves" and heir is None:
                heir = self._worker("heir")
            happened = await self._go_on(cell, victim, heir)
            await load
            await send(bootstrap, commands(seed + 1_000_000, 40))
            report = await assert_audit_equal(bootstrap)
            await reader.assert_saw_what_stands()
        for worker in self._workers:
            if worker.process.poll() is None:
                assert await worker.stop() == 0, f"exit code {worker.process.returncode}:\n{worker.log()}"
        return happened, report

    async def _go_on(self, cell, victim, heir):
        """See the fault through; give what became of the victim and who went on."""
        moves = cell.disk == "moves"
        what = await getattr(self, f"_after_{cell.action}")(victim, heir if moves else None)
        if moves:
            await heir.ready()
            return f"{what}; the other worker took over"
        if cell.disk == "same" and victim.process.poll() is None:
            return f"{what}; it went on"
        await victim.kill()
        if cell.disk != "same":
            victim.wipe()
        if cell.disk == "stale":
            shutil.copytree(self._home / "earlier", victim.data_dir / "ledger")
        successor = self._worker("victim")
        await successor.ready()
        return f"{what}; its next life went on"

    async def _after_kill(self, victim, _heir):
        assert await victim.dead() == -signal.SIGKILL
        return "killed"

    async def _after_stop(self, victim, heir):
        await asyncio.sleep(_STOPPED_S)
        if heir is not None:
            await heir.ready()
        victim.signal(signal.SIGCONT)
        await asyncio.sleep(1.0)
        return f"woke up{_end_of(victim)}"

    async def _after_raise(self, victim, heir):
        await asyncio.sleep(1.0)
        what = f"raised{_end_of(victim)}"
        if heir is not None:
            await victim.stop()
        return what

    async def _after_hang(self, victim, heir):
        if heir is not None:
            await heir.ready()
        else:
            await asyncio.sleep(_HANGS_S)
        assert victim.process.poll() is None
        await victim.kill()
        return "hung, was killed"


def _end_of(victim):
    code = victim.process.poll()
    return "" if code is None else f" and ended by itself with {code}"


async def run_cells(cells, seed, say):
    """Run cells, with a fresh broker now and then and after every failure; give their outcomes."""
    outcomes, stage = [], None
    try:
        for number, cell in enumerate(cells):
            if stage is None:
                stage = Stage(tempfile.mkdtemp(prefix="holdfast-matrix-"))
                await stage.start()
            outcome = await stage.run(cell, seed * 10_000 + number)
            outcomes.append(outcome)
            say(f"{number + 1}/{len(cells)} {outcome.seconds:5.1f} s  {cell.name}: {outcome.happened}", outcome)
            if not outcome.good or number % _CELLS_PER_BROKER == _CELLS_PER_BROKER - 1:
                stage.stop()
                shutil.rmtree(stage._home)
                stage = None
    finally:
        if stage is not None:
            stage.stop()
            shutil.rmtree(stage._home)
    return outcomes


def table(outcomes):
    """Return the outcomes as Markdown: a table for each action, a row for each step, a column for each disk."""
    found = {}
    for outcome in outcomes:  # of a cell that ran more than once, a failure is what counts
        if found.get(outcome.cell, outcome).good:
            found[outcome.cell] = outcome
    good = sum(outcome.good for outcome in found.values())
    lines = [
        "# The matrix of faults",
        "",
        "Written by `python -m tests.fault.matrix`. Each cell is a run of its own under load: the fault happens right",
        "before the step ([ADR 0002](adr/0002-partition-protocol.md)), and the column says with what the work goes on.",
        "**ok** means that afterwards the audit found every result, stock change and row as the log demands, nothing",
        "lost and nothing doubled, and that a `read_committed` reader that was there all along saw exactly that.",
        "",
        f"{len(found)} of {len(all_cells())} cells were run, {good} are ok.",
    ]
    for action, meaning in ACTIONS.items():
        lines += [
            "",
            f"## {action}: {meaning}",
            "",
            f"| step | {' | '.join(DISKS.values())} |",
            "| --- |" + " --- |" * 4,
        ]
        for step in COMMIT + RECOVER + REVOKE:
            row = [_entry(found.get(Cell(action, step, disk).name)) for disk in DISKS]
            lines.append(f"| `{step}` | {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def _entry(outcome):
    if outcome is None:
        return "not run"
    first_line = outcome.happened.splitlines()[0]
    return f"ok: {first_line}" if outcome.good else f"**FAILED**: {first_line}"


def main():
    parser = argparse.ArgumentParser(description="Every fault at every step, on every kind of disk.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[""], help="cells whose ACTION:STEP:DISK contains one of these")
    parser.add_argument("--spread", action="store_true", help="one disk for each action and step: 76 cells, not 304")
    parser.add_argument("--results", type=Path, help="keep outcomes here (JSON lines) over several runs")
    parser.add_argument("--out", type=Path, help="write the table here")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it reports every attempt to connect
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that broker and workers are ended
    earlier = []
    if options.results and options.results.exists():
        earlier = msgspec.json.Decoder(CellResult).decode_lines(options.results.read_bytes())

    def say(line, outcome):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if options.results:
            with options.results.open("ab") as file:
                file.write(msgspec.json.encode(outcome) + b"\n")

    cells = [
        cell
        for cell in (spread() if options.spread else all_cells())
        if any(part in cell.name for part in options.only)
    ]
    outcomes = asyncio.run(run_cells(cells, options.seed, say))
    if options.out:
        options.out.write_text(table([*earlier, *outcomes]))
    failed = [outcome.cell for outcome in outcomes if not outcome.good]
    sys.stdout.write(f"{len(outcomes)} cells, {len(failed)} failed {' '.join(failed)}\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
