"""Owns the benchmark of recovery: an empty store against a full changelog, beside a bare read and plain Faust."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import changelog, load
from bench.harness import Stage
from bench.report import Document, Options, Table, Watcher, median, ratio
from bench.rival_topics import changelog_names, topic_names
from bench.topics import PARTITIONS
from schemas.codec import encode
from schemas.partitioner import partition_of
from schemas.topics import CHANGELOG

NAME = "recovery"

_ROWS = 1_000_000
_FAUST_ROWS = 100_000
_QUICK_ROWS, _QUICK_FAUST_ROWS = 4_000, 400

_Rows = Callable[[int], Iterator[changelog.KeyedRow]]
_KINDS: dict[str, _Rows] = {"stock": changelog.stock_rows, "mixed": changelog.mixed_rows}


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Recover a changelog of stock rows and one of all kinds of rows, several times, in turn with bare reads."""
    rows = _QUICK_ROWS if options.quick else _ROWS
    faust_rows = _QUICK_FAUST_ROWS if options.quick else _FAUST_ROWS
    watcher.steps(len(_KINDS) * (1 + 3 * options.runs) + 1 + options.runs)
    runs: dict[str, list[dict[str, Any]]] = {}
    for kind, make in _KINDS.items():
        runs.update(_kind(stage, kind, make(rows), options.runs, watcher))
    runs["faust"] = _faust(stage, faust_rows, options.runs, watcher)
    medians = {name: median([run["rows_per_second"] for run in found], 0) for name, found in runs.items()}
    return {
        "quick": options.quick,
        "unit": "rows per second into an empty store, 4 partitions at once",
        "rows": rows,
        "faust": "at_least_once: under exactly_once it skips recovery, because it takes the changelog for empty",
        "faust_rows": faust_rows,
        "medians": medians,
        "ratio_to_bare_read": {
            kind: ratio(medians[f"holdfast_{kind}"], medians[f"bare_read_{kind}"]) for kind in _KINDS
        },
        "ratio_to_faust": ratio(medians["holdfast_stock"], medians["faust"], 1),
        "start_to_ready_s": {
            kind: median([run["start_to_ready_s"] for run in runs[f"holdfast_{kind}"]]) for kind in _KINDS
        },
        "runs": runs,
    }


def _kind(
    stage: Stage, kind: str, rows: Iterator[changelog.KeyedRow], runs: int, watcher: Watcher
) -> dict[str, list[dict[str, Any]]]:
    watcher.step(f"writing the changelog ({kind} rows)")
    stage.renew_all_topics()
    count = changelog.write(stage.bootstrap, rows)
    found: dict[str, list[dict[str, Any]]] = {f"holdfast_{kind}": [], f"bare_read_{kind}": []}
    for run in range(1, runs + 1):
        label = f"{kind} rows, run {run} of {runs}"
        watcher.step(f"{label}: bare read")
        found[f"bare_read_{kind}"].append(_timed(stage, count, "bare", "--topic", CHANGELOG))
        watcher.step(f"{label}: Holdfast")
        recovered = _timed(stage, count, "ledger", "--data-dir", str(stage.new_folder("recover")))
        watcher.step(f"{label}: a whole worker, from its start until it is ready")
        found[f"holdfast_{kind}"].append({**recovered, "start_to_ready_s": _start_to_ready(stage)})
    return found


def _timed(stage: Stage, count: int, what: str, *arguments: str) -> dict[str, Any]:
    child = stage.spawn(what, "bench.recover", what, *arguments)
    try:
        found = json.loads(child.await_line("{", timeout_s=300.0))
    finally:
        child.stop()
    if found.get("rows", count) != count:
        raise RuntimeError(f"read {found['rows']} of {count} rows")
    return {
        "rows_per_second": round(count / found["seconds"]),
        "seconds": round(found["seconds"], 3),
        "cpu_us_per_row": round(found["cpu_s"] / count * 1e6, 2),
    }


def _start_to_ready(stage: Stage) -> float:
    started = time.perf_counter()
    with stage.running(stage.worker(stage.new_folder("worker"))):
        return round(time.perf_counter() - started, 3)


def _faust(stage: Stage, rows: int, runs: int, watcher: Watcher) -> list[dict[str, Any]]:
    """Let plain Faust fill its tables, then recover them into empty ones."""
    watcher.step(f"plain Faust writes its changelogs ({rows:,} rows)")
    name = stage.new_folder("faust").name
    stage.make_topics(*topic_names(name), *changelog_names(name))
    stock, _ = changelog_names(name)
    count = load.send(stage.bootstrap, stock, _faust_rows(rows))
    found = []
    for run in range(1, runs + 1):
        watcher.step(f"run {run} of {runs}: plain Faust")
        arguments = ("--name", name, "--data-dir", str(stage.new_folder("faust")), "--guarantee", "at_least_once")
        child = stage.spawn("faust", "bench.plain_faust", *arguments)
        with stage.running(child):
            seconds = float(child.await_line("ready").split()[3])
        found.append({"rows_per_second": round(count / seconds), "seconds": seconds})
    return found


def _faust_rows(count: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Return rows as its stock table writes them: key and value as JSON, on the partition of the SKU."""
    for sku in load.sku_names(count):
        yield partition_of(sku, PARTITIONS), encode(sku), encode({"on_hand": 1_000_000, "reserved": 3})


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    labels = {
        "bare_read_stock": "bare read, stock rows",
        "holdfast_stock": "Holdfast, stock rows",
        "bare_read_mixed": "bare read, rows of all kinds",
        "holdfast_mixed": "Holdfast, rows of all kinds",
        "faust": f"plain Faust, at_least_once, {document['faust_rows']:,} rows",
    }
    rows = []
    for name, label in labels.items():
        kind = name.removeprefix("holdfast_")
        to_bare = document["ratio_to_bare_read"].get(kind)
        ready = document["start_to_ready_s"].get(kind)
        every = " ".join(f"{run['rows_per_second']:,}" for run in document["runs"][name])
        rows.append((label, int(document["medians"][name]), to_bare, ready, every))
    title = f"Recovery of {document['rows']:,} rows into an empty store (median)"
    columns = ("what", "rows/s", "x bare read", "worker: start to ready, s", "every run")
    return [Table(title=title, columns=columns, rows=rows)]
