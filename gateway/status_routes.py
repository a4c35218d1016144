"""Owns `GET /v1/status`: the gateway's status as a document, or once a second as server-sent events."""

import asyncio
import contextlib
import weakref
from collections.abc import Iterator

from litestar.types import Receive, Scope, Send

from gateway.access.credential import Credential, credential_of
from gateway.incoming import HttpRequest, header
from gateway.problems import TooManyRequests
from gateway.replies import EVENT_STREAM, JSON, Reply
from gateway.status_document import Caller, GatewayStatus
from schemas.codec import encode

_EVENTS = EVENT_STREAM[1]
_MOST_STREAMS = 100


class StatusRoutes:
    """The route of the status.

    Args:
        status: makes it.
        stopping: set when the process ends.
    """

    def __init__(self, status: GatewayStatus, stopping: asyncio.Event) -> None:
        self._status = status
        self._stopping = stopping
        self._open = 0

    async def status(self, request: HttpRequest) -> Reply:
        """Answer with the status; with `Accept: text/event-stream` once a second."""
        if _EVENTS not in (header(request, b"accept") or b""):
            return Reply(200, _with(_caller(credential_of(request)), self._status.document()), [JSON])
        stream = _Stream(self._status, credential_of(request), self._stopping)
        with contextlib.ExitStack() as ended:
            ended.enter_context(self._one_more())
            ended.enter_context(credential_of(request).usage.stream())
            # Also a stream whose answer is never sent counts for as long as it is there, and no longer.
            weakref.finalize(stream, ended.pop_all().close)
        return stream

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[None]:
        if self._open >= _MOST_STREAMS:
            raise TooManyRequests(_MOST_STREAMS)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


class _Stream(Reply):
    """One client's stream. A client that reads slowly misses documents; each is whole."""

    __slots__ = ("__weakref__", "_credential", "_status", "_stopping")

    def __init__(self, status: GatewayStatus, credential: Credential, stopping: asyncio.Event) -> None:
        super().__init__(200, b"", [EVENT_STREAM])
        self._status = status
        self._credential = credential
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the status until the client leaves, its credential ends or the process stops."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        work = (self._send_all(send), _client_gone(receive), self._stopping.wait())
        tasks: list[asyncio.Task[object]] = [asyncio.ensure_future(it) for it in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        last = b"event: bye\ndata: {}\n\n" if self._stopping.is_set() else b""
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send_all(self, send: Send) -> None:
        document, caller = self._status.document(), _caller(self._credential)
        await _send_chunk(send, b"retry: 1000\n\n")
        while self._credential.holds():
            await _send_chunk(send, b"event: status\ndata: " + _with(caller, document) + b"\n\n")
            document = await self._status.next_document()


def _caller(credential: Credential) -> bytes:
    channels = None if credential.channels is None else [*credential.channels]
    return encode(Caller(credential.id, sorted(credential.scopes), channels))


def _with(caller: bytes, document: bytes) -> bytes:
    """Return the document, which is the same for all, with who asks."""
    return b'{"credential":' + caller + b"," + document[1:]


async def _send_chunk(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
