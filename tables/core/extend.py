"""Owns the rule for `extend`: a hold gets a new time to live, from now."""

import msgspec

from schemas.commands import Extend
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.holds import find_hold
from tables.core.rule import Rule


def extend(rows: Rows, sku: Sku | None, command: Extend, record: Record) -> Outcome | Refusal:
    """Set a new expiry of a held reservation; a `ttl_ms` of 0 means that it never expires."""
    found = find_hold(rows, sku, command, record.now_ms)
    if type(found) is Refusal:
        return found

    # Past here it must succeed.
    _, key, held = found
    expires_at = record.now_ms + command.ttl_ms if command.ttl_ms else None
    reservation = msgspec.structs.replace(held, expires_at=expires_at)
    return Outcome((), (), command.reservation_id, reservation, ((key, reservation),))


RULE = Rule(Extend, extend, content=lambda c: ("extend", c.reservation_id, c.ttl_ms))
