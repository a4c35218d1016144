"""Owns `GET /v1/stock-changes` and `GET /v1/results`: who may have a stream, and how many there may be."""

import asyncio
import contextlib
import weakref
from collections.abc import Iterator

from gateway.access.credential import credential_of
from gateway.config import GatewayConfig
from gateway.incoming import HttpRequest, Query, header
from gateway.problems import KafkaUnavailable, TooManyRequests, ViewNotReady
from gateway.replies import Reply
from gateway.requests import LedgerClient
from gateway.rules import ReferenceView
from gateway.streams.events import change_event, result_event
from gateway.streams.followers import Followers
from gateway.streams.past import Past
from gateway.streams.positions import positions_in
from gateway.streams.ring import Ring
from gateway.streams.stream import Stream
from gateway.streams.wanted import passes_for_changes, passes_for_results, wanted_by
from schemas.topics import RESULTS, STOCK_CHANGES

_TICK_S = 1.0


def rings(rules: ReferenceView) -> tuple[Ring, Ring]:
    """Return the rings of the stock changes and of the unsolicited results, for their readers to feed.

    Args:
        rules: the policies, for the filter by channel.
    """
    return Ring(change_event, passes_for_changes(rules)), Ring(result_event, passes_for_results)


class StreamRoutes:
    """The streams of this gateway.

    Args:
        config: the limits, and the address of Kafka.
        ledger: knows whether Kafka answers.
        changes: the ring of stock changes.
        results: the ring of unsolicited results.
        stopping: set when the process should end.
    """

    def __init__(
        self, config: GatewayConfig, ledger: LedgerClient, changes: Ring, results: Ring, stopping: asyncio.Event
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._stopping = stopping
        self._changes = Followers(changes), Past(config, STOCK_CHANGES, changes)
        self._results = Followers(results), Past(config, RESULTS, results)
        self._ticking: asyncio.Task[None] | None = None
        self.open = 0

    @property
    def dropped(self) -> int:
        """Count the streams that were ended because their client was too slow."""
        return self._changes[0].dropped + self._results[0].dropped

    async def stock_changes(self, request: HttpRequest, query: Query) -> Reply:
        """Open a stream of stock changes."""
        return self._stream(*self._changes, request, query)

    async def unsolicited_results(self, request: HttpRequest, query: Query) -> Reply:
        """Open a stream of the results that nobody asked for."""
        return self._stream(*self._results, request, query)

    def _stream(self, followers: Followers, past: Past, request: HttpRequest, query: Query) -> Reply:
        wanted = wanted_by(query, self._config.partitions, credential_of(request))
        positions = positions_in(header(request, b"last-event-id"), wanted.partitions)
        if self._ledger.unavailable is not None:
            raise KafkaUnavailable(self._ledger.unavailable)
        end = followers.ring.positions
        if end is None:
            raise ViewNotReady
        if positions is None:
            positions = {partition: end[partition] for partition in wanted.partitions}
        holds = credential_of(request).holds
        stream = Stream(followers, past, wanted, positions, stopping=self._stopping, may_go_on=holds)
        with contextlib.ExitStack() as ended:
            ended.enter_context(self._one_more())
            ended.enter_context(credential_of(request).usage.stream())
            # Whatever becomes of the answer, also one that is never sent, the stream counts for as long as it is there.
            weakref.finalize(stream, ended.pop_all().close)
        return stream

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[None]:
        if self.open >= self._config.max_streams:
            raise TooManyRequests(self._config.max_streams)
        self.open += 1
        if self._ticking is None:
            self._ticking = asyncio.ensure_future(self._tick())
        try:
            yield
        finally:
            self.open -= 1
            if self.open == 0:
                self._ticking.cancel()
                self._ticking = None

    async def _tick(self) -> None:
        """Wake the streams that should say something, and all when the gateway ends."""
        topics = (self._changes[0], self._results[0])
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_S)
            for followers in topics:
                followers.wake_silent(asyncio.get_running_loop().time())
        for followers in topics:
            followers.wake_all()
