"""Owns the times and durations that people give to commands."""

import re

from audit.past import AtTime, moment_of
from ops.problems import CannotDo

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def time_ms(text: str) -> int:
    """Return a time (ms since 1970): ISO 8601, UTC without a zone, or the milliseconds themselves.

    Raises:
        CannotDo: it is no time.
    """
    try:
        moment = moment_of(text)
    except ValueError:
        moment = None
    if not isinstance(moment, AtTime):
        raise CannotDo(f"{text!r} is no time: give ms since 1970, or a time such as 2026-12-24T12:00:00Z")
    return moment.at_ms


def duration_ms(text: str) -> int:
    """Return a duration such as `90s`, `15m`, `24h` or `7d`, in ms.

    Raises:
        CannotDo: it is none.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if found is None:
        raise CannotDo(f"{text!r} is no duration: give a whole number and a unit, such as 90s, 15m, 24h or 7d")
    return int(found[1]) * _UNITS_MS[found[2]]


def duration_text(duration: int) -> str:
    """Return a duration, given in ms, in the largest unit of which it has two or more: `90 min`, `36 h`, `3 days`."""
    for unit, unit_ms in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if duration >= 2 * unit_ms:
            return f"{duration // unit_ms} {unit}"
    return f"{duration // 1000} s"
