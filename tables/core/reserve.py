"""Owns the rule for `reserve`: it holds units and never makes the available quantity negative."""

from collections.abc import Mapping

from schemas.codes import Code
from schemas.commands import Reserve
from schemas.fields import DEFAULT_CHANNEL, DEFAULT_TTL_MS
from tables.core.decision import Outcome, Refusal, Rows, Sku
from tables.core.retention import find_reservation
from tables.core.rows import Reservation, Stock, reservation_key
from tables.core.rule import Rule


def reserve(rows: Rows, sku: Sku | None, command: Reserve, now_ms: int) -> Outcome | Refusal:
    """Hold the quantity in the first warehouse that has it all; otherwise split it over several."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    candidates = sku.stock
    if command.warehouse is not None:
        if command.warehouse not in candidates:
            return Refusal(Code.UNKNOWN_WAREHOUSE)
        candidates = {command.warehouse: candidates[command.warehouse]}
    key = reservation_key(command.sku, command.reservation_id)
    if find_reservation(rows, key, now_ms) is not None:
        return Refusal(Code.RESERVATION_EXISTS)
    allocations = allocate(candidates, command.quantity)
    if not allocations:
        available = sum(max(row.available, 0) for row in candidates.values())
        return Refusal(Code.INSUFFICIENT_STOCK, command.quantity, available)

    # Past here it must succeed.
    ttl_ms = DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms
    reservation = Reservation(
        "held",
        command.quantity,
        0,
        0,
        allocations,
        command.channel or DEFAULT_CHANNEL,
        command.order_id,
        now_ms + ttl_ms if ttl_ms else None,
        None,
    )
    seq = sku.seq
    stock, deltas = [], []
    for warehouse, quantity in allocations:
        seq += 1
        row = candidates[warehouse]
        after = Stock(seq, row.on_hand, row.reserved + quantity, row.damaged, row.safety_stock, row.inbound)
        stock.append((warehouse, after))
        deltas.append({"reserved": quantity})
    return Outcome(tuple(stock), tuple(deltas), command.reservation_id, reservation, ((key, reservation),))


def allocate(candidates: Mapping[str, Stock], quantity: int) -> tuple[tuple[str, int], ...]:
    """Return (warehouse, units) for a quantity: the first that has it all, else several in order; () if too little.

    Args:
        candidates: stock rows in the order of preference.
        quantity: units to place.
    """
    for warehouse, row in candidates.items():
        # A copy of `Stock.available`: the property would be a call for each reserve.
        if row.on_hand - row.reserved - row.safety_stock >= quantity:
            return ((warehouse, quantity),)
    allocations = []
    left = quantity
    for warehouse, row in candidates.items():
        taken = min(row.available, left)
        if taken > 0:
            allocations.append((warehouse, taken))
            left -= taken
            if not left:
                return tuple(allocations)
    return ()


def _content(c: Reserve) -> tuple[object, ...]:
    channel = c.channel or DEFAULT_CHANNEL
    ttl_ms = DEFAULT_TTL_MS if c.ttl_ms is None else c.ttl_ms
    return ("reserve", c.reservation_id, c.quantity, channel, c.warehouse, ttl_ms, c.order_id)


RULE = Rule(Reserve, reserve, content=_content)
