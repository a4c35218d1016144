"""Owns the keys of a gateway and their file.

A key is `hf_ID_SECRET`; its secret is 32 random bytes in base64url. The file has the SHA-256 of the whole key, which is
enough for 256 random bits (ADR 0012).
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.access.config import AccessError
from gateway.access.credential import Credential
from gateway.access.rates import Allowance, Usage
from gateway.access.scopes import Scope
from gateway.problems import Unauthenticated
from schemas.codec import encode
from schemas.fields import MAX_TIME_MS, PLACE_PATTERN, Place

PREFIX = "hf_"
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
_SECRET_BYTES = 32
_SECRET_CHARACTERS = 43  # 32 bytes in base64url, without the padding
_SHORTEST = len(PREFIX) + 1 + 1 + _SECRET_CHARACTERS
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NO_DIGEST = bytes(32)
_MAX_RATE = 1_000_000

KeyId = Annotated[str, Meta(pattern=ID_PATTERN)]
Channel = Annotated[Place, Meta(pattern=PLACE_PATTERN)]


class Key(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key, as its file has it.

    Without `rate_per_s` there is no limit; without `burst` it is one second's worth. `expires_at` is in ms since 1970.
    """

    id: KeyId
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    channels: Annotated[list[Channel], Meta(min_length=1, max_length=1_000)] | None = None
    rate_per_s: Annotated[float, Meta(gt=0, le=_MAX_RATE)] | None = None
    burst: Annotated[int, Meta(ge=1, le=_MAX_RATE)] | None = None
    expires_at: Annotated[int, Meta(ge=0, le=MAX_TIME_MS)] | None = None

    def allowance(self) -> Allowance | None:
        """Return the key's rate; None without a limit."""
        if self.rate_per_s is None:
            return None
        return Allowance(self.rate_per_s, self.burst or max(1, round(self.rate_per_s)))


class KeyFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file of keys."""

    keys: list[Key]


_decode = msgspec.json.Decoder(KeyFile).decode


def new_key(id_: str) -> tuple[str, str]:
    """Return a new key and its SHA-256 in hexadecimal digits."""
    key = f"{PREFIX}{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return key, hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> KeyFile:
    """Read a file of keys.

    Raises:
        AccessError: it cannot be read, others may write it, or it is no file of keys.
    """
    return decoded_keys(path, trusted_content(path, "key file"))


def trusted_content(path: Path, what: str) -> bytes:
    """Return what a file holds that decides who may do what.

    Args:
        path: the file.
        what: what it is, for people.

    Raises:
        AccessError: it cannot be read, or others may write it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as error:
        raise AccessError(f"the {what} {path} cannot be read: {error.strerror}") from None
    if mode & _OTHERS_WRITE:
        raise AccessError(f"others than its owner may write the {what} {path}: `chmod go-w {path}`")
    return content


def decoded_keys(path: Path, content: bytes) -> KeyFile:
    """Return the keys of a file.

    Args:
        path: the file, for people.
        content: what it holds.

    Raises:
        AccessError: it is no file of keys.
    """
    try:
        found = _decode(content)
    except msgspec.ValidationError as error:
        raise AccessError(f"the key file {path} is wrong: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AccessError(f"the key file {path} is no JSON") from None
    seen: set[str] = set()
    for key in found.keys:
        if key.id in seen:
            raise AccessError(f"the key file {path} has the id {key.id} twice")
        seen.add(key.id)
    return found


def written(file: KeyFile) -> bytes:
    """Return a file of keys as it is written: one key a line."""
    lines = b",\n".join(b"  " + encode(key) for key in file.keys)
    return b'{"keys": [\n' + lines + b"\n]}\n"


class _Known(msgspec.Struct):
    """A key in force."""

    key: Key
    digest: bytes
    credential: Credential


class Keys:
    """The keys in force.

    Args:
        most_streams: how many streams each may have open.
        most_waiting: how many requests of each may wait.
    """

    def __init__(self, *, most_streams: int, most_waiting: int) -> None:
        self._most_streams = most_streams
        self._most_waiting = most_waiting
        self._known: Mapping[str, _Known] = {}

    def replace(self, file: KeyFile) -> None:
        """Put other keys into force. One that stays as it was keeps what it has used of its rate."""
        known = {}
        for key in file.keys:
            before = self._known.get(key.id)
            known[key.id] = before if before is not None and before.key == key else self._made(key)
        for id_, before in self._known.items():
            if known.get(id_) is not before:
                before.credential.usage.revoked = True
        self._known = known

    def _made(self, key: Key) -> _Known:
        usage = Usage(key.allowance(), most_streams=self._most_streams, most_waiting=self._most_waiting)
        credential = Credential(
            id=f"key/{key.id}",
            source=f"key/{key.id}",
            scopes=frozenset(key.scopes),
            channels=None if key.channels is None else tuple(sorted({*key.channels})),
            usage=usage,
            expires_at=key.expires_at,
        )
        return _Known(key, bytes.fromhex(key.sha256), credential)

    def credential(self, bearer: bytes) -> Credential:
        """Return whose key it is.

        Raises:
            Unauthenticated: no key in force is this one.
        """
        known = self._known.get(bearer[len(PREFIX) : -_SECRET_CHARACTERS - 1].decode("latin-1"))
        # The same work for an id that nobody has; a digest is compared in a time that does not depend on it.
        expected = _NO_DIGEST if known is None else known.digest
        if not hmac.compare_digest(hashlib.sha256(bearer).digest(), expected) or known is None:
            raise Unauthenticated("No key in force is this one.")
        if known.key.expires_at is not None and known.key.expires_at <= time.time_ns() // 1_000_000:
            raise Unauthenticated("The key has expired.")
        return known.credential


def looks_like_a_key(bearer: bytes) -> bool:
    """Return whether a credential has the form of a key."""
    return (
        len(bearer) >= _SHORTEST and bearer.startswith(PREFIX.encode()) and bearer[-_SECRET_CHARACTERS - 1] == ord("_")
    )


is_key_id = re.compile(ID_PATTERN).fullmatch
