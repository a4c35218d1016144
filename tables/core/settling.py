"""Owns settling: after each record, goods that are there go to those who wait for them, a few steps at a time.

A SKU is pending from a change that may have made a step possible until a look finds that none is. The tail of a record
does steps of pending SKUs, the one that is pending longest first, for `BUDGET` units of work at most; the rest goes on
with the next record.
"""

from collections.abc import Iterator

import msgspec

from schemas.results import Result
from schemas.stock_changes import Cause
from tables.core.amend import added
from tables.core.decision import Beside, Decision, Outcome, Record, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import claims_of, shaped
from tables.core.placing import Demand, place
from tables.core.rows import RESERVATION, BookRow, FullReservation, book_key, reservation_key, stock_key
from tables.core.views import book_change, reservation_view, write_out

BUDGET = 16


def settle_pending(rows: Rows, record: Record) -> Iterator[Decision]:
    """Yield the decisions that settle pending SKUs after a record; each is applied before the next is asked for.

    A decision without a result only changes what is said of the SKU.

    Args:
        rows: the ledger; it is read again after each decision.
        record: the record.
    """
    left, worked, sku_id = BUDGET, False, ""
    while left > 0:
        pending = rows.first_pending()
        if pending is None:
            break
        sku_id = pending
        step = _step(rows, sku_id, record)
        if step is None:
            yield _settled(rows, sku_id, record)
            left -= 1
            worked = False
            continue
        decision, work = step
        yield decision
        left -= work
        worked = True
    if worked:
        unfinished = _unfinished(rows, sku_id, record)
        if unfinished is not None:
            yield unfinished


def _book(rows: Rows, sku_id: str) -> tuple[Sku, BookRow]:
    sku = rows.sku_or_book(sku_id)
    assert sku is not None  # noqa: S101 - it is pending
    assert sku.book is not None  # noqa: S101 - as above
    return sku, sku.book


def _settled(rows: Rows, sku_id: str, record: Record) -> Decision:
    """Return the decision after a look that found no step: the SKU is not pending any more."""
    sku, book = _book(rows, sku_id)
    return _said(sku_id, sku, msgspec.structs.replace(book, since=None, settling=False), book, record)


def _unfinished(rows: Rows, sku_id: str, record: Record) -> Decision | None:
    """Return the decision that puts a SKU with work left behind the other pending ones."""
    sku, book = _book(rows, sku_id)
    if book.since is None:
        return None
    return _said(sku_id, sku, msgspec.structs.replace(book, since=record.offset, settling=True), book, record)


def _said(sku_id: str, sku: Sku, after: BookRow, before: BookRow, record: Record) -> Decision:
    changes = []
    if after.settling != before.settling:
        after = msgspec.structs.replace(after, seq=sku.seq + 1)
        changes.append(book_change(sku_id, before, after, record.now_ms, Cause("settle")))
    return Decision(sku_id, None, sku, (), ((book_key(sku_id), after),), changes, Beside(after))


def _step(rows: Rows, sku_id: str, record: Record) -> tuple[Decision, int] | None:
    """Return the first possible step of a SKU and its work; None when none is possible."""
    sku, _ = _book(rows, sku_id)
    for rank in rows.queue(sku_id).heads():
        row = rows.row(RESERVATION, reservation_key(sku_id, rank.reservation_id))
        assert isinstance(row, FullReservation)  # noqa: S101 - it waits
        filled = _fill(rows, sku, sku_id, rank.reservation_id, row)
        if filled is not None:
            after = filled.reservation
            assert after is not None  # noqa: S101 - a fill has one
            work = 1 + len(after.allocations) + (len(after.claims) if isinstance(after, FullReservation) else 0)
            return _decision("fill", sku_id, sku, filled, record), work
    return None


def _fill(rows: Rows, sku: Sku, sku_id: str, reservation_id: str, row: FullReservation) -> Outcome | None:
    """Return the outcome of giving a reservation what is there; None when nothing is."""
    policy = rows.register.policy(row.channel, sku.policies)
    if not policy.enabled:
        return None
    holding = tuple(warehouse for warehouse, _ in row.allocations)
    home = row.only or (holding[0] if holding else None)
    # All or nothing where it may not be split.
    demand = Demand(row.waiting, row.only, row.region, policy.split, 0, 0, holding, home)
    placing = place(demand, policy, sku.stock, rows.register)
    if not placing.parts:
        return None
    draft = Draft(sku_id, sku)
    for warehouse, units in placing.parts:
        draft.move(warehouse, reserved=units)
    draft.count(row.channel, backordered=-placing.possible)
    after = msgspec.structs.replace(
        row,
        allocations=added(row.allocations, placing.parts),
        claims=claims_of(row.waiting - placing.possible),
    )
    return draft.outcome(reservation_id, shaped(after))


def _decision(type_: str, sku_id: str, sku: Sku, outcome: Outcome, record: Record) -> Decision:
    """Return the decision of a step: an unsolicited result, its stock changes and its rows."""
    cause = Cause(type_, None, outcome.reservation_id)
    views, published, shortfall = write_out(sku_id, outcome.stock, outcome.deltas, record.now_ms, cause)
    writes = [*((stock_key(sku_id, warehouse), row) for warehouse, row in outcome.stock), *outcome.writes]
    beside = outcome.beside
    if beside is not None and beside.book is not None:
        published.append(book_change(sku_id, sku.book, beside.book, record.now_ms, cause))
    shown = reservation_view(outcome.reservation_id, outcome.reservation)
    place_of = (record.now_ms, record.partition, record.offset)
    result = Result(None, type_, sku_id, "accepted", None, False, shown, views, shortfall, published[-1].seq, *place_of)
    return Decision(sku_id, result, sku, outcome.stock, writes, published, beside)
