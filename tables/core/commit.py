"""Owns the rule for `commit`: reserved goods leave the building."""

from schemas.codes import Code
from schemas.commands import Commit
from tables.core.decision import Change, Outcome, Refusal, Rows, Sku
from tables.core.holds import find_hold, take, without
from tables.core.rows import Reservation, Stock


def commit(rows: Rows, sku: Sku | None, command: Commit, now_ms: int) -> Outcome | Refusal:
    """Take the quantity from the first allocation to the last: on hand and reserved fall together."""
    found = find_hold(rows, sku, command, now_ms)
    if isinstance(found, Refusal):
        return found
    sku, key, held = found
    quantity = held.left if command.quantity is None else command.quantity
    if quantity > held.left:
        return Refusal(Code.QUANTITY_EXCEEDS_RESERVATION)
    taken = take(held.allocations, quantity)
    if any(sku.stock[warehouse].on_hand < units for warehouse, units in taken):
        return Refusal(Code.NEGATIVE_STOCK)

    # Past here it must succeed.
    seq = sku.seq
    changes = []
    for warehouse, units in taken:
        seq += 1
        row = sku.stock[warehouse]
        after = Stock(seq, row.on_hand - units, row.reserved - units, row.damaged, row.safety_stock, row.inbound)
        changes.append(Change(warehouse, after, {"on_hand": -units, "reserved": -units}))
    ends = quantity == held.left
    reservation = Reservation(
        "committed" if ends else "held",
        held.quantity,
        held.committed + quantity,
        held.released,
        without(held.allocations, taken),
        held.channel,
        held.order_id,
        held.expires_at,
        now_ms if ends else None,
    )
    return Outcome(tuple(changes), command.reservation_id, reservation, key)
