"""Owns the composition of the gateway: its parts, the routes over them, and the tasks that run behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any, ClassVar

from litestar import Litestar, Response
from litestar.exceptions import HTTPException

from gateway.access.admission import Access
from gateway.announced import AnnouncedRoutes
from gateway.availability import AvailabilityView
from gateway.availability_routes import AvailabilityRoutes
from gateway.bulk_routes import BulkRoutes
from gateway.command_routes import CommandRoutes
from gateway.config import GatewayConfig
from gateway.console.files import ConsoleFiles
from gateway.dead_letters_routes import DeadLetterRoutes
from gateway.docs.files import docs_files
from gateway.endpoint import Endpoints, RequestIds, failed
from gateway.health import Health, Views
from gateway.incoming import HttpRequest
from gateway.metrics import NO_ROUTE, Metrics, Observe
from gateway.openapi import openapi_document
from gateway.operations import Operations
from gateway.problems import AnyCode, GatewayCode, RequestRefused
from gateway.recent_changes import RecentChanges
from gateway.recent_changes_routes import RecentChangesRoutes
from gateway.reference_routes import ReferenceRoutes
from gateway.replies import Header, Reply, refusal
from gateway.requests import KafkaLedger, LedgerClient
from gateway.routes.route import Parts
from gateway.routes.table import ROUTES, methods_of
from gateway.rules import ReferenceView
from gateway.shortfalls import ShortfallRoutes
from gateway.skus import SkuRoutes
from gateway.status_document import GatewayStatus, Sources
from gateway.status_routes import StatusRoutes
from gateway.status_view import StatusView
from gateway.streams.routes import StreamRoutes, rings
from gateway.view_answer import ViewState
from gateway.view_reader import ViewReader
from schemas.codes import Code
from schemas.topics import REFERENCE, STATUS, STOCK_CHANGES


class Gateway:
    """One gateway: its ASGI app and its background tasks.

    Args:
        config: the settings.
        ledger: the client of the ledger; None makes one for Kafka. Must be made in the running event loop.
        draining: set when the process was told to end, and still serves; None makes an event.
        stopping: set when the process should end; None makes an event.
    """

    def __init__(
        self,
        config: GatewayConfig,
        ledger: LedgerClient | None = None,
        *,
        draining: asyncio.Event | None = None,
        stopping: asyncio.Event | None = None,
    ) -> None:
        self.config = config
        self.recent = RecentChanges(config.recent_changes, config.partitions)
        self.view = AvailabilityView(self.recent)
        self.rules = ReferenceView(config.partitions)
        self.changes, self.results = rings(self.rules)
        self.reader = ViewReader(
            config,
            STOCK_CHANGES,
            "stock changes",
            self.view.apply_record,
            self.view.clear,
            apply_many=self.view.apply_records,
            ring=self.changes,
        )
        self.rules_reader = ViewReader(config, REFERENCE, "reference data", self.rules.apply, self.rules.clear)
        self.view_state = ViewState((self.reader, self.rules_reader), config.max_view_lag_ms)
        self.owners = StatusView(config.partitions)
        self.owners_reader = ViewReader(
            config, STATUS, "status of the partitions", self.owners.apply, self.owners.clear
        )
        self.owners.is_live = self.owners_reader.complete.is_set
        self.owners.behind_ms = lambda: self.owners_reader.lag_ms
        self.access = Access(config.access, host=config.host, max_in_flight=config.max_in_flight)
        self.stopping = stopping or asyncio.Event()
        self.draining = draining or asyncio.Event()
        self.failed = asyncio.Event()
        self._kafka = KafkaLedger(config, self.owners.owned, self.results) if ledger is None else None
        self.ledger: LedgerClient = ledger or self._kafka  # type: ignore[assignment]
        self.streams = StreamRoutes(config, self.ledger, self.changes, self.results, self.stopping)
        self.metrics = Metrics(
            in_flight=lambda: self.ledger.in_flight,
            view_size=lambda: len(self.view),
            view_lag=lambda: self.reader.lag,
            connected=lambda: float(self.ledger.unavailable is None),
            shed=lambda: self.ledger.loads.shed,
            partitions=lambda state: sum(owned.state == state for owned in self.owners.all().values()),
            feeds=lambda: self.rules.feeds().values(),
        )
        views = Views(self.reader, self.rules_reader)
        self.health = Health(self.ledger, views, self.owners, self.draining, self.stopping)
        self.health.credentials_are_stale = lambda: self.access.credentials_stale
        self.status = GatewayStatus(
            Sources(self.ledger, self.health, self.view, views, self.owners, self.metrics.times)
        )
        self.app = self._routed()

    def _routed(self) -> Litestar:
        self.status.streams = lambda: self.streams.open
        parts = Parts(
            commands=CommandRoutes(self.config, self.ledger, self.stopping),
            bulk=BulkRoutes(self.config, self.ledger, self.stopping),
            availability=AvailabilityRoutes(self.config, self.view, self.rules, self.view_state),
            skus=SkuRoutes(self.view, self.view_state),
            announced=AnnouncedRoutes(self.view, self.rules, self.view_state),
            shortfalls=ShortfallRoutes(self.view, self.view_state),
            recent_changes=RecentChangesRoutes(self.recent, self.view, self.view_state),
            dead_letters=DeadLetterRoutes(self.config, self.ledger),
            reference=ReferenceRoutes(self.config, self.ledger, self.rules, self.rules_reader, self.view_state),
            streams=self.streams,
            operations=Operations(self.health, self.metrics, openapi_document()),
            status=StatusRoutes(self.status, self.stopping),
            console=ConsoleFiles(),
            docs=docs_files(),
        )
        new_id = RequestIds()
        endpoints = Endpoints(parts, self.access, self.config.retry_after_s, self.stopping, new_id)
        observers = {route.path: self.metrics.observer(route.path) for route in ROUTES}
        # A path's OPTIONS comes first: Litestar would make one that knows only the path's first handler.
        handlers = [endpoints.options_of(path, methods_of(path), observe) for path, observe in observers.items()]
        handlers += [endpoints.handler_of(route, observers[route.path]) for route in ROUTES]
        without_route = _WithoutRoute(self.metrics.observer(NO_ROUTE), new_id, self.access.headers)
        return Litestar(
            handlers,
            openapi_config=None,  # gateway/openapi.py writes it from the table of routes (ADR 0006)
            logging_config=None,
            exception_handlers={HTTPException: without_route.refused, Exception: without_route.failed},
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run Kafka's clients during the block; `failed` is set if one ends by itself.

        Raises:
            AccessError: the key file or the key set cannot be used.
        """
        await self.access.load()
        parts = (self.reader, self.rules_reader, self.owners_reader, self.access, self.status)
        tasks = [asyncio.ensure_future(part.run()) for part in parts]
        if self._kafka is not None:
            tasks.append(asyncio.ensure_future(self._kafka.run()))
        for task in tasks:
            task.add_done_callback(lambda _: self.failed.set())
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until_ready(self) -> None:
        """Wait until requests can be served."""
        if self._kafka is not None:
            await self._kafka.connected.wait()
        await self.reader.complete.wait()
        await self.rules_reader.complete.wait()
        await self.view.put_in_order()  # so that the first who lists SKUs need not wait for it


class _WithoutRoute:
    """Answers what no route answers: Litestar's own refusals, and failures outside of the routes.

    Args:
        observe: counts the answer.
        new_id: makes the id of a request.
        beside: the headers of all answers of this gateway.
    """

    _CODES: ClassVar[dict[int, AnyCode]] = {
        400: Code.MALFORMED,
        404: GatewayCode.NOT_FOUND,
        405: GatewayCode.METHOD_NOT_ALLOWED,
    }

    def __init__(self, observe: Observe, new_id: RequestIds, beside: tuple[Header, ...]) -> None:
        self._beside = beside
        self._observe = observe
        self._new_id = new_id

    def refused(self, _request: HttpRequest, error: HTTPException) -> "_Ready":
        """Answer with the problem that Litestar found."""
        code = self._CODES.get(error.status_code, GatewayCode.INTERNAL_ERROR)
        reply = refusal(RequestRefused(code, detail=error.detail if code is Code.MALFORMED else None), 0)
        allowed = (error.headers or {}).get("allow")
        if allowed is not None:
            reply.headers.append((b"allow", ", ".join(sorted(allowed.split(", "))).encode()))
        return self._ready(reply, self._new_id())

    def failed(self, request: HttpRequest, error: Exception) -> "_Ready":
        """Answer that the gateway failed."""
        request_id = self._new_id()
        return self._ready(failed(request, error, request_id), request_id)

    def _ready(self, reply: Reply, request_id: str) -> "_Ready":
        self._observe(perf_counter(), reply.status)
        reply.complete(request_id.encode(), self._beside)
        return _Ready(reply)


class _Ready(Response[bytes]):
    """A `Reply` where Litestar wants a response."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, status_code=reply.status)
        self._reply = reply

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the reply, an ASGI application."""
        return self._reply
