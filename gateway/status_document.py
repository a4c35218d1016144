"""Owns the status of a gateway as one document: its health, its requests, and the partitions with their owners.

A task makes it once a second, for all who ask and all who follow it. The last ten minutes are in it, so that a page can
draw them at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.answer_times import AnswerFigures, AnswerTimes
from gateway.availability import AvailabilityView
from gateway.health import Health, HealthStatus, Reason, Views
from gateway.requests import LedgerClient
from gateway.status_view import OwnerState, StatusView
from schemas.status import TransactionTimes

_EVERY_S = 1.0
# Ten minutes.
_POINTS, _POINT_EVERY_S = 120, 5


class KafkaHealth(msgspec.Struct, gc=False):
    """Whether Kafka answers."""

    connected: Annotated[bool, Meta(description="Whether commands and linearizable reads are taken.")]


class ViewHealth(msgspec.Struct, gc=False):
    """The gateway's view."""

    complete: Annotated[bool, Meta(description="Whether it was read to its end; reads from it are refused before.")]
    skus: Annotated[int, Meta(description="SKUs in it.")]
    rows: Annotated[int, Meta(description="Stock rows in it.")]
    lag: Annotated[int, Meta(description="Records that it is behind.")]
    lag_ms: Annotated[int, Meta(description="Milliseconds since it last had everything; 0 while it has.")]


class RequestFigures(msgspec.Struct, gc=False):
    """The requests that this gateway answered in the last 10 s, without those of operations."""

    per_second: Annotated[float, Meta(description="Answers a second.")]
    failed_per_second: Annotated[float, Meta(description="Those of 500 and above.")]
    refused_per_second: Annotated[float, Meta(description="Those of 429.")]
    p50_ms: Annotated[float, Meta(description="The median time of an answer; null without any.")] | None
    p99_ms: Annotated[float, Meta(description="99 of 100 answers took no longer; null without any.")] | None


class PartitionHealth(msgspec.Struct, gc=False):
    """A partition, as its owner says in `inventory.status` and as this gateway sees it."""

    partition: Annotated[int, Meta(description="Which partition.")]
    state: Annotated[
        OwnerState,
        Meta(
            description="`stopped`: it changes hands; `no_owner`: nobody was heard for 5 s; `unknown`: the gateway has "
            "not read `inventory.status` yet."
        ),
    ]
    worker: Annotated[str, Meta(description="The owner, else the last one; null without any.")] | None
    silent_ms: Annotated[int, Meta(description="How long ago the owner was heard; null if never.")] | None
    position: Annotated[int, Meta(description="The offset of the next command; null while it is not known.")] | None
    log_end: Annotated[int, Meta(description="The end of its commands; null while it is not known.")] | None
    lag: Annotated[int, Meta(description="Commands that wait in the log; null while it is not known.")] | None
    recovered: Annotated[int, Meta(description="Offsets of the changelog that the last recovery has read.")]
    to_recover: Annotated[int, Meta(description="Offsets of the changelog that the last recovery reads in all.")]
    transaction_ms: Annotated[TransactionTimes, Meta(description="Of the last 10 s; null without any.")] | None
    results_per_second: Annotated[int, Meta(description="Results in the last second, whoever gets them.")]
    waiting: Annotated[int, Meta(description="Requests of this gateway that wait for a result.")]


class Point(msgspec.Struct, gc=False):
    """What there was at one time; one every 5 s."""

    at: Annotated[int, Meta(description="When, ms since the Unix epoch.")]
    status: Annotated[HealthStatus, Meta(description="The gateway's status.")]
    results_per_second: Annotated[int, Meta(description="Results of all partitions in the second before.")]
    requests_per_second: Annotated[float, Meta(description="Answers a second in the 10 s before.")]
    p50_ms: Annotated[float, Meta(description="Median time of an answer in the 10 s before; null without any.")] | None
    p99_ms: Annotated[float, Meta(description="99th percentile of the same; null without any.")] | None
    in_flight: Annotated[int, Meta(description="Requests that waited.")]
    lag: Annotated[int, Meta(description="Commands that waited in the partitions, where that is known.")]
    view_lag_ms: Annotated[int, Meta(description="How far behind the view was.")]


class Caller(msgspec.Struct, gc=False):
    """Who asks, and what they may do, so that a page shows only what will be allowed."""

    id: Annotated[str, Meta(description="The credential's name; `open` at an open gateway.")]
    scopes: Annotated[list[str], Meta(description="Its scopes; `admin` may all.")]
    channels: Annotated[list[str], Meta(description="The only channels that it may have; null: all.")] | None


class StatusDocument(msgspec.Struct, gc=False):
    """The status of this gateway, and of the partitions as it sees them."""

    at: Annotated[int, Meta(description="When this was so, ms since the Unix epoch.")]
    status: Annotated[HealthStatus, Meta(description="As of `/health/ready`.")]
    reasons: Annotated[list[Reason], Meta(description="As of `/health/ready`.")]
    version: Annotated[str, Meta(description="The release.")]
    started_at: Annotated[int, Meta(description="When the gateway was started, ms since the Unix epoch.")]
    in_flight: Annotated[int, Meta(description="Requests that wait for their results.")]
    streams: Annotated[int, Meta(description="Streams of changes and results that are open.")]
    kafka: KafkaHealth
    view: ViewHealth
    requests: RequestFigures
    results_per_second: Annotated[int, Meta(description="Results of all partitions in the last second.")]
    partitions: Annotated[list[PartitionHealth], Meta(description="All partitions, by number.")]
    history: Annotated[list[Point], Meta(description="The last ten minutes, oldest first.")]
    # The document is made once for all; the route puts this before it.
    credential: Annotated[Caller, Meta(description="Who asks, and what they may do.")] | UnsetType = UNSET


class Sources(NamedTuple):
    """What the status is made from."""

    ledger: LedgerClient
    health: Health
    view: AvailabilityView
    views: Views
    owners: StatusView
    times: AnswerTimes


class GatewayStatus:
    """Makes the status once a second.

    Args:
        sources: what it is made from.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._history: deque[Point] = deque(maxlen=_POINTS)
        self._version, self._started_at = running_version(), _wall_clock_ms()
        self._made_at = -_EVERY_S
        self._made = b""
        self._counted_at, self._counted = time.monotonic(), dict.fromkeys(sources.owners.all(), 0)
        self._per_second = dict.fromkeys(self._counted, 0)
        self._next = asyncio.Event()
        self.streams: Callable[[], int] = lambda: 0

    async def run(self) -> None:
        """Make it once a second, until cancelled."""
        clock = asyncio.get_running_loop().time
        beat, begun_s = 0, clock()
        while True:
            self._count_results()
            self._make(keep=beat % _POINT_EVERY_S == 0)
            followed, self._next = self._next, asyncio.Event()
            followed.set()
            # After a stop of the process the missed beats are left out.
            beat = max(beat, int((clock() - begun_s) / _EVERY_S)) + 1
            await asyncio.sleep(max(0.0, begun_s + beat * _EVERY_S - clock()))

    def _results_so_far(self) -> dict[int, int]:
        loads = self._sources.ledger.loads
        return {number: loads.results_so_far(number) for number in self._sources.owners.all()}

    def _count_results(self) -> None:
        now, counted = time.monotonic(), self._results_so_far()
        passed_s = max(now - self._counted_at, _EVERY_S / 2)
        self._per_second = {it: round((count - self._counted[it]) / passed_s) for it, count in counted.items()}
        self._counted_at, self._counted = now, counted

    def document(self) -> bytes:
        """Return the status as JSON, at most a second old."""
        if time.monotonic() - self._made_at > 1.5 * _EVERY_S:
            self._make(keep=False)
        return self._made

    async def next_document(self) -> bytes:
        """Wait for the next second's, and return it."""
        await self._next.wait()
        return self._made

    def _make(self, *, keep: bool) -> None:
        document = self._current()
        if keep:
            self._history.append(_point(document))
            document.history = [*self._history]
        self._made_at, self._made = time.monotonic(), msgspec.json.encode(document)

    def _current(self) -> StatusDocument:
        sources = self._sources
        readiness = sources.health.readiness()
        partitions = [self._partition(number) for number in sources.owners.all()]
        return StatusDocument(
            at=_wall_clock_ms(),
            status=readiness.status,
            reasons=readiness.reasons,
            version=self._version,
            started_at=self._started_at,
            in_flight=sources.ledger.in_flight,
            streams=self.streams(),
            kafka=KafkaHealth(sources.ledger.unavailable is None),
            view=_view(sources.view, sources.views),
            requests=_figures(sources.times.lately()),
            results_per_second=sum(it.results_per_second for it in partitions),
            partitions=partitions,
            history=[*self._history],
        )

    def _partition(self, number: int) -> PartitionHealth:
        owned, loads = self._sources.owners.owned(number), self._sources.ledger.loads
        status = owned.status
        position, log_end = (status.position, status.log_end) if status else (None, None)
        return PartitionHealth(
            partition=number,
            state=owned.state,
            worker=status.worker if status else None,
            silent_ms=int(1000 * owned.silent_s) if status else None,
            position=position,
            log_end=log_end,
            lag=max(0, log_end - position) if log_end is not None and position is not None else None,
            recovered=status.recovered if status else 0,
            to_recover=status.to_recover if status else 0,
            transaction_ms=status.transaction_ms if status else None,
            results_per_second=self._per_second[number],
            waiting=loads.waiting(number),
        )


def running_version() -> str:
    """Return the release of this program."""
    try:
        return metadata.version("holdfast")
    except metadata.PackageNotFoundError:
        return "0"


def _view(view: AvailabilityView, readers: Views) -> ViewHealth:
    return ViewHealth(
        complete=all(reader.complete.is_set() for reader in readers),
        skus=len(view),
        rows=view.rows,
        lag=sum(reader.lag for reader in readers),
        lag_ms=max(reader.lag_ms for reader in readers),
    )


def _figures(lately: AnswerFigures) -> RequestFigures:
    return RequestFigures(
        lately.per_second, lately.failed_per_second, lately.refused_per_second, lately.p50_ms, lately.p99_ms
    )


def _point(document: StatusDocument) -> Point:
    return Point(
        at=document.at,
        status=document.status,
        results_per_second=document.results_per_second,
        requests_per_second=document.requests.per_second,
        p50_ms=document.requests.p50_ms,
        p99_ms=document.requests.p99_ms,
        in_flight=document.in_flight,
        lag=sum(it.lag or 0 for it in document.partitions),
        view_lag_ms=document.view.lag_ms,
    )


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
