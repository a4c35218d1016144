"""Owns the audit of a cluster: what is read in which order for each partition, and the report."""

import asyncio
import gc
import os
import resource
import time
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from audit.checkpoint import (
    LAYOUT,
    Manifest,
    Mark,
    State,
    Writer,
    discard_files,
    read_manifest,
    read_state,
    write_manifest,
)
from audit.comparison.compare import OUTPUTS, ModelComparison, compare_partition
from audit.comparison.digest import Digest
from audit.comparison.formats import show_document
from audit.comparison.rows import LedgerSnapshot
from audit.comparison.trimmed import TrimmedComparison
from audit.model.oracle import Model
from audit.problems import CannotAudit
from audit.reading import Kafka
from audit.report.report import Difference, PartitionReport, Report, sum_up
from audit.resume import check_cluster, ledger_since, mark_of
from schemas.topics import COMMANDS

WAIT_POLL_S = 0.2
PROGRESS_POLL_S = 0.2
# From this many commands on it pays to start processes, each of which needs a second.
MANY_COMMANDS = 200_000


class Progress(msgspec.Struct, frozen=True):
    """How far the audit is: an offset of `inventory.commands`, with the partition's first and last."""

    partition: int
    stage: Literal["waiting", "comparing"]
    offset: int
    end: int
    begin: int = 0


ReportProgress = Callable[[Progress], None]


class Job(NamedTuple):
    """The settings that the audits of all partitions share.

    Args:
        bootstrap: of the cluster.
        ends: the ends of the commands' partitions at the audit's start.
        directory: the checkpoint's directory; None without one.
        manifest: the checkpoint to continue from; None to start at the beginning.
    """

    bootstrap: str
    ends: Sequence[int]
    directory: Path | None = None
    manifest: Manifest | None = None


Audited = tuple[PartitionReport, Mark | None]


async def audit(
    bootstrap: str,
    *,
    wait_s: float = 0.0,
    progress: ReportProgress | None = None,
    processes: int | None = None,
    checkpoint: Path | None = None,
) -> Report:
    """Replay the log with the model, and compare everything that the ledger published up to its position.

    Args:
        bootstrap: of the cluster, `host:port`.
        wait_s: how long to wait until the ledger has applied all current commands; the rest are `pending`.
        progress: called now and then.
        processes: how many partitions to compare at the same time, each in its own process; 1 uses this process. None:
            one per processor when there is much to compare. The program's main module must then be importable
            (`multiprocessing`, "spawn").
        checkpoint: a directory. The audit continues from the state that an earlier audit left there. If it finds no
            difference, it leaves its own state there.

    Raises:
        CannotAudit: Kafka cannot be reached, topics are missing, a log changed during the audit, or the checkpoint
            belongs to another cluster, log or ledger.
    """
    tell = progress or (lambda _: None)
    try:
        async with Kafka(bootstrap) as kafka:
            partitions = await kafka.partitions()
            cluster = await kafka.cluster_id()
            manifest = None if checkpoint is None else read_manifest(checkpoint)
            if manifest is not None:
                check_cluster(manifest, cluster, partitions)
            ends = [await kafka.end(COMMANDS, partition) for partition in range(partitions)]
            await _wait_until_applied(kafka, ends, wait_s, tell)
            job = Job(bootstrap, ends, checkpoint, manifest)
            processes = processes or _processes_for(job)
            started, cpu_started = time.perf_counter(), _cpu_seconds()
            if processes == 1:
                with _collector_paused():
                    audited = [await _audit_partition(kafka, job, partition, tell) for partition in range(partitions)]
            else:
                audited = await _audit_in_processes(job, min(processes, partitions), tell)
            seconds = time.perf_counter() - started
    except KafkaError as error:
        raise CannotAudit(f"Kafka at {bootstrap}: {error!r}") from error
    report = sum_up([part for part, _ in audited], seconds)
    report.cpu_seconds = round(_cpu_seconds() - cpu_started, 3)
    report.cluster, report.bootstrap, report.made_at = cluster, bootstrap, int(time.time() * 1000)
    if checkpoint is not None:
        _settle_checkpoint(checkpoint, report, manifest, cluster, [mark for _, mark in audited])
    return report


def _cpu_seconds() -> float:
    """Return the processor time of this process and of its ended child processes."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _processes_for(job: Job) -> int:
    marks = job.manifest.marks if job.manifest else ()
    to_compare = sum(job.ends) - sum(mark.next_offset for mark in marks)
    return 1 if to_compare < MANY_COMMANDS else os.cpu_count() or 1


def _settle_checkpoint(
    directory: Path, report: Report, before: Manifest | None, cluster: str | None, marks: list[Mark | None]
) -> None:
    """Make the partitions' files the new checkpoint if nothing differs; otherwise keep the old one."""
    whole = [mark for mark in marks if mark is not None]
    if report.equal and len(whole) == len(marks):
        write_manifest(directory, Manifest(layout=LAYOUT, cluster=cluster, partitions=len(marks), marks=whole))
        report.checkpoint = str(directory)
        return
    discard_files(directory, keep={mark.file for mark in before.marks} if before else set())
    why = "something differs" if not report.equal else "a log has lost its beginning"
    report.notes.append(f"no checkpoint was written: {why}")


_counters: MutableSequence[int] | None = None  # in a pool's process: how far each partition is


def _set_counters(counters: MutableSequence[int]) -> None:
    global _counters  # noqa: PLW0603 - the pool's way to give something to its processes
    _counters = counters


async def _audit_in_processes(job: Job, processes: int, tell: ReportProgress) -> list[Audited]:
    loop, context = asyncio.get_running_loop(), get_context("spawn")
    counters = context.Array("q", len(job.ends), lock=False)
    marks = {mark.partition: mark.next_offset for mark in job.manifest.marks} if job.manifest else {}

    def show() -> None:
        for partition, offset in enumerate(counters):
            if offset:
                tell(Progress(partition, "comparing", offset, job.ends[partition], marks.get(partition, 0)))

    with ProcessPoolExecutor(processes, mp_context=context, initializer=_set_counters, initargs=(counters,)) as pool:
        running = [loop.run_in_executor(pool, _audit_alone, job, partition) for partition in range(len(job.ends))]
        while not all(future.done() for future in running):
            await asyncio.wait(running, timeout=PROGRESS_POLL_S, return_when=asyncio.FIRST_EXCEPTION)
            for partition, future in enumerate(running):
                if future.done():
                    future.result()
                    counters[partition] = job.ends[partition]
            show()
        return [future.result() for future in running]


def _audit_alone(job: Job, partition: int) -> Audited:
    def count(at: Progress) -> None:
        if _counters is not None:
            _counters[partition] = at.offset

    async def connect_and_audit() -> Audited:
        async with Kafka(job.bootstrap) as kafka:
            await kafka.partitions()
            return await _audit_partition(kafka, job, partition, count)

    try:
        with _collector_paused():
            return asyncio.run(connect_and_audit())
    except KafkaError as error:
        # Not every Kafka error can be sent to another process.
        raise CannotAudit(f"Kafka at {job.bootstrap}: {error!r}") from None


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector: there are no cycles here, and collections take a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


async def _wait_until_applied(kafka: Kafka, ends: list[int], wait_s: float, tell: ReportProgress) -> None:
    give_up_at = time.monotonic() + wait_s
    waiting = set(range(len(ends))) if wait_s > 0 else set()
    while waiting:
        for partition in sorted(waiting):
            end = ends[partition]
            position = await kafka.position(partition)
            begin = await kafka.begin(COMMANDS, partition) if position is None else position
            tell(Progress(partition, "waiting", min(begin, end), end))
            if begin >= end or await kafka.is_empty(COMMANDS, partition, begin, end):
                waiting.remove(partition)
        if time.monotonic() > give_up_at:
            return
        if waiting:
            await asyncio.sleep(WAIT_POLL_S)


async def _audit_partition(kafka: Kafka, job: Job, partition: int, tell: ReportProgress) -> Audited:
    end = job.ends[partition]
    mark = next((it for it in job.manifest.marks if it.partition == partition), None) if job.manifest else None
    # This order is consistent while the ledger runs: everything in the ledger now is in the outputs before their ends,
    # and everything in the outputs comes from commands before the log's end.
    ledger = await ledger_since(kafka, partition, mark) if mark else await kafka.ledger(partition)
    log_start = await kafka.begin(COMMANDS, partition)
    begin = mark.next_offset if mark else log_start
    report = PartitionReport(
        partition=partition, log_start=log_start, log_end=end, position=ledger.next_offset or begin, begin=begin
    )
    outputs, heads_missing, begins = {}, [], {}
    for topic in OUTPUTS:
        output_begin = await kafka.begin(topic, partition)
        output_end, settled = await kafka.settled_end(topic, partition)
        if not settled:
            report.note(f"a transaction stays open in {topic}: records behind it are hidden")
        known_until = mark.outputs.get(topic, 0) if mark else 0
        if output_end < known_until:
            raise CannotAudit(
                f"{topic}-{partition} ends at offset {output_end}, but the last audit read up to {known_until}: it was "
                "made anew, or its end was lost"
            )
        if output_begin > known_until:
            heads_missing.append(topic)
            report.note(f"{topic} begins at offset {output_begin}: earlier records are not compared")
        begins[topic] = max(output_begin, known_until)
        outputs[topic] = kafka.log(topic, partition, begins[topic], output_end)
    last = await kafka.end(COMMANDS, partition)
    _check_position(report, ledger, begin, last)
    writer: Writer | None = None
    comparison: ModelComparison | TrimmedComparison
    now_ms = int(time.time() * 1000)
    if begin > 0 and mark is None:
        comparison = TrimmedComparison(report, ledger, heads_missing=heads_missing, now_ms=now_ms)
    else:
        state = _state_to_begin_with(job, partition, mark)
        writer = None if job.directory is None else Writer(job.directory, partition)
        comparison = ModelComparison(
            report,
            state,
            ledger,
            heads_missing=heads_missing,
            now_ms=now_ms,
            next_offsets=begins,
            at_position=None if writer is None else writer.write_model,
        )
    commands = kafka.log(COMMANDS, partition, begin, last)
    try:
        await compare_partition(
            comparison,
            commands,
            outputs,
            lambda offset: tell(Progress(partition, "comparing", min(offset, end), end, begin)),
        )
        await commands.close()
        await _show_commands(kafka, report)
        report.pending = await kafka.count(COMMANDS, partition, max(report.position, begin), end)
        if writer is None or not isinstance(comparison, ModelComparison) or not report.sound:
            return report, None
        new_mark, writer = mark_of(comparison, writer, ledger, mark), None
        return report, new_mark
    finally:
        if writer is not None:
            writer.discard()


def _state_to_begin_with(job: Job, partition: int, mark: Mark | None) -> State:
    if mark is None or job.directory is None:
        return State(Model(partition, len(job.ends)), Digest(), Digest())
    state = read_state(job.directory, mark)
    state.model.touched = set()
    return state


async def _show_commands(kafka: Kafka, report: PartitionReport) -> None:
    """Add to each difference its command."""
    shown: dict[int, Any] = {}
    for difference in report.differences:
        offset = difference.offset
        if offset is None or not report.log_start <= offset < report.log_end:
            continue
        if offset not in shown:
            log = kafka.log(COMMANDS, report.partition, offset, offset + 1)
            records = await log.read()
            await log.close()
            shown[offset] = show_document(records[0]) if records else None
        difference.command = shown[offset]


def _check_position(report: PartitionReport, ledger: LedgerSnapshot, begin: int, end: int) -> None:
    """Check that the ledger's position is within the log; otherwise commands were lost before they were applied."""
    if ledger.next_offset is None or begin <= ledger.next_offset <= end:
        return
    report.lost += max(0, begin - ledger.next_offset)
    report.add(
        Difference(
            kind="command",
            what="lost",
            partition=report.partition,
            offset=ledger.next_offset,
            expected=f"the ledger's position is {ledger.next_offset}",
            found=f"the log goes from {begin} to {end}",
        )
    )
