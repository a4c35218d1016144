"""Owns the file of endpoints (`HOLDFAST_WEBHOOKS_FILE`): what it may say, and what is wrong with one."""

import base64
import binascii
import ipaddress
import os
import stat
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from schemas.fields import PLACE_PATTERN, SKU_PATTERN

MOST_IN_BATCH = 100
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
# What Standard Webhooks asks for.
_SECRET_BYTES = range(24, 65)
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ORDER_EVENT = "order-event"

WebhookType = Literal["stock-change", "unsolicited-result", "order-event"]
_Place = Annotated[str, Meta(pattern=PLACE_PATTERN)]
_Sku = Annotated[str, Meta(min_length=1, max_length=64, pattern=SKU_PATTERN)]


class WebhooksFileError(Exception):
    """The file of endpoints cannot be used; the message says which endpoint, what is wrong and what is allowed."""


class Endpoint(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One endpoint of the file. `secrets` are one, or two while they change; absent filters let all through."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    url: Annotated[str, Meta(min_length=1, max_length=2_048)]
    secrets: Annotated[list[str], Meta(min_length=1, max_length=2)]
    types: Annotated[list[WebhookType], Meta(min_length=1)]
    skus: Annotated[list[_Sku], Meta(min_length=1, max_length=1_000)] | None = None
    warehouses: Annotated[list[_Place], Meta(min_length=1, max_length=1_000)] | None = None
    channels: Annotated[list[_Place], Meta(min_length=1, max_length=1_000)] | None = None
    batch: Annotated[int, Meta(ge=1, le=MOST_IN_BATCH)] = 1

    def __repr__(self) -> str:
        """Name it, without its secrets."""
        return f"Endpoint({self.id!r})"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    endpoints: list[dict[str, Any]]


def read_endpoints(path: Path) -> list[Endpoint]:
    """Return the endpoints of a file.

    Raises:
        WebhooksFileError: it cannot be read, others may write it, or something in it is wrong.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as error:
        raise WebhooksFileError(f"the file of endpoints {path} cannot be read: {error.strerror}") from None
    if mode & _OTHERS_MAY_WRITE:
        raise WebhooksFileError(f"others than its owner may write the file of endpoints {path}: `chmod go-w {path}`")
    try:
        given = msgspec.json.decode(content, type=_File).endpoints
    except msgspec.ValidationError as error:
        raise WebhooksFileError(f'{path} is wrong: {error}; it must be {{"endpoints": [...]}}') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WebhooksFileError(f"{path} is no JSON") from None
    found = [_endpoint(path, number, fields) for number, fields in enumerate(given, start=1)]
    ids = [endpoint.id for endpoint in found]
    if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise WebhooksFileError(f"{path} has two endpoints with the id {twice[0]}; their positions would be one")
    if not found:
        raise WebhooksFileError(f"{path} has no endpoint")
    return found


def _endpoint(path: Path, number: int, fields: dict[str, Any]) -> Endpoint:
    name = f"endpoint {number}" + (f" ({fields['id']})" if isinstance(fields.get("id"), str) else "")
    try:
        endpoint = msgspec.convert(fields, Endpoint)
    except msgspec.ValidationError as error:
        raise WebhooksFileError(f"{path}: {name} is wrong: {error}") from None
    wrong = _wrong_url(endpoint.url) or _wrong_secret(endpoint.secrets) or _wrong_types(endpoint)
    if wrong:
        raise WebhooksFileError(f"{path}: {name}: {wrong}")
    return endpoint


def _wrong_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"url is no URL: {error}"
    if host is None or parts.scheme not in {"https", "http"}:
        return "url must begin with https:// (or http:// to this machine) and name a host"
    if parts.username is not None or parts.password is not None:
        return "url must not have a user or password: requests are signed"
    if parts.fragment:
        return "url must not have a #fragment: it would not be sent"
    if parts.scheme == "http" and not _is_loopback(host):
        return f"url must be https: http would show the stock to everybody on the way to {host}"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _wrong_secret(secrets: list[str]) -> str | None:
    # The secret itself is not repeated: messages go to logs.
    for number, secret in enumerate(secrets, start=1):
        try:
            key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX) + "==", validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(_SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
            least, most = _SECRET_BYTES[0], _SECRET_BYTES[-1]
            return f"secret {number} must be {_SECRET_PREFIX} and the base64 of {least} to {most} random bytes"
    if len({*secrets}) != len(secrets):
        return "secrets has the same secret twice"
    return None


def _wrong_types(endpoint: Endpoint) -> str | None:
    if _ORDER_EVENT in endpoint.types:
        return f"types has {_ORDER_EVENT}, and this version publishes no order events: leave it out"
    if endpoint.warehouses is not None and "stock-change" not in endpoint.types:
        return "warehouses filters stock changes only: add the type stock-change or leave warehouses out"
    return None
