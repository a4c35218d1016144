"""Owns the views: how results and stock changes show rows."""

from typing import Any

import msgspec
from msgspec import UNSET

from schemas.codes import Code
from schemas.policies import POLICY_FIELDS
from schemas.results import Allocation, Claim, ReservationView, Result, StockView
from schemas.stock_changes import Cause, Quantities, StockChange
from tables.core.book import published_book
from tables.core.decision import StockRows
from tables.core.rows import BookRow, Claims, FullReservation, FullStock, Reservation, Seen, SeenWithExtra, Stock

_decode_extra = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def result_of(seen: Seen, command_id: str, sku: str, partition: int, *, replayed: bool = False) -> Result:
    """Return a remembered command's result, as it was first published."""
    result = Result(
        command_id,
        seen.type,
        sku,
        "accepted" if seen.code is None else "rejected",
        None if seen.code is None else Code(seen.code),
        replayed,
        reservation_view(seen.reservation_id, seen.reservation),
        [_stock_view(warehouse, row) for warehouse, row in seen.stock],
        any(row.shortfall for _, row in seen.stock),
        seen.seq,
        seen.at,
        partition,
        seen.offset,
        UNSET,
        UNSET,
        UNSET if seen.requested is None else seen.requested,
        UNSET if seen.available is None else seen.available,
    )
    if type(seen) is SeenWithExtra:
        for name, value in _decode_extra(seen.extra).items():
            setattr(result, name, value)
    return result


def _stock_view(warehouse: str, row: Stock) -> StockView:
    view = StockView(
        warehouse,
        row.on_hand,
        row.reserved,
        row.damaged,
        row.safety_stock,
        row.inbound,
        row.available,
    )
    if type(row) is FullStock:
        view.quarantine = row.quarantine
    return view


def write_out(
    sku: str, stock: StockRows, deltas: tuple[dict[str, int], ...], now_ms: int, cause: Cause
) -> tuple[list[StockView], list[StockChange], bool]:
    """Return the rows for the result, their stock changes (none without deltas), and whether any row is short."""
    views: list[StockView] = []
    changes: list[StockChange] = []
    any_shortfall = False
    for number, (warehouse, row) in enumerate(stock):
        on_hand, reserved, damaged = row.on_hand, row.reserved, row.damaged
        safety_stock, inbound = row.safety_stock, row.inbound
        # Copies of `Stock.available` and `Stock.shortfall`: properties would be calls for each row of each command.
        available = on_hand - reserved - safety_stock
        shortfall = reserved > on_hand
        view = StockView(warehouse, on_hand, reserved, damaged, safety_stock, inbound, available)
        views.append(view)
        after = Quantities(on_hand, reserved, damaged, safety_stock, inbound, available)
        if type(row) is FullStock:
            view.quarantine = after.quarantine = row.quarantine
        if deltas:
            changes.append(StockChange(sku, warehouse, row.seq, now_ms, cause, deltas[number], after, shortfall))
        if shortfall:
            any_shortfall = True
    return views, changes, any_shortfall


def book_change(sku: str, before: BookRow | None, after: BookRow, now_ms: int, cause: Cause) -> StockChange:
    """Return the stock change of a SKU's book: that of a row without quantities, in the warehouse without a name."""
    waited, promised = (0, 0) if before is None else (before.backordered, before.promised)
    moved = {"backordered": after.backordered - waited, "promised": after.promised - promised}
    delta = {name: units for name, units in moved.items() if units}
    nothing = Quantities(0, 0, 0, 0, 0, 0)
    return StockChange(sku, "", after.seq, now_ms, cause, delta, nothing, False, published_book(after))


def given_fields(row: Any) -> dict[str, Any]:
    """Return the policy fields that a row gives."""
    given = {name: getattr(row, name) for name in POLICY_FIELDS}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value is not None
    }


def reservation_view(reservation_id: str | None, row: Reservation | None) -> ReservationView | None:
    """Return a reservation as callers see it; None when there is none to show."""
    if row is None or reservation_id is None:
        return None
    allocations = []
    for warehouse, quantity in row.allocations:  # a comprehension is a function call in Python 3.11
        allocations.append(Allocation(warehouse, quantity))
    view = ReservationView(
        reservation_id,
        row.state,
        row.quantity,
        row.committed,
        row.released,
        allocations,
        row.channel,
        row.order_id,
        row.expires_at,
    )
    if type(row) is FullReservation:
        if row.claims:
            view.waiting = row.waiting
            view.promised_at = promised_at(row.claims)
            view.claims = [Claim(*claim) for claim in row.claims]
        if row.returned:
            view.returned = row.returned
    return view


def promised_at(claims: Claims) -> int | None:
    """Return the latest date of claims (ms); None when one has none."""
    dates = [date for _, _, date in claims]
    return None if None in dates else max(date for date in dates if date is not None)
