"""Owns the oracle: a plain model of one partition that computes what must be published for every record.

It is written from the contract and `docs/semantics.md` alone and shares no code with `tables/core`: where the two
disagree, one of them is wrong. No storage, no I/O; its clock is that of the records.
"""

from collections.abc import Iterator
from heapq import heappop
from typing import Any

import msgspec
import orjson

from audit.model.documents import (
    ROW_VERSION,
    Hold,
    StockRow,
    decode_seen,
    encode_row,
)
from audit.model.parts import CommandRefused, Expected, Item, Outputs
from audit.model.query import list_held
from audit.model.release import expire
from audit.model.rule import Rule
from audit.model.rules import RULES
from audit.model.state import PartitionState
from schemas.codec import Unreadable, decode_command, encode
from schemas.codes import Code
from schemas.commands import Query, SkuCommand, Tick
from schemas.dead_letters import DeadLetter
from schemas.partitioner import partition_of

# A command is remembered for 24 hours, a closed reservation for 7 days, by the clock of the partition.
SEEN_MS = 24 * 60 * 60 * 1000
CLOSED_MS = 7 * 24 * 60 * 60 * 1000


class Model(PartitionState):
    """The oracle of one partition. Call `fold` with its records one by one, in the order of the log."""

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> Expected:
        """Apply one record of `inventory.commands`, and return what must be published for it, as documents."""
        kept = self.out
        self.publish_to(Outputs([], [], []))
        try:
            self.fold(offset, timestamp_ms, key, value)
            results, changes = ([orjson.loads(text) for _, _, text in out] for out in self.out[:2])
            return Expected(results, changes, [letter for _, _, letter in self.out.dead_letters])
        finally:
            self.publish_to(kept)

    def fold(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> None:
        """Apply one record of `inventory.commands`, and write what must be published for it to `out`."""
        self.offset = offset
        if timestamp_ms > self.now:
            self.now = timestamp_ms
            if timestamp_ms >= self.due:
                self._advance()
        try:
            command = decode_command(value)
        except Unreadable as unreadable:
            self._bury(unreadable, key, value)
        else:
            if not isinstance(command, Tick):
                self._answer(command)

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

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the ledger's live rows but the position as (key, value), in the order in which they were made."""
        for sku, item in self.items.items():
            for warehouse, row in item.rows.items():
                yield f"S{sku}\0{warehouse}".encode(), encode_row(row)
        for key, hold in self.holds.items():
            yield f"R{key}".encode(), encode_row(hold) if isinstance(hold, Hold) else hold
        for key, seen in self.seen.items():
            yield f"C{key}".encode(), seen

    def row(self, key: bytes) -> bytes | None:
        """Return one row; None when there is none."""
        try:
            kind, name = key[:1], key[1:].decode()
        except UnicodeDecodeError:
            return None
        if kind == b"S":
            sku, _, warehouse = name.partition("\0")
            item = self.items.get(sku)
            row = None if item is None else item.rows.get(warehouse)
            return None if row is None else encode_row(row)
        if kind == b"R":
            hold = self.holds.get(name)
            return encode_row(hold) if isinstance(hold, Hold) else hold
        return self.seen.get(name) if kind == b"C" else None

    # The clock: everything that falls due before the record itself.

    def _advance(self) -> None:
        now, runs, closed, expiries = self.now, self.seen_runs, self.closed, self.expiries
        while runs and runs[0][0] + SEEN_MS <= now:
            for _ in range(runs.popleft()[1]):
                del self.seen[self.seen_order.popleft()]
        while closed and closed[0][0] + CLOSED_MS <= now:
            del self.holds[closed.popleft()[1]]
        # Tuples sort by time, SKU, reservation; code points sort as their UTF-8 bytes do.
        while expiries and expiries[0][0] <= now:
            expires_at, key = heappop(expiries)
            hold = self.holds.get(key)
            if isinstance(hold, Hold) and hold.expires_at == expires_at:
                expire(self, key, hold)
        # Rows that are remembered or closed from now on are forgotten after this time; a new expiry may be before it.
        self.due = now + SEEN_MS
        if runs:
            self.due = min(self.due, runs[0][0] + SEEN_MS)
        if closed:
            self.due = min(self.due, closed[0][0] + CLOSED_MS)
        if expiries:
            self.due = min(self.due, expiries[0][0])

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
        sku, command_id, type_, now = command.sku, command.command_id, rule.name, self.now
        hold: Hold | None = None
        rows: list[tuple[str, StockRow]] = []
        code: Code | None = None
        requested: int | None = None
        available: int | None = None
        try:
            hold, rows = rule.decide(self, command)
        except CommandRefused as refused:
            code, requested, available = refused.code, refused.requested, refused.available
        item = self.items.get(sku)
        reservation_id = None if hold is None else command.reservation_id
        shown = None if hold is None else (reservation_id, hold)
        result = self.result(command_id, type_, sku, item, code=code, hold=shown, rows=rows)
        if requested is not None and available is not None:
            result.requested, result.available = requested, available
        key = sku.encode() if item is None else item.key
        self.add_result((self.offset, key, encode(result)))
        # With the layout of `SeenRow`; making one would cost time.
        row = (ROW_VERSION, content, type_, code, result.seq, now, self.offset, reservation_id, hold, rows)
        self.seen[seen] = encode_row((*row, requested, available, None))
        self.seen_order.append(seen)
        self.touch(f"C{seen}")
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
            list_held(self, command, result)
        if asked is not None:
            seen = self.seen.get(f"{sku}\0{asked}")
            found = None if seen is None else decode_seen(seen).result(sku, asked, self.partition, replayed=False)
            result.of_command = found
        self.publish(sku, encode(result))
