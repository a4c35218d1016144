"""Owns the benchmark of memory: a worker that holds a million stock rows, after recovery and after some load."""

import asyncio
from typing import Any

from bench import changelog, load, logs
from bench.harness import Stage
from bench.report import Document, Options, Table, Watcher, median
from bench.topics import PARTITIONS
from schemas.topics import RESULTS

NAME = "memory"

LIMIT_MB = 600

_ROWS, _COMMANDS = 1_000_000, 200_000
_QUICK_ROWS, _QUICK_COMMANDS = 4_000, 1_000


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Recover a worker from a changelog of stock rows, send it commands, and measure its memory; runs start empty."""
    rows, commands = (_QUICK_ROWS, _QUICK_COMMANDS) if options.quick else (_ROWS, _COMMANDS)
    watcher.steps(3 * options.runs)
    runs = [_run(stage, rows, commands, f"run {run + 1} of {options.runs}", watcher) for run in range(options.runs)]
    medians = {name: median([run[name] for run in runs], 1) for name in runs[0]}
    return {
        "quick": options.quick,
        "unit": "MB (10^6 bytes) of one worker process, 4 partitions",
        "stock_rows": rows,
        "commands": commands,
        "limit_mb": LIMIT_MB,
        "under_limit": max(run["peak_mb"] for run in runs) < LIMIT_MB,
        "medians": medians,
        "runs": runs,
    }


def _run(stage: Stage, rows: int, commands: int, label: str, watcher: Watcher) -> dict[str, Any]:
    watcher.step(f"{label}: writing {rows:,} rows")
    stage.renew_all_topics()
    changelog.write(stage.bootstrap, changelog.stock_rows(rows))
    watcher.step(f"{label}: recovery")
    with stage.running(stage.worker(stage.new_folder("worker"))) as worker:
        recovered, recovering = worker.memory_mb("VmRSS"), worker.memory_mb("VmHWM")
        watcher.step(f"{label}: {commands:,} commands over all rows")
        skus = load.sku_names(max(1, rows // changelog.WAREHOUSES))
        count = load.produce(stage.bootstrap, load.mix(skus, commands))
        asyncio.run(logs.watch(stage.bootstrap, RESULTS, [0] * PARTITIONS, count, worker))
        return {
            "recovered_mb": round(recovered, 1),
            "recovery_peak_mb": round(recovering, 1),
            "loaded_mb": round(worker.memory_mb("VmRSS"), 1),
            "peak_mb": round(worker.memory_mb("VmHWM"), 1),
        }


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    medians = document["medians"]
    rows = [
        ("after recovery", medians["recovered_mb"]),
        ("highest during recovery", medians["recovery_peak_mb"]),
        (f"after {document['commands']:,} commands", medians["loaded_mb"]),
        ("highest of all", medians["peak_mb"]),
    ]
    title = f"Memory of a worker with {document['stock_rows']:,} stock rows (median; limit {document['limit_mb']} MB)"
    return [Table(title=title, columns=("when", "resident MB"), rows=rows)]
