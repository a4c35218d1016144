"""Owns the rule for `reserve`: it holds units and never makes the available quantity negative."""

from collections.abc import Mapping

from schemas.availability import is_allowed, room_of
from schemas.codes import Code
from schemas.commands import Reserve
from schemas.fields import DEFAULT_CHANNEL, DEFAULT_TTL_MS
from schemas.policies import Policy
from schemas.results import State
from tables.core.book import has_place_for, held_of, with_held
from tables.core.decision import Beside, KeyedRow, Outcome, Refusal, Rows, Sku, StockRows
from tables.core.placing import Demand, Parts, place
from tables.core.register import Register
from tables.core.retention import find_reservation
from tables.core.rows import FullReservation, Reservation, Stock, book_key, reservation_key
from tables.core.rule import Rule


def reserve(rows: Rows, sku: Sku | None, command: Reserve, now_ms: int) -> Outcome | Refusal:
    """Hold the quantity in the first warehouse that has it all; otherwise split it over several.

    So it is where no rule is set and the command asks for nothing special: by far the most often.
    """
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    candidates = sku.stock
    if command.warehouse is not None and command.warehouse not in candidates:
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    key = reservation_key(command.sku, command.reservation_id)
    if find_reservation(rows, key, now_ms) is not None:
        return Refusal(Code.RESERVATION_EXISTS)
    register = rows.register
    if (
        register.has_rules
        or sku.book is not None
        or command.warehouse is not None
        or command.partial
        or command.region is not None
    ):
        return _reserve_by_policy(register, sku, command, key, now_ms)
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


def _reserve_by_policy(register: Register, sku: Sku, command: Reserve, key: bytes, now_ms: int) -> Outcome | Refusal:
    """Hold what the channel's policy for the SKU allows."""
    channel = command.channel or DEFAULT_CHANNEL
    policy = register.policy(channel, sku.policies)
    held = held_of(sku.book, channel)
    refusal = _forbidden(register, policy, command)
    if refusal is not None:
        return refusal
    room, quantity = room_of(policy, held), command.quantity
    if room is not None and room < quantity:
        if not (command.partial and room):
            return Refusal(Code.CHANNEL_CAP_EXCEEDED, command.quantity, room)
        quantity = room
    if policy.cap is not None and not has_place_for(sku.book, channel):
        return Refusal(Code.LIMIT_EXCEEDED)
    placing = place(
        Demand(quantity, command.warehouse, command.region, bool(command.partial)), policy, sku.stock, register
    )
    if not placing.parts:
        return Refusal(Code.INSUFFICIENT_STOCK, command.quantity, placing.possible)

    # Past here it must succeed.
    given = placing.possible
    reservation = _reservation(command, channel, placing.parts, given, policy.cap is not None, now_ms)
    seq = sku.seq + len(placing.parts)
    book = with_held(sku.book, seq + 1, channel, given) if policy.cap is not None else None
    writes: list[KeyedRow] = [(key, reservation)]
    if book is not None:
        writes.append((book_key(command.sku), book))
    return Outcome(
        *_held_rows(sku, placing.parts),
        command.reservation_id,
        reservation,
        tuple(writes),
        beside=None if book is None else Beside(book),
        requested=command.quantity if given < command.quantity else None,
    )


def _forbidden(register: Register, policy: Policy, command: Reserve) -> Refusal | None:
    """Return why a policy does not let the command through; None when it does."""
    named = command.warehouse
    if not is_allowed(policy) or (
        policy.warehouses is not None and named is not None and named not in policy.warehouses
    ):
        return Refusal(Code.CHANNEL_NOT_ALLOWED)
    if named is not None and named in register.warehouses and not register.warehouses[named].enabled:
        return Refusal(Code.WAREHOUSE_DISABLED)
    if policy.max_per_reservation is not None and command.quantity > policy.max_per_reservation:
        return Refusal(Code.QUANTITY_ABOVE_LIMIT)
    return None


def _reservation(
    command: Reserve, channel: str, parts: Parts, quantity: int, counted: bool, now_ms: int
) -> Reservation:
    ttl_ms = DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms
    expires_at = now_ms + ttl_ms if ttl_ms else None
    held: State = "held"
    fields = (held, quantity, 0, 0, parts, channel, command.order_id, expires_at, None)
    if command.warehouse is None and command.region is None and not counted:
        return Reservation(*fields)
    return FullReservation(*fields, only=command.warehouse, region=command.region, counted=counted)


def _held_rows(sku: Sku, parts: Parts) -> tuple[StockRows, tuple[dict[str, int], ...]]:
    """Return the rows after units of them are held, and what changed of each; `reserve` has a copy, to save a call."""
    seq, stock, deltas = sku.seq, [], []
    for warehouse, quantity in parts:
        seq += 1
        row = sku.stock[warehouse]
        after = Stock(seq, row.on_hand, row.reserved + quantity, row.damaged, row.safety_stock, row.inbound)
        stock.append((warehouse, after))
        deltas.append({"reserved": quantity})
    return tuple(stock), tuple(deltas)


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
    content = ("reserve", c.reservation_id, c.quantity, channel, c.warehouse, ttl_ms, c.order_id)
    # Fields that came later are left out from the end while they are defaults: such a command's content stays the same.
    if c.region is not None:
        return (*content, c.partial or False, c.region)
    return (*content, c.partial) if c.partial else content


RULE = Rule(Reserve, reserve, content=_content)
