"""Owns the rule for `commit`: reserved goods leave the stock."""

import msgspec

from schemas.codes import Code
from schemas.commands import Commit
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import draw_from, find_hold, stepped, without
from tables.core.rows import FullReservation, FullStock, Reservation, Stock, full, with_quarantine
from tables.core.rule import Rule


def commit(rows: Rows, sku: Sku | None, command: Commit, record: Record) -> Outcome | Refusal:
    """Take the quantity from the first allocation to the last: on hand and reserved fall together."""
    found = find_hold(rows, sku, command, record.now_ms)
    if type(found) is Refusal:
        return found
    sku, key, held = found
    # Where it has nothing but allocations, and no rule or book matters to it: by far the most.
    if type(held) is not Reservation or sku.book is not None or rows.register.has_rules:
        return _commit_in_full(rows, sku, command, full(held), record)
    left = held.left
    quantity = left if command.quantity is None else command.quantity
    if quantity > left:
        return Refusal(Code.QUANTITY_EXCEEDS_RESERVATION)
    ends = quantity == left
    taken = held.allocations if ends else draw_from(held.allocations, quantity)
    seq = sku.seq
    stock, deltas = [], []
    for warehouse, units in taken:
        seq += 1
        row = sku.stock[warehouse]
        if row.on_hand < units:
            return Refusal(Code.NEGATIVE_STOCK)
        after = Stock(seq, row.on_hand - units, row.reserved - units, row.damaged, row.safety_stock, row.inbound)
        if type(row) is FullStock:
            after = with_quarantine(after, row)
        stock.append((warehouse, after))
        deltas.append({"on_hand": -units, "reserved": -units})

    # Past here it must succeed.
    reservation = Reservation(
        "committed" if ends else "held",
        held.quantity,
        held.committed + quantity,
        held.released,
        () if ends else without(held.allocations, taken),
        held.channel,
        held.order_id,
        held.expires_at,
        record.now_ms if ends else None,
    )
    return Outcome(tuple(stock), tuple(deltas), command.reservation_id, reservation, ((key, reservation),))


def _commit_in_full(rows: Rows, sku: Sku, command: Commit, held: FullReservation, record: Record) -> Outcome | Refusal:
    """Take the quantity from the allocations of a reservation that may have more than these."""
    allocated = held.left - held.waiting
    quantity = allocated if command.quantity is None else command.quantity
    if quantity > held.left:
        return Refusal(Code.QUANTITY_EXCEEDS_RESERVATION)
    if quantity > allocated or not allocated:
        return Refusal(Code.RESERVATION_WAITING)
    draft = Draft(command.sku, sku)
    taken = draw_from(held.allocations, quantity)
    for warehouse, units in taken:
        if sku.stock[warehouse].on_hand < units:
            return Refusal(Code.NEGATIVE_STOCK)
        draft.move(warehouse, on_hand=-units, reserved=-units)
    draft.count(held.channel, held=-quantity if held.counted else 0)
    allocations = without(held.allocations, taken)
    after = msgspec.structs.replace(held, committed=held.committed + quantity, allocations=allocations)
    return draft.outcome(command.reservation_id, stepped(rows, sku, after, "committed", record.now_ms))


RULE = Rule(Commit, commit, content=lambda c: ("commit", c.reservation_id, c.quantity))
