"""Owns the reading of HTTP requests: body, headers and query string."""

import re
from collections.abc import Collection
from typing import Any

from litestar import Request

from gateway.body_clock import BodyClock
from gateway.problems import BodyTooLarge, RequestRefused, UnsupportedMediaType
from gateway.query_string import pairs_of
from schemas.codec import MAX_ECHO
from schemas.codes import Code, Problem

_is_integer = re.compile(r"-?[0-9]+", re.ASCII).fullmatch
_is_json = re.compile(rb"application/json\s*(?:;\s*(?:charset\s*=\s*\"?utf-8\"?\s*)?)?", re.IGNORECASE).fullmatch
_MOST_DIGITS = 16  # those of the largest number that every JSON reader can represent
_MOST_VALUES = 100  # of one parameter
_LONGEST_TARGET = 8 * 1024
# The server refuses more with 431, except for what comes in one piece: it fills its buffer before it looks.
MOST_HEADER_BYTES = 32 * 1024
_clock = BodyClock()

HttpRequest = Request[Any, Any, Any]


def check_head(request: HttpRequest) -> None:
    """Check that target and headers are not too long.

    Raises:
        RequestRefused: `malformed`.
    """
    scope = request.scope
    if len(scope["raw_path"]) + len(scope["query_string"]) >= _LONGEST_TARGET:
        raise RequestRefused(Code.MALFORMED, detail=f"The target is longer than {_LONGEST_TARGET:,} bytes.")
    if sum([len(name) + len(value) for name, value in scope["headers"]]) > MOST_HEADER_BYTES:
        raise RequestRefused(Code.MALFORMED, detail=f"The headers are longer than {MOST_HEADER_BYTES:,} bytes in all.")


def header(request: HttpRequest, name: bytes) -> bytes | None:
    """Return a header's value, None without one; `name` is in lower case, as in ASGI.

    Several of one name are one list (RFC 9110, 5.2): a second `Idempotency-Key` makes both of them no key.
    """
    # Litestar would first build a mapping of all headers; three look-ups cost less.
    values = [value for key, value in request.scope["headers"] if key == name]
    return b", ".join(values) if values else None


async def read_body(request: HttpRequest, limit: int) -> bytes:
    """Return the body, which must be JSON by its headers.

    Raises:
        UnsupportedMediaType: it is not `application/json`, or packed. A page of another origin can send neither without
            asking first, which is never granted.
        BodyTooLarge: it is longer than `limit` bytes; the rest is not read.
        RequestTimedOut: it did not arrive within 10 s.
    """
    _check_announced(request, limit)
    return await _clock.wait_for(_received(request, limit))


def _check_announced(request: HttpRequest, limit: int) -> None:
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]  # type: ignore[assignment] # a list, as of every server
    named: dict[bytes, bytes | None] = dict(headers)
    if len(named) < len(headers):
        named = {name: header(request, name) for name in named}
    media = named.get(b"content-type")
    if media != b"application/json" and (media is None or not _is_json(media)):
        raise UnsupportedMediaType
    encoding = named.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise UnsupportedMediaType
    announced = named.get(b"content-length")
    if announced is not None and announced.isdigit():
        # Python makes no integer of more than 4,300 digits; as bytes, the one with more digits is the larger.
        digits, most = announced.lstrip(b"0"), b"%d" % limit
        if (len(digits), digits) > (len(most), most):
            raise BodyTooLarge(limit)


async def _received(request: HttpRequest, limit: int) -> bytes:
    chunks: list[bytes] = []
    length = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":  # the client is gone and will not read an answer
            break
        chunk = message.get("body", b"")
        length += len(chunk)
        if length > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def prefers_async(request: HttpRequest) -> bool:
    """Return whether the caller wants an answer before the result is there (RFC 7240, `Prefer: respond-async`)."""
    prefer = header(request, b"prefer")
    return prefer is not None and b"respond-async" in (part.strip().lower() for part in prefer.split(b","))


class Query:
    """A query string, read as strictly as a body: unknown parameters are refused.

    Args:
        request: the request.
        known: the names of the route's parameters.

    Raises:
        RequestRefused: `invalid_field` with the parameter's name.
    """

    def __init__(self, request: HttpRequest, known: Collection[str]) -> None:
        raw: bytes = request.scope["query_string"]
        try:
            self._pairs = pairs_of(raw)
        except ValueError:
            raise RequestRefused(Code.MALFORMED, detail="The query string is not percent-encoded UTF-8.") from None
        for name, _ in self._pairs:
            if name not in known:
                shown = name[:MAX_ECHO]  # a caller's parameter name may be very long
                detail = f"The route has no parameter {shown}."
                raise _wrong(shown, detail, Problem.UNKNOWN_FIELD)

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter; it may have 100."""
        values = [value for key, value in self._pairs if key == name]
        if len(values) > _MOST_VALUES:
            detail = f"The parameter {name} may be given {_MOST_VALUES} times at most, not {len(values):,} times."
            raise _wrong(name, detail, Problem.TOO_LONG)
        return values

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that may be given once at most; None when absent."""
        values = self.all(name)
        if len(values) > 1:
            raise _wrong(name, f"The parameter {name} may be given only once.", Problem.NOT_ALLOWED)
        return values[0] if values else None

    def needed(self, name: str) -> str:
        """Return the value of a parameter that must be given exactly once."""
        value = self.one(name)
        if value is None:
            raise _wrong(name, f"The parameter {name} is missing.", Problem.MISSING)
        return value

    def digits(self, name: str) -> str | None:
        """Return the value of a parameter that is to be an integer, as text of 16 digits at most; None when absent."""
        text = self.one(name)
        # What has more without its leading zeros is too large, which the reader of its value says.
        if text is not None and _is_integer(text) and len(text.lstrip("-0")) <= _MOST_DIGITS < len(text):
            raise _wrong(name, f"{name} has more than {_MOST_DIGITS} digits.", Problem.TOO_LONG)
        return text

    def integer(self, name: str, *, least: int, most: int) -> int | None:
        """Return the value of a parameter that is an integer in a range; None when absent."""
        text = self.digits(name)
        return None if text is None else _in_range(name, text, least, most)

    def needed_integer(self, name: str, *, least: int, most: int) -> int:
        """Return the value of a parameter that must be given once, and is an integer in a range."""
        self.needed(name)
        return _in_range(name, self.digits(name) or "", least, most)

    def without(self, name: str) -> list[tuple[str, str]]:
        """Return all parameters but one, in their order, each with its value."""
        return [pair for pair in self._pairs if pair[0] != name]


def _in_range(name: str, text: str, least: int, most: int) -> int:
    digits = text.lstrip("-0") or "0"
    if _is_integer(text) is None:
        problem, reason = Problem.WRONG_TYPE, "is of another type"
    elif text.startswith("-") or (len(digits) <= _MOST_DIGITS and int(digits) < least):
        problem, reason = Problem.TOO_SMALL, "is too small"
    elif len(digits) > _MOST_DIGITS or int(digits) > most:
        problem, reason = Problem.TOO_LARGE, "is too large"
    else:
        return int(digits)
    detail = f"{name} must be an integer from {least:,} to {most:,}: {text[:MAX_ECHO]} {reason}."
    raise _wrong(name, detail, problem)


def _wrong(name: str, detail: str, problem: Problem) -> RequestRefused:
    return RequestRefused(Code.INVALID_FIELD, detail=detail, field=name, problem=problem)
