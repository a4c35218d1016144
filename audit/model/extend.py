"""Owns the model's rule for `extend`."""

from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.commands import Extend


def extend(state: PartitionState, command: Extend) -> Effect:
    """Give a hold another expiry."""
    _, key, hold, _ = state.find_hold(command, None)
    hold.expires_at = state.expires_at(command.ttl_ms, key)
    state.touch(f"R{key}")
    return hold, []


def _content(command: Extend) -> tuple[object, ...]:
    return (command.reservation_id, command.ttl_ms)


RULE = Rule(Extend, extend, _content)
