"""Owns the model's rule for `reallocate`."""

from audit.model.documents import cause_of
from audit.model.parts import CommandRefused
from audit.model.policies import UNSET_WAREHOUSE
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from audit.model.units import allocate, reserve_at
from schemas.codes import Code
from schemas.commands import Reallocate


def reallocate(state: PartitionState, command: Reallocate) -> Effect:
    """Move what a reservation holds in one warehouse to another; buffer and cap do not matter."""
    sku, source, target = command.sku, command.from_, command.to
    if sku in state.items and not {source, target} <= state.items[sku].rows.keys():
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)
    item, key, hold, _ = state.find_hold(command, None)
    policy = state.policy_of(sku, hold.channel)
    if policy.warehouses is not None and target not in policy.warehouses:
        raise CommandRefused(Code.CHANNEL_NOT_ALLOWED)
    if not state.register.warehouses.get(target, UNSET_WAREHOUSE).enabled:
        raise CommandRefused(Code.WAREHOUSE_DISABLED)
    there = dict(hold.allocations).get(source, 0)
    quantity = there if command.quantity is None else command.quantity
    if quantity > there or there == 0:
        raise CommandRefused(Code.QUANTITY_EXCEEDS_RESERVATION)
    free = state.supply_of(sku, hold.channel).free[target]
    if free < quantity:
        raise CommandRefused(Code.INSUFFICIENT_STOCK, quantity, free)
    cause = cause_of(command, "reallocate")
    touched = []
    for warehouse, units in ((source, -quantity), (target, quantity)):
        touched.append(reserve_at(state, sku, item, (warehouse, units), cause))
        allocate(hold, warehouse, units)
    state.touch(f"R{key}")
    return hold, touched


def _content(command: Reallocate) -> tuple[object, ...]:
    return (command.reservation_id, command.from_, command.to, command.quantity)


RULE = Rule(Reallocate, reallocate, _content)
