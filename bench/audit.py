"""Owns the benchmark of the audit: it audits all that a worker wrote, beside a bare read of the same topics."""

import asyncio
import json
import sys
from typing import Any

from bench import load, logs
from bench.harness import Stage
from bench.report import Document, Options, Table, Watcher, median, ratio
from bench.topics import PARTITIONS
from schemas.topics import CHANGELOG, COMMANDS, RESULTS, STOCK_CHANGES

NAME = "audit"

_COMMANDS, _SKUS = 400_000, 10_000
_QUICK_COMMANDS, _QUICK_SKUS = 4_000, 100
_TIMEOUT_S = 600.0


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Let a worker apply the mix, then run the audit and the bare read in turn."""
    commands, skus = (_QUICK_COMMANDS, _QUICK_SKUS) if options.quick else (_COMMANDS, _SKUS)
    watcher.steps(1 + 2 * options.runs)
    watcher.step(f"a worker applies {commands:,} commands")
    stage.renew_all_topics()
    _apply(stage, commands, skus)
    runs: dict[str, list[dict[str, Any]]] = {"audit": [], "bare_read": []}
    for run in range(1, options.runs + 1):
        watcher.step(f"run {run} of {options.runs}: a bare read")
        runs["bare_read"].append(_read(stage, commands))
        watcher.step(f"run {run} of {options.runs}: the audit")
        runs["audit"].append(_audit(stage, commands))
    medians = {name: median([run["commands_per_second"] for run in found], 0) for name, found in runs.items()}
    return {
        "quick": options.quick,
        "unit": "commands per second, with all that came of them, from the beginning of the log to its end",
        "commands": commands,
        "bare_read": "one aiokafka consumer that reads the same four topics and does nothing with them",
        "medians": medians,
        "ratio_to_bare_read": ratio(medians["audit"], medians["bare_read"]),
        "runs": runs,
    }


def _apply(stage: Stage, commands: int, skus: int) -> None:
    count = load.produce_mix(stage.bootstrap, skus, commands)
    with stage.running(stage.worker(stage.new_folder("worker"))) as worker:
        asyncio.run(logs.watch(stage.bootstrap, RESULTS, [0] * PARTITIONS, count, worker))


def _audit(stage: Stage, commands: int) -> dict[str, Any]:
    """Run `holdfast audit` as a user would.

    Raises:
        RuntimeError: it found a difference, or did not compare everything.
    """
    command = [sys.executable, "-m", "ops.cli", "audit", "--bootstrap", stage.bootstrap, "--json"]
    child = stage.run("audit", command)
    try:
        report = json.loads(child.await_line("{", _TIMEOUT_S))
    finally:
        child.stop()
    if not (report["equal"] and report["complete"] and report["compared"]["commands"] == commands):
        raise RuntimeError(f"the audit did not find {commands:,} commands and all that came of them as it should be")
    return _figures(commands, report["seconds"], report["cpu_seconds"])


def _read(stage: Stage, commands: int) -> dict[str, Any]:
    topics = (COMMANDS, RESULTS, STOCK_CHANGES, CHANGELOG)
    child = stage.spawn("bare", "bench.recover", "bare", *[word for topic in topics for word in ("--topic", topic)])
    try:
        found = json.loads(child.await_line("{", _TIMEOUT_S))
    finally:
        child.stop()
    return _figures(commands, found["seconds"], found["cpu_s"])


def _figures(commands: int, seconds: float, cpu_s: float) -> dict[str, Any]:
    return {
        "commands_per_second": round(commands / seconds),
        "seconds": round(seconds, 3),
        "cpu_us_per_command": round(cpu_s / commands * 1e6, 2),
    }


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    labels = {"audit": "holdfast audit", "bare_read": "bare read of the same topics"}
    rows = [
        (
            label,
            int(document["medians"][name]),
            median([run["cpu_us_per_command"] for run in document["runs"][name]], 1),
            " ".join(f"{run['commands_per_second']:,}" for run in document["runs"][name]),
        )
        for name, label in labels.items()
    ]
    title = f"Audit of {document['commands']:,} commands and all that came of them (median)"
    columns = ("what", "commands/s", "CPU us/command", "every run")
    return [Table(title=title, columns=columns, rows=rows)]
