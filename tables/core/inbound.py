"""Owns the rules for announced goods: they are expected, changed, received and cancelled.

What follows for those who wait is done by the tail (`tables/core/settling.py`).
"""

import msgspec

from schemas.codes import Code
from schemas.inbound import AmendInbound, CancelInbound, ExpectInbound, InboundView, ReceiveInbound
from tables.core.adjust import MAX_BUCKET, has_no_place_for
from tables.core.book import NO_BOOK, inbound_of
from tables.core.decision import KeyedRow, Outcome, Record, Refusal, Rows, Sku
from tables.core.draft import Draft
from tables.core.retention import find_closed_inbound
from tables.core.rows import ClosedInbound, Inbound, inbound_key
from tables.core.rule import Rule

MAX_INBOUNDS = 100


def expect_inbound(rows: Rows, sku: Sku | None, command: ExpectInbound, record: Record) -> Outcome | Refusal:
    """Announce goods; the SKU and its row need not exist yet."""
    sku = sku or rows.sku_or_book(command.sku) or Sku(0, {})
    if has_no_place_for(sku, command.warehouse):
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    cannot = cannot_announce(rows, sku, command.sku, command.inbound_id, record.now_ms)
    if cannot is not None:
        return Refusal(cannot)

    # Past here it must succeed.
    inbound = Inbound(
        command.inbound_id, command.warehouse, command.eta_at, command.quantity, reference=command.reference
    )
    draft = Draft(command.sku, sku)
    draft.move(inbound.warehouse, inbound=inbound.remaining)
    draft.put_inbound(inbound)
    return draft.outcome(extra={"inbound": inbound_view(inbound)})


def amend_inbound(rows: Rows, sku: Sku | None, command: AmendInbound, record: Record) -> Outcome | Refusal:
    """Change how many come, or when; the tail says another date to those who wait for them."""
    before = _find_open(rows, sku, command, record.now_ms)
    if type(before) is Refusal:
        return before
    sku, inbound = before
    after = msgspec.structs.replace(
        inbound,
        quantity=inbound.quantity if command.quantity is None else command.quantity,
        eta_at=inbound.eta_at if command.eta_at is None else command.eta_at,
    )
    return _changed(Draft(command.sku, sku), command.sku, inbound, after, record)


def receive_inbound(rows: Rows, sku: Sku | None, command: ReceiveInbound, record: Record) -> Outcome | Refusal:
    """Take goods into stock; the tail gives them to those who were promised them."""
    before = _find_open(rows, sku, command, record.now_ms)
    if type(before) is Refusal:
        return before
    sku, inbound = before
    damaged, row = command.damaged or 0, sku.stock[inbound.warehouse]
    if row.on_hand + command.quantity > MAX_BUCKET or row.damaged + damaged > MAX_BUCKET:
        return Refusal(Code.LIMIT_EXCEEDED)
    received, broken = inbound.received + command.quantity, inbound.damaged + damaged
    after = msgspec.structs.replace(
        inbound,
        quantity=received + broken if command.final else inbound.quantity,
        received=received,
        damaged=broken,
        landed=inbound.landed + min(command.quantity, inbound.claimed - inbound.landed),
    )
    draft = Draft(command.sku, sku)
    draft.move(inbound.warehouse, on_hand=command.quantity, damaged=damaged)
    return _changed(draft, command.sku, inbound, after, record)


def cancel_inbound(rows: Rows, sku: Sku | None, command: CancelInbound, record: Record) -> Outcome | Refusal:
    """Say that no more will come."""
    before = _find_open(rows, sku, command, record.now_ms)
    if type(before) is Refusal:
        return before
    sku, inbound = before
    after = msgspec.structs.replace(inbound, quantity=inbound.received + inbound.damaged)
    return _changed(Draft(command.sku, sku), command.sku, inbound, after, record)


def cannot_announce(rows: Rows, sku: Sku, sku_id: str, inbound_id: str, now_ms: int) -> Code | None:
    """Return why goods cannot be announced under an id; None when they can.

    What a row may expect needs no limit of its own: 100 deliveries of 1,000,000,000 units are far below a bucket's.
    """
    if is_known(rows, sku, sku_id, inbound_id, now_ms):
        return Code.INBOUND_EXISTS
    return Code.LIMIT_EXCEEDED if len((sku.book or NO_BOOK).inbounds) >= MAX_INBOUNDS else None


def is_known(rows: Rows, sku: Sku, sku_id: str, inbound_id: str, now_ms: int) -> bool:
    """Return whether the SKU has announced goods of this name, or had some that are not forgotten."""
    if inbound_of(sku.book, inbound_id) is not None:
        return True
    return find_closed_inbound(rows, inbound_key(sku_id, inbound_id), now_ms) is not None


def _find_open(
    rows: Rows, sku: Sku | None, command: AmendInbound | ReceiveInbound | CancelInbound, now_ms: int
) -> tuple[Sku, Inbound] | Refusal:
    """Return the SKU and announced goods of which more may come; a `Refusal` when there are none."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    if not is_known(rows, sku, command.sku, command.inbound_id, now_ms):
        return Refusal(Code.UNKNOWN_INBOUND)
    inbound = inbound_of(sku.book, command.inbound_id)
    if inbound is None or not inbound.remaining:
        return Refusal(Code.INBOUND_CLOSED)
    return sku, inbound


def _changed(draft: Draft, sku_id: str, before: Inbound, after: Inbound, record: Record) -> Outcome:
    """Return the outcome of a change of announced goods; they are closed when no more will come."""
    draft.move(after.warehouse, inbound=after.remaining - before.remaining)
    draft.put_inbound(after)
    writes: list[KeyedRow] = []
    if not after.remaining:
        closed = ClosedInbound(
            after.warehouse,
            after.quantity,
            after.received,
            after.damaged,
            after.eta_at,
            after.from_,
            after.reference,
            after.state,
            record.now_ms,
        )
        writes.append((inbound_key(sku_id, after.inbound_id), closed))
    return draft.outcome(writes=writes, extra={"inbound": inbound_view(after)})


def inbound_view(inbound: Inbound) -> InboundView:
    """Return announced goods as results show them."""
    return InboundView(
        inbound.inbound_id,
        inbound.warehouse,
        inbound.quantity,
        inbound.received,
        inbound.damaged,
        inbound.remaining,
        inbound.claimed,
        inbound.eta_at,
        inbound.from_,
        inbound.reference,
        inbound.state,
    )


EXPECT = Rule(
    ExpectInbound,
    expect_inbound,
    content=lambda c: ("expect_inbound", c.inbound_id, c.warehouse, c.quantity, c.eta_at, c.reference),
    cause=(("reference", "inbound_id"), "reference"),
)
AMEND = Rule(
    AmendInbound,
    amend_inbound,
    content=lambda c: ("amend_inbound", c.inbound_id, c.quantity, c.eta_at),
    cause=(("reference", "inbound_id"),),
)
RECEIVE = Rule(
    ReceiveInbound,
    receive_inbound,
    content=lambda c: (
        "receive_inbound", c.inbound_id, c.quantity, c.damaged or 0, c.final or False, c.reference,
    ),
    cause=(("reference", "inbound_id"), "reference"),
)  # fmt: skip
CANCEL = Rule(
    CancelInbound,
    cancel_inbound,
    content=lambda c: ("cancel_inbound", c.inbound_id, c.reason),
    cause=("reason", ("reference", "inbound_id")),
)
