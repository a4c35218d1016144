"""Owns what stands beside an endpoint's position in its group: whether the endpoint fails or has stopped, and why."""

from typing import Literal

import msgspec

from schemas.codec import encode

GROUP_PREFIX = "holdfast-webhooks-"


class LineMark(msgspec.Struct, gc=False):
    """That deliveries of a partition fail or have stopped: why, and since when (ms since the Unix epoch)."""

    state: Literal["failing", "stopped"]
    reason: str
    since: int


_decode = msgspec.json.Decoder(LineMark).decode


def group_of(endpoint_id: str) -> str:
    """Return the consumer group whose positions are those of an endpoint."""
    return GROUP_PREFIX + endpoint_id


def metadata_of(mark: LineMark | None) -> str:
    """Return a mark as Kafka keeps it beside a position."""
    return "" if mark is None else encode(mark).decode()


def read_mark(metadata: str | None) -> LineMark | None:
    """Return the mark beside a position; None: all is well."""
    try:
        return _decode((metadata or "").encode())
    except msgspec.DecodeError:
        return None
