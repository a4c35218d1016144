"""Owns the benchmark of latency: an open loop over Kafka and over HTTP, beside an echo."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench import echo, kafka_caller, load, logs
from bench.harness import Child, Stage
from bench.http_caller import HttpCaller
from bench.load import Request
from bench.open_loop import Pace, check_own_p50, own_p50_ms, summary
from bench.report import Document, Options, Table, Watcher, median, ratio
from bench.topics import PARTITIONS
from schemas.topics import COMMANDS, RESULTS

NAME = "latency"

_RATES = (20, 50, 200, 1_000, 3_000)
_SECONDS = 30.0
_QUICK_RATES = (200,)
_QUICK_SECONDS = 0.5
# A broker that has just started compiles its code. Measured here: a small transaction costs it 5.2 ms of processor time
# in the first seconds, 1.6 after half a minute and 1.0 after 50 s.
_WARM_UP = Pace(rate=1_500, seconds=45.0)
_SKUS = 1_000
_PERCENTILES = ("p50_ms", "p99_ms", "p999_ms")
_TARGETS = ("kafka", "echo", "http")


@dataclass
class _Measured:
    """What one target gave at one rate: seconds per request of every run, the statuses of HTTP, processor time."""

    runs: list[list[float]] = field(default_factory=list)
    statuses: list[dict[int, int]] = field(default_factory=list)
    own_p50_ms: list[float] = field(default_factory=list)
    """What the load generator measures against a target that answers in 0 ms, right before each run."""
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    """Processor ms per request of each process in every run, by its name."""


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Run every rate over Kafka, echo and HTTP in turn; the runs share the time of a rate."""
    paces = _paces(options)
    found = {pace.rate: {target: _Measured() for target in _TARGETS} for pace in paces}
    watcher.steps(1 + options.runs * len(paces) * len(_TARGETS))
    stage.renew_all_topics()
    stage.make_topics(echo.COMMANDS, echo.RESULTS)
    with stage.running(stage.worker(stage.new_folder("worker"))) as worker:
        watcher.step("warming up")
        _warm_up(stage, worker, options)
        for run in range(1, options.runs + 1):
            label = f"run {run} of {options.runs}"
            with stage.running(stage.spawn("echo", "bench.echo")):
                for pace in paces:
                    watcher.step(f"{label}: Kafka, {pace.rate:,} requests/s")
                    _measure_own_p50(options, pace, found[pace.rate]["kafka"])
                    with _counting_cpu(stage, pace, found[pace.rate]["kafka"], worker=worker):
                        _over_kafka(stage, (COMMANDS, RESULTS), pace, f"k{run}", found[pace.rate]["kafka"])
                    watcher.step(f"{label}: echo, {pace.rate:,} requests/s")
                    _measure_own_p50(options, pace, found[pace.rate]["echo"])
                    _over_kafka(stage, (echo.COMMANDS, echo.RESULTS), pace, f"e{run}", found[pace.rate]["echo"])
            with stage.running(stage.gateway()) as gateway:
                for pace in paces:
                    watcher.step(f"{label}: HTTP, {pace.rate:,} requests/s")
                    _measure_own_p50(options, pace, found[pace.rate]["http"])
                    with _counting_cpu(stage, pace, found[pace.rate]["http"], worker=worker, gateway=gateway):
                        _over_http(gateway, pace, f"h{run}", found[pace.rate]["http"])
    return _document(options, paces, found)


def _paces(options: Options) -> list[Pace]:
    if options.quick:
        return [Pace(rate=rate, seconds=_QUICK_SECONDS, warm_up_s=_QUICK_SECONDS) for rate in _QUICK_RATES]
    return [Pace(rate=rate, seconds=_SECONDS / options.runs) for rate in _RATES]


def _warm_up(stage: Stage, worker: Child, options: Options) -> None:
    commands = load.produce(stage.bootstrap, load.adjusts(load.sku_names(_SKUS), ["main"]))
    asyncio.run(logs.watch(stage.bootstrap, RESULTS, [0] * PARTITIONS, commands, worker))
    if not options.quick:
        _over_kafka(stage, (COMMANDS, RESULTS), _WARM_UP, "warm-up", _Measured())


def _measure_own_p50(options: Options, pace: Pace, found: _Measured) -> None:
    """Void the run when the load generator is late by itself; a quick run, which proves nothing, only notes it."""
    measured = own_p50_ms(pace.rate) if options.quick else check_own_p50(pace.rate)
    found.own_p50_ms.append(asyncio.run(measured))


@contextmanager
def _counting_cpu(stage: Stage, pace: Pace, found: _Measured, **children: Child) -> Iterator[None]:
    """Note what the block costs the broker and these processes, per request; what they do when idle is in it."""

    def used() -> dict[str, float]:
        return {"broker": stage.broker_cpu_s, **{name: child.cpu_s for name, child in children.items()}}

    before = used()
    yield
    for name, seconds in used().items():
        found.cpu_ms.setdefault(name, []).append(round((seconds - before[name]) * 1000 / pace.count, 3))


def _requests(pace: Pace, prefix: str) -> list[Request]:
    # A reservation is a second old before its commit or release, so that over HTTP these cannot overtake it.
    mix = load.mix(load.sku_names(_SKUS), pace.count, prefix=f"{prefix}-{pace.rate}", maturity=pace.rate)
    return list(mix)


def _over_kafka(stage: Stage, topics: tuple[str, str], pace: Pace, prefix: str, found: _Measured) -> None:
    async def run() -> list[float]:
        async with kafka_caller.connect(stage.bootstrap, *topics) as caller:
            return await caller.run(pace, _requests(pace, prefix))

    found.runs.append(asyncio.run(run()))


def _over_http(gateway: Child, pace: Pace, prefix: str, found: _Measured) -> None:
    address = urlsplit(gateway.await_line("ready").split()[1])

    async def run() -> tuple[list[float], dict[int, int]]:
        caller = HttpCaller(address.hostname or "", address.port or 0)
        await caller.start()
        try:
            return await caller.run(pace, _requests(pace, prefix))
        finally:
            await caller.stop()

    taken, statuses = asyncio.run(run())
    found.runs.append(taken)
    found.statuses.append(statuses)


def _document(options: Options, paces: list[Pace], found: dict[int, dict[str, _Measured]]) -> Document:
    rates = {}
    for rate, targets in found.items():
        figures: dict[str, Any] = {target: _figures(measured) for target, measured in targets.items()}
        for name, part, whole in (
            ("kafka_to_echo", "kafka", "echo"),
            ("http_to_kafka", "http", "kafka"),
            ("http_to_echo", "http", "echo"),
        ):
            figures[name] = _ratios(figures[part], figures[whole])
        rates[str(rate)] = figures
    return {
        "quick": options.quick,
        "unit": "ms from the intended time of sending to the reading of the committed result",
        "seconds_per_run": paces[0].seconds,
        "rates": rates,
    }


def _figures(measured: _Measured) -> dict[str, Any]:
    """Return the percentiles over all runs together, the medians of the runs' percentiles, and every run's."""
    runs = [summary(taken) for taken in measured.runs]
    medians = {
        name: median([run[name] for run in runs]) if all(run[name] is not None for run in runs) else None
        for name in _PERCENTILES
    }
    figures: dict[str, Any] = {
        **summary([seconds for taken in measured.runs for seconds in taken]),
        "medians": medians,
        "runs": runs,
        "load_generator_own_p50_ms": measured.own_p50_ms,
    }
    if measured.cpu_ms:
        figures["cpu_ms_per_request"] = {name: median(runs) for name, runs in measured.cpu_ms.items()}
    if measured.statuses:
        figures["statuses"] = measured.statuses
    return figures


def _ratios(part: dict[str, Any], whole: dict[str, Any]) -> dict[str, float | None]:
    return {
        name.removesuffix("_ms"): ratio(part[name], whole[name], 2) if part[name] and whole[name] else None
        for name in _PERCENTILES
    }


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    rows = []
    for rate, figures in document["rates"].items():
        for target, label in (("echo", "echo"), ("kafka", "Holdfast, Kafka"), ("http", "Holdfast, HTTP")):
            found = figures[target]
            to_echo = {"kafka": figures["kafka_to_echo"], "http": figures["http_to_echo"]}.get(target, {}).get("p50")
            to_kafka = figures["http_to_kafka"]["p50"] if target == "http" else None
            percentiles = [found[name] for name in _PERCENTILES]
            cpu = " / ".join(map(_text, found.get("cpu_ms_per_request", {}).values())) or "-"
            ratios = (to_echo, to_kafka)
            rows.append((f"{int(rate):,}/s", label, *map(_text, percentiles), *ratios, cpu, found["unanswered"]))
    compared = ("p50 x echo", "p50 x Kafka", "processor ms: broker / worker / gateway", "unanswered")
    columns = ("open loop", "over", "p50 ms", "p99 ms", "p99.9 ms", *compared)
    return [Table(title="Latency, from the intended time of sending", columns=columns, rows=rows)]


def _text(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:,.2f}"
