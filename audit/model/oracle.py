"""Owns the oracle: a plain model of one partition that computes what must be published for every record.

It is written from the contract and `docs/semantics.md` alone and shares no code with `tables/core`: where the two
disagree, one of them is wrong. No storage, no I/O; its clock is that of the records.
"""

from collections.abc import Callable, Iterator
from heapq import heappop
from typing import Any

import msgspec
import orjson

from audit.model.book import policy_row
from audit.model.documents import (
    Hold,
    SeenRow,
    StockRow,
    decode_seen,
    encode_row,
    show,
)
from audit.model.journal import Journal, entry_key, entry_row, place_of
from audit.model.parts import CommandRefused, Expected, Item, Outputs
from audit.model.policies import UNSET_WAREHOUSE, WarehouseInForce
from audit.model.query import list_held
from audit.model.release import expire
from audit.model.rule import Rule
from audit.model.rules import RULES
from audit.model.state import PartitionState, is_of
from audit.model.tail import work_off
from schemas.codec import Unreadable, decode_command, encode
from schemas.codes import Code
from schemas.commands import Query, SkuCommand, Tick, tag_of
from schemas.dead_letters import DeadLetter
from schemas.partitioner import partition_of
from schemas.reference import ReferenceCommand
from schemas.results import Result

# A command is remembered for 24 hours, by the clock of the partition.
SEEN_MS = 24 * 60 * 60 * 1000


class Model(PartitionState):
    """The oracle of one partition. Call `fold` with its records one by one, in the order of the log."""

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> Expected:
        """Apply one record of `inventory.commands`, and return what must be published for it, as documents."""
        kept = self.out
        self.publish_to(Outputs([], [], [], []))
        try:
            self.fold(offset, timestamp_ms, key, value)
            results, changes = ([orjson.loads(text) for _, _, text in out] for out in self.out[:2])
            letters, reference = ([document for _, _, document in out] for out in self.out[2:])
            return Expected(results, changes, letters, reference)
        finally:
            self.publish_to(kept)

    def fold(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> None:
        """Apply one record of `inventory.commands`, and write what must be published for it to `out`."""
        self.offset = offset
        self.shown = {}
        if timestamp_ms > self.now:
            self.now = timestamp_ms
            if timestamp_ms >= self.due:
                self._advance()
        try:
            command = decode_command(value)
        except Unreadable as unreadable:
            self._bury(unreadable, key, value)
        else:
            if isinstance(command, ReferenceCommand):
                self._refer(command)
            elif not isinstance(command, Tick):
                self._answer(command)
        work_off(self)

    def bury_batch(self, reason: str, offset: int, last_offset: int, timestamp_ms: int) -> None:
        """Apply a record batch of `inventory.commands` of which no record is read.

        Args:
            reason: the reason of its dead letter.
            offset: the offset of its first record.
            last_offset: the offset of its last record.
            timestamp_ms: the largest timestamp of its records.
        """
        self.offset = offset
        if timestamp_ms > self.now:
            self.now = timestamp_ms
            self._advance()
        letter = DeadLetter.of_batch(reason, offset, last_offset, partition=self.partition)
        self.out.dead_letters.append((offset, None, msgspec.structs.asdict(letter)))
        work_off(self)

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the ledger's live rows but the position as (key, value), in the order in which they were made."""
        for sku, item in self.items.items():
            for warehouse, row in item.rows.items():
                yield f"S{sku}\0{warehouse}".encode(), encode_row(row.row())
        for key, hold in self.holds.items():
            yield f"R{key}".encode(), row_of(hold)
        for key, inbound in self.closed_inbounds.items():
            yield f"I{key}".encode(), inbound
        for key, seen in self.seen.items():
            yield f"C{key}".encode(), seen
        yield from self._rows_of_the_past()
        for sku, book in self.books.items():
            yield f"S{sku}\0".encode(), book.row()
            for channel, policy in book.policies.items():
                yield f"K{sku}\0{channel}".encode(), policy_row(policy)
        for record in self.register.records.values():
            yield record.row()

    def _rows_of_the_past(self) -> Iterator[tuple[bytes, bytes]]:
        for place, journal in self.journals.items():
            for entry in journal.live(self._rules_at(place), self.now):
                yield f"J{entry_key(place, entry)}".encode(), entry_row(entry)
        for place, counted in self.counted.items():
            yield f"F{place}".encode(), counted.row()

    def row(self, key: bytes) -> bytes | None:
        """Return one row; None when there is none."""
        try:
            kind, name = key[:1], key[1:].decode()
        except UnicodeDecodeError:
            return None
        finders: dict[bytes, Callable[[str], bytes | None]] = {
            b"S": self._stock_row,
            b"R": lambda name: row_of(self.holds[name]) if name in self.holds else None,
            b"K": self._reference_row,
            b"I": self.closed_inbounds.get,
            b"J": self._journal_row,
            b"F": lambda name: self.counted[name].row() if name in self.counted else None,
            b"C": self.seen.get,
        }
        return finders[kind](name) if kind in finders else None

    def is_over(self, key: bytes) -> bool:
        """Return whether a row of a journal that the ledger still has does not count any more."""
        place, at, seq = place_of(key[1:].decode())
        return self.journals.get(place, Journal()).is_over(at, seq, self._rules_at(place), self.now)

    def _rules_at(self, place: str) -> WarehouseInForce:
        """Return the rules of a stock row's warehouse."""
        return self.register.warehouses.get(place.partition("\0")[2], UNSET_WAREHOUSE)

    def _journal_row(self, name: str) -> bytes | None:
        try:
            place, at, seq = place_of(name)
        except ValueError:
            return None
        entry = self.journals.get(place, Journal()).find(at, seq, self._rules_at(place), self.now)
        return None if entry is None else entry_row(entry)

    def _stock_row(self, name: str) -> bytes | None:
        sku, _, warehouse = name.partition("\0")
        if not warehouse:
            return self.books[sku].row() if sku in self.books else None
        item = self.items.get(sku)
        row = None if item is None else item.rows.get(warehouse)
        return None if row is None else encode_row(row.row())

    def _reference_row(self, name: str) -> bytes | None:
        sku, _, key = name.partition("\0")
        if sku:
            policy = self.books[sku].policies.get(key) if sku in self.books else None
            return None if policy is None else policy_row(policy)
        record = self.register.records.get(key)
        return None if record is None else record.row()[1]

    # The clock: everything that falls due before the record itself.

    def _advance(self) -> None:
        now, expiries = self.now, self.expiries
        self._forget(now)
        # Tuples sort by time, SKU, reservation; code points sort as their UTF-8 bytes do.
        while expiries and expiries[0][0] <= now:
            expires_at, key = heappop(expiries)
            hold = self.holds.get(key)
            if isinstance(hold, Hold) and hold.expires_at == expires_at:
                expire(self, key, hold)
        # Rows that are remembered or closed from now on are forgotten after this time; a new expiry may be before it.
        self.due = now + SEEN_MS
        if self.seen_runs:
            self.due = min(self.due, self.seen_runs[0][0] + SEEN_MS)
        for times in (self.closed, self.closed_inbound_times, expiries):
            if times:
                self.due = min(self.due, times[0][0])

    def _forget(self, now: int) -> None:
        runs, closed, inbounds = self.seen_runs, self.closed, self.closed_inbound_times
        while runs and runs[0][0] + SEEN_MS <= now:
            for _ in range(runs.popleft()[1]):
                del self.seen[self.seen_order.popleft()]
        while closed and closed[0][0] <= now:
            del self.holds[heappop(closed)[1]]
        while inbounds and inbounds[0][0] <= now:
            del self.closed_inbounds[inbounds.popleft()[1]]

    # One record.

    def _bury(self, unreadable: Unreadable, key: bytes | None, value: bytes | None) -> None:
        code, field, sku = unreadable.code.value, unreadable.field, unreadable.sku
        reason = code if field is None else f"{code}:{field}"
        letter = DeadLetter.of(key, value, reason, partition=self.partition, offset=self.offset)
        self.out.dead_letters.append((self.offset, letter.key, msgspec.structs.asdict(letter)))
        if sku is not None:
            item = self.items.get(sku)
            result = self.result(unreadable.command_id, unreadable.type, sku, item, code=unreadable.code)
            if field is not None:
                result.field = field
            if unreadable.problem is not None:
                result.problem = unreadable.problem
            self.publish(sku, encode(result))

    def _refer(self, command: ReferenceCommand) -> None:
        """Apply a reference command. It belongs to every partition, and only the register remembers it."""
        type_ = tag_of(type(command))
        record, accepted, replaced = self.register.put(type_, command, self.now)
        if replaced:
            self.touch(f"K\0{record.key}")
            self.publish_reference(record.key, record.document())
        result = self.result(command.command_id, type_, "", None, code=None if accepted else Code.STALE_VERSION)
        show(result, {"reference": record.document()})
        self.publish("", encode(result))

    def _answer(self, command: SkuCommand) -> None:
        sku, command_id = command.sku, command.command_id
        rule = RULES[type(command)]
        type_ = rule.name
        item = self.items.get(sku)
        if item is None and partition_of(sku, self.partitions) != self.partition:
            self.publish(sku, encode(self.result(command_id, type_, sku, None, code=Code.WRONG_PARTITION)))
            return
        if isinstance(command, Query):
            self._read(command, rule, item)
            return
        content = rule.encode_content(command)
        key = f"{sku}\0{command_id}"
        seen = self.seen.get(key)
        if seen is None:
            self._decide(command, key, rule, content)
        elif (row := decode_seen(seen)).content == content:
            self.publish(sku, encode(row.result(sku, command_id, self.partition, replayed=True)))
        else:
            self.publish(sku, encode(self.result(command_id, type_, sku, item, code=Code.IDEMPOTENCY_MISMATCH)))

    def _decide(self, command: Any, seen: str, rule: Rule, content: bytes) -> None:
        hold: Hold | None = None
        rows: list[tuple[str, StockRow]] = []
        code: Code | None = None
        available: int | None = None
        before = self.items[command.sku].seq if command.sku in self.items else 0
        try:
            hold, rows = rule.decide(self, command)
            requested = self.shown.pop("requested", None)
        except CommandRefused as refused:
            code, requested, available = refused.code, refused.requested, refused.available
        item, now = self.items.get(command.sku), self.now
        row = SeenRow(
            content,
            rule.name,
            code,
            0 if item is None else item.seq,
            now,
            self.offset,
            None if hold is None else command.reservation_id,
            hold,
            rows,
            requested,
            available,
            None,
            encode(self.shown) if self.shown else None,
        )
        self.publish(command.sku, encode(row.result(command.sku, command.command_id, self.partition, replayed=False)))
        self.seen[seen] = row.row()
        self.seen_order.append(seen)
        self.touch(f"C{seen}")
        if item is not None and item.seq != before:
            self.await_settling(command.sku)
        runs = self.seen_runs
        if runs and runs[-1][0] == now:
            runs[-1][1] += 1
        else:
            runs.append([now, 1])

    def _read(self, command: Query, rule: Rule, item: Item | None) -> None:
        """Answer a query. It is not remembered, and its id is not looked up."""
        sku, asked = command.sku, command.of_command_id
        try:
            hold, rows = rule.decide(self, command)
        except CommandRefused as refused:
            result = self.result(command.command_id, rule.name, sku, item, code=refused.code)
        else:
            shown = None if hold is None else (command.reservation_id, hold)
            result = self.result(command.command_id, rule.name, sku, item, hold=shown, rows=rows)
            show(result, self.shown)
            list_held(self, command, result)
        if asked is not None:
            result.of_command = self._result_of(sku, asked, command.channels)
        self.publish(sku, encode(result))

    def _result_of(self, sku: str, command_id: str, channels: list[str] | None) -> Result | None:
        """Return a remembered command's result; None when its reservation is of a channel not among these."""
        row = self.seen.get(f"{sku}\0{command_id}")
        if row is None:
            return None
        seen = decode_seen(row)
        if seen.reservation is not None and not is_of(channels, seen.reservation):
            return None
        return seen.result(sku, command_id, self.partition, replayed=False)


def row_of(hold: Hold | bytes) -> bytes:
    """Return a reservation's row; closed ones are kept as that."""
    return encode_row(hold.row()) if isinstance(hold, Hold) else hold
