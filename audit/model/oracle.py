"""Owns the oracle: a plain model of one partition that says what the ledger must publish for every record of the log.

It is written from the contract and `docs/semantics.md` alone and shares no code with `tables/core`: where the two
disagree, one of them is wrong. No storage, no I/O; its clock is that of the records.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar

import msgspec
import orjson
from msgspec import UNSET

from audit.model.documents import (
    ROW_VERSION,
    Hold,
    Holding,
    StockRow,
    as_written,
    cause_of,
    content_of,
    decode_hold,
    decode_seen,
    encode_row,
    take,
)
from audit.model.parts import Expected, Item, Outputs, Refused, allocate
from schemas.codec import Unreadable, decode_command, encode
from schemas.codes import Code
from schemas.commands import (
    DEFAULT_CHANNEL,
    DEFAULT_TTL_MS,
    Adjust,
    Commit,
    Extend,
    Query,
    Release,
    Reserve,
    SkuCommand,
    Tick,
)
from schemas.dead_letters import DeadLetter
from schemas.partitioner import partition_of
from schemas.results import Result, State, StockView
from schemas.stock_changes import Cause, Quantities, StockChange

# A command is remembered for 24 hours, a closed reservation for 7 days, by the clock of the partition.
SEEN_MS = 24 * 60 * 60 * 1000
CLOSED_MS = 7 * 24 * 60 * 60 * 1000
MAX_WAREHOUSES = 1000
# So many entries of expiries that are none any more are left to their time; with more, they are sorted out.
_STALE_EXPIRIES = 10_000

# Whom a command concerned: the reservation to show, and the rows touched in the order of their changes.
Outcome = tuple[Hold | None, list[tuple[str, StockRow]]]


class Model:
    """The state of one partition; `fold` takes its records one by one, in the order of the log.

    Args:
        partition: its number.
        partitions: how many there are.
        out: where `fold` puts what must be published.

    Reservations and remembered commands are known as SKU, a zero character and their id, which sorts as the two do.
    What is closed or remembered is kept as its row's bytes: a third of the memory, and the garbage collector has
    nothing to walk through.
    """

    def __init__(self, partition: int, partitions: int, out: Outputs | None = None) -> None:
        self.partition = partition
        self.partitions = partitions
        self.publish_to(out or Outputs([], [], []))
        self.now = 0
        self.changes = 0  # stock changes so far
        self.items: dict[str, Item] = {}
        self.holds: dict[str, Hold | bytes] = {}  # closed ones as their row
        self.seen: dict[str, bytes] = {}  # as their row, in the order of the log
        self.open = 0
        self.seen_order: deque[str] = deque()
        self.seen_runs: deque[list[int]] = deque()  # [time, how many of the order have it]
        self.closed: deque[tuple[int, str]] = deque()
        self.expiries: list[tuple[int, str]] = []  # some are no longer true
        # Keys of the rows that were changed, kept only for who sets it: what a later audit must look at.
        self.touched: set[str] | None = None
        self._offset = 0
        self._due = 0  # when something falls due, at the earliest

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> Expected:
        """Apply one record of `inventory.commands`; the answer is what must be published for it, as documents."""
        kept = self.out
        self.publish_to(Outputs([], [], []))
        try:
            self.fold(offset, timestamp_ms, key, value)
            results, changes = ([orjson.loads(text) for _, _, text in out] for out in self.out[:2])
            return Expected(results, changes, [letter for _, _, letter in self.out.dead_letters])
        finally:
            self.publish_to(kept)

    def publish_to(self, out: Outputs) -> None:
        """Say where `fold` puts what must be published."""
        self.out = out
        self._add_result = out.results.append
        self._add_change = out.stock_changes.append

    def fold(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> None:
        """Apply one record of `inventory.commands`; what must be published for it goes to `out`."""
        self._offset = offset
        if timestamp_ms > self.now:
            self.now = timestamp_ms
            if timestamp_ms >= self._due:
                self._advance()
        try:
            command = decode_command(value)
        except Unreadable as unreadable:
            self._bury(unreadable, key, value)
        else:
            if not isinstance(command, Tick):
                self._answer(command)

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Return the ledger's live rows as (key, value), without the position, in the order in which they were made."""
        for sku, item in self.items.items():
            for warehouse, row in item.rows.items():
                yield f"S{sku}\0{warehouse}".encode(), encode_row(row)
        for key, hold in self.holds.items():
            yield f"R{key}".encode(), encode_row(hold) if isinstance(hold, Hold) else hold
        for key, seen in self.seen.items():
            yield f"C{key}".encode(), seen

    def row(self, key: bytes) -> bytes | None:
        """Return one row; None where there is none."""
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

    # The clock: what falls due before the record itself.

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
                self._expire(key, hold)
        # What is remembered or closed from now on is dropped later than this; a new expiry may come before it.
        self._due = now + SEEN_MS
        if runs:
            self._due = min(self._due, runs[0][0] + SEEN_MS)
        if closed:
            self._due = min(self._due, closed[0][0] + CLOSED_MS)
        if expiries:
            self._due = min(self._due, expiries[0][0])

    def _expire(self, key: str, hold: Hold) -> None:
        sku, _, reservation_id = key.partition("\0")
        item, held = self.items[sku], hold.allocations
        cause = Cause("expire", None, reservation_id)
        for warehouse, quantity in held:
            row = item.rows[warehouse]
            row.reserved -= quantity
            self._change(sku, item, warehouse, row, cause, {"reserved": -quantity})
        hold.released += sum(quantity for _, quantity in held)
        hold.allocations = []
        self._close(key, hold, "expired")
        rows = [(warehouse, item.rows[warehouse]) for warehouse, _ in held]
        result = self._result(None, "expire", sku, item, hold=(reservation_id, hold), rows=rows)
        self._add_result((self._offset, item.key, encode(result)))

    # One record.

    def _bury(self, unreadable: Unreadable, key: bytes | None, value: bytes | None) -> None:
        code, field, sku = unreadable.code.value, unreadable.field, unreadable.sku
        reason = code if field is None else f"{code}:{field}"
        letter = DeadLetter.of(key, value, reason, partition=self.partition, offset=self._offset)
        self.out.dead_letters.append((self._offset, letter.key, msgspec.structs.asdict(letter)))
        if sku is not None:
            item = self.items.get(sku)
            result = self._result(unreadable.command_id, unreadable.type, sku, item, code=unreadable.code)
            if field is not None:
                result.field = field
            self._publish(sku, encode(result))

    def _answer(self, command: SkuCommand) -> None:
        sku, command_id = command.sku, command.command_id
        type_, rule = self._RULES[type(command)]
        item = self.items.get(sku)
        if item is None and partition_of(sku, self.partitions) != self.partition:
            self._publish(sku, encode(self._result(command_id, type_, sku, None, code=Code.WRONG_PARTITION)))
            return
        content = content_of(command)
        key = f"{sku}\0{command_id}"
        seen = self.seen.get(key)
        if seen is None:
            self._decide(command, key, type_, rule, content)
        elif (row := decode_seen(seen)).content == content:
            self._publish(sku, encode(row.result(sku, command_id, self.partition, replayed=True)))
        else:
            self._publish(sku, encode(self._result(command_id, type_, sku, item, code=Code.IDEMPOTENCY_MISMATCH)))

    def _decide(self, command: Any, seen: str, type_: str, rule: Callable[[Any, Any], Outcome], content: bytes) -> None:
        sku, command_id, now = command.sku, command.command_id, self.now
        hold: Hold | None = None
        rows: list[tuple[str, StockRow]] = []
        code: Code | None = None
        requested: int | None = None
        available: int | None = None
        try:
            hold, rows = rule(self, command)
        except Refused as refused:
            code, requested, available = refused.code, refused.requested, refused.available
        item = self.items.get(sku)
        reservation_id = None if hold is None else command.reservation_id
        shown = None if hold is None else (reservation_id, hold)
        result = self._result(command_id, type_, sku, item, code=code, hold=shown, rows=rows)
        if requested is not None and available is not None:
            result.requested, result.available = requested, available
        of_command: bytes | None = None
        if type_ == "query" and command.of_command_id is not None:
            of_command = self._result_of(sku, command.of_command_id)
            result.of_command = as_written(of_command)
        key = sku.encode() if item is None else item.key
        self._add_result((self._offset, key, encode(result)))
        # Laid out as `SeenRow`, which would cost its making.
        row = (ROW_VERSION, content, type_, code, result.seq, now, self._offset, reservation_id, hold, rows)
        self.seen[seen] = encode_row((*row, requested, available, of_command))
        self.seen_order.append(seen)
        if self.touched is not None:
            self.touched.add(f"C{seen}")
        runs = self.seen_runs
        if runs and runs[-1][0] == now:
            runs[-1][1] += 1
        else:
            runs.append([now, 1])

    def _result_of(self, sku: str, command_id: str) -> bytes:
        """Return the result of a remembered command, without what that one itself asked for; JSON null for none."""
        seen = self.seen.get(f"{sku}\0{command_id}")
        if seen is None:
            return b"null"
        result = decode_seen(seen).result(sku, command_id, self.partition, replayed=False)
        result.of_command = UNSET
        return encode(result)

    # The rules, guards first, in the order of the codes.

    def _adjust(self, command: Adjust) -> Outcome:
        sku, warehouse, bucket = command.sku, command.warehouse, command.bucket or "on_hand"
        item = self.items.get(sku)
        row = None if item is None else item.rows.get(warehouse)
        if row is None and item is not None and len(item.rows) >= MAX_WAREHOUSES and command.count != 0:
            raise Refused(Code.UNKNOWN_WAREHOUSE)
        on_hand, holds = (0, 0) if row is None else (row.on_hand, getattr(row, bucket))
        if command.expected_on_hand is not None and command.expected_on_hand != on_hand:
            raise Refused(Code.STALE_EXPECTATION)
        delta = command.delta if command.delta is not None else (command.count or 0) - holds
        if holds + delta < 0:
            raise Refused(Code.NEGATIVE_STOCK)
        if delta == 0:
            return None, [(warehouse, row or StockRow())]
        if item is None:
            item = self.items[sku] = Item(sku)
        if row is None:
            row = StockRow()
            item.add_row(warehouse, row)
        setattr(row, bucket, holds + delta)
        cause = cause_of(command, "adjust", command.reason, command.reference)
        self._change(sku, item, warehouse, row, cause, {bucket: delta})
        return None, [(warehouse, row)]

    def _reserve(self, command: Reserve) -> Outcome:
        sku, quantity, named = command.sku, command.quantity, command.warehouse
        item = self.items.get(sku)
        if item is None:
            raise Refused(Code.UNKNOWN_SKU)
        rows = item.rows
        if named is not None and named not in rows:
            raise Refused(Code.UNKNOWN_WAREHOUSE)
        key = f"{sku}\0{command.reservation_id}"
        if key in self.holds:
            raise Refused(Code.RESERVATION_EXISTS)
        allocations = allocate(rows if named is None else {named: rows[named]}, quantity)
        hold = Hold(
            "held",
            quantity,
            0,
            0,
            allocations,
            command.channel or DEFAULT_CHANNEL,
            command.order_id,
            self._expires_at(DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms, key),
            None,
        )
        self.holds[key] = hold
        self.open += 1
        if self.touched is not None:
            self.touched.add(f"R{key}")
        cause = cause_of(command, "reserve")
        touched = []
        for warehouse, part in allocations:
            row = rows[warehouse]
            row.reserved += part
            self._change(sku, item, warehouse, row, cause, {"reserved": part})
            touched.append((warehouse, row))
        return hold, touched

    def _commit(self, command: Commit) -> Outcome:
        sku = command.sku
        item, key, hold, quantity = self._held(command, command.quantity)
        taken = take(hold.allocations, quantity)
        rows = []
        for warehouse, part in taken:
            row = item.rows[warehouse]
            if row.on_hand < part:
                raise Refused(Code.NEGATIVE_STOCK)
            rows.append((warehouse, row))
        cause = cause_of(command, "commit")
        for warehouse, part in taken:
            row = item.rows[warehouse]
            row.on_hand -= part
            row.reserved -= part
            self._change(sku, item, warehouse, row, cause, {"on_hand": -part, "reserved": -part})
        hold.committed += quantity
        self._take_from(key, hold, taken, "committed")
        return hold, rows

    def _release(self, command: Release) -> Outcome:
        sku = command.sku
        item, key, hold, quantity = self._held(command, command.quantity)
        # Taken from the last allocation first, told in the order of the allocations.
        taken = take(reversed(hold.allocations), quantity)[::-1]
        cause = cause_of(command, "release", command.reason)
        rows = []
        for warehouse, part in taken:
            row = item.rows[warehouse]
            row.reserved -= part
            self._change(sku, item, warehouse, row, cause, {"reserved": -part})
            rows.append((warehouse, row))
        hold.released += quantity
        self._take_from(key, hold, taken, "released")
        return hold, rows

    def _extend(self, command: Extend) -> Outcome:
        _, key, hold, _ = self._held(command, None)
        hold.expires_at = self._expires_at(command.ttl_ms, key)
        if self.touched is not None:
            self.touched.add(f"R{key}")
        return hold, []

    def _query(self, command: Query) -> Outcome:
        item = self.items.get(command.sku)
        if item is None:
            raise Refused(Code.UNKNOWN_SKU)
        rows = list(item.rows.items())
        if command.reservation_id is None:
            return None, rows
        hold = self.holds.get(f"{command.sku}\0{command.reservation_id}")
        if hold is None:
            raise Refused(Code.UNKNOWN_RESERVATION)
        return hold if isinstance(hold, Hold) else decode_hold(hold), rows

    # What the rules are made of.

    def _held(self, command: Commit | Release | Extend, wanted: int | None) -> tuple[Item, str, Hold, int]:
        """Return the SKU, the reservation's key, the reservation and the quantity that it is about, or refuse."""
        item = self.items.get(command.sku)
        if item is None:
            raise Refused(Code.UNKNOWN_SKU)
        key = f"{command.sku}\0{command.reservation_id}"
        hold = self.holds.get(key)
        if hold is None:
            raise Refused(Code.UNKNOWN_RESERVATION)
        if not isinstance(hold, Hold):
            raise Refused(Code(f"reservation_{decode_hold(hold).state}"))
        left = hold.quantity - hold.committed - hold.released
        if wanted is not None and wanted > left:
            raise Refused(Code.QUANTITY_EXCEEDS_RESERVATION)
        return item, key, hold, left if wanted is None else wanted

    def _take_from(self, key: str, hold: Hold, taken: list[Holding], ends_as: State) -> None:
        """Take from what a reservation holds; when nothing is left it ends, and is dropped after its time."""
        if self.touched is not None:
            self.touched.add(f"R{key}")
        if taken == hold.allocations:
            hold.allocations = []
        else:
            parts = dict(taken)
            held = [(warehouse, quantity - parts.get(warehouse, 0)) for warehouse, quantity in hold.allocations]
            hold.allocations = [holding for holding in held if holding[1]]
        if not hold.allocations:
            self._close(key, hold, ends_as)

    def _close(self, key: str, hold: Hold, state: State) -> None:
        if self.touched is not None:
            self.touched.add(f"R{key}")
        hold.state = state
        hold.closed_at = self.now
        self.closed.append((self.now, key))
        self.holds[key] = encode_row(hold)
        self.open -= 1

    def _expires_at(self, ttl_ms: int, key: str) -> int | None:
        if ttl_ms == 0:
            return None
        if len(self.expiries) > 2 * self.open + _STALE_EXPIRIES:
            self._sort_out_expiries()
        expires_at = self.now + ttl_ms
        heappush(self.expiries, (expires_at, key))
        self._due = min(self._due, expires_at)
        return expires_at

    def _sort_out_expiries(self) -> None:
        self.expiries = [
            (hold.expires_at, key)
            for key, hold in self.holds.items()
            if isinstance(hold, Hold) and hold.expires_at is not None
        ]
        heapify(self.expiries)

    def _change(self, sku: str, item: Item, warehouse: str, row: StockRow, cause: Cause, delta: dict[str, int]) -> None:
        """Publish a change that was made to a row."""
        item.seq += 1
        row.seq = item.seq
        self.changes += 1
        if self.touched is not None:
            self.touched.add(f"S{sku}\0{warehouse}")
        on_hand, reserved, safety = row.on_hand, row.reserved, row.safety_stock
        after = Quantities(on_hand, reserved, row.damaged, safety, row.inbound, on_hand - reserved - safety)
        change = StockChange(sku, warehouse, item.seq, self.now, cause, delta, after, reserved > on_hand)
        self._add_change((self._offset, item.change_keys[warehouse], encode(change)))

    def _publish(self, sku: str, value: bytes) -> None:
        self._add_result((self._offset, sku.encode(), value))

    def _result(
        self,
        command_id: str | None,
        type_: str | None,
        sku: str,
        item: Item | None,
        *,
        code: Code | None = None,
        hold: tuple[Any, Hold] | None = None,
        rows: Iterable[tuple[str, StockRow]] = (),
    ) -> Result:
        stock = []
        shortfall = False
        for warehouse, row in rows:
            on_hand, reserved, safety = row.on_hand, row.reserved, row.safety_stock
            shortfall = shortfall or reserved > on_hand
            available = on_hand - reserved - safety
            stock.append(StockView(warehouse, on_hand, reserved, row.damaged, safety, row.inbound, available))
        return Result(
            command_id,
            type_,
            sku,
            "rejected" if code else "accepted",
            code,
            False,  # by position, all of them: by name it takes twice the time
            None if hold is None else hold[1].view(hold[0]),
            stock,
            shortfall,
            0 if item is None else item.seq,
            self.now,
            self.partition,
            self._offset,
        )

    # By type; bound to a model they would make a cycle of it, which only the collector would find.
    _RULES: ClassVar[dict[type, tuple[str, Callable[[Any, Any], Outcome]]]] = {
        Adjust: ("adjust", _adjust),
        Reserve: ("reserve", _reserve),
        Commit: ("commit", _commit),
        Release: ("release", _release),
        Extend: ("extend", _extend),
        Query: ("query", _query),
    }
