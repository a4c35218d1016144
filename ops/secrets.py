"""Owns the removal of secrets from log events: fields and headers by name, keys and tokens wherever they stand."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

_NAMES = ("authorization", "password", "secret")
_PATTERNS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+"), r"\1 (dropped)"),
    (re.compile(r"\bhf_([A-Za-z0-9][A-Za-z0-9._-]{0,63}?)_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"), r"hf_\1_(dropped)"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), "(dropped)"),
)


def drop_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return a log event without secrets; a processor of structlog."""
    kept: MutableMapping[str, Any] = _without(event)
    return kept


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(of_name) for name, of_name in value.items() if not _is_secret(name)}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without(part) for part in value if not _is_secret_pair(part)]
    if isinstance(value, bytes):
        return _without(value.decode("latin-1"))
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _is_secret(name: object) -> bool:
    text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
    return any(secret in text.lower() for secret in _NAMES)


def _is_secret_pair(part: object) -> bool:
    """Return whether something is a header (a name with its value) that is secret."""
    return isinstance(part, tuple) and len(part) == 2 and _is_secret(part[0])  # noqa: PLR2004 - name and value
