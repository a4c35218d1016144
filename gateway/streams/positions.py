"""Owns the ids of events: the positions of a stream in the partitions that its filter needs (`0:4711,1:12`)."""

import re
from collections.abc import Iterable, Mapping

from gateway.problems import RequestRefused
from schemas.codes import Code, Problem

# By partition: the offset of the next record.
Positions = Mapping[int, int]

# Partitions have up to 6 digits, and offsets up to 18, which are less than 2^63.
_is_event_id = re.compile(r"[0-9]{1,6}:[0-9]{1,18}(?:,[0-9]{1,6}:[0-9]{1,18})*").fullmatch
_MOST_NAMED = 5


def event_id(positions: Positions, partitions: Iterable[int]) -> bytes:
    """Return the id of an event after which a stream is at these positions, of these partitions (in order) only."""
    return b",".join(b"%d:%d" % (partition, positions[partition]) for partition in partitions)


def positions_in(header: bytes | None, partitions: tuple[int, ...]) -> dict[int, int] | None:
    """Return the positions that a client's `Last-Event-ID` names; None without one.

    Args:
        header: its value; an empty one is what a browser has before the first event.
        partitions: those that the stream's filter needs, in order.

    Raises:
        RequestRefused: it is no event id, or not of exactly these partitions.
    """
    if not header:
        return None
    text = header.decode("latin-1")
    pairs = [pair.split(":") for pair in text.split(",")] if _is_event_id(text) else []
    found = {int(partition): int(offset) for partition, offset in pairs}
    if len(found) == len(pairs) and tuple(sorted(found)) == partitions:
        return found
    shown = ", ".join(map(str, partitions[:_MOST_NAMED])) + (", ..." if len(partitions) > _MOST_NAMED else "")
    detail = (
        f"The header Last-Event-ID must be the id of an event of a stream with this filter: PARTITION:OFFSET of "
        f"exactly the partitions {shown}, separated by commas. Without the header the stream begins now."
    )
    raise RequestRefused(Code.INVALID_FIELD, detail=detail, field="Last-Event-ID", problem=Problem.NOT_ALLOWED)
