"""Owns the model's rule for `receive_inbound`."""

from audit.model.adjust import MAX_UNITS
from audit.model.announced import find_inbound, publish_inbound
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.inbound import ReceiveInbound


def receive_inbound(state: PartitionState, command: ReceiveInbound) -> Effect:
    """Take announced goods into stock; good ones are first of all due to those who claim them."""
    inbound = find_inbound(state, command)
    row = state.items[command.sku].rows[inbound.warehouse]
    good, damaged = command.quantity, command.damaged or 0
    if row.on_hand + good > MAX_UNITS or row.damaged + damaged > MAX_UNITS:
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    before = inbound.remaining
    inbound.received += good
    inbound.damaged += damaged
    if command.final:
        inbound.quantity = inbound.came
    inbound.landed += min(good, inbound.claimed - inbound.landed)
    return publish_inbound(state, command, inbound, coming=inbound.remaining - before, on_hand=good, damaged=damaged)


def _content(command: ReceiveInbound) -> tuple[object, ...]:
    told = (command.inbound_id, command.quantity, command.damaged or 0)
    return (*told, bool(command.final), command.reference)


RULE = Rule(ReceiveInbound, receive_inbound, _content)
