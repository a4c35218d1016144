"""Owns the audit of a cluster: what is read in which order, partition by partition, and what is made of it."""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Literal

import msgspec
from aiokafka.errors import KafkaError

from audit.compare import OUTPUTS, Comparison, ModelComparison, compare_partition
from audit.reading import CannotAudit, Kafka
from audit.report import Difference, PartitionReport, Report, sum_up
from audit.rows import Ledger
from audit.trimmed import TrimmedComparison
from schemas.topics import COMMANDS

WAIT_POLL_S = 0.2
# From here on it pays to start processes, each of which needs a second to be ready.
MANY_COMMANDS = 200_000


class Progress(msgspec.Struct, frozen=True):
    """How far the audit is: an offset of `inventory.commands`, of the one at which the partition ends."""

    partition: int
    stage: Literal["waiting", "comparing"]
    offset: int
    end: int


ReportProgress = Callable[[Progress], None]


async def audit(
    bootstrap: str, *, wait_s: float = 0.0, progress: ReportProgress | None = None, processes: int | None = None
) -> Report:
    """Replay the log with the model, and compare all that the ledger published up to its position.

    Args:
        bootstrap: of the cluster, `host:port`.
        wait_s: how long to wait for the ledger to apply all commands that are there now; those that are not applied
            then are `pending`.
        progress: called now and then.
        processes: how many partitions to compare at a time, each in a process of its own; 1 is this process. Without
            it, one for every processor when there is much to compare. The program's main module must then be one that
            can be imported (`multiprocessing`, "spawn").

    Raises:
        CannotAudit: Kafka cannot be reached, or topics are missing, or a log changed under the audit's hands.
    """
    tell = progress or (lambda _: None)
    try:
        async with Kafka(bootstrap) as kafka:
            partitions = await kafka.partitions()
            ends = [await kafka.end(COMMANDS, partition) for partition in range(partitions)]
            await _wait_until_applied(kafka, ends, wait_s, tell)
            processes = processes or (1 if sum(ends) < MANY_COMMANDS else os.cpu_count() or 1)
            started = time.perf_counter()
            if processes == 1:
                with _collector_paused():
                    reports = [await _audit_partition(kafka, partition, ends, tell) for partition in range(partitions)]
            else:
                reports = await _audit_in_processes(bootstrap, ends, min(processes, partitions), tell)
            return sum_up(reports, time.perf_counter() - started)
    except KafkaError as error:
        raise CannotAudit(f"Kafka at {bootstrap}: {error!r}") from error


async def _audit_in_processes(
    bootstrap: str, ends: list[int], processes: int, tell: ReportProgress
) -> list[PartitionReport]:
    async def one(pool: ProcessPoolExecutor, partition: int) -> PartitionReport:
        loop = asyncio.get_running_loop()
        report = await loop.run_in_executor(pool, _audit_alone, bootstrap, partition, ends)
        tell(Progress(partition, "comparing", ends[partition], ends[partition]))
        return report

    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return await asyncio.gather(*(one(pool, partition) for partition in range(len(ends))))


def _audit_alone(bootstrap: str, partition: int, ends: list[int]) -> PartitionReport:
    async def connect_and_audit() -> PartitionReport:
        async with Kafka(bootstrap) as kafka:
            return await _audit_partition(kafka, partition, ends, lambda _: None)

    try:
        with _collector_paused():
            return asyncio.run(connect_and_audit())
    except KafkaError as error:
        # Not every Kafka error survives the way to another process.
        raise CannotAudit(f"Kafka at {bootstrap}: {error!r}") from None


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Let Python's collector of cycles rest: there are none to find here, and its walks cost a third of the time."""
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


async def _audit_partition(kafka: Kafka, partition: int, ends: list[int], tell: ReportProgress) -> PartitionReport:
    end = ends[partition]
    # The order makes the reading consistent while the ledger runs: all that is in the ledger now is in the outputs
    # by their ends, and all that is in the outputs was brought about by commands that are in the log by its end.
    ledger = await kafka.ledger(partition)
    begin = await kafka.begin(COMMANDS, partition)
    report = PartitionReport(partition=partition, log_start=begin, log_end=end, position=ledger.next_offset or begin)
    outputs, heads_missing = {}, []
    for topic in OUTPUTS:
        output_begin = await kafka.begin(topic, partition)
        output_end, settled = await kafka.settled_end(topic, partition)
        if not settled:
            report.note(f"a transaction stays open in {topic}: what lies behind it is hidden")
        if output_begin > 0:
            heads_missing.append(topic)
            report.note(f"{topic} begins at offset {output_begin}: what came before is not compared")
        outputs[topic] = kafka.log(topic, partition, output_begin, output_end)
    last = await kafka.end(COMMANDS, partition)
    _check_position(report, ledger, begin, last)
    comparison = _comparison(report, len(ends), ledger, heads_missing)
    commands = kafka.log(COMMANDS, partition, begin, last)
    await compare_partition(
        comparison, commands, outputs, lambda offset: tell(Progress(partition, "comparing", min(offset, end), end))
    )
    await commands.close()
    report.pending = await kafka.count(COMMANDS, partition, max(report.position, begin), end)
    return report


def _comparison(report: PartitionReport, partitions: int, ledger: Ledger, heads_missing: list[str]) -> Comparison:
    now_ms = int(time.time() * 1000)
    if report.log_start > 0:
        return TrimmedComparison(report, ledger, heads_missing=heads_missing, now_ms=now_ms)
    return ModelComparison(report, partitions, ledger, heads_missing=heads_missing, now_ms=now_ms)


def _check_position(report: PartitionReport, ledger: Ledger, begin: int, end: int) -> None:
    """See that the ledger's position lies within the log: outside of it, commands are gone that were never applied."""
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
