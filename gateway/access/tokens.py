"""Owns the tokens (JWT, RFC 7519) of other issuers: which hold, and what their claims allow.

PyJWT verifies; the algorithm is the key's, never the one that the token asks for. A token that was verified is
remembered for a minute at most, so most requests cost a digest and a look-up instead of a signature.
"""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt
from jwt import PyJWK
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from gateway.access.config import AccessConfig
from gateway.access.credential import Credential
from gateway.access.key_set import ALGORITHMS, KeySet
from gateway.access.rates import Usage
from gateway.access.scopes import Scope
from gateway.problems import Unauthenticated
from schemas.fields import PLACE_PATTERN
from schemas.reference import MAX_CHANNELS

LEEWAY_S = 30
_REMEMBERED_S = 60.0
_MAX_REMEMBERED = 10_000
_MAX_USAGES = 10_000
_CLAIMS = ["exp", "iss", "aud", "sub"]
_SCOPES = frozenset(Scope)
_is_channel = re.compile(PLACE_PATTERN).fullmatch
# `source` of a command is printable text of at most 256 characters.
_is_subject = re.compile("[^\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]{1,252}").fullmatch


class _Verified(NamedTuple):
    """A token that was verified, and until when that is remembered."""

    credential: Credential
    until: float
    generation: int


class Tokens:
    """The tokens of one issuer.

    Args:
        config: issuer, audience, and how many streams a credential may have.
        key_set: the issuer's keys.
        most_waiting: how many requests of each may wait.
        clock: returns the time in seconds since the Unix epoch.
    """

    def __init__(
        self, config: AccessConfig, key_set: KeySet, *, most_waiting: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._key_set = key_set
        self._most_waiting = most_waiting
        self._clock = clock
        self._verified: dict[bytes, _Verified] = {}
        self._usages: dict[str, Usage] = {}

    def credential(self, bearer: bytes) -> Credential:
        """Return whose token it is.

        Raises:
            Unauthenticated: it does not hold.
        """
        digest = hashlib.sha256(bearer).digest()
        now = self._clock()
        known = self._verified.get(digest)
        if known is not None and now < known.until and known.generation == self._key_set.generation:
            return known.credential
        claims = self._claims(bearer)
        credential = self._made(claims)
        if len(self._verified) >= _MAX_REMEMBERED:
            self._verified.pop(next(iter(self._verified)))
        self._verified.pop(digest, None)
        until = min(now + _REMEMBERED_S, int(claims["exp"]) + LEEWAY_S)
        self._verified[digest] = _Verified(credential, until, self._key_set.generation)
        return credential

    def _claims(self, bearer: bytes) -> dict[str, Any]:
        try:
            key = self._key_of(bearer)
            claims: dict[str, Any] = jwt.decode(
                bearer,
                key,
                algorithms=[key.algorithm_name],
                audience=self._config.audience,
                issuer=self._config.issuer,
                leeway=LEEWAY_S,
                options={"require": _CLAIMS, "enforce_minimum_key_length": True},
            )
        except ExpiredSignatureError:
            raise Unauthenticated("The token has expired.") from None
        except (PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise Unauthenticated(f"The token does not hold ({type(error).__name__}).") from None
        return claims

    def _key_of(self, bearer: bytes) -> PyJWK:
        kid = jwt.get_unverified_header(bearer).get("kid")
        found = self._key_set.keys.get(kid) if kid is not None else self._key_set.alone
        if found is None:
            self._key_set.want()
            raise Unauthenticated(f"The key set has no key for the token; its algorithms are {', '.join(ALGORITHMS)}.")
        return found

    def _made(self, claims: dict[str, Any]) -> Credential:
        subject, scope, channels = claims["sub"], claims.get("scope", ""), claims.get("holdfast_channels")
        if not isinstance(subject, str) or _is_subject(subject) is None:
            raise Unauthenticated("The token's `sub` must be 1 to 252 printable characters.")
        if not isinstance(scope, str):
            raise Unauthenticated("The token's `scope` must be scopes with spaces between them.")
        if channels is not None and not _are_channels(channels):
            raise Unauthenticated("The token's `holdfast_channels` must be a list of 1 to 1,000 channels.")
        return Credential(
            id=f"jwt/{subject}",
            source=f"jwt/{subject}",
            scopes=frozenset(Scope(name) for name in scope.split() if name in _SCOPES),
            channels=None if channels is None else tuple(sorted({*channels})),
            usage=self._usage_of(subject),
            expires_at=(int(claims["exp"]) + LEEWAY_S) * 1000,
        )

    def _usage_of(self, subject: str) -> Usage:
        usage = self._usages.get(subject)
        if usage is None:
            if len(self._usages) >= _MAX_USAGES:
                self._usages = {name: used for name, used in self._usages.items() if used.streams or used.waits}
            usage = Usage(most_streams=self._config.max_streams, most_waiting=self._most_waiting)
            self._usages[subject] = usage
        return usage


def _are_channels(claim: Any) -> bool:
    if not isinstance(claim, list) or not 1 <= len(claim) <= MAX_CHANNELS:
        return False
    return all(isinstance(name, str) and _is_channel(name) is not None for name in claim)
