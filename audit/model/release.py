"""Owns the model's rules for `release` and for expiry."""

from audit.model.documents import Hold, cause_of
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from audit.model.units import Touched, give_back
from schemas.codec import encode
from schemas.commands import Release
from schemas.results import State
from schemas.stock_changes import Cause


def release(state: PartitionState, command: Release) -> Effect:
    """Give units back, from the last claim to the first allocation."""
    _, key, hold, quantity = state.find_hold(command, command.quantity)
    cause = cause_of(command, "release", command.reason)
    return hold, _release(state, key, hold, quantity, "released", cause)


def expire(state: PartitionState, key: str, hold: Hold) -> None:
    """End a reservation whose time is over, with an unsolicited result."""
    sku, _, reservation_id = key.partition("\0")
    rows = _release(state, key, hold, hold.left, "expired", Cause("expire", None, reservation_id))
    item = state.items[sku]
    result = state.result(None, "expire", sku, item, hold=(reservation_id, hold), rows=rows)
    state.add_result((state.offset, item.key, encode(result)))
    state.await_settling(sku)


def _release(state: PartitionState, key: str, hold: Hold, quantity: int, ends_as: State, cause: Cause) -> Touched:
    sku = key.partition("\0")[0]
    state.discount(sku, key, hold)
    rows = give_back(state, sku, hold, quantity, cause)
    hold.released += quantity
    state.recount(sku, key, hold, cause, ends_as)
    return rows


def _content(command: Release) -> tuple[object, ...]:
    return (command.reservation_id, command.quantity, command.reason)


RULE = Rule(Release, release, _content)
