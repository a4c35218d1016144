"""Owns the gateway's settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.access.config import AccessConfig

_OPEN = AccessConfig()


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """The settings of one gateway; durations in seconds, sizes in bytes.

    Args:
        bootstrap: `HOST:PORT,...` of the Kafka brokers.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one, named in the ready line.
        partitions: partition count of every topic; a cluster with another count is refused.
        request_timeout_s: how long a request waits for its result; then it is answered 504.
        max_in_flight: how many requests may wait at the same time; one more is answered 429.
        max_command_bytes: a larger body of a command is answered 413.
        max_bulk_bytes: the same for `POST /v1/commands`.
        max_availability_bytes: the same for `POST /v1/availability`.
        max_availability_skus: how many SKUs an availability request may have; with more it is answered 422.
        max_streams: how many streams of events may be open; one more is answered 429.
        max_view_lag_ms: answers from a view that has been behind for longer (ms) say that they are stale.
        recent_changes: how many stock changes to hold for `GET /v1/stock-changes/recent`, of all SKUs together.
        shed_after_ms: a request that its partition would answer later is refused at once; 0 refuses none.
        drain_ms: how long requests are still served after SIGTERM, for a balancer to notice.
        retry_after_s: the value of `Retry-After` with 429 and 503.
        access: who may use the gateway.
    """

    bootstrap: str = "127.0.0.1:9092"
    host: str = "127.0.0.1"
    port: int = 8080
    partitions: int = 4
    request_timeout_s: float = 5.0
    max_in_flight: int = 10_000
    max_command_bytes: int = 64 * 1024
    max_bulk_bytes: int = 1024 * 1024
    # 1,000 SKUs of 64 characters in UTF-8, with quotes and commas: 259,000 at most. Characters beyond ASCII that are
    # written as JSON's escapes take up to three times as much: fewer such SKUs fit.
    max_availability_bytes: int = 256 * 1024
    max_availability_skus: int = 1_000
    max_streams: int = 1_000
    max_view_lag_ms: int = 10_000
    recent_changes: int = 100_000
    shed_after_ms: int = 1_000
    drain_ms: int = 5_000
    retry_after_s: int = 1
    access: AccessConfig = _OPEN


_MOST_DIGITS = 16
# Settings that have a variable and no flag: the field, the variable, the least value.
_BY_VARIABLE = (
    ("max_view_lag_ms", "HOLDFAST_MAX_VIEW_LAG_MS", 0),
    ("recent_changes", "HOLDFAST_RECENT_CHANGES", 1),
    ("shed_after_ms", "HOLDFAST_SHED_AFTER_MS", 0),
    ("drain_ms", "HOLDFAST_DRAIN_MS", 0),
)


def settings_of(environment: Mapping[str, str]) -> dict[str, int]:
    """Return the fields of `GatewayConfig` that environment variables set.

    Raises:
        ValueError: names a variable, its value, and what is allowed.
    """
    found = {}
    for field, variable, least in _BY_VARIABLE:
        text = environment.get(variable, "").strip()
        if text:
            if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) >= least):
                raise ValueError(f"{variable} must be an integer of at least {least}, not {text!r}")
            found[field] = int(text)
    return found
