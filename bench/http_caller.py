"""Owns the calling over HTTP: keep-alive connections on asyncio's protocols, lean enough not to be what is measured."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

from bench.load import Request
from bench.open_loop import Pace, Trial, clock
from schemas.codec import encode

_CONNECTIONS = 32
_MAX_CONNECTIONS = 512
_PATHS = {"adjust": "/v1/adjustments", "reserve": "/v1/reservations"}


class _Call(NamedTuple):
    trial: Trial | None
    number: int
    request: bytes


class _Connection(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self, done: Callable[["_Connection", int], None], lost: Callable[["_Connection"], None]) -> None:
        self._done = done
        self._lost = lost
        self._received = b""
        self._call: _Call | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._lost(self)

    def send(self, call: _Call) -> None:
        self._call = call
        assert self.transport is not None  # noqa: S101 - the pool only holds connections that were made
        self.transport.write(call.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received = b""
        if self._call is not None and self._call.trial is not None:
            self._call.trial.answered(self._call.number)
        self._done(self, int(head[9:12]))


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    if not found:
        raise RuntimeError(f"an answer without Content-Length cannot be read here: {head!r}")
    return int(rest.partition(b"\r")[0])


class HttpCaller:
    """A pool of connections to a gateway.

    Args:
        host: the gateway's host.
        port: its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._free: list[_Connection] = []
        self._open_ones: set[_Connection] = set()
        self._waiting: deque[_Call] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._statuses: Counter[int] = Counter()
        self._on_answer: Callable[[_Connection], None] = self._serve

    async def start(self) -> None:
        """Open the first connections."""
        await asyncio.gather(*(self._open() for _ in range(_CONNECTIONS)))

    async def stop(self) -> None:
        """Close all connections."""
        for connection in list(self._open_ones):
            if connection.transport is not None:
                connection.transport.close()
        await asyncio.gather(*self._opening, return_exceptions=True)

    async def _open(self) -> None:
        connection: _Connection
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._answered, self._lost), self._host, self._port
        )
        self._open_ones.add(connection)
        self._serve(connection)

    def _lost(self, connection: _Connection) -> None:
        self._open_ones.discard(connection)
        if connection in self._free:
            self._free.remove(connection)

    async def run(self, pace: Pace, requests: Sequence[Request]) -> tuple[list[float], dict[int, int]]:
        """Send as many requests as the pace asks for.

        Returns:
            Per request, the seconds from the intended send time to the last byte of the answer; and how often each
            status came.
        """
        encoded = [self.encoded(request.fields) for request in requests]
        self._statuses = Counter()
        trial = Trial(pace, lambda number: self._send(_Call(trial, number, encoded[number])))
        taken = await trial.run()
        return taken, dict(self._statuses)

    async def saturate(self, requests: Iterator[bytes], *, connections: int, seconds: float, warm_up_s: float) -> float:
        """Send the next request on each connection as soon as its last one is answered; return the answers per second.

        Args:
            requests: the requests, without an end.
            connections: how many.
            seconds: how long to count.
            warm_up_s: how long to send before that.
        """
        self._statuses = Counter()
        self._on_answer = lambda connection: connection.send(_Call(None, 0, next(requests)))
        while len(self._open_ones) < connections:
            await self._open()
        for connection in self._free[:connections]:
            connection.send(_Call(None, 0, next(requests)))
        self._free.clear()
        await asyncio.sleep(warm_up_s)
        before, began = self._statuses.total(), clock()
        await asyncio.sleep(seconds)
        rate = (self._statuses.total() - before) / (clock() - began)
        self._on_answer = self._serve
        return rate

    @property
    def statuses(self) -> dict[int, int]:
        """Return how often each status came in the last run."""
        return dict(self._statuses)

    def encoded(self, fields: dict[str, object]) -> bytes:
        """Return the request of a command."""
        body = {name: value for name, value in fields.items() if name not in {"command_id", "type"}}
        path = _PATHS.get(str(fields["type"]))
        if path is None:
            path = f"/v1/reservations/{body.pop('reservation_id')}/{fields['type']}"
        return self.posted(path, encode(body), str(fields["command_id"]))

    def posted(self, path: str, content: bytes, key: str) -> bytes:
        """Return a request with a body."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {key}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    def gotten(self, path: str) -> bytes:
        """Return a request without a body."""
        return f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode()

    def _send(self, call: _Call) -> None:
        if self._free:
            self._free.pop().send(call)
            return
        self._waiting.append(call)
        if len(self._open_ones) + len(self._opening) < _MAX_CONNECTIONS:
            task = asyncio.ensure_future(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _answered(self, connection: _Connection, status: int) -> None:
        self._statuses[status] += 1
        self._on_answer(connection)

    def _serve(self, connection: _Connection) -> None:
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._free.append(connection)
