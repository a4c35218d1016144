"""Owns the key set (RFC 7517) against which tokens are verified: where it comes from, and when it is read again."""

import asyncio
import contextlib
import json
import ssl
import time
from pathlib import Path

import aiohttp
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

from gateway.access.config import AccessError
from gateway.access.keys import trusted_content

ALGORITHMS = ("RS256", "ES256", "EdDSA")
_TIMEOUT_S = 10.0
_MAX_BYTES = 1024 * 1024
_EVERY_S = 600.0
_FOR_AN_UNKNOWN_KEY_S = 60.0
_AFTER_A_FAILURE_S = 60.0
_WHILE_THERE_IS_NONE_S = 5.0


class KeySet:
    """The keys of the issuer of tokens; the last good ones hold while new ones cannot be had.

    Args:
        source: a file or an https URL.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.is_file = "://" not in source
        self.keys: dict[str | None, PyJWK] = {}
        self.generation = 0
        self._content: bytes | None = None
        self._read_at = float("-inf")
        self._has_failed = False
        self._is_wanted = asyncio.Event()

    @property
    def alone(self) -> PyJWK | None:
        """Return the only key of the set; None when it has none or several."""
        return next(iter(self.keys.values())) if len(self.keys) == 1 else None

    @property
    def pause_s(self) -> float:
        """Return after how many seconds the set should be read again."""
        if not self.keys:
            return _WHILE_THERE_IS_NONE_S
        return _AFTER_A_FAILURE_S if self._has_failed else _EVERY_S

    def want(self) -> None:
        """Have the set read again for a key that it does not have, at most once a minute."""
        if time.monotonic() - self._read_at >= _FOR_AN_UNKNOWN_KEY_S:
            self._is_wanted.set()

    async def read(self) -> None:
        """Read the set.

        Raises:
            AccessError: it cannot be read, or has no key that can be used. The last good one holds.
        """
        self._read_at = time.monotonic()
        self._is_wanted.clear()
        self._has_failed = True
        content = await (asyncio.to_thread(self._from_file) if self.is_file else self._from_url())
        if content != self._content:
            self.keys = keys_in(content)
            self._content = content
            self.generation += 1
        self._has_failed = False

    async def until_due(self) -> None:
        """Wait until the set should be read again: 10 min; less when a key is missing, or reading it failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pause_s):
                await self._is_wanted.wait()

    def _from_file(self) -> bytes:
        return trusted_content(Path(self.source), "key set")

    async def _from_url(self) -> bytes:
        # Made anew each time, so certificates of this machine that were replaced count.
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True) as session,
                session.get(self.source, allow_redirects=False) as answer,
            ):
                if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                    raise AccessError(f"HOLDFAST_JWKS {self.source} answers with status {answer.status}")
                content = await answer.content.read(_MAX_BYTES)
                while chunk := await answer.content.read(_MAX_BYTES):
                    content += chunk
                    if len(content) > _MAX_BYTES:
                        raise AccessError(f"HOLDFAST_JWKS {self.source} is larger than {_MAX_BYTES} bytes")
                return content
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise AccessError(f"HOLDFAST_JWKS {self.source} cannot be read: {error!r}") from None


def keys_in(content: bytes) -> dict[str | None, PyJWK]:
    """Return the keys of a key set by `kid`: those that verify a signature with one of the algorithms.

    A key without `alg` gets the one of its type, so a token cannot choose another for it. Secrets (`oct`) are left out.

    Raises:
        AccessError: it is no key set, or no key of it can be used.
    """
    try:
        document = json.loads(content)
        found = PyJWKSet.from_dict(document).keys if isinstance(document, dict) else []
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, PyJWTError):
        found = []
    usable = [
        key
        for key in found
        if key.algorithm_name in ALGORITHMS
        and key.public_key_use in (None, "sig")
        and isinstance(key.key_id, str | None)
    ]
    if not usable:
        raise AccessError(f"HOLDFAST_JWKS has no key that can be used: only {', '.join(ALGORITHMS)} are")
    return {key.key_id: key for key in usable}
