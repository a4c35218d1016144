"""Owns what the rules for reservations share: finding the hold, adding to its parts, and taking from them."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from schemas.codes import Code
from schemas.results import State
from tables.core.book import inbound_of
from tables.core.decision import Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.placing import Parts, Placing
from tables.core.retention import find_reservation
from tables.core.rows import CLOSED_RESERVATION_MS, BookRow, Claims, FullReservation, Reservation, full, reservation_key

_CLOSED = {
    "committed": Code.RESERVATION_COMMITTED,
    "released": Code.RESERVATION_RELEASED,
    "expired": Code.RESERVATION_EXPIRED,
}


class HoldCommand(Protocol):
    """A command that steps on a reservation."""

    sku: str
    reservation_id: str
    channels: list[str] | None


def find_hold(
    rows: Rows, sku: Sku | None, command: HoldCommand, now_ms: int
) -> tuple[Sku, bytes, Reservation] | Refusal:
    """Return the SKU, and the key and row of the command's held reservation; a `Refusal` when it is not held."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    key = reservation_key(command.sku, command.reservation_id)
    reservation = find_reservation(rows, key, now_ms)
    if reservation is None or (command.channels is not None and reservation.channel not in command.channels):
        return Refusal(Code.UNKNOWN_RESERVATION)
    if reservation.state != "held":
        return Refusal(_CLOSED[reservation.state])
    return sku, key, reservation


def draw_from(allocations: Iterable[tuple[str, int]], quantity: int) -> list[tuple[str, int]]:
    """Take a quantity from allocations in the given order.

    Returns:
        (warehouse, units taken) for each allocation that gives some, in the given order.
    """
    taken = []
    for warehouse, held in allocations:
        part = min(held, quantity)
        if part:
            taken.append((warehouse, part))
            quantity -= part
    return taken


def without(allocations: Parts, taken: Iterable[tuple[str, int]]) -> Parts:
    """Return the allocations minus what was taken, without those that hold nothing."""
    less = dict(taken)
    return tuple(
        (warehouse, held - less.get(warehouse, 0)) for warehouse, held in allocations if held > less.get(warehouse, 0)
    )


def shaped(row: FullReservation) -> Reservation:
    """Return a reservation in the layout that it must have: the plain one if it has nothing else."""
    if any(getattr(row, name) != default for name, default in _EXTRAS):
        return row
    return Reservation(*(getattr(row, name) for name in Reservation.__struct_fields__))


def stepped(rows: Rows, sku: Sku, row: FullReservation, ends_as: State, now_ms: int) -> Reservation:
    """Return a reservation after a step; it ends when nothing is left, and its time in memory is fixed then.

    Args:
        rows: the ledger.
        sku: of the reservation.
        row: the reservation with its new quantities and parts.
        ends_as: its state if it ends.
        now_ms: the clock.
    """
    if row.left:
        return shaped(row)
    kept_ms = None
    if row.committed:
        window_ms = rows.register.policy(row.channel, sku.policies).return_window_ms
        kept_ms = None if window_ms == CLOSED_RESERVATION_MS else window_ms
    return shaped(msgspec.structs.replace(row, state=ends_as, closed_at=now_ms, kept_ms=kept_ms))


def hold(draft: Draft, row: FullReservation, placing: Placing) -> FullReservation:
    """Return a reservation with what was placed for it; its rank and its `held` are the caller's affair.

    Args:
        draft: where the changes of rows and book go.
        row: before it.
        placing: what it gets.
    """
    for warehouse, units in placing.parts:
        draft.move(warehouse, reserved=units)
    draft.count(row.channel, backordered=placing.backordered)
    return msgspec.structs.replace(
        row,
        allocations=added(row.allocations, placing.parts) if placing.parts else row.allocations,
        claims=claimed(draft, row.claims, placing.claims, placing.backordered) if placing.waits else row.claims,
    )


def added(allocations: Parts, parts: Parts) -> Parts:
    """Return allocations with further units: added to what a warehouse has, or at the end."""
    both = dict(allocations)
    for warehouse, units in parts:
        both[warehouse] = both.get(warehouse, 0) + units
    return tuple(both.items())


def claimed(draft: Draft, claims: Claims, parts: Parts, undated: int) -> Claims:
    """Return claims with further units: added to a claim on the same goods, or at the end; those without a date last.

    Args:
        draft: where the changes of announced goods go.
        claims: before it.
        parts: (inbound id, units) of announced goods.
        undated: units without a date.
    """
    dated = {name: (units, date) for name, units, date in claims if name is not None}
    for name, units in parts:
        before, _ = dated.get(name, (0, None))
        dated[name] = (before + units, draft.claim(name, units).eta_at)
    undated += sum(units for name, units, _ in claims if name is None)
    last: Claims = ((None, undated, None),) if undated else ()
    return (*((name, units, date) for name, (units, date) in dated.items()), *last)


def home_of(row: FullReservation, book: BookRow | None) -> str | None:
    """Return the warehouse where a reservation that may not be split grows; None: anywhere."""
    if row.only is not None:
        return row.only
    if row.allocations:
        return row.allocations[0][0]
    for name, _, _ in row.claims:
        if name is not None and (inbound := inbound_of(book, name)) is not None:
            return inbound.warehouse
    return None


def drop_claims(draft: Draft, row: FullReservation, quantity: int) -> Claims:
    """Return the claims of a reservation without so many units, from the last claim to the first.

    Args:
        draft: where the changes of the book go.
        row: before it.
        quantity: at most what waits.
    """
    left: list[tuple[str | None, int, int | None]] = []
    for name, units, date in reversed(row.claims):
        less = min(units, quantity)
        quantity -= less
        if less and name is None:
            draft.count(row.channel, backordered=-less)
        elif less and name is not None:
            draft.claim(name, -less)
        if units > less:
            left.append((name, units - less, date))
    return tuple(reversed(left))


def give_back(draft: Draft, row: FullReservation, quantity: int) -> FullReservation:
    """Return a reservation without units that are given back: claims first, then allocations from the last.

    Args:
        draft: where the changes of rows and book go.
        row: before it.
        quantity: at most what is left.
    """
    waiting = min(quantity, row.waiting)
    taken = draw_from(reversed(row.allocations), quantity - waiting)[::-1]
    for warehouse, units in taken:
        draft.move(warehouse, reserved=-units)
    draft.count(row.channel, held=-quantity if row.counted else 0)
    claims = drop_claims(draft, row, waiting)
    return msgspec.structs.replace(row, allocations=without(row.allocations, taken), claims=claims)


_EXTRAS = tuple(
    (name, getattr(full(Reservation("held", 0, 0, 0, (), "", None, None, None)), name))
    for name in FullReservation.__struct_fields__[len(Reservation.__struct_fields__) :]
)
