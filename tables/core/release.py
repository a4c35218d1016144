"""Owns the rules for `release` and for expiry: reserved goods become available again."""

from typing import Literal

import msgspec

from schemas.codes import Code
from schemas.commands import Release
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import draw_from, find_hold, give_back, stepped, without
from tables.core.rows import RESERVATION, FullStock, Reservation, Stock, full, reservation_key, with_quarantine
from tables.core.rule import Rule


def release(rows: Rows, sku: Sku | None, command: Release, record: Record) -> Outcome | Refusal:
    """Give the quantity back, from the last allocation to the first."""
    found = find_hold(rows, sku, command, record.now_ms)
    if type(found) is Refusal:
        return found
    sku, key, held = found
    quantity = held.left if command.quantity is None else command.quantity
    if quantity > held.left:
        return Refusal(Code.QUANTITY_EXCEEDS_RESERVATION)

    # Past here it must succeed.
    return _give_back(rows, sku, command.sku, command.reservation_id, key, held, quantity, "released", record.now_ms)


def expire(rows: Rows, expires_at: int, sku_id: str, reservation_id: str, now_ms: int) -> Outcome | None:
    """Return the outcome of an expiry; None when the reservation is not held or expires at another time."""
    sku = rows.sku(sku_id)
    key = reservation_key(sku_id, reservation_id)
    held = rows.row(RESERVATION, key)
    # After an `extend` the due times still have the old entry, which must not end the reservation.
    if sku is None or held is None or held.state != "held" or held.expires_at != expires_at:
        return None
    return _give_back(rows, sku, sku_id, reservation_id, key, held, held.left, "expired", now_ms)


def _give_back(
    rows: Rows,
    sku: Sku,
    sku_id: str,
    reservation_id: str,
    key: bytes,
    held: Reservation,
    quantity: int,
    ends_as: Literal["released", "expired"],
    now_ms: int,
) -> Outcome:
    # Where it has nothing but allocations, and no rule or book matters to it: by far the most.
    if type(held) is not Reservation or sku.book is not None or rows.register.has_rules:
        draft = Draft(sku_id, sku)
        less = give_back(draft, full(held), quantity)
        less = msgspec.structs.replace(less, released=less.released + quantity)
        return draft.outcome(reservation_id, stepped(rows, sku, less, ends_as, now_ms))
    ends = quantity == held.left
    # Units are taken from the last allocation to the first; the stock changes are in the order of the allocations.
    taken = held.allocations if ends else draw_from(reversed(held.allocations), quantity)[::-1]
    seq = sku.seq
    stock, deltas = [], []
    for warehouse, units in taken:
        seq += 1
        row = sku.stock[warehouse]
        after = Stock(seq, row.on_hand, row.reserved - units, row.damaged, row.safety_stock, row.inbound)
        if type(row) is FullStock:
            after = with_quarantine(after, row)
        stock.append((warehouse, after))
        deltas.append({"reserved": -units})
    reservation = Reservation(
        ends_as if ends else "held",
        held.quantity,
        held.committed,
        held.released + quantity,
        () if ends else without(held.allocations, taken),
        held.channel,
        held.order_id,
        held.expires_at,
        now_ms if ends else None,
    )
    return Outcome(tuple(stock), tuple(deltas), reservation_id, reservation, ((key, reservation),))


RULE = Rule(Release, release, content=lambda c: ("release", c.reservation_id, c.quantity, c.reason), cause=("reason",))
