"""Owns the decision of a command: the check of its partition, idempotency, the rule, and what is remembered."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from schemas.codec import Unreadable, encode
from schemas.codes import Code
from schemas.commands import SkuCommand
from schemas.partitioner import partition_of
from schemas.results import Result
from schemas.stock_changes import Cause, StockChange
from tables.core.book import waits
from tables.core.decision import Beside, Decision, KeyedRow, More, Outcome, Record, Refusal, Rows, Sku
from tables.core.journal import entries_of
from tables.core.release import expire
from tables.core.retention import find_seen
from tables.core.rows import Seen, SeenWithExtra, book_key, encode_row, seen_key
from tables.core.rule import Rule
from tables.core.rules import RULES
from tables.core.views import book_change, reservation_view, result_of, write_out

# An earlier release remembered queries: their rows are as if they were not there.
_QUERY = "query"


def decide(rows: Rows, command: SkuCommand, record: Record) -> Decision:
    """Decide one command against the ledger as it stands.

    Args:
        rows: the ledger before the command, expiries of this record included.
        command: any command but `tick`.
        record: the command's place and the clock.

    Returns:
        The decision. A decision without rows to write is not remembered: a read, or a refusal before the rule.
    """
    sku_id = command.sku
    command_id = command.command_id
    rule = RULES[type(command)]
    sku = rows.sku(sku_id)
    # A SKU with rows here is in the right partition: a SKU never gets its first row in another one.
    if sku is None and partition_of(sku_id, record.partitions) != record.partition:
        return _refused(command_id, rule.type, sku_id, Code.WRONG_PARTITION, 0, record)
    if not rule.remembered:
        return _read(rows, sku, rule, command, record)
    content_fields = rule.content
    content = encode_row(content_fields(command))
    key = seen_key(sku_id, command_id)
    seen = find_seen(rows, key, record.now_ms)
    if seen is not None and seen.type != _QUERY:
        if seen.content != content:
            return _refused(command_id, rule.type, sku_id, Code.IDEMPOTENCY_MISMATCH, _seq_of(sku), record)
        return Decision(sku_id, result_of(seen, command_id, sku_id, record.partition, replayed=True))

    apply = rule.decide
    outcome = apply(rows, sku, command, record)
    if type(outcome) is Refusal:
        seen = _seen_refusal(outcome, content, rule.type, _seq_of(sku), record)
        if outcome.extra is not None:
            seen = _with_extra(seen, outcome.extra)
        result = result_of(seen, command_id, sku_id, record.partition)
        return Decision(sku_id, result, None, (), [(key, seen)])
    return _accepted(rows, rule, sku, command, content, key, outcome, record)


def refuse_unreadable(rows: Rows, unreadable: Unreadable, record: Record) -> Decision | None:
    """Return the refusal of a record that is no valid command; None when it has no ids for a result."""
    if unreadable.command_id is None or unreadable.sku is None:
        return None
    here = partition_of(unreadable.sku, record.partitions) == record.partition
    seq = _seq_of(rows.sku(unreadable.sku)) if here else 0
    decision = _refused(unreadable.command_id, unreadable.type, unreadable.sku, unreadable.code, seq, record)
    result = decision.result
    assert result is not None  # noqa: S101 - a refusal has one
    if unreadable.field is not None:
        result.field = unreadable.field
    if unreadable.problem is not None:
        result.problem = unreadable.problem
    return decision


def decide_expiry(rows: Rows, due: tuple[int, str, str], record: Record) -> Decision | None:
    """Return the decision that ends a reservation whose time is over; None when it is not due.

    Args:
        rows: the ledger as it stands.
        due: (expires_at, SKU, reservation_id), with `expires_at` not after the record's clock.
        record: the record that moved the clock.
    """
    expires_at, sku_id, reservation_id = due
    outcome = expire(rows, expires_at, sku_id, reservation_id, record.now_ms)
    if outcome is None or outcome.reservation is None:
        return None
    cause, sku = Cause("expire", None, reservation_id), rows.sku(sku_id)
    assert sku is not None  # noqa: S101 - it has a reservation
    # A reservation that is held has at least one unit, so at least one row or the book changes.
    views, published, shortfall = write_out(sku_id, outcome.stock, outcome.deltas, record.now_ms, cause)
    beside = None if outcome.more is None else outcome.more.beside
    _publish_book(published, sku_id, sku, beside, record.now_ms, cause)
    result = Result(
        None,
        "expire",
        sku_id,
        "accepted",
        None,
        False,
        reservation_view(reservation_id, outcome.reservation),
        views,
        shortfall,
        published[-1].seq,
        record.now_ms,
        record.partition,
        record.offset,
    )
    writes = [*outcome.writes]
    beside = _pending_after(sku_id, sku, beside, writes, record, is_change=True)
    return Decision(sku_id, result, sku, outcome.stock, writes, published, beside)


def _accepted(
    rows: Rows,
    rule: Rule[Any],
    sku: Sku | None,
    command: SkuCommand,
    content: bytes,
    key: bytes,
    outcome: Outcome,
    record: Record,
) -> Decision:
    sku_id, command_id, type_ = command.sku, command.command_id, rule.type
    reservation_id, reservation = outcome.reservation_id, outcome.reservation
    offset, now_ms = record.offset, record.now_ms
    stock = outcome.stock
    cause = Cause(type_, command_id, reservation_id, None, None, command.actor, command.source)
    for name, its_field in rule.caused_by:
        if (value := getattr(command, its_field)) is not None:
            setattr(cause, name, value)
    views, published, shortfall = write_out(sku_id, stock, outcome.deltas, now_ms, cause)
    more = outcome.more
    beside = None if more is None else more.beside
    if beside is not None:
        _publish_book(published, sku_id, sku, beside, now_ms, cause)
    if published:
        changed, seq = stock, published[-1].seq
    else:
        changed, seq = (), _seq_of(sku)
    seen = Seen(content, type_, None, seq, now_ms, offset, reservation_id, reservation, stock, None, None, None)
    result = Result(
        command_id,
        type_,
        sku_id,
        "accepted",
        None,
        False,
        None if reservation is None else reservation_view(reservation_id, reservation),
        views,
        shortfall,
        seq,
        now_ms,
        record.partition,
        offset,
    )
    if more is not None:
        seen = _show_more(result, seen, more)
    writes = [*outcome.writes, (key, seen)]
    if rows.register.journalled:
        beside = _journalled(rows, sku_id, outcome, beside, writes, now_ms)
    if beside is not None or (sku is not None and sku.book is not None):
        is_change = bool(published) or rule.looks_again or (beside is not None and beside.policy is not None)
        beside = _pending_after(sku_id, sku, beside, writes, record, is_change=is_change)
    return Decision(sku_id, result, sku, changed, writes, published, beside)


def _show_more(result: Result, seen: Seen, more: More) -> Seen:
    """Put further fields into a result; return the row of the command with them."""
    if more.requested is not None:
        result.requested = more.requested
        seen = msgspec.structs.replace(seen, requested=more.requested)
    if more.extra is not None:
        _show(result, more.extra)
        seen = _with_extra(seen, more.extra)
    return seen


def _show(result: Result, extra: Mapping[str, object]) -> None:
    """Put further fields into a result."""
    for name, value in extra.items():
        setattr(result, name, value)


def _journalled(
    rows: Rows, sku_id: str, outcome: Outcome, beside: Beside | None, writes: list[KeyedRow], now_ms: int
) -> Beside | None:
    """Write what the journals of the moved rows get; return what the decision changes beside."""
    journal = entries_of(rows, sku_id, outcome.stock, outcome.deltas, now_ms) if outcome.deltas else []
    if not journal:
        return beside
    writes += journal
    return msgspec.structs.replace(beside or Beside(), journal=tuple(journal))


def _publish_book(
    published: list[StockChange], sku_id: str, sku: Sku | None, beside: Beside | None, now_ms: int, cause: Cause
) -> None:
    """Add the change of a SKU's book to what is published, if what is shown of it changed."""
    if beside is not None and beside.book is not None and beside.book.seq > _seq_of(sku):
        published.append(book_change(sku_id, None if sku is None else sku.book, beside.book, now_ms, cause))


def _pending_after(
    sku_id: str,
    sku: Sku | None,
    beside: Beside | None,
    writes: list[KeyedRow],
    record: Record,
    *,
    is_change: bool,
) -> Beside | None:
    """Make a SKU pending if somebody waits for it and something changed; return what the decision changes beside."""
    book = beside.book if beside is not None and beside.book is not None else None if sku is None else sku.book
    if book is None or book.since is not None or not waits(book) or not is_change:
        return beside
    book = msgspec.structs.replace(book, since=record.offset)
    writes.append((book_key(sku_id), book))
    return Beside(book) if beside is None else msgspec.structs.replace(beside, book=book)


def _read(rows: Rows, sku: Sku | None, rule: Rule[Any], command: SkuCommand, record: Record) -> Decision:
    """Return the decision of a command that only reads; nothing is remembered of it."""
    sku_id, seq = command.sku, _seq_of(sku)
    outcome = rule.decide(rows, sku, command, record)
    if type(outcome) is Refusal:
        decision = _refused(command.command_id, rule.type, sku_id, outcome.code, seq, record)
    else:
        views, _, shortfall = write_out(sku_id, outcome.stock, (), record.now_ms, Cause(rule.type))
        shown = reservation_view(outcome.reservation_id, outcome.reservation)
        place = (record.now_ms, record.partition, record.offset)
        result = Result(
            command.command_id, rule.type, sku_id, "accepted", None, False, shown, views, shortfall, seq, *place
        )
        decision = Decision(sku_id, result)
        _show(result, (outcome.more and outcome.more.extra) or {})
    if rule.asks_for is not None and (asked := getattr(command, rule.asks_for)) is not None:
        seen = find_seen(rows, seen_key(sku_id, asked), record.now_ms)
        known = seen is not None and seen.type != _QUERY and _is_shown(seen, getattr(command, "channels", None))
        found = result_of(seen, asked, sku_id, record.partition) if seen and known else None
        setattr(decision.result, "of_command", found)  # noqa: B010 - a read always has a result
    return decision


def _is_shown(seen: Seen, channels: Sequence[str] | None) -> bool:
    """Return whether a command's result shows no reservation of a channel other than these; None: of any."""
    return channels is None or seen.reservation is None or seen.reservation.channel in channels


def _seq_of(sku: Sku | None) -> int:
    return 0 if sku is None else sku.seq


def _seen_refusal(refusal: Refusal, content: bytes, type_: str, seq: int, record: Record) -> Seen:
    return Seen(
        content, type_, refusal.code.value, seq, record.now_ms, record.offset,
        None, None, (), refusal.requested, refusal.available, None,
    )  # fmt: skip


def _with_extra(seen: Seen, extra: Mapping[str, object]) -> Seen:
    """Return the row with the further fields of the command's result."""
    fields: tuple[Any, ...] = msgspec.structs.astuple(seen)
    return SeenWithExtra(*fields, encode(extra))  # type: ignore[call-arg] # a tuple of all the others


def _refused(command_id: str, type_: str | None, sku: str, code: Code, seq: int, record: Record) -> Decision:
    result = Result(
        command_id,
        type_,
        sku,
        "rejected",
        code,
        False,
        None,
        [],
        False,
        seq,
        record.now_ms,
        record.partition,
        record.offset,
    )
    return Decision(sku, result)
