"""Owns settling: after each record, goods that are there go to those who wait for them, a few steps at a time.

A SKU is pending from a change that may have made a step possible until a look finds that none is. The tail of a record
does steps of pending SKUs, the one that is pending longest first, for `BUDGET` units of work at most; the rest goes on
with the next record.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from schemas.policies import DEFAULT_POLICY, Policy
from schemas.results import Result
from schemas.stock_changes import Cause
from tables.core.decision import Beside, Decision, Outcome, Record, Rows, Sku
from tables.core.draft import Draft
from tables.core.holds import added, claimed, drop_claims, hold, home_of, shaped
from tables.core.placing import (
    Demand,
    Parts,
    classes_with_goods,
    free_of_inbound,
    hurdle_of,
    open_inbounds,
    place,
    shelf_for,
    take,
)
from tables.core.queue import Rank
from tables.core.rows import RESERVATION, BookRow, Claims, FullReservation, Inbound, book_key, reservation_key
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
        look = _Look(rows, sku_id, record.now_ms)
        step = _step(look, record)
        if step is None:
            yield _settled(look, record)
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


def _settled(look: "_Look", record: Record) -> Decision:
    """Return the decision after a look that found no step: the SKU is not pending any more."""
    book = look.book
    return _said(look.sku_id, look.sku, msgspec.structs.replace(book, since=None, settling=False), book, record)


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


def _step(look: "_Look", record: Record) -> tuple[Decision, int] | None:
    """Return the first possible step of a SKU and its work; None when none is possible."""
    for step in (_land, _cut, _fill, _peg, _tell):
        found = step(look)
        if found is not None:
            after = found.outcome.reservation
            assert after is not None  # noqa: S101 - a step has one
            work = 1 + len(after.allocations) + (len(after.claims) if isinstance(after, FullReservation) else 0)
            return _decision(found, look.sku_id, look.sku, record), work
    return None


class _Step(NamedTuple):
    """A step: the type of its result, what it changes, and for which announced goods."""

    type: Literal["fill", "promise"]
    outcome: Outcome
    reference: str | None = None


class _Look:
    """What the steps of one SKU look at."""

    def __init__(self, rows: Rows, sku_id: str, now_ms: int) -> None:
        self.rows = rows
        self.sku_id = sku_id
        self.sku, self.book = _book(rows, sku_id)
        self.now_ms = now_ms
        self.queue = rows.queue(sku_id)

    def row(self, rank: Rank) -> FullReservation:
        """Return a reservation that waits."""
        row = self.rows.row(RESERVATION, reservation_key(self.sku_id, rank.reservation_id))
        assert isinstance(row, FullReservation)  # noqa: S101 - it waits
        return row

    def draft(self) -> Draft:
        """Return a draft of the SKU's changes."""
        return Draft(self.sku_id, self.sku)

    def policy(self, row: FullReservation) -> Policy:
        """Return the policy now in force for a reservation."""
        return self.rows.register.policy(row.channel, self.sku.policies)


def _land(look: _Look) -> _Step | None:
    """Give goods that were promised and have come to the best rank that was promised them."""
    for inbound in look.book.inbounds:
        if inbound.landed:
            rank = look.queue.best_claimant(inbound.inbound_id)
            row, draft = look.row(rank), look.draft()
            units = min(_claim_on(row, inbound), inbound.landed)
            draft.move(inbound.warehouse, reserved=units)
            draft.claim(inbound.inbound_id, -units, landed=-units)
            claims = _changed(row.claims, inbound.inbound_id, -units, 0)
            allocations = added(row.allocations, ((inbound.warehouse, units),))
            after = msgspec.structs.replace(row, allocations=allocations, claims=claims)
            return _Step("fill", draft.outcome(rank.reservation_id, shaped(after)), inbound.inbound_id)
    return None


def _cut(look: _Look) -> _Step | None:
    """Take the date from the worst rank that was promised goods which will not come."""
    for inbound in look.book.inbounds:
        excess = inbound.claimed - inbound.landed - inbound.remaining
        if excess > 0:
            rank = look.queue.worst_claimant(inbound.inbound_id)
            row, draft = look.row(rank), look.draft()
            units = min(_claim_on(row, inbound), excess)
            draft.claim(inbound.inbound_id, -units)
            draft.count(row.channel, backordered=units)
            after = msgspec.structs.replace(row, claims=_changed(row.claims, inbound.inbound_id, -units, units))
            return _Step("promise", draft.outcome(rank.reservation_id, shaped(after)), inbound.inbound_id)
    return None


def _fill(look: _Look) -> _Step | None:
    """Give what is there to the first of the classes' heads that can have any of it."""
    sku, register, queue = look.sku, look.rows.register, look.queue
    if not shelf_for(sku, DEFAULT_POLICY, register).total:
        return None
    asking = queue.unfilled.resting_on(sku, sku.shelves, sku.policies, register.edition)
    asking.classes.update(classes_with_goods(sku))
    for rank, of in asking.heads():
        row = look.row(rank)
        policy = look.policy(row)
        home = home_of(row, look.book)
        shelf = shelf_for(sku, policy, register)
        hurdle = hurdle_of(row, home, policy, shelf)
        if not shelf.is_passed(hurdle):
            shelf.wait_for(hurdle, of)
            asking.classes.discard(of)
            continue
        # All or nothing where it may not be split; there is enough for it.
        holding = tuple(warehouse for warehouse, _ in row.allocations)
        demand = Demand(row.waiting, row.only, row.region, policy.split, first=holding, home=home)
        placing = place(demand, policy, sku, register)
        draft = look.draft()
        after = msgspec.structs.replace(hold(draft, row, placing), claims=drop_claims(draft, row, placing.possible))
        return _Step("fill", draft.outcome(rank.reservation_id, shaped(after)))
    return None


def _peg(look: _Look) -> _Step | None:
    """Give a date to the first of the classes' undated heads for which announced goods are free."""
    coming = {it.warehouse for it in look.book.inbounds if free_of_inbound(it)}
    if not coming:
        return None
    asking = look.queue.undated.resting_on(look.book.inbounds, look.sku.policies, look.rows.register.edition)
    for rank, of in asking.heads():
        if of[1] is not None and of[1] not in coming:
            asking.classes.discard(of)
            continue
        row = look.row(rank)
        policy = look.policy(row)
        parts = _dated(look, row, policy) if policy.enabled else ()
        if parts:
            draft = look.draft()
            units = sum(part for _, part in parts)
            draft.count(row.channel, backordered=-units)
            after = msgspec.structs.replace(row, claims=claimed(draft, row.claims, parts, -units))
            return _Step("promise", draft.outcome(rank.reservation_id, shaped(after)))
        asking.classes.discard(of)
    return None


def _dated(look: _Look, row: FullReservation, policy: Policy) -> Parts:
    """Return which announced goods a reservation may now wait for instead of any; however far off."""
    undated = row.claims[-1][1]
    open_ = open_inbounds(look.book, policy, look.rows.register, look.now_ms, until=None, only=row.only)
    free = {it.inbound_id: free_of_inbound(it) for it in open_}
    if policy.split:
        units = min(undated, sum(free.values()))
        return take(units, tuple(free), tuple(free), free) if units else ()
    home = home_of(row, look.book)
    at_home = (it.inbound_id for it in open_ if home is None or it.warehouse == home)
    return next((((name, undated),) for name in at_home if free[name] >= undated), ())


def _tell(look: _Look) -> _Step | None:
    """Say another date to the best rank that was told an old one."""
    for inbound in look.book.inbounds:
        rank = look.queue.untold(inbound.inbound_id, inbound.eta_at)
        if rank is not None:
            row = look.row(rank)
            claims = tuple(
                (name, units, inbound.eta_at if name == inbound.inbound_id else date)
                for name, units, date in row.claims
            )
            after = msgspec.structs.replace(row, claims=claims)
            return _Step("promise", look.draft().outcome(rank.reservation_id, after))
    return None


def _claim_on(row: FullReservation, inbound: Inbound) -> int:
    return next(units for name, units, _ in row.claims if name == inbound.inbound_id)


def _changed(claims: Claims, inbound_id: str, units: int, undated: int) -> Claims:
    """Return claims with other units on announced goods, and with more units without a date."""
    after = [(name, had + units, date) if name == inbound_id else (name, had, date) for name, had, date in claims]
    if undated:
        had = after.pop()[1] if after[-1][0] is None else 0
        after.append((None, had + undated, None))
    return tuple(claim for claim in after if claim[1])


def _decision(step: _Step, sku_id: str, sku: Sku, record: Record) -> Decision:
    """Return the decision of a step: an unsolicited result, its stock changes and its rows."""
    type_, outcome = step.type, step.outcome
    cause = Cause(type_, None, outcome.reservation_id, None, step.reference)
    views, published, shortfall = write_out(sku_id, outcome.stock, outcome.deltas, record.now_ms, cause)
    beside = None if outcome.more is None else outcome.more.beside
    if beside is not None and beside.book is not None and beside.book.seq > sku.seq:
        published.append(book_change(sku_id, sku.book, beside.book, record.now_ms, cause))
    seq = published[-1].seq if published else sku.seq
    shown = reservation_view(outcome.reservation_id, outcome.reservation)
    place_of = (record.now_ms, record.partition, record.offset)
    result = Result(None, type_, sku_id, "accepted", None, False, shown, views, shortfall, seq, *place_of)
    return Decision(sku_id, result, sku, outcome.stock, outcome.writes, published, beside)
