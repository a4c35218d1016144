"""Owns the rule for `query`: a read in the order of the log."""

from collections.abc import Mapping

import msgspec

from schemas.availability import ChannelAvailability, Supply, availability
from schemas.codes import Code
from schemas.commands import Query
from schemas.results import ReservationView, Waiting
from tables.core.book import backordered_of, held_of, owed_to_queue, published_book, shows_anything, waits
from tables.core.decision import More, Outcome, Record, Refusal, Rows, Sku
from tables.core.placing import free_of_inbound, open_inbounds, shelf_for
from tables.core.retention import find_reservation, is_forgotten
from tables.core.rows import RESERVATION, FullReservation, reservation_key
from tables.core.rule import Rule
from tables.core.views import promised_at, reservation_view

# A list ends after so many reservations in any state were looked at, or so many allocations were shown: a query has to
# end in time, and its result has to fit into a record batch.
MAX_LOOKED_AT = 1_000
MAX_SHOWN_ALLOCATIONS = 2_000


def query(rows: Rows, sku: Sku | None, command: Query, record: Record) -> Outcome | Refusal:
    """Show all rows of a SKU, and its reservations as far as they are asked for. Nothing changes."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    reservation = None
    if command.reservation_id is not None:
        reservation = find_reservation(rows, reservation_key(command.sku, command.reservation_id), record.now_ms)
        if reservation is None or not _is_shown(reservation.channel, command):
            return Refusal(Code.UNKNOWN_RESERVATION)
    extra: dict[str, object] = {}
    settling = waits(sku.book) and sku.book is not None and sku.book.since is not None
    if command.channel is not None:
        extra["availability"] = _availability(rows, sku, command.channel, record.now_ms)
    if sku.book is not None and shows_anything(sku.book):
        extra["book"] = published_book(msgspec.structs.replace(sku.book, settling=settling))
    if command.waiting:
        extra["waiting"] = _list_waiting(rows, command, command.waiting)
    if command.reservations is not None:
        extra |= _list_held(rows, command, command.reservations, record.now_ms)
    return Outcome(tuple(sku.stock.items()), (), command.reservation_id, reservation, (), More(extra))


def _availability(rows: Rows, sku: Sku, channel: str, now_ms: int) -> ChannelAvailability:
    """Return what a channel may have, by the function that its reserves are decided by."""
    policy = rows.register.policy(channel, sku.policies)
    owed, until = owed_to_queue(sku.book), now_ms + policy.presell_horizon_ms
    free = shelf_for(sku, policy, rows.register).less(owed).units
    near = open_inbounds(sku.book, policy, rows.register, now_ms, until=until)
    supplies = [Supply(inbound.eta_at, free_of_inbound(inbound, owed)) for inbound in near]
    held, backordered = held_of(sku.book, channel), backordered_of(sku.book, channel)
    return availability(channel, policy, free, held=held, backordered=backordered, supplies=supplies)


def _list_waiting(rows: Rows, command: Query, wanted: int) -> list[Waiting]:
    """Return the first of a SKU's reservations that wait, by rank; only those of the query's channels."""
    shown = []
    for rank in rows.queue(command.sku).first(wanted, command.channels):
        row = rows.row(RESERVATION, reservation_key(command.sku, rank.reservation_id))
        assert isinstance(row, FullReservation)  # noqa: S101 - it waits
        assert row.priority is not None  # noqa: S101 - as above
        assert row.placed_at is not None  # noqa: S101 - as above
        dates = promised_at(row.claims)
        shown.append(
            Waiting(rank.reservation_id, row.channel, row.order_id, row.priority, row.placed_at, row.waiting, dates)
        )
    return shown


def _is_shown(channel: str, command: Query) -> bool:
    return command.channels is None or channel in command.channels


def _list_held(rows: Rows, command: Query, wanted: int, now_ms: int) -> Mapping[str, object]:
    """Return `reservations` and `next`: the id of the last one that was looked at, None when no other one follows."""
    shown: list[ReservationView] = []
    looked_at = allocations = 0
    last = None
    for reservation_id, row in rows.scan(RESERVATION, command.sku, command.after or ""):
        if is_forgotten(row, now_ms):
            continue
        if looked_at == MAX_LOOKED_AT or len(shown) == wanted or allocations >= MAX_SHOWN_ALLOCATIONS:
            return {"reservations": shown, "next": last}
        looked_at += 1
        last = reservation_id
        if row.state == "held" and _is_shown(row.channel, command):
            view = reservation_view(reservation_id, row)
            assert view is not None  # noqa: S101 - there is a row
            shown.append(view)
            allocations += len(row.allocations)
    return {"reservations": shown, "next": None}


RULE = Rule(
    Query,
    query,
    content=lambda c: ("query", c.reservation_id, c.of_command_id, c.channel, c.waiting, c.reservations, c.after),
    asks_for="of_command_id",
    remembered=False,
)
