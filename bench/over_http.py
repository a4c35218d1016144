"""Owns the benchmark of the gateway: latencies beside Kafka's, saturation beside a bare route, lists."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench import bare, kafka_caller, load, logs
from bench.harness import Child, Stage
from bench.http_caller import HttpCaller
from bench.load import Request
from bench.open_loop import Pace, check_own_p50, own_p50_ms, summary
from bench.report import Document, Options, Table, Watcher, median, ratio
from bench.topics import PARTITIONS
from schemas.codec import encode
from schemas.topics import COMMANDS, RESULTS

NAME = "http"

LONE, BUSY = 20, 500  # requests/s: at 20 each one is alone
_SKUS = 1_000
_SKUS_ASKED = 10
_LIST = 1_000
_CONNECTIONS, _LIST_CONNECTIONS = 128, 2
_SECONDS, _QUICK_SECONDS = 30.0, 0.5
# See bench/latency.py.
_WARM_UP = Pace(rate=1_500, seconds=45.0)
_AIMS = {
    "lone": ("one reserve alone: p50 over HTTP x Kafka's", "at most", 1.5),
    "busy": (f"{BUSY} reserves/s: p50 over HTTP x Kafka's", "at most", 2.0),
    "saturation": ("reserves/s at saturation x a bare Litestar route's", "at least", 0.4),
    "availability": (f"availability of {_SKUS_ASKED} SKUs/s x a bare Litestar route's", "at least", 0.5),
    "lists": (f"gateway's processor time of {_LIST:,} commands in a list x single ones'", "at most", 0.5),
}

Requests = Callable[[HttpCaller], Iterator[bytes]]


@dataclass
class _Saturated:
    """What one server gave at saturation in every run: answers per second, and processor us per answer by process."""

    per_s: list[float] = field(default_factory=list)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    statuses: list[dict[int, int]] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return the medians, and every run."""
        return {
            "per_s": median(self.per_s, 1),
            "cpu_us": {name: median(runs, 1) for name, runs in self.cpu_us.items()},
            "runs_per_s": self.per_s,
            "statuses": self.statuses,
        }


class _Bench:
    """One benchmark: what it runs on, and what it has found."""

    def __init__(self, stage: Stage, options: Options, watcher: Watcher) -> None:
        self._stage = stage
        self._options = options
        self._watcher = watcher
        self._seconds = _QUICK_SECONDS if options.quick else _SECONDS / options.runs
        self._latencies: dict[int, dict[str, list[list[float]]]] = {
            rate: {"kafka": [], "http": []} for rate in (LONE, BUSY)
        }
        self._own_p50_ms: dict[int, list[float]] = {LONE: [], BUSY: []}
        self._saturated: dict[str, _Saturated] = {}

    def run(self) -> Document:
        """Run everything, and return the document."""
        steps = 4 + len(bare.KINDS) + 1 + 2
        self._watcher.steps(1 + self._options.runs * steps)
        with self._stage.running(self._stage.worker(self._stage.new_folder("worker"))) as worker:
            self._warm_up(worker)
            for run in range(1, self._options.runs + 1):
                self._bare_servers(run)
                with self._stage.running(self._stage.gateway()) as gateway:
                    for rate in (LONE, BUSY):
                        self._latency(run, rate, gateway)
                    processes = {"gateway": gateway, "worker": worker}
                    self._saturate(run, "reserve", processes, _reserves(f"s{run}"))
                    self._saturate(run, "availability", processes, _availability)
                    self._saturate(run, "list", processes, _lists(f"l{run}"), connections=_LIST_CONNECTIONS)
        return self._document()

    def _warm_up(self, worker: Child) -> None:
        self._watcher.step("warming up")
        bootstrap = self._stage.bootstrap
        commands = load.produce(bootstrap, load.adjusts(load.sku_names(_SKUS), ["main"]))
        asyncio.run(logs.watch(bootstrap, RESULTS, [0] * PARTITIONS, commands, worker))
        if not self._options.quick:
            asyncio.run(_over_kafka(bootstrap, _WARM_UP, "warm-up"))

    def _latency(self, run: int, rate: int, gateway: Child) -> None:
        warm_up_s = self._seconds if self._options.quick else 1.0
        pace = Pace(rate=rate, seconds=self._seconds, warm_up_s=warm_up_s)
        measured = own_p50_ms(rate) if self._options.quick else check_own_p50(rate)
        self._own_p50_ms[rate].append(asyncio.run(measured))
        found = self._latencies[rate]
        self._step(run, f"Kafka, {rate} reserves/s")
        found["kafka"].append(asyncio.run(_over_kafka(self._stage.bootstrap, pace, f"k{run}")))
        self._step(run, f"HTTP, {rate} reserves/s")
        requests = _paced(pace, f"h{run}")
        taken, statuses = _with_caller(gateway, lambda caller: caller.run(pace, requests))
        if set(statuses) - {201}:
            raise RuntimeError(f"reserves were answered with {statuses}")
        found["http"].append(taken)

    def _bare_servers(self, run: int) -> None:
        for kind in bare.KINDS:
            server = self._stage.spawn(f"bare-{kind}", "bench.bare", "--kind", kind)
            with self._stage.running(server):
                self._saturate(run, f"{kind} reserve", {"server": server}, _reserves(f"b{run}"))
                if kind == "litestar":
                    self._saturate(run, f"{kind} availability", {"server": server}, _availability)

    def _saturate(
        self,
        run: int,
        name: str,
        processes: dict[str, Child],
        requests: Requests,
        *,
        connections: int = _CONNECTIONS,
    ) -> None:
        """Keep the first of the processes as busy as it can be."""
        self._step(run, f"{name} at saturation")
        found = self._saturated.setdefault(name, _Saturated())

        async def send(caller: HttpCaller) -> tuple[float, dict[int, int], dict[str, float]]:
            before = self._cpu_s(processes)
            rate = await caller.saturate(
                requests(caller), connections=connections, seconds=self._seconds, warm_up_s=self._seconds / 4
            )
            spent = {name: seconds - before[name] for name, seconds in self._cpu_s(processes).items()}
            return rate, caller.statuses, spent

        rate, statuses, spent = _with_caller(next(iter(processes.values())), send)
        if not statuses or max(statuses) >= 300:
            raise RuntimeError(f"{name}: answered with {statuses}")
        found.per_s.append(round(rate, 1))
        found.statuses.append(statuses)
        for process, seconds in spent.items():
            # The time of warming up counts in both.
            found.cpu_us.setdefault(process, []).append(round(seconds * 1e6 / sum(statuses.values()), 1))

    def _cpu_s(self, processes: dict[str, Child]) -> dict[str, float]:
        return {**{name: child.cpu_s for name, child in processes.items()}, "broker": self._stage.broker_cpu_s}

    def _step(self, run: int, text: str) -> None:
        self._watcher.step(f"run {run} of {self._options.runs}: {text}")

    def _document(self) -> Document:
        latency: dict[str, Any] = {}
        for rate, found in self._latencies.items():
            kafka, http = ([summary(taken) for taken in found[over]] for over in ("kafka", "http"))
            latency[str(rate)] = {
                "kafka": kafka,
                "http": http,
                "p50_ms": {
                    over: median([run["p50_ms"] for run in runs]) for over, runs in (("kafka", kafka), ("http", http))
                },
                "load_generator_own_p50_ms": self._own_p50_ms[rate],
            }
        saturated = {name: found.figures() for name, found in self._saturated.items()}
        document = {
            "quick": self._options.quick,
            "seconds_per_run": self._seconds,
            "connections": _CONNECTIONS,
            "latency": latency,
            "saturation": saturated,
            "layers_us": _layers(saturated),
        }
        return {**document, "ratios": _ratios(document)}


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Measure latencies over HTTP beside Kafka's, and how much the gateway does at most beside bare servers."""
    stage.renew_all_topics()
    return _Bench(stage, options, watcher).run()


def _layers(saturated: dict[str, Any]) -> dict[str, float]:
    """Return where the processor time (us) of a reserve goes; each server has one layer more than the one before."""
    asgi, litestar, stub = (saturated[f"{kind} reserve"]["cpu_us"]["server"] for kind in bare.KINDS)
    whole = saturated["reserve"]["cpu_us"]
    return {
        "granian: HTTP, and an answer": asgi,
        "Litestar: its route and its request": round(litestar - asgi, 1),
        "gateway: who may, reading, checking, answering": round(stub - litestar, 1),
        "gateway: Kafka's clients, matching of results": round(whole["gateway"] - stub, 1),
        "worker": whole["worker"],
        "broker": whole["broker"],
    }


def _ratios(document: Document) -> dict[str, float | None]:
    saturated, latency = document["saturation"], document["latency"]

    def of_p50(rate: int) -> float | None:
        p50 = latency[str(rate)]["p50_ms"]
        return ratio(p50["http"], p50["kafka"], 2)

    def of_rates(part: str, whole: str) -> float | None:
        return ratio(saturated[part]["per_s"], saturated[whole]["per_s"], 3)

    return {
        "lone": of_p50(LONE),
        "busy": of_p50(BUSY),
        "saturation": of_rates("reserve", "litestar reserve"),
        "availability": of_rates("availability", "litestar availability"),
        "lists": ratio(saturated["list"]["cpu_us"]["gateway"] / _LIST, saturated["reserve"]["cpu_us"]["gateway"], 3),
    }


def _with_caller(server: Child, call: Callable[[HttpCaller], Awaitable[Any]]) -> Any:
    address = urlsplit(server.await_line("ready").split()[1])

    async def run() -> Any:
        caller = HttpCaller(address.hostname or "", address.port or 0)
        await caller.start()
        try:
            return await call(caller)
        finally:
            await caller.stop()

    return asyncio.run(run())


async def _over_kafka(bootstrap: str, pace: Pace, prefix: str) -> list[float]:
    async with kafka_caller.connect(bootstrap, COMMANDS, RESULTS) as caller:
        return await caller.run(pace, _paced(pace, prefix))


def _paced(pace: Pace, prefix: str) -> list[Request]:
    return [_reserve(f"{prefix}-{pace.rate}-{number:07d}", number) for number in range(pace.count)]


def _reserve(command_id: str, number: int) -> Request:
    sku = f"SKU-{number % _SKUS:05d}"
    fields = {"command_id": command_id, "type": "reserve", "sku": sku, "reservation_id": command_id, "quantity": 1}
    return Request(sku, fields)


def _reserves(prefix: str) -> Requests:
    def requests(caller: HttpCaller) -> Iterator[bytes]:
        return (caller.encoded(_reserve(f"{prefix}-{number:07d}", number).fields) for number in itertools.count())

    return requests


def _availability(caller: HttpCaller) -> Iterator[bytes]:
    for first in itertools.cycle(range(0, _SKUS - _SKUS_ASKED, _SKUS_ASKED)):
        asked = "&".join(f"sku=SKU-{number:05d}" for number in range(first, first + _SKUS_ASKED))
        yield caller.gotten(f"/v1/availability?{asked}")


def _lists(prefix: str) -> Requests:
    def requests(caller: HttpCaller) -> Iterator[bytes]:
        for number in itertools.count():
            key = f"{prefix}-{number:05d}"
            commands = [_reserve(f"{key}.{index}", index).fields for index in range(_LIST)]
            yield caller.posted("/v1/commands", encode({"commands": commands}), key)

    return requests


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    rows = [
        (text, "-" if document["ratios"][name] is None else f"{document['ratios'][name]:.2f}", f"{word} {aim}")
        for name, (text, word, aim) in _AIMS.items()
    ]
    layers = [(layer, f"{us:,.0f}") for layer, us in document["layers_us"].items()]
    saturated = [
        (name, f"{found['per_s']:,.0f}", " / ".join(f"{process} {us:,.0f}" for process, us in found["cpu_us"].items()))
        for name, found in document["saturation"].items()
    ]
    return [
        Table(title="Gateway", columns=("what", "ratio", "aim"), rows=rows),
        Table(title="Where the processor time of a reserve goes", columns=("layer", "us"), rows=layers),
        Table(title="At saturation", columns=("what", "answers/s", "processor us per answer"), rows=saturated),
    ]
