"""Owns the rule for `reserve`: it holds units and never makes the available quantity negative."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from schemas.availability import is_allowed, room_of
from schemas.codes import Code
from schemas.commands import Reserve
from schemas.fields import DEFAULT_CHANNEL, DEFAULT_TTL_MS
from schemas.policies import Policy
from tables.core.book import backordered_of, has_place_for, held_of, owed_to_queue
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import hold, shaped
from tables.core.placing import Demand, open_inbounds, place
from tables.core.queue import MAX_CLASSES
from tables.core.register import Register
from tables.core.retention import find_reservation
from tables.core.rows import FullReservation, FullStock, Inbound, Reservation, Stock, reservation_key, with_quarantine
from tables.core.rule import Rule

# So many rows are looked at one after the other in less time than a shelf takes.
_MANY_ROWS = 100


def reserve(rows: Rows, sku: Sku | None, command: Reserve, record: Record) -> Outcome | Refusal:
    """Hold the quantity in the first warehouse that has it all; otherwise split it over several.

    So it is where no rule is set and the command asks for nothing special: by far the most often.
    """
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    candidates = sku.stock
    if command.warehouse is not None and command.warehouse not in candidates:
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    key, now_ms = reservation_key(command.sku, command.reservation_id), record.now_ms
    if find_reservation(rows, key, now_ms) is not None:
        return Refusal(Code.RESERVATION_EXISTS)
    register = rows.register
    if (
        (register.has_rules and register.has_rules_for(command.channel or DEFAULT_CHANNEL))
        or sku.book is not None
        or command.warehouse is not None
        or command.partial
        or command.region is not None
        or command.wait is not None
        or len(candidates) > _MANY_ROWS
    ):
        return _reserve_by_policy(rows, sku, command, record)
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
        if type(row) is FullStock:
            after = with_quarantine(after, row)
        stock.append((warehouse, after))
        deltas.append({"reserved": quantity})
    return Outcome(tuple(stock), tuple(deltas), command.reservation_id, reservation, ((key, reservation),))


def _reserve_by_policy(rows: Rows, sku: Sku, command: Reserve, record: Record) -> Outcome | Refusal:
    """Hold what the channel's policy for the SKU allows, and let the rest wait if it may."""
    register, channel = rows.register, command.channel or DEFAULT_CHANNEL
    policy = register.policy(channel, sku.policies)
    refusal = _forbidden(register, policy, command)
    if refusal is not None:
        return refusal
    room, quantity = room_of(policy, held_of(sku.book, channel)), command.quantity
    if room is not None and room < quantity:
        if not (command.partial and room):
            return Refusal(Code.CHANNEL_CAP_EXCEEDED, command.quantity, room)
        quantity = room
    if policy.cap is not None and not has_place_for(sku.book, channel):
        return Refusal(Code.LIMIT_EXCEEDED)
    supplies, backorders = waits_for(rows, sku, policy, channel, command, command.warehouse, record.now_ms)
    partial, owed = bool(command.partial), owed_to_queue(sku.book)
    demand = Demand(quantity, command.warehouse, command.region, partial, supplies, backorders, owed)
    placing = place(demand, policy, sku, register)
    if placing.waits and opens_too_many(rows, command.sku, channel, command.warehouse):
        return Refusal(Code.LIMIT_EXCEEDED)
    if not placing.is_given:
        return Refusal(Code.INSUFFICIENT_STOCK, command.quantity, placing.possible)

    # Past here it must succeed.
    draft = Draft(command.sku, sku)
    reservation = hold(draft, _reservation(command, channel, placing.possible, policy, record), placing)
    if reservation.counted:
        draft.count(channel, held=placing.possible)
    if placing.waits:
        reservation = ranked(reservation, policy, record)
    requested = command.quantity if placing.possible < command.quantity else None
    return draft.outcome(command.reservation_id, shaped(reservation), requested=requested)


class Waits(Protocol):
    """A command that says what units that are not there may wait for."""

    @property
    def wait(self) -> str | None:
        """`none`, `inbound` or `any`."""

    @property
    def promise_by(self) -> int | None:
        """The last date that counts (ms)."""


def waits_for(
    rows: Rows, sku: Sku, policy: Policy, channel: str, command: Waits, only: str | None, now_ms: int
) -> tuple[tuple[Inbound, ...], int]:
    """Return the announced goods that a command may wait for, and how many units may wait without a date.

    Args:
        rows: the ledger.
        sku: the SKU's rows.
        policy: the channel's for the SKU.
        channel: its id.
        command: the command.
        only: the one warehouse that may give; None: all that are open.
        now_ms: the clock.
    """
    if command.wait is None or command.wait == "none":
        return (), 0
    until = now_ms + policy.presell_horizon_ms
    if command.promise_by is not None:
        until = min(until, command.promise_by)
    supplies = open_inbounds(sku.book, policy, rows.register, now_ms, until=until, only=only)
    room = policy.backorder_limit - backordered_of(sku.book, channel)
    return supplies, max(0, room) if command.wait == "any" else 0


def ranked(row: FullReservation, policy: Policy, record: Record) -> FullReservation:
    """Return a reservation that waits with its rank, which it gets once."""
    if row.priority is not None:
        return row
    return msgspec.structs.replace(row, priority=policy.priority, placed=record.offset, placed_at=record.now_ms)


def opens_too_many(rows: Rows, sku_id: str, channel: str, only: str | None) -> bool:
    """Return whether one more that waits would be of a class too many."""
    classes = rows.queue(sku_id).classes
    return len(classes) >= MAX_CLASSES and (channel, only) not in classes


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


def _reservation(command: Reserve, channel: str, quantity: int, policy: Policy, record: Record) -> FullReservation:
    """Return a reservation that holds nothing yet."""
    ttl_ms = DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms
    return FullReservation(
        "held",
        quantity,
        0,
        0,
        (),
        channel,
        command.order_id,
        record.now_ms + ttl_ms if ttl_ms else None,
        None,
        only=command.warehouse,
        region=command.region,
        counted=policy.cap is not None,
    )


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
    if c.partial or c.region is not None or c.wait is not None:
        wait = c.wait or "none"
        later: tuple[object, ...] = (c.partial or False, c.region, wait, c.promise_by)
        defaults: tuple[object, ...] = (False, None, "none", None)
        while later and later[-1] == defaults[len(later) - 1]:
            later = later[:-1]
        return (*content, *later)
    return content


RULE = Rule(Reserve, reserve, content=_content)
