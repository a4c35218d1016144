"""Owns the file of a gateway's keys: making, listing and revoking them."""

import contextlib
import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.access.config import AccessError
from gateway.access.keys import Key, KeyFile, is_key_id, new_key, read_keys, written
from gateway.access.scopes import Scope
from ops.problems import CannotDo
from ops.screen import print_json, print_table

_MODE = 0o600


def make_key(
    path: Path,
    *,
    id_: str | None,
    scopes: str,
    channels: str | None,
    rate_per_s: float | None,
    burst: int | None,
    expires_at: int | None,
) -> str:
    """Add a new key to a file, which is made when it is missing, and return the key.

    Args:
        path: the file.
        id_: the key's id; None makes one.
        scopes: its scopes, with commas.
        channels: its channels, with commas; None: all.
        rate_per_s: how many requests a second it may make; None: no limit.
        burst: how many at once.
        expires_at: until when it holds, ms since the Unix epoch; None: until it is revoked.

    Raises:
        CannotDo: a part of it is wrong, the id is taken, or the file cannot be read or written.
    """
    id_ = id_ or f"k{secrets.token_hex(4)}"
    if is_key_id(id_) is None:
        raise CannotDo(f"{id_!r} is no id: 1 to 64 characters of [A-Za-z0-9._-], the first a letter or digit")
    if burst is not None and rate_per_s is None:
        raise CannotDo("--burst needs --rate-per-s: without a rate there is no limit")
    if expires_at is not None and expires_at <= time.time_ns() // 1_000_000:
        raise CannotDo("--expires is in the past: no request could use the key")
    key, digest = new_key(id_)
    fields = {
        "id": id_,
        "sha256": digest,
        "scopes": _parts(scopes),
        "channels": None if channels is None else _parts(channels),
        "rate_per_s": rate_per_s,
        "burst": burst,
        "expires_at": expires_at,
    }
    try:
        made = msgspec.convert(fields, Key)
    except msgspec.ValidationError as error:
        raise CannotDo(f"no such key can be made: {error}; scopes are {', '.join(Scope)}") from error
    with _changing(path) as file:
        if any(known.id == id_ for known in file.keys):
            raise CannotDo(f"{path} has a key with the id {id_}; choose another id, or revoke that key first")
        file.keys.append(made)
    return key


def revoke_key(path: Path, id_: str) -> None:
    """Take a key out of a file.

    Raises:
        CannotDo: the file has no such key, or it cannot be read or written.
    """
    if not path.exists():
        raise CannotDo(f"there is no key file {path}")
    with _changing(path) as file:
        kept = [key for key in file.keys if key.id != id_]
        if len(kept) == len(file.keys):
            raise CannotDo(f"{path} has no key with the id {id_}; `holdfast keys list` shows them")
        file.keys = kept


def list_keys(path: Path, *, as_json: bool) -> None:
    """Print the keys of a file, without what could be used as one.

    Raises:
        CannotDo: the file cannot be read.
    """
    keys = _read(path).keys
    if as_json:
        for key in keys:
            print_json({name: value for name, value in msgspec.to_builtins(key).items() if name != "sha256"})
    else:
        print_table(("id", "scopes", "channels", "rate", "expires"), map(_row, keys))


def _row(key: Key) -> tuple[str, str, str, str, str]:
    allowance = key.allowance()
    rate = "" if allowance is None else f"{allowance.per_s:g}/s, {allowance.burst} at once"
    expires = None if key.expires_at is None else datetime.fromtimestamp(key.expires_at / 1000, UTC)
    return (
        key.id,
        ",".join(key.scopes),
        "all" if key.channels is None else ",".join(key.channels),
        rate,
        "" if expires is None else f"{expires:%Y-%m-%dT%H:%M:%SZ}",
    )


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _read(path: Path) -> KeyFile:
    try:
        return read_keys(path)
    except AccessError as error:
        raise CannotDo(str(error)) from error


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[KeyFile]:
    """Give a file's keys to change, and write them at the end of the block; a change at the same time waits."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise CannotDo(f"{path.parent} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        file = _read(path) if path.exists() else KeyFile(keys=[])
        yield file
        try:
            _replace(path, written(file))
            os.fsync(folder)
        except OSError as error:
            raise CannotDo(f"{path} cannot be written: {error.strerror}") from error
    finally:
        os.close(folder)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file as a whole, so that nobody reads half of it; its owner stays."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), _MODE)
            if path.exists():
                owner = path.stat()
                with contextlib.suppress(PermissionError):  # only root may give a file away
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
