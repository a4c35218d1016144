"""Owns the admission of requests: where each comes from, who sent it, what that credential may do, and how often."""

import asyncio
import contextlib
from collections.abc import Iterator

import structlog

from gateway.access.config import AccessConfig, AccessError
from gateway.access.credential import ANYBODY, OPEN, Credential
from gateway.access.key_set import KeySet
from gateway.access.keys import Keys, decoded_keys, looks_like_a_key, trusted_content
from gateway.access.pages import Pages
from gateway.access.scopes import NOBODY, Needed
from gateway.access.tokens import Tokens
from gateway.incoming import HttpRequest
from gateway.problems import Unauthenticated

# A browser that saw it once never asks this name without TLS again, for a year (RFC 6797).
_STRICT = (b"strict-transport-security", b"max-age=31536000")
_FILES_EVERY_S = 2.0
_BEARER = b"bearer "
_log = structlog.get_logger("holdfast.gateway")


class Access:
    """Who may use one gateway.

    Args:
        config: the settings.
        host: the address that the gateway listens on.
        max_in_flight: how many requests may wait; those of one credential are a quarter at most.
    """

    def __init__(self, config: AccessConfig, *, host: str, max_in_flight: int) -> None:
        most_waiting = max(1, max_in_flight // 4)
        self.config = config
        self.headers = () if config.tls_cert is None else (_STRICT,)
        self._pages = Pages(host, config.hosts)
        self._keys = Keys(most_streams=config.max_streams, most_waiting=most_waiting)
        self._key_set = None if config.jwks is None else KeySet(config.jwks)
        self._tokens = None if self._key_set is None else Tokens(config, self._key_set, most_waiting=most_waiting)
        self._content: bytes | None = None  # of the key file
        self._stale: dict[str, str] = {}

    @property
    def credentials_stale(self) -> bool:
        """Return whether the key file or the key set cannot be read, so that the last good one holds."""
        return bool(self._stale)

    def admit(self, request: HttpRequest, needed: Needed | None, *, is_health: bool = False) -> Credential:
        """Return who sent a request, if it may be answered.

        Args:
            request: the request.
            needed: the scopes of which its route needs any one; None: no credential.
            is_health: whether the route is for balancers, which have names of their own for the gateway.

        Raises:
            RequestRefused: `wrong_host`, `forbidden`, `unauthenticated` or `rate_limited`.
        """
        hosts: list[bytes] = []
        given: list[bytes] = []
        origin = site = None
        for name, value in request.scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"authorization":
                given.append(value)
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if is_health:
            self._pages.check_origin(hosts[0] if hosts else b"", origin, site)
        else:
            self._pages.check(hosts, origin, site)
        if self.config.is_open:
            return OPEN
        if needed is NOBODY:
            return ANYBODY
        credential = self._credential(given)
        credential.check_scope(needed)
        credential.usage.take()
        return credential

    def _credential(self, given: list[bytes]) -> Credential:
        if len(given) != 1 or given[0][: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated
        bearer = given[0][len(_BEARER) :].strip()
        if looks_like_a_key(bearer):
            return self._keys.credential(bearer)
        if self._tokens is None:
            raise Unauthenticated("No key in force is this one.")
        return self._tokens.credential(bearer)

    async def load(self) -> None:
        """Read the key file and the key set for the first time.

        Raises:
            AccessError: the key file, or a key set in a file, cannot be used. A key set at a URL is tried again and
                again; until it is there, tokens are refused.
        """
        await self._read_keys()
        if self._key_set is not None:
            try:
                await self._key_set.read()
            except AccessError as error:
                if self._key_set.is_file:
                    raise
                self._note("key set", str(error))

    async def run(self) -> None:
        """Read the key file and the key set again and again until cancelled; what was good holds while they are not."""
        parts = [asyncio.ensure_future(part) for part in (self._follow_keys(), self._follow_key_set())]
        try:
            await asyncio.gather(*parts)
            await asyncio.Event().wait()  # an open gateway has nothing to follow
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _follow_keys(self) -> None:
        while self.config.keys_file is not None:
            await asyncio.sleep(_FILES_EVERY_S)
            with self._noted("key file"):
                await self._read_keys()

    async def _read_keys(self) -> None:
        path = self.config.keys_file
        if path is not None:
            content = await asyncio.to_thread(trusted_content, path, "key file")
            if content != self._content:
                self._keys.replace(await asyncio.to_thread(decoded_keys, path, content))
                self._content = content

    async def _follow_key_set(self) -> None:
        while self._key_set is not None:
            if self._key_set.is_file:
                await asyncio.sleep(_FILES_EVERY_S)
            else:
                await self._key_set.until_due()
            with self._noted("key set"):
                await self._key_set.read()

    @contextlib.contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        try:
            yield
        except AccessError as error:
            self._note(what, str(error))
        else:
            if self._stale.pop(what, None) is not None:
                _log.info("credentials can be read again", what=what)

    def _note(self, what: str, reason: str) -> None:
        if self._stale.get(what) != reason:
            _log.warning("credentials cannot be read: the last good ones hold", what=what, reason=reason)
        self._stale[what] = reason
