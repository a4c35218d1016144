"""Owns the model's rule for `cancel_inbound`."""

from audit.model.announced import find_inbound, publish_inbound
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.inbound import CancelInbound


def cancel_inbound(state: PartitionState, command: CancelInbound) -> Effect:
    """Expect no more of announced goods than has come."""
    inbound = find_inbound(state, command)
    before = inbound.remaining
    inbound.quantity = inbound.came
    return publish_inbound(state, command, inbound, coming=-before, reason=command.reason)


def _content(command: CancelInbound) -> tuple[object, ...]:
    return (command.inbound_id, command.reason)


RULE = Rule(CancelInbound, cancel_inbound, _content)
