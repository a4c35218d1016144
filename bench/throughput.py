"""Owns the benchmark of throughput: one worker beside the floor, Kafka Streams and plain Faust; one SKU; many rows."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from bench import kafka_streams, load, logs, shape
from bench.harness import Child, ChildGroup, Stage
from bench.report import Document, Options, Table, Watcher, median, ratio
from bench.rival_topics import topic_names
from bench.topics import ends_of
from schemas.topics import CHANGELOG, COMMANDS, DEAD_LETTERS, RESULTS, STOCK_CHANGES

NAME = "throughput"

_OUTPUTS = (RESULTS, STOCK_CHANGES, CHANGELOG, DEAD_LETTERS)
_NONE = [0, 0, 0, 0]
_FAUST_ATTEMPTS = 5
# Name in a table -> key in the document.
_KAFKA_STREAMS_RATIOS = {
    "": "ratio_to_kafka_streams_exactly_once",
    ", second half of each run": "ratio_to_kafka_streams_in_second_half",
}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is done in one run.

    The mix begins with an adjust per SKU. Plain Faust gets a smaller mix of the same proportions, because it needs 20
    to 40 times as long for each command.
    """

    mix_commands: int
    mix_skus: int
    faust_commands: int
    faust_skus: int
    one_sku_commands: int
    spread_commands: int
    spread_skus: int
    spread_warehouses: int


FULL = Scale(
    mix_commands=400_000,
    mix_skus=10_000,
    faust_commands=8_000,
    faust_skus=500,
    one_sku_commands=100_000,
    spread_commands=200_000,
    spread_skus=10_000,
    spread_warehouses=20,
)
QUICK = Scale(
    mix_commands=6_000,
    mix_skus=150,
    faust_commands=400,
    faust_skus=10,
    one_sku_commands=2_000,
    spread_commands=2_000,
    spread_skus=50,
    spread_warehouses=20,
)


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Run everything, the systems in turn, so that a disturbance of the machine affects all of them."""
    scale = QUICK if options.quick else FULL
    # The mix: one run to warm up, then all systems in turn; one SKU; many rows in two steps.
    watcher.steps(1 + options.runs * 9)
    stage.renew_all_topics()
    runs = {
        **_mix(stage, scale, options, watcher),
        **_one_sku(stage, scale, options.runs, watcher),
        **_spread(stage, scale, options.runs, watcher),
    }
    shape_of_holdfast = runs.pop("shape")
    medians = {name: median([run["per_second"] for run in found], 0) for name, found in runs.items()}
    second_halves = {name: median([run["second_half_per_second"] for run in found], 0) for name, found in runs.items()}
    return {
        "quick": options.quick,
        "scale": asdict(scale),
        "unit": "commands per second, from the first result to the last",
        "medians": medians,
        "second_half_medians": second_halves,
        "ratio_to_floor": ratio(medians["holdfast"], medians["floor"]),
        "ratio_to_kafka_streams_exactly_once": _ratios_to_kafka_streams(medians),
        "ratio_to_kafka_streams_in_second_half": _ratios_to_kafka_streams(second_halves),
        "ratio_to_faust_exactly_once": ratio(medians["holdfast"], medians["faust_exactly_once"], 1),
        "floor_writes": shape_of_holdfast,
        "runs": runs,
    }


def _ratios_to_kafka_streams(medians: dict[str, Any]) -> dict[str, float | None]:
    return {
        "1 worker, 1 thread": ratio(medians["holdfast"], medians["kafka_streams_1_thread"]),
        "1 worker, 2 threads": ratio(medians["holdfast"], medians["kafka_streams_2_threads"]),
        "2 workers, 2 threads": ratio(medians["holdfast_2_workers"], medians["kafka_streams_2_threads"]),
    }


def _timed(stage: Stage, child: Child | ChildGroup, topic: str, starts: list[int], expected: int) -> dict[str, Any]:
    """Measure a child until it has answered everything, and stop it; a worker leaves its group."""
    try:
        filled = asyncio.run(logs.watch(stage.bootstrap, topic, starts, expected, child))
    finally:
        if topic == RESULTS:
            child.stop()
        else:
            child.kill()
    return {
        "per_second": round(filled.per_second),
        "second_half_per_second": round(filled.second_half_per_second),
        "seconds": round(filled.seconds, 3),
        "results": filled.records,
        "cpu_us_per_command": round(filled.cpu_us, 1),
    }


def _mix(stage: Stage, scale: Scale, options: Options, watcher: Watcher) -> dict[str, Any]:
    watcher.step(f"warming up with {scale.mix_commands:,} commands")
    commands = load.produce_mix(stage.bootstrap, scale.mix_skus, scale.mix_commands)

    def holdfast() -> dict[str, Any]:
        return _timed(stage, stage.worker(stage.new_folder("worker")), RESULTS, _NONE, commands)

    def two_workers() -> dict[str, Any]:
        workers = [stage.worker(stage.new_folder("worker")) for _ in range(2)]
        return _timed(stage, ChildGroup("two workers", workers), RESULTS, _NONE, commands)

    first = holdfast()
    written = asyncio.run(shape.measure(stage.bootstrap, commands))
    encoded = msgspec.json.encode(written).decode()

    def floor() -> dict[str, Any]:
        return _timed(stage, stage.spawn("floor", "bench.floor", "--shape", encoded), RESULTS, _NONE, commands)

    systems = {
        "holdfast": holdfast,
        "holdfast_2_workers": two_workers,
        "kafka_streams_1_thread": _kafka_streams(stage, commands, 1),
        "kafka_streams_2_threads": _kafka_streams(stage, commands, 2),
        "floor": floor,
        "faust_exactly_once": _faust(stage, scale),
    }
    found: dict[str, list[Any]] = {name: [] for name in systems}
    for run in range(1, options.runs + 1):
        for name, system in systems.items():
            watcher.step(f"mix, run {run} of {options.runs}: {name}")
            if options.quick and name == "holdfast":
                found[name].append(first)
                continue
            stage.renew_topics(*_OUTPUTS)
            found[name].append(system())
    return {**found, "shape": msgspec.to_builtins(written)}


def _faust(stage: Stage, scale: Scale) -> Callable[[], dict[str, Any]]:
    """Return the run of plain Faust on topics, a group and tables of its own.

    Now and then it stands still for good in the middle of a run, which nobody ends. Then the run is made again, and the
    figures say how often that was.
    """

    def attempt() -> dict[str, Any]:
        data_dir = stage.new_folder("faust")
        commands, results, changes = topic_names(data_dir.name)
        stage.make_topics(commands, results, changes)
        count = load.produce_mix(stage.bootstrap, scale.faust_skus, scale.faust_commands, topic=commands)
        child = stage.spawn("faust", "bench.plain_faust", "--name", data_dir.name, "--data-dir", str(data_dir))
        return _timed(stage, child, results, _NONE, count)

    def run() -> dict[str, Any]:
        for stood_still in range(_FAUST_ATTEMPTS):
            with contextlib.suppress(logs.StandsStillError):
                return {**attempt(), "stood_still": stood_still}
        raise RuntimeError(f"plain Faust stood still in {_FAUST_ATTEMPTS} of {_FAUST_ATTEMPTS} runs")

    return run


def _kafka_streams(stage: Stage, commands: int, threads: int) -> Callable[[], dict[str, Any]]:
    """Return the run of Kafka Streams on Holdfast's commands; its group, stores and outputs are its own."""

    def run() -> dict[str, Any]:
        data_dir = stage.new_folder("kafka-streams")
        _, results, changes = topic_names(data_dir.name)
        stage.make_topics(results, changes)
        topics = (COMMANDS, results, changes)
        command = kafka_streams.command(stage.bootstrap, data_dir.name, topics, data_dir, threads=threads)
        child = stage.run("kafka-streams", command)
        return _timed(stage, child, results, _NONE, commands)

    return run


def _one_sku(stage: Stage, scale: Scale, runs: int, watcher: Watcher) -> dict[str, Any]:
    stage.renew_topics(COMMANDS, *_OUTPUTS)
    commands = load.produce_mix(stage.bootstrap, 1, scale.one_sku_commands)
    found = []
    for run in range(1, runs + 1):
        watcher.step(f"one SKU, run {run} of {runs}")
        stage.renew_topics(*_OUTPUTS)
        found.append(_timed(stage, stage.worker(stage.new_folder("worker")), RESULTS, _NONE, commands))
    return {"holdfast_one_sku": found}


def _spread(stage: Stage, scale: Scale, runs: int, watcher: Watcher) -> dict[str, Any]:
    """Give every SKU a row in each of many warehouses, then run the mix on them; measure both steps."""
    skus, warehouses = load.sku_names(scale.spread_skus), load.warehouse_names(scale.spread_warehouses)
    adjusted, mixed = [], []
    for run in range(1, runs + 1):
        stage.renew_topics(COMMANDS, *_OUTPUTS)
        data_dir = stage.new_folder("worker")
        watcher.step(f"{len(skus):,} SKUs in {len(warehouses)} warehouses, run {run} of {runs}: the rows")
        commands = load.produce(stage.bootstrap, load.adjusts(skus, warehouses))
        adjusted.append(_timed(stage, stage.worker(data_dir), RESULTS, _NONE, commands))
        watcher.step(f"{len(skus):,} SKUs in {len(warehouses)} warehouses, run {run} of {runs}: the mix")
        starts = asyncio.run(ends_of(stage.bootstrap, RESULTS))
        commands = load.produce(stage.bootstrap, load.mix(skus, scale.spread_commands))
        mixed.append(_timed(stage, stage.worker(data_dir), RESULTS, starts, commands))
    return {"holdfast_rows_of_many_warehouses": adjusted, "holdfast_many_warehouses": mixed}


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    medians, scale = document["medians"], document["scale"]
    spread = f"{scale['spread_skus']:,} SKUs x {scale['spread_warehouses']} warehouses"
    labels = {
        "holdfast": f"Holdfast, 1 worker: mix of {scale['mix_commands']:,} over {scale['mix_skus']:,} SKUs",
        "holdfast_2_workers": "Holdfast, 2 workers: the same mix",
        "floor": "floor: reads the same, writes as much, decides nothing",
        "kafka_streams_1_thread": "Kafka Streams, exactly_once_v2, 1 thread: the same mix",
        "kafka_streams_2_threads": "Kafka Streams, exactly_once_v2, 2 threads: the same mix",
        "faust_exactly_once": f"plain Faust, exactly_once: mix of {scale['faust_commands']:,}",
        "holdfast_one_sku": f"Holdfast: mix of {scale['one_sku_commands']:,}, one SKU alone",
        "holdfast_rows_of_many_warehouses": f"Holdfast: {spread}, the adjusts that make the rows",
        "holdfast_many_warehouses": f"Holdfast: {spread}, mix of {scale['spread_commands']:,}",
    }
    rows = [
        (
            label,
            int(medians[name]),
            median([run["cpu_us_per_command"] for run in document["runs"][name]], 1),
            " ".join(f"{run['per_second']:,}" for run in document["runs"][name]),
        )
        for name, label in labels.items()
    ]
    ratios = [
        ("Holdfast / floor", document["ratio_to_floor"]),
        *(
            (f"Holdfast / Kafka Streams exactly_once_v2{when}: {of}", value)
            for when, name in _KAFKA_STREAMS_RATIOS.items()
            for of, value in document[name].items()
        ),
        ("Holdfast / plain Faust exactly_once", document["ratio_to_faust_exactly_once"]),
    ]
    columns = ("4 partitions", "commands/s", "CPU us/command", "every run")
    return [
        Table(title="Throughput (median)", columns=columns, rows=rows),
        Table(title="", columns=("ratio", "x"), rows=ratios),
    ]
