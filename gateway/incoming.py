"""Owns the reading of HTTP requests: body, headers and query string."""

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from litestar import Request

from gateway.problems import BodyTooLarge, RequestRefused
from schemas.codec import MAX_ECHO
from schemas.codes import Code, Problem

_is_integer = re.compile(r"-?[0-9]+", re.ASCII).fullmatch
_MOST_DIGITS = 16  # those of the largest number that every JSON reader can represent

HttpRequest = Request[Any, Any, Any]


def header(request: HttpRequest, name: bytes) -> bytes | None:
    """Return a header's value, None without one; `name` is in lower case, as in ASGI."""
    # Litestar would first build a mapping of all headers; three look-ups cost less.
    return next((value for key, value in request.scope["headers"] if key == name), None)


async def read_body(request: HttpRequest, limit: int) -> bytes:
    """Return the body.

    Raises:
        BodyTooLarge: it is longer than `limit` bytes; the rest is not read.
    """
    announced = header(request, b"content-length")
    if announced is not None and announced.isdigit():
        # Python makes no integer of more than 4,300 digits; as bytes, the one with more digits is the larger.
        digits, most = announced.lstrip(b"0"), b"%d" % limit
        if (len(digits), digits) > (len(most), most):
            raise BodyTooLarge(limit)
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
            self._pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
        except (UnicodeDecodeError, ValueError):
            raise RequestRefused(Code.MALFORMED, detail="The query string is not percent-encoded UTF-8.") from None
        for name, _ in self._pairs:
            if name not in known:
                shown = name[:MAX_ECHO]  # a caller's parameter name may be very long
                detail = f"The route has no parameter {shown}."
                raise _wrong(shown, detail, Problem.UNKNOWN_FIELD)

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return [value for key, value in self._pairs if key == name]

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

    def integer(self, name: str, *, least: int, most: int) -> int | None:
        """Return the value of a parameter that is an integer in a range; None when absent."""
        text = self.one(name)
        return None if text is None else _in_range(name, text, least, most)

    def needed_integer(self, name: str, *, least: int, most: int) -> int:
        """Return the value of a parameter that must be given once, and is an integer in a range."""
        return _in_range(name, self.needed(name), least, most)

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
