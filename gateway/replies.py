"""Owns the HTTP answers: status, headers and ready-made bytes."""

import asyncio
import zlib

from litestar.types import Receive, Scope, Send

from gateway.problems import HELP_LINK, MEDIA_TYPE, RequestRefused

Header = tuple[bytes, bytes]
Headers = list[Header]

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream")
HTML = (b"content-type", b"text/html; charset=utf-8")
_PROBLEM = (b"content-type", MEDIA_TYPE)
_HELP = (b"link", HELP_LINK)
_CLOSE = (b"connection", b"close")
_MAY_BE_APPLIED = frozenset({503, 504})
_COME_BACK = frozenset({429, 503})
_WITHOUT_LENGTH = frozenset({204, 304})
_REQUEST_TIMEOUT = 408

# The headers that every answer carries, whatever it says: how long it may be kept, and what a browser may do with it.
_SAFE: tuple[Header, ...] = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
NO_STORE: tuple[Header, ...] = ((b"cache-control", b"no-store"), *_SAFE)
REVALIDATED: tuple[Header, ...] = ((b"cache-control", b"private, no-cache"), *_SAFE)
# For a file whose name has the hash of its content.
FOR_A_YEAR: tuple[Header, ...] = ((b"cache-control", b"public, max-age=31536000, immutable"), *_SAFE)
PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: tuple[Header, ...] = (*NO_STORE, (b"content-security-policy", PAGE_POLICY))

_COMPRESSED_FROM = 1024  # bytes; the headers and the time that gzip takes are not worth it below
_COMPRESSED_ASIDE_FROM = 64 * 1024  # takes 1 ms or more: in a thread, so that other requests go on meanwhile
_GZIP_LEVEL = 1  # a list of SKUs becomes 8 times as small in a third of the time of level 6
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # with gzip's own header and checksum


class Reply:
    """One answer, as an ASGI application.

    Litestar's `Response` merges headers, cookies and encoders for every answer: 30 of the 60 us that a request took in
    the framework (without the server). These answers do not need it.

    Args:
        status: the HTTP status.
        body: all of it.
        headers: those of this very answer; a list of its own.
        standing: the headers of all answers of its kind.
    """

    __slots__ = ("body", "headers", "standing", "status")

    def __init__(self, status: int, body: bytes, headers: Headers, standing: tuple[Header, ...] = NO_STORE) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.standing = standing

    def complete(self, request_id: bytes, beside: tuple[Header, ...]) -> None:
        """Add the headers that every answer carries. Called once, before the answer is sent.

        Args:
            request_id: names the request in the log.
            beside: the headers of all answers of this gateway.
        """
        self.headers += self.standing
        self.headers += beside
        self.headers.append((b"holdfast-request-id", request_id))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the answer; to `HEAD` only its headers."""
        body, headers = self.body, self.headers
        if len(body) >= _COMPRESSED_FROM:
            headers.append((b"vary", b"accept-encoding"))
            if takes_gzip(scope):
                aside = len(body) >= _COMPRESSED_ASIDE_FROM
                body = await asyncio.to_thread(compressed, body) if aside else compressed(body)
                headers.append((b"content-encoding", b"gzip"))
        if self.status not in _WITHOUT_LENGTH:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if scope["method"] == "HEAD":  # type: ignore[typeddict-item] # of HTTP only
            body = b""
        await send({"type": "http.response.body", "body": body, "more_body": False})


def head_of(reply: Reply) -> Reply:
    """Return the answer to `HEAD` where `GET` would get this one. A stream is not begun."""
    return reply if type(reply).__call__ is Reply.__call__ else _StreamHead()


class _StreamHead(Reply):
    """The headers of a stream."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(200, b"", [EVENT_STREAM])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the headers. A stream has no length."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def takes_gzip(scope: Scope) -> bool:
    """Return whether the caller asked for gzip (RFC 9110, `Accept-Encoding`; `*` alone is not asking)."""
    asked = b",".join([value for key, value in scope["headers"] if key == b"accept-encoding"])
    for coding in asked.lower().split(b","):
        name, *parameters = [part.strip() for part in coding.split(b";")]
        if name == b"gzip":
            return not any(part.startswith(b"q=") and not part[2:].strip(b"0.") for part in parameters)
    return False


def compressed(body: bytes) -> bytes:
    """Return a body packed with gzip."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


def refusal(error: RequestRefused, retry_after_s: int, *, of_a_read: bool = False) -> Reply:
    """Return the answer to a request that was refused.

    Args:
        error: why.
        retry_after_s: the value of `Retry-After`.
        of_a_read: whether the request changes nothing: asking again needs no key then.
    """
    status = error.status
    headers: Headers = [_PROBLEM, _HELP]
    if status == _REQUEST_TIMEOUT:
        headers.append(_CLOSE)  # the rest of the request may still come, and is no request
    if status in _COME_BACK:
        headers.append((b"retry-after", b"%d" % (error.retry_after_s or retry_after_s)))
    headers.extend(error.headers)
    if error.command_id is not None:
        name = error.command_id.encode()
        headers.append((b"idempotency-key", name))
        if status in _MAY_BE_APPLIED:
            headers.append((b"holdfast-command-id", name))
    return Reply(status, error.body(of_a_read=of_a_read), headers)


def document(status: int, body: bytes, command_id: str) -> Reply:
    """Return the answer with a result of the ledger, unchanged."""
    return Reply(status, body, [JSON, (b"idempotency-key", command_id.encode())])


def problem(status: int, body: bytes, command_id: str) -> Reply:
    """Return the answer with a problem document about a command."""
    return Reply(status, body, [_PROBLEM, _HELP, (b"idempotency-key", command_id.encode())])
