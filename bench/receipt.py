"""Owns the benchmark of a receipt for many who wait: how long it takes to settle, and how others fare meanwhile.

The others are SKUs of the same partition, so they wait for the ticks that settle it.
"""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

from bench import kafka_caller, load, logs
from bench.harness import Stage
from bench.load import Request
from bench.open_loop import Pace, clock, summary
from bench.report import Document, Options, Table, Watcher, median
from bench.topics import PARTITIONS
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS, RESULTS

AIM_S = 20.0
_SKU = "launch"
_WAITING, _QUICK_WAITING = 50_000, 60
_OTHERS, _RATE = 200, 100
_BEFORE_S, _QUICK_BEFORE_S = 8.0, 0.3
_ROUND_S, _QUICK_ROUND_S = 1.0, 0.2
# As long as nothing is settled any more, which must not be for so many rounds.
_MAX_ROUNDS = 120


def steps_of(options: Options) -> int:
    """Return how many steps `measure` takes."""
    return 2 * options.runs


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Let many wait for a SKU, receive enough for all, and send other commands to the same partition all the time."""
    waiting = _QUICK_WAITING if options.quick else _WAITING
    runs = [_run(stage, options, waiting, f"run {run + 1} of {options.runs}", watcher) for run in range(options.runs)]
    return {
        "waiting": waiting,
        "rate_of_others": _RATE,
        "aim_s": AIM_S,
        "settled_after_s": median([run["settled_after_s"] for run in runs], 1),
        "worker_cpu_s": median([run["worker_cpu_s"] for run in runs], 2),
        "others_before": _medians([run["others_before"] for run in runs]),
        "others_meanwhile": _medians([run["others_meanwhile"] for run in runs]),
        "runs": runs,
    }


def _medians(found: list[dict[str, Any]]) -> dict[str, float]:
    return {name: median([it[name] for it in found], 1) for name in ("p50_ms", "p99_ms")}


def _run(stage: Stage, options: Options, waiting: int, label: str, watcher: Watcher) -> dict[str, Any]:
    stage.renew_all_topics()
    with stage.running(stage.worker(stage.new_folder("worker"))) as worker:
        watcher.step(f"{label}: {waiting:,} wait")
        others = _in_the_same_partition()
        count = load.produce(stage.bootstrap, itertools.chain(load.adjusts([*others, _SKU], ["main"]), _queue(waiting)))
        asyncio.run(logs.watch(stage.bootstrap, RESULTS, [0] * PARTITIONS, count, worker))
        watcher.step(f"{label}: the goods come")
        before_s = worker.cpu_s
        found = asyncio.run(_settle(stage.bootstrap, others, waiting, options))
        return {**found, "worker_cpu_s": round(worker.cpu_s - before_s, 2)}


def _in_the_same_partition() -> list[str]:
    names = (f"other-{number}" for number in itertools.count())
    partition = partition_of(_SKU, PARTITIONS)
    return list(itertools.islice((name for name in names if partition_of(name, PARTITIONS) == partition), _OTHERS))


def _of_launch(command_id: str, type_: str, **fields: object) -> Request:
    return Request(_SKU, {"command_id": command_id, "type": type_, "sku": _SKU, **fields})


def _queue(waiting: int) -> Iterator[Request]:
    """Take all that is there, and let so many wait for a unit each."""
    yield _of_launch("rules", "set_policy", channel="web", backorder_limit=10**9)
    taken = {"reservation_id": "all", "quantity": 10**6, "channel": "web", "ttl_ms": 0}
    yield _of_launch("all", "reserve", **taken)
    for number in range(waiting):
        name = f"cart-{number:06d}"
        hold = {"reservation_id": name, "quantity": 1, "channel": "web", "ttl_ms": 0, "wait": "any"}
        yield _of_launch(name, "reserve", **hold)


async def _settle(bootstrap: str, others: list[str], waiting: int, options: Options) -> dict[str, Any]:
    async with kafka_caller.connect(bootstrap, COMMANDS, RESULTS) as caller:
        pace = Pace(rate=_RATE, seconds=_QUICK_BEFORE_S if options.quick else _BEFORE_S)
        before = await caller.run(pace, list(load.mix(others, pace.count, prefix="before")))
        pace = Pace(rate=_RATE, seconds=_QUICK_ROUND_S if options.quick else _ROUND_S, warm_up_s=0.0)
        receipt = _of_launch("receipt", "adjust", warehouse="main", delta=2 * waiting, reason="receipt")
        meanwhile: list[float] = []
        began = clock()
        for number in range(_MAX_ROUNDS):
            requests = list(load.mix(others, pace.count, prefix=f"round-{number}"))
            if not number:
                requests[0] = receipt
            meanwhile += await caller.run(pace, requests)
            if caller.unsolicited >= waiting:
                break
        else:
            raise RuntimeError(f"{caller.unsolicited:,} of {waiting:,} were served within {_MAX_ROUNDS} rounds")
    return {
        "settled_after_s": round(caller.unsolicited_at - began, 2),
        "others_before": summary(before),
        "others_meanwhile": summary(meanwhile),
    }


def table(document: Document) -> Table:
    """Return the table for the screen."""
    rows = [
        (label, document[name]["p50_ms"], document[name]["p99_ms"])
        for label, name in (("before", "others_before"), ("while it settles", "others_meanwhile"))
    ]
    settled, cpu_s = document["settled_after_s"], document["worker_cpu_s"]
    title = (
        f"A receipt for {document['waiting']:,} who wait: settled after {settled} s (aim {document['aim_s']:.0f} s, "
        f"{cpu_s} s of the worker's processor); {document['rate_of_others']} other commands/s of its partition"
    )
    return Table(title=title, columns=("when", "p50 ms", "p99 ms"), rows=rows)
