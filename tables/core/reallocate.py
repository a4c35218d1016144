"""Owns the rule for `reallocate`: what a reservation holds in one warehouse is held in another."""

import msgspec

from schemas.codes import Code
from schemas.commands import Reallocate
from tables.core.book import owed_to_queue
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import added, find_hold, shaped, without
from tables.core.register import Register
from tables.core.rows import FullReservation, full
from tables.core.rule import Rule
from tables.core.shelf import free_of


def reallocate(rows: Rows, sku: Sku | None, command: Reallocate, record: Record) -> Outcome | Refusal:
    """Move units of an allocation; buffer and cap do not matter."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    if command.from_ not in sku.stock or command.to not in sku.stock:
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    found = find_hold(rows, sku, command, record.now_ms)
    if type(found) is Refusal:
        return found
    held = full(found[2])
    there = dict(held.allocations).get(command.from_, 0)
    quantity = there if command.quantity is None else command.quantity
    free = free_of(sku.stock[command.to], owed_to_queue(sku.book))
    code = _forbidden(rows.register, sku, held, command.to)
    if code is None and (not there or quantity > there):
        code = Code.QUANTITY_EXCEEDS_RESERVATION
    if code is not None:
        return Refusal(code)
    if free < quantity:
        return Refusal(Code.INSUFFICIENT_STOCK, quantity, free)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    draft.move(command.from_, reserved=-quantity)
    draft.move(command.to, reserved=quantity)
    allocations = added(without(held.allocations, [(command.from_, quantity)]), ((command.to, quantity),))
    return draft.outcome(command.reservation_id, shaped(msgspec.structs.replace(held, allocations=allocations)))


def _forbidden(register: Register, sku: Sku, held: FullReservation, to: str) -> Code | None:
    """Return why the policy does not let units go to a warehouse; None when it does."""
    policy = register.policy(held.channel, sku.policies)
    if policy.warehouses is not None and to not in policy.warehouses:
        return Code.CHANNEL_NOT_ALLOWED
    known = register.warehouses.get(to)
    return None if known is None or known.enabled else Code.WAREHOUSE_DISABLED


RULE = Rule(Reallocate, reallocate, content=lambda c: ("reallocate", c.reservation_id, c.from_, c.to, c.quantity))
