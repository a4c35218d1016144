"""Owns the model's rule for `amend_inbound`."""

from audit.model.announced import find_inbound, publish_inbound
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.inbound import AmendInbound


def amend_inbound(state: PartitionState, command: AmendInbound) -> Effect:
    """Change how many units come, or when."""
    inbound = find_inbound(state, command)
    before = inbound.remaining
    if command.quantity is not None:
        inbound.quantity = command.quantity
    if command.eta_at is not None:
        inbound.come_at(command.eta_at)
    return publish_inbound(state, command, inbound, coming=inbound.remaining - before)


def _content(command: AmendInbound) -> tuple[object, ...]:
    return (command.inbound_id, command.quantity, command.eta_at)


RULE = Rule(AmendInbound, amend_inbound, _content)
