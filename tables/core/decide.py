"""Owns the way from a command to its decision: place, idempotency, the rule, and what is remembered."""

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from schemas.codec import Unreadable, encode, result_decoder
from schemas.codes import Code
from schemas.commands import Adjust, Commit, Extend, Query, Release, Reserve, SkuCommand
from schemas.partitioner import partition_of
from schemas.results import Allocation, ReservationView, Result, StockView
from schemas.stock_changes import Cause, Quantities, StockChange
from tables.core.adjust import adjust
from tables.core.commit import commit
from tables.core.decision import Change, Decision, Outcome, Record, Refusal, Rows
from tables.core.extend import extend
from tables.core.query import query
from tables.core.release import expire, release
from tables.core.reserve import reserve
from tables.core.retention import find_seen
from tables.core.rows import Reservation, Seen, Stock, fingerprint

Rule = Callable[[Rows, Any, int], Outcome | Refusal]

RULES: dict[type, tuple[str, Rule]] = {
    Adjust: ("adjust", adjust),
    Reserve: ("reserve", reserve),
    Commit: ("commit", commit),
    Release: ("release", release),
    Extend: ("extend", extend),
    Query: ("query", query),
}


def decide(rows: Rows, command: SkuCommand, record: Record) -> Decision:
    """Decide one command against the ledger as it stands.

    Args:
        rows: the ledger before the command, expiries of this record included.
        command: any command but `tick`.
        record: the command's place and the clock.

    Returns:
        The decision. With `seen` None nothing of it is remembered.
    """
    sku_id = command.sku
    type_, rule = RULES[type(command)]
    if partition_of(sku_id, record.partitions) != record.partition:
        return _refused(command.command_id, type_, sku_id, Code.WRONG_PARTITION, 0, record)
    print_ = fingerprint(command)
    seen = find_seen(rows, sku_id, command.command_id, record.now_ms)
    if seen is not None:
        if seen.fingerprint != print_:
            seq = _seq(rows, sku_id)
            return _refused(command.command_id, type_, sku_id, Code.IDEMPOTENCY_MISMATCH, seq, record)
        return Decision(sku_id, result_of(seen, command.command_id, sku_id, record.partition, replayed=True))

    outcome = rule(rows, command, record.now_ms)
    if isinstance(outcome, Refusal):
        seen = _seen_refusal(outcome, print_, type_, _seq(rows, sku_id), record)
        result = result_of(seen, command.command_id, sku_id, record.partition)
        return Decision(sku_id, result, command_id=command.command_id, seen=seen)
    return _accepted(rows, command, type_, print_, outcome, record)


def refuse_unreadable(rows: Rows, unreadable: Unreadable, record: Record) -> Decision | None:
    """Answer a record that is no valid command; None when it does not say whom to answer."""
    if unreadable.command_id is None or unreadable.sku is None:
        return None
    here = partition_of(unreadable.sku, record.partitions) == record.partition
    seq = _seq(rows, unreadable.sku) if here else 0
    decision = _refused(unreadable.command_id, unreadable.type, unreadable.sku, unreadable.code, seq, record)
    if unreadable.field is not None:
        decision.result.field = unreadable.field
    return decision


def decide_expiry(rows: Rows, sku_id: str, reservation_id: str, record: Record) -> Decision | None:
    """End a reservation whose time is over, with an unsolicited result; None when it is not due after all."""
    outcome = expire(rows, sku_id, reservation_id, record.now_ms)
    if outcome is None:
        return None
    cause = Cause("expire", None, reservation_id)
    seq = outcome.changes[-1].after.seq if outcome.changes else _seq(rows, sku_id)
    stock = [_stock_view(change.warehouse, change.after) for change in outcome.changes]
    result = Result(
        command_id=None,
        type="expire",
        sku=sku_id,
        status="accepted",
        code=None,
        reservation=_reservation_view(reservation_id, outcome.reservation),
        stock=stock,
        shortfall=any(change.after.shortfall for change in outcome.changes),
        seq=seq,
        at=record.now_ms,
        partition=record.partition,
        offset=record.offset,
    )
    changes = tuple(_stock_change(sku_id, change, record.now_ms, cause) for change in outcome.changes)
    return Decision(sku_id, result, outcome.changes, reservation_id, outcome.reservation, stock_changes=changes)


def result_of(seen: Seen, command_id: str, sku: str, partition: int, *, replayed: bool = False) -> Result:
    """Write out a remembered command's result, as it was published the first time."""
    return Result(
        command_id=command_id,
        type=seen.type,
        sku=sku,
        status="accepted" if seen.code is None else "rejected",
        code=None if seen.code is None else Code(seen.code),
        replayed=replayed,
        reservation=_reservation_view(seen.reservation_id, seen.reservation),
        stock=[_stock_view(warehouse, row) for warehouse, row in seen.stock],
        shortfall=any(row.reserved > row.on_hand for _, row in seen.stock),
        seq=seen.seq,
        at=seen.at,
        partition=partition,
        offset=seen.offset,
        requested=UNSET if seen.requested is None else seen.requested,
        available=UNSET if seen.available is None else seen.available,
        of_command=UNSET if seen.of_command is None else _decode_of_command(seen.of_command),
    )


def _accepted(rows: Rows, command: SkuCommand, type_: str, print_: bytes, outcome: Outcome, record: Record) -> Decision:
    sku_id = command.sku
    changes = outcome.changes
    touched = outcome.touched
    if touched is None:
        touched = tuple([(change.warehouse, change.after) for change in changes])
    seen = Seen(
        print_,
        type_,
        None,
        changes[-1].after.seq if changes else _seq(rows, sku_id),
        record.now_ms,
        record.offset,
        outcome.reservation_id,
        outcome.reservation,
        touched,
        None,
        None,
        _of_command(rows, command, record) if type_ == "query" else None,
    )
    result = result_of(seen, command.command_id, sku_id, record.partition)
    stock_changes: tuple[StockChange, ...] = ()
    if changes:
        cause = Cause(
            type_,
            command.command_id,
            outcome.reservation_id,
            getattr(command, "reason", None),
            getattr(command, "reference", None),
            command.actor,
            command.source,
        )
        stock_changes = tuple([_stock_change(sku_id, change, record.now_ms, cause) for change in changes])
    written = outcome.reservation if outcome.writes_reservation else None
    return Decision(sku_id, result, changes, outcome.reservation_id, written, command.command_id, seen, stock_changes)


def _of_command(rows: Rows, command: SkuCommand, record: Record) -> bytes | None:
    """Give the JSON of the result that a query asks for; `null` when that command is not remembered."""
    asked = getattr(command, "of_command_id", None)
    if asked is None:
        return None
    seen = find_seen(rows, command.sku, asked, record.now_ms)
    return b"null" if seen is None else encode(result_of(seen, asked, command.sku, record.partition))


def _decode_of_command(document: bytes) -> Result | None:
    return None if document == b"null" else result_decoder.decode(document)


def _seq(rows: Rows, sku_id: str) -> int:
    sku = rows.sku(sku_id)
    return sku.seq if sku else 0


def _seen_refusal(refusal: Refusal, print_: bytes, type_: str, seq: int, record: Record) -> Seen:
    return Seen(
        print_, type_, refusal.code.value, seq, record.now_ms, record.offset,
        None, None, (), refusal.requested, refusal.available, None,
    )  # fmt: skip


def _refused(command_id: str, type_: str | None, sku: str, code: Code, seq: int, record: Record) -> Decision:
    result = Result(
        command_id=command_id,
        type=type_,
        sku=sku,
        status="rejected",
        code=code,
        reservation=None,
        stock=[],
        shortfall=False,
        seq=seq,
        at=record.now_ms,
        partition=record.partition,
        offset=record.offset,
    )
    return Decision(sku, result)


def _stock_view(warehouse: str, row: Stock) -> StockView:
    return StockView(
        warehouse,
        row.on_hand,
        row.reserved,
        row.damaged,
        row.safety_stock,
        row.inbound,
        row.on_hand - row.reserved - row.safety_stock,
    )


def _reservation_view(reservation_id: str | None, row: Reservation | None) -> ReservationView | None:
    if row is None or reservation_id is None:
        return None
    return ReservationView(
        reservation_id,
        row.state,
        row.quantity,
        row.committed,
        row.released,
        [Allocation(warehouse, quantity) for warehouse, quantity in row.allocations],
        row.channel,
        row.order_id,
        row.expires_at,
    )


_BUCKETS = ("on_hand", "reserved", "damaged", "safety_stock", "inbound")


def _stock_change(sku: str, change: Change, now_ms: int, cause: Cause) -> StockChange:
    before, after = change.before, change.after
    delta = {}
    for bucket in _BUCKETS:
        difference = getattr(after, bucket) - getattr(before, bucket)
        if difference:
            delta[bucket] = difference
    return StockChange(
        sku,
        change.warehouse,
        after.seq,
        now_ms,
        cause,
        delta,
        Quantities(
            after.on_hand,
            after.reserved,
            after.damaged,
            after.safety_stock,
            after.inbound,
            after.on_hand - after.reserved - after.safety_stock,
        ),
        after.reserved > after.on_hand,
    )
