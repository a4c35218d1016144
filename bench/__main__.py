"""Owns the command line of the benchmarks: `python -m bench [NAME...]`."""

import signal
import sys
from contextlib import ExitStack, nullcontext
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bench import audit, availability, curves, latency, memory, over_http, recovery, report, streams, throughput, view
from bench.harness import Stage
from ops.screen import print_table, say

_BENCHMARKS = {
    module.NAME: module
    for module in (throughput, latency, over_http, recovery, memory, view, streams, availability, audit, curves)
}


class Benchmark(StrEnum):
    """What can be measured."""

    ALL = "all"
    THROUGHPUT = "throughput"
    LATENCY = "latency"
    HTTP = "http"
    RECOVERY = "recovery"
    MEMORY = "memory"
    VIEW = "view"
    STREAMS = "streams"
    AVAILABILITY = "availability"
    AUDIT = "audit"
    CURVES = "curves"


def _terminate(_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)  # an exit through `finally`, so that broker and children end too


def bench(
    names: Annotated[list[Benchmark] | None, typer.Argument(help="What to measure; everything by default.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often to repeat each measurement.")] = 3,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="A small run to check that everything works; its figures mean nothing and are not kept."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where NAME.json is written. [default: bench/results]")
    ] = None,
) -> None:
    """Measure Holdfast on its own Kafka, beside the systems to compare it with; nothing else should be running."""
    signal.signal(signal.SIGTERM, _terminate)
    wanted = [name for name in _BENCHMARKS if not names or Benchmark.ALL in names or name in names]
    folder = out or (None if quick else report.RESULTS_DIR)
    options = report.Options(quick=quick, runs=1 if quick else runs)
    with ExitStack() as shared:
        # A quick run uses one broker for all benchmarks.
        stage = shared.enter_context(Stage()) if quick else None
        for name in wanted:
            _run(name, options, stage, folder)


def _run(name: str, options: report.Options, shared: Stage | None, folder: Path | None) -> None:
    module = _BENCHMARKS[name]
    with nullcontext(shared) if shared else Stage() as stage, report.watching(name) as watcher:
        document = module.measure(stage, options, watcher)
    for table in module.tables(document):
        print_table(table.columns, table.rows, title=table.title)
        print()
    if folder is not None:
        say(f"written: {report.write(name, document, folder)}")


if __name__ == "__main__":
    typer.run(bench)
