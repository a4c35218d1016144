"""Owns the benchmark of streams: 1,000 clients follow 1,000 stock changes a second; how late each event is."""

import asyncio
import itertools
import re
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from aiokafka import AIOKafkaProducer

from bench.harness import Child, Stage
from bench.load import sku_names
from bench.open_loop import Metronome, check_own_p50, clock, own_p50_ms, summary
from bench.report import Document, Options, Table, Watcher, median
from bench.topics import PARTITIONS
from ops.collector import no_garbage_collection
from schemas.codec import encode
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.stock_changes import Cause, Quantities, StockChange
from schemas.topics import STOCK_CHANGES

NAME = "streams"

STREAMS, SKUS, SKUS_EACH = 1_000, 1_000, 10
AIM_P99_MS = 250.0
_SECONDS, _QUICK_SECONDS = 20.0, 1.0
_WARM_UP_S = 2.0
# A broker that has just started compiles its code for some seconds.
_FIRST_S = 15.0
_LAST_S = 5.0
_OPEN_TOGETHER = 50
_FILES = 4_096
_find_numbers = re.compile(rb'"seq":(\d+)').findall


@dataclass(frozen=True, kw_only=True)
class StreamLoad:
    """A load: how many changes a second, how many streams, and the SKUs that each of them follows (None: all)."""

    rate: int
    streams: int
    skus_each: int | None


def kinds(*, quick: bool) -> dict[str, StreamLoad]:
    """Return the loads: clients that follow some SKUs each, and clients that follow everything."""
    streams = 50 if quick else STREAMS
    return {
        f"{SKUS_EACH} SKUs each": StreamLoad(rate=1_000, streams=streams, skus_each=SKUS_EACH),
        "everything": StreamLoad(rate=20, streams=streams, skus_each=None),
    }


class _Client(asyncio.Protocol):
    """One stream; `received` is called with the numbers of the changes that came."""

    def __init__(self, path: str, received: Callable[[list[bytes]], None]) -> None:
        self._path = path
        self._received = received
        self._rest = b""
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % self._path.encode())

    def data_received(self, data: bytes) -> None:
        whole, _, self._rest = (self._rest + data).rpartition(b"\n\n")
        if not self.begun.done() and b"retry:" in whole:
            self.begun.set_result(None)
        if b"event: stock-change" in whole:
            self._received(_find_numbers(whole))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.begun.done():
            self.begun.set_exception(RuntimeError(f"the gateway gave no stream: {self._rest[:200]!r}"))


class _Load:
    """Publishes stock changes on a steady beat; `taken` has the seconds from a change's time to each arrival of it."""

    def __init__(self, kind: StreamLoad, producer: AIOKafkaProducer, skus: Sequence[str], seconds: float) -> None:
        self._kind = kind
        self._producer = producer
        self._skus = skus
        self._count = int(kind.rate * (seconds + _WARM_UP_S))
        self._skipped = int(kind.rate * _WARM_UP_S)
        self._sent = 0
        self._started = 0.0
        self._sending: set[asyncio.Task[Any]] = set()
        self.taken: list[float] = []

    @property
    def expected(self) -> int:
        """Return how many arrivals count: each change, at each stream that follows it."""
        return (self._count - self._skipped) * self._kind.streams * (self._kind.skus_each or SKUS) // SKUS

    def received(self, numbers: list[bytes]) -> None:
        """Note that changes arrived at a stream."""
        now = clock()
        for number in map(int, numbers):
            if number > self._skipped:
                self.taken.append(now - (self._started + (number - 1) / self._kind.rate))

    async def run(self) -> None:
        """Publish everything in its time, and wait for the last arrivals."""
        metronome = Metronome(self._kind.rate, self._send_due)
        with no_garbage_collection():
            self._started = clock() + 0.1
            metronome.start(self._started)
            try:
                async with asyncio.timeout(self._count / self._kind.rate + _LAST_S):
                    while self._sent < self._count or len(self.taken) < self.expected:
                        await asyncio.sleep(0.05)
            except TimeoutError:
                pass  # what is missing is reported
            finally:
                metronome.stop()

    def _send_due(self) -> None:
        due = min(self._count, int((clock() - self._started) * self._kind.rate) + 1)
        for number in range(self._sent + 1, due + 1):
            sku = self._skus[number % len(self._skus)]
            value, key = _change(sku, number), f"{sku}/main".encode()
            sending = self._producer.send(STOCK_CHANGES, value, key=key, partition=partition_of(sku, PARTITIONS))
            task = asyncio.ensure_future(sending)
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        self._sent = max(self._sent, due)


def _change(sku: str, number: int) -> bytes:
    after = Quantities(number, 3, 0, 0, 0, number - 3)
    cause = Cause("reserve", f"command-{number:012}", f"reservation-{number:012}")
    return encode(StockChange(sku, "main", number, 1_764_000_000_000 + number, cause, {"reserved": 3}, after, False))


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Measure each load in every run, each with a gateway of its own."""
    stage.renew_all_topics()
    loads = kinds(quick=options.quick)
    watcher.steps(1 + options.runs * len(loads))
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in loads}
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _FILES), most))
    seconds = _QUICK_SECONDS if options.quick else _SECONDS
    watcher.step("warming up")
    with stage.running(stage.gateway()) as gateway:
        few = StreamLoad(rate=1_000, streams=10, skus_each=SKUS_EACH)
        asyncio.run(_run(stage, gateway, few, _QUICK_SECONDS if options.quick else _FIRST_S, quick=True))
    for run in range(1, options.runs + 1):
        for name, kind in loads.items():
            watcher.step(f"run {run} of {options.runs}: {kind.streams:,} streams of {name}, {kind.rate:,} changes/s")
            with stage.running(stage.gateway()) as gateway:
                runs[name].append(asyncio.run(_run(stage, gateway, kind, seconds, quick=options.quick)))
    return {
        "quick": options.quick,
        "unit": "milliseconds from the time when a change was due to be published to its arrival at a client",
        "aim_p99_ms": AIM_P99_MS,
        "loads": {
            name: {
                "streams": kind.streams,
                "changes_per_s": kind.rate,
                "arrivals_per_s": kind.rate * kind.streams * (kind.skus_each or SKUS) // SKUS,
                **{field: median([it[field] for it in runs[name]]) for field in runs[name][0]},
            }
            for name, kind in loads.items()
        },
        "runs": runs,
    }


async def _run(stage: Stage, gateway: Child, kind: StreamLoad, seconds: float, *, quick: bool) -> dict[str, Any]:
    own_ms = await (own_p50_ms(kind.rate) if quick else check_own_p50(kind.rate))
    producer = AIOKafkaProducer(bootstrap_servers=stage.bootstrap, acks=1, linger_ms=0, **kafka_options())
    await producer.start()
    skus = sku_names(SKUS)
    load = _Load(kind, producer, skus, seconds)
    before_mb = gateway.memory_mb("VmRSS")
    try:
        clients = await _open(gateway, _paths(kind, skus), load.received)
        cpu_s, began = gateway.cpu_s, clock()
        await load.run()
        spent = (gateway.cpu_s - cpu_s) / (clock() - began)
    finally:
        await producer.stop()
    gateway.check()
    for client in clients:
        if client.transport is not None:
            client.transport.close()
    found = summary(load.taken or [float("inf")])
    return {
        "own_p50_ms": own_ms,
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "missing": load.expected - len(load.taken),
        "gateway_cpu_share": round(spent, 3),
        "gateway_mb_before": round(before_mb, 1),
        "gateway_peak_mb": round(gateway.memory_mb("VmHWM"), 1),
    }


def _paths(kind: StreamLoad, skus: Sequence[str]) -> list[str]:
    if kind.skus_each is None:
        return ["/v1/stock-changes"] * kind.streams
    following = itertools.cycle(skus)
    chosen = [list(itertools.islice(following, kind.skus_each)) for _ in range(kind.streams)]
    return [f"/v1/stock-changes?{urlencode([('sku', sku) for sku in each])}" for each in chosen]


async def _open(gateway: Child, paths: Sequence[str], received: Callable[[list[bytes]], None]) -> list[_Client]:
    address = urlsplit(gateway.await_line("ready").split()[1])
    host, port = address.hostname or "", address.port or 0
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []
    for start in range(0, len(paths), _OPEN_TOGETHER):
        together = [_Client(path, received) for path in paths[start : start + _OPEN_TOGETHER]]
        for client in together:
            await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]
        await asyncio.gather(*(client.begun for client in together))
        clients += together
    return clients


def tables(document: Document) -> list[Table]:
    """Return the table for the screen."""
    rows = [
        (
            f"{it['streams']:,} streams of {name}",
            f"{it['changes_per_s']:,}",
            f"{it['arrivals_per_s']:,}",
            it["p50_ms"],
            it["p99_ms"],
            f"{document['aim_p99_ms']:.0f}",
            it["missing"],
            it["gateway_cpu_share"],
            it["gateway_peak_mb"],
        )
        for name, it in document["loads"].items()
    ]
    columns = ("load", "changes/s", "events/s", "p50 ms", "p99 ms", "aim", "missing", "gateway's CPU", "its peak MB")
    return [Table(title="Streams: how late events arrive (medians)", columns=columns, rows=rows)]
