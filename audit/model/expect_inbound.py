"""Owns the model's rule for `expect_inbound`."""

from audit.model.adjust import check_warehouses
from audit.model.announced import begin_inbound, check_new_inbound
from audit.model.inbounds import Inbound
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.inbound import ExpectInbound


def expect_inbound(state: PartitionState, command: ExpectInbound) -> Effect:
    """Announce goods that come to a warehouse; make its row when it is missing."""
    inbound_id, warehouse = command.inbound_id, command.warehouse
    check_warehouses(state, command.sku, warehouse)
    check_new_inbound(state, command.sku, inbound_id)
    inbound = Inbound(inbound_id, warehouse, command.eta_at, command.quantity, None, command.reference)
    return begin_inbound(state, command, inbound)


def _content(command: ExpectInbound) -> tuple[object, ...]:
    return (command.inbound_id, command.warehouse, command.quantity, command.eta_at, command.reference)


RULE = Rule(ExpectInbound, expect_inbound, _content)
