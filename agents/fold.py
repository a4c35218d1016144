"""Owns the fold: it applies records of the log one by one to a ledger's overlay and a transaction's output."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agents.batches import TransactionOutput, UnreadBatch
from schemas.codec import Unreadable, decode_command, encode_into
from schemas.codes import Code
from schemas.commands import SKU_COMMAND_TYPES, Tick
from schemas.dead_letters import DeadLetter
from schemas.reference import REFERENCE_COMMAND_TYPES
from tables.core.decide import decide, decide_expiry, refuse_unreadable
from tables.core.decision import Decision, Record
from tables.core.reference import decide_reference
from tables.core.settling import settle_pending
from tables.ledger import Ledger

_Decider = Callable[[Ledger, Any, Record], Decision]
# A tick has moved the clock already. One look-up for all types is the quickest way.
_DECIDERS: dict[type, _Decider | None] = (
    dict.fromkeys(SKU_COMMAND_TYPES, decide)
    | {kind: lambda ledger, *args: decide_reference(ledger.register, *args) for kind in REFERENCE_COMMAND_TYPES}
    | {Tick: None}
)


@dataclass
class Folded:
    """How far a transaction got: the next offset of the log, and the clock (ms)."""

    output: TransactionOutput
    next_offset: int
    now_ms: int
    commands: int


def fold(ledger: Ledger, records: list[Any], *, partition: int, partitions: int, limit: int) -> Folded:
    """Apply records to the ledger until the transaction is full. Nothing is written to disk.

    The clock is the largest timestamp of the records so far. Before each record all reservations due by then expire. If
    that fills the transaction, the record and the other expiries are left to the next one.

    Args:
        ledger: a recovered ledger with nothing pending.
        records: commands, each with `offset`, `timestamp` (ms), `key` and `value`, and batches of which no
            record is read; not empty.
        partition: the number of their partition.
        partitions: how many partitions there are.
        limit: at most this many records.

    Raises:
        RuntimeError: a record comes twice or out of order. This is a bug, and applying it would double a command.
    """
    position = ledger.position
    assert position is not None  # noqa: S101 - recovery leaves none without one
    now_ms = position.now_ms
    expiries = ledger.expiries
    output = TransactionOutput()
    next_offset = records[0].offset
    done = 0
    place = Record(partition, partitions, next_offset, now_ms)
    for record in records[:limit]:
        offset = record.offset
        if offset < next_offset:
            raise RuntimeError(f"partition {partition}: record {offset} comes after record {next_offset - 1}")
        if record.timestamp > now_ms:  # noqa: PLR1730 - a call of `max` takes 8 times as long
            now_ms = record.timestamp
        place.offset = offset
        place.now_ms = now_ms
        if expiries.next_due_at <= now_ms and not _expire_due(ledger, output, place):
            break
        try:
            command = decode_command(record.value)
        except Unreadable as unreadable:
            offset = _refuse(ledger, output, record, unreadable, place)
        else:
            decide_it = _DECIDERS[type(command)]
            if decide_it is not None:
                _take(ledger, output, decide_it(ledger, command, place), now_ms)
        if ledger.pending_since:
            _settle(ledger, output, place)
        next_offset = offset + 1
        done += 1
        if output.is_full():
            break
    return Folded(output, next_offset, now_ms, done)


def _expire_due(ledger: Ledger, output: TransactionOutput, place: Record) -> bool:
    """Expire the due reservations, in order; return False when the transaction is full before the last."""
    while (due := ledger.expiries.pop_due(place.now_ms)) is not None:
        decision = decide_expiry(ledger, due, place)
        if decision is not None:
            _take(ledger, output, decision, place.now_ms)
            if output.is_full():
                return ledger.expiries.next_due_at > place.now_ms
    return True


def _settle(ledger: Ledger, output: TransactionOutput, place: Record) -> None:
    """Settle pending SKUs after a record, a few steps at a time."""
    for decision in settle_pending(ledger, place):
        _take(ledger, output, decision, place.now_ms)


def _refuse(ledger: Ledger, output: TransactionOutput, record: Any, unreadable: Unreadable, place: Record) -> int:
    """Write the dead letter of a record that is no command, or of a whole batch; return its last offset."""
    if type(record) is UnreadBatch:
        letter = DeadLetter.of_batch(record.reason, record.first_offset, record.last_offset, partition=place.partition)
        output.dead_letters.add_dead_letter(letter, place.now_ms)
        return record.last_offset
    reason = unreadable.code.value
    if unreadable.code is Code.INVALID_FIELD:
        reason = f"{reason}:{unreadable.field}"
    letter = DeadLetter.of(record.key, record.value, reason, partition=place.partition, offset=place.offset)
    output.dead_letters.add_dead_letter(letter, place.now_ms)
    refusal = refuse_unreadable(ledger, unreadable, place)
    if refusal is not None:
        _take(ledger, output, refusal, place.now_ms)
    return place.offset


def _take(ledger: Ledger, output: TransactionOutput, decision: Decision, now_ms: int) -> None:
    ledger.apply(decision)
    if decision.result is not None:
        results = output.results
        encode_into(decision.result, results.buffer)
        results.add(decision.sku.encode(), results.buffer, now_ms)
    changes = output.stock_changes
    for change in decision.stock_changes:
        encode_into(change, changes.buffer)
        changes.add(f"{change.sku}/{change.warehouse}".encode(), changes.buffer, now_ms)
    if decision.beside is not None:
        for key, value in decision.beside.reference:
            output.add_reference(key, value, now_ms)
