"""Owns the rule for `commit`: reserved goods leave the stock."""

from schemas.codes import Code
from schemas.commands import Commit
from tables.core.decision import Outcome, Refusal, Rows, Sku
from tables.core.holds import after_rules, draw_from, find_hold, without
from tables.core.rows import Reservation, Stock
from tables.core.rule import Rule


def commit(rows: Rows, sku: Sku | None, command: Commit, now_ms: int) -> Outcome | Refusal:
    """Take the quantity from the first allocation to the last: on hand and reserved fall together."""
    found = find_hold(rows, sku, command, now_ms)
    if type(found) is Refusal:
        return found
    sku, key, held = found
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
        now_ms if ends else None,
    )
    if type(held) is not Reservation or rows.register.has_rules or sku.book is not None:
        return after_rules(
            rows, sku, command.sku, command.reservation_id, held, reservation, (tuple(stock), tuple(deltas))
        )
    return Outcome(tuple(stock), tuple(deltas), command.reservation_id, reservation, ((key, reservation),))


RULE = Rule(Commit, commit, content=lambda c: ("commit", c.reservation_id, c.quantity))
