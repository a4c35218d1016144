"""Owns `GET /v1/stock-changes`: the stock changes as server-sent events; a client can resume and reads at its own pace.

An event's id is the reader's position after it in every partition (`0:4711,1:12,...`). A client that sends it back as
`Last-Event-ID` continues exactly there. Each stream has its own reader, so a slow client delays no other.
"""

import asyncio
import re

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from litestar.types import Receive, Scope, Send

from gateway.config import GatewayConfig
from gateway.incoming import HttpRequest, Query, header
from gateway.problems import KafkaUnavailable, RequestRefused, TooManyRequests
from gateway.reader import Positions, close_reader, open_reader
from gateway.replies import Reply
from gateway.requests import LedgerClient
from schemas.codes import Code, Problem
from schemas.topics import STOCK_CHANGES

_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
_IDLE_MS = 1000
# Proxies close a connection that is silent for about a minute.
_KEEP_ALIVE_S = 15.0
_SLICE = 500

_is_event_id = re.compile(r"\d{1,6}:\d{1,18}(?:,\d{1,6}:\d{1,18})*").fullmatch
_log = structlog.get_logger("holdfast.gateway")


class StockChangeStreams:
    """The open streams of this gateway.

    Args:
        config: the limits, and the address of Kafka.
        ledger: knows whether Kafka answers.
        stopping: set when the process should end.
    """

    def __init__(self, config: GatewayConfig, ledger: LedgerClient, stopping: asyncio.Event) -> None:
        self._config = config
        self._ledger = ledger
        self._stopping = stopping
        self.open = 0

    async def stream(self, request: HttpRequest, query: Query) -> Reply:
        """Open a stream from `Last-Event-ID` or from now on; with `sku` (once or more), of these SKUs only."""
        skus = frozenset(query.all("sku"))
        positions = _positions_in(header(request, b"last-event-id"), self._config.partitions)
        if self._ledger.unavailable is not None:
            raise KafkaUnavailable(self._ledger.unavailable)
        if self.open >= self._config.max_streams:
            raise TooManyRequests(self._config.max_streams)
        self.open += 1
        try:
            reader = await open_reader(self._config, STOCK_CHANGES, positions or "end")
        except BaseException as error:
            self.open -= 1
            if isinstance(error, KafkaError | OSError):
                raise KafkaUnavailable(repr(error)) from None
            raise
        return _Stream(self, reader, skus)

    async def send_all(self, reader: AIOKafkaConsumer, skus: frozenset[str], send: Send) -> None:
        """Send changes until the process stops or Kafka goes away; the client reconnects by itself."""
        prefixes = tuple(f"{sku}/".encode() for sku in skus)
        positions = {partition: await reader.position(partition) for partition in reader.assignment()}
        await _send_chunk(send, _event_id(positions) + b"retry: 1000\n\n")
        clock = asyncio.get_running_loop().time
        spoke_at = clock()
        while not self._stopping.is_set():
            chunk = b""
            for partition, batch in (await reader.getmany(timeout_ms=_IDLE_MS, max_records=_SLICE)).items():
                for record in batch:
                    positions[partition] = record.offset + 1
                    if record.value is not None and _wanted(record.key, prefixes):
                        chunk += _event_id(positions) + b"event: stock-change\ndata: " + record.value + b"\n\n"
            if not chunk and clock() - spoke_at > _KEEP_ALIVE_S:
                chunk = _event_id(positions) + b": still here\n\n"
            if chunk:
                spoke_at = clock()
                await _send_chunk(send, chunk)


class _Stream(Reply):
    """One client's stream."""

    __slots__ = ("_owner", "_reader", "_skus")

    def __init__(self, owner: StockChangeStreams, reader: AIOKafkaConsumer, skus: frozenset[str]) -> None:
        super().__init__(200, b"", list(_HEADERS))
        self._owner = owner
        self._reader = reader
        self._skus = skus

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send events until the client leaves, Kafka goes away or the process stops."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        sending = asyncio.ensure_future(self._owner.send_all(self._reader, self._skus, send))
        leaving = asyncio.ensure_future(_client_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            results = await asyncio.gather(sending, leaving, return_exceptions=True)
            self._owner.open -= 1
            await close_reader(self._reader)
        _report(results[0])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _report(ended: object) -> None:
    if isinstance(ended, OffsetOutOfRangeError):
        _log.warning("a stream's position is no longer in the log", error=repr(ended))
    elif isinstance(ended, Exception):
        _log.warning("a stream ended", error=repr(ended))


async def _send_chunk(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


def _wanted(key: bytes | None, prefixes: tuple[bytes, ...]) -> bool:
    # The key is SKU/warehouse, and a warehouse has no slash: the SKU is the part before the last slash.
    return not prefixes or (key is not None and key[: key.rfind(b"/") + 1] in prefixes)


def _event_id(positions: Positions) -> bytes:
    pairs = sorted((partition.partition, offset) for partition, offset in positions.items())
    return b"id: " + b",".join(b"%d:%d" % pair for pair in pairs) + b"\n"


def _positions_in(event_id: bytes | None, partitions: int) -> Positions:
    if not event_id:
        return {}
    text = event_id.decode("latin-1")
    pairs = [pair.split(":") for pair in text.split(",")] if _is_event_id(text) else []
    if not pairs or any(int(partition) >= partitions for partition, _ in pairs):
        detail = "The header Last-Event-ID is not an event id of this gateway's streams."
        raise RequestRefused(Code.INVALID_FIELD, detail=detail, field="Last-Event-ID", problem=Problem.NOT_ALLOWED)
    return {TopicPartition(STOCK_CHANGES, int(partition)): int(offset) for partition, offset in pairs}
