"""Owns the oracle: a plain model of one partition that says what the ledger must publish for every record of the log.

It is written from the contract and `docs/semantics.md` alone and shares no code with `tables/core`: where the two
disagree, one of them is wrong. Plain dicts, no storage, no I/O; its clock is that of the records.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import Any, NamedTuple

import msgspec
import orjson

from audit.documents import (
    NO_ROW,
    Content,
    Json,
    cause_of,
    content_of,
    quantities_of,
    reservation_row,
    reservation_view,
    seen_row,
    stock_row,
)
from schemas.codec import Unreadable, decode_command
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

Id = tuple[str, str]  # a SKU, and a command_id or reservation_id within it
Holding = tuple[str, int]  # a warehouse, and a quantity there
# Whom a command concerned: the reservation to show, and the warehouses touched in the order of their changes.
Outcome = tuple[str | None, list[str]]

# A command is remembered for 24 hours, a closed reservation for 7 days, by the clock of the partition.
SEEN_MS = 24 * 60 * 60 * 1000
CLOSED_MS = 7 * 24 * 60 * 60 * 1000
MAX_WAREHOUSES = 1000


class Expected(NamedTuple):
    """What one record must bring about, in the order of publishing.

    `results` and `stock_changes` are the JSON documents; a dead letter is a dict of `key`, `value` (bytes or None),
    `reason`, `partition` and `offset`.
    """

    results: list[Json]
    stock_changes: list[Json]
    dead_letters: list[Json]


class Refused(Exception):
    """A rule refuses the command; `extra` is what the result then carries besides the code."""

    def __init__(self, code: Code, **extra: int) -> None:
        super().__init__(code.value)
        self.code = code
        self.extra = extra


class Remembered(NamedTuple):
    """A decided command: its content, its result as JSON, and what the result does not tell of the rows in it."""

    content: Content
    result: bytes
    row_seqs: list[int]
    closed_at: int | None


class Model:
    """The state of one partition; `apply` takes its records one by one, in the order of the log."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition = partition
        self.partitions = partitions
        self.now = 0
        self.seq: dict[str, int] = {}  # of each SKU
        self.stock: dict[str, dict[str, Json]] = {}  # SKU -> warehouse -> row, ordered by warehouse id
        self.reservations: dict[Id, Json] = {}  # by SKU and reservation_id
        self.seen: dict[Id, Remembered] = {}  # by SKU and command_id
        self._expiries: list[tuple[int, str, str]] = []  # a heap; entries that a later command overtook stay in it
        self._seen_in_order: deque[tuple[int, Id]] = deque()
        self._closed_in_order: deque[tuple[int, Id]] = deque()
        self._offset = 0
        self._out = Expected([], [], [])
        self._rules: dict[type, tuple[str, Callable[[Any], Outcome]]] = {
            Adjust: ("adjust", self._adjust),
            Reserve: ("reserve", self._reserve),
            Commit: ("commit", self._commit),
            Release: ("release", self._release),
            Extend: ("extend", self._extend),
            Query: ("query", self._query),
        }

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> Expected:
        """Apply one record of `inventory.commands`; the answer is what must be published for it."""
        self._offset = offset
        self._out = out = Expected([], [], [])
        self._advance(timestamp_ms)
        try:
            command = decode_command(value)
        except Unreadable as unreadable:
            self._bury(unreadable, key, value)
        else:
            if not isinstance(command, Tick):
                self._answer(command)
        return out

    def rows(self) -> Iterator[tuple[bytes, list[Any]]]:
        """Give the ledger's live rows as (key, decoded value), without position, and contents as None."""
        for sku, rows in self.stock.items():
            for warehouse, row in rows.items():
                yield f"S{sku}\0{warehouse}".encode(), stock_row(row["seq"], row)
        for (sku, reservation_id), reservation in self.reservations.items():
            yield f"R{sku}\0{reservation_id}".encode(), reservation_row(reservation)
        for (sku, command_id), seen in self.seen.items():
            yield f"C{sku}\0{command_id}".encode(), seen_row(orjson.loads(seen.result), seen.row_seqs, seen.closed_at)

    # The clock: what falls due before the record itself.

    def _advance(self, timestamp_ms: int) -> None:
        now = self.now = max(self.now, timestamp_ms)
        while self._seen_in_order and self._seen_in_order[0][0] + SEEN_MS <= now:
            del self.seen[self._seen_in_order.popleft()[1]]
        while self._closed_in_order and self._closed_in_order[0][0] + CLOSED_MS <= now:
            del self.reservations[self._closed_in_order.popleft()[1]]
        # Tuples sort by time, SKU, reservation; code points sort as their UTF-8 bytes do.
        while self._expiries and self._expiries[0][0] <= now:
            expires_at, sku, reservation_id = heappop(self._expiries)
            reservation = self.reservations.get((sku, reservation_id))
            if reservation and reservation["state"] == "held" and reservation["expires_at"] == expires_at:
                self._expire(sku, reservation_id, reservation["allocations"])

    def _expire(self, sku: str, reservation_id: str, held: list[Holding]) -> None:
        cause = {"type": "expire", "reservation_id": reservation_id}
        for warehouse, quantity in held:
            self._change(sku, warehouse, cause, reserved=-quantity)
        self._take_from(sku, reservation_id, held, counts_as="released", ends_as="expired")
        touched = [warehouse for warehouse, _ in held]
        self._out.results.append(self._result(None, "expire", sku, reservation_id=reservation_id, touched=touched))

    # One record.

    def _bury(self, unreadable: Unreadable, key: bytes | None, value: bytes | None) -> None:
        code, field, sku = unreadable.code.value, unreadable.field, unreadable.sku
        reason = code if field is None else f"{code}:{field}"
        letter = DeadLetter.of(key, value, reason, partition=self.partition, offset=self._offset)
        self._out.dead_letters.append(msgspec.structs.asdict(letter))
        if sku is not None:
            result = self._result(unreadable.command_id, unreadable.type, sku, code=unreadable.code)
            self._out.results.append(result | {"field": field})

    def _answer(self, command: SkuCommand) -> None:
        sku, command_id = command.sku, command.command_id
        type_, rule = self._rules[type(command)]
        if partition_of(sku, self.partitions) != self.partition:
            wrong = self._result(command_id, type_, sku, code=Code.WRONG_PARTITION)
            self._out.results.append(wrong | {"seq": 0})
            return
        content = content_of(command)
        seen = self.seen.get((sku, command_id))
        if seen is None:
            self._decide(command, type_, rule, content)
        elif seen.content == content:
            self._out.results.append(orjson.loads(seen.result) | {"replayed": True})
        else:
            self._out.results.append(self._result(command_id, type_, sku, code=Code.IDEMPOTENCY_MISMATCH))

    def _decide(self, command: SkuCommand, type_: str, rule: Callable[[Any], Outcome], content: Content) -> None:
        sku, command_id = command.sku, command.command_id
        reservation_id: str | None = None
        touched: list[str] = []
        try:
            reservation_id, touched = rule(command)
        except Refused as refused:
            result = self._result(command_id, type_, sku, code=refused.code) | refused.extra
        else:
            result = self._result(command_id, type_, sku, reservation_id=reservation_id, touched=touched)
        if isinstance(command, Query) and command.of_command_id is not None:
            of_command = self.seen.get((sku, command.of_command_id))
            found = orjson.loads(of_command.result) if of_command else None
            if found is not None:
                found.pop("of_command", None)
            result["of_command"] = found
        self._out.results.append(result)
        rows = self.stock.get(sku, {})
        row_seqs = [rows.get(warehouse, NO_ROW)["seq"] for warehouse in touched]
        closed_at = self.reservations[sku, reservation_id]["closed_at"] if reservation_id else None
        # As bytes the result takes a third of the memory, and the garbage collector has nothing to walk through.
        self.seen[sku, command_id] = Remembered(content, orjson.dumps(result), row_seqs, closed_at)
        self._seen_in_order.append((self.now, (sku, command_id)))

    # The rules, guards first, in the order of the codes.

    def _adjust(self, command: Adjust) -> Outcome:
        sku, warehouse, bucket = command.sku, command.warehouse, command.bucket or "on_hand"
        rows = self.stock.get(sku, {})
        row = rows.get(warehouse, NO_ROW)
        if warehouse not in rows and len(rows) >= MAX_WAREHOUSES and command.count != 0:
            raise Refused(Code.UNKNOWN_WAREHOUSE)
        if command.expected_on_hand is not None and command.expected_on_hand != row["on_hand"]:
            raise Refused(Code.STALE_EXPECTATION)
        delta = command.delta if command.delta is not None else (command.count or 0) - row[bucket]
        if row[bucket] + delta < 0:
            raise Refused(Code.NEGATIVE_STOCK)
        if delta:
            self._change(sku, warehouse, cause_of(command, "adjust"), **{bucket: delta})
        return None, [warehouse]

    def _reserve(self, command: Reserve) -> Outcome:
        sku, reservation_id, quantity = command.sku, command.reservation_id, command.quantity
        rows = self.stock.get(sku)
        if not rows:
            raise Refused(Code.UNKNOWN_SKU)
        if command.warehouse is not None and command.warehouse not in rows:
            raise Refused(Code.UNKNOWN_WAREHOUSE)
        if (sku, reservation_id) in self.reservations:
            raise Refused(Code.RESERVATION_EXISTS)
        candidates = rows if command.warehouse is None else (command.warehouse,)
        available = [(warehouse, free) for warehouse in candidates if (free := _available(rows[warehouse])) > 0]
        whole = next((warehouse for warehouse, free in available if free >= quantity), None)
        total = sum(free for _, free in available)
        if whole is None and total < quantity:
            raise Refused(Code.INSUFFICIENT_STOCK, requested=quantity, available=total)
        allocations = [(whole, quantity)] if whole is not None else _take(available, quantity)
        ttl_ms = DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms
        self.reservations[sku, reservation_id] = {
            "state": "held",
            "quantity": quantity,
            "committed": 0,
            "released": 0,
            "allocations": allocations,
            "channel": command.channel or DEFAULT_CHANNEL,
            "order_id": command.order_id,
            "expires_at": self._expires_at(ttl_ms, sku, reservation_id),
            "closed_at": None,
        }
        cause = cause_of(command, "reserve")
        for warehouse, part in allocations:
            self._change(sku, warehouse, cause, reserved=part)
        return reservation_id, [warehouse for warehouse, _ in allocations]

    def _commit(self, command: Commit) -> Outcome:
        reservation, quantity = self._held(command)
        taken = _take(reservation["allocations"], quantity)
        rows = self.stock[command.sku]
        if any(rows[warehouse]["on_hand"] < part for warehouse, part in taken):
            raise Refused(Code.NEGATIVE_STOCK)
        cause = cause_of(command, "commit")
        for warehouse, part in taken:
            self._change(command.sku, warehouse, cause, on_hand=-part, reserved=-part)
        self._take_from(command.sku, command.reservation_id, taken, counts_as="committed", ends_as="committed")
        return command.reservation_id, [warehouse for warehouse, _ in taken]

    def _release(self, command: Release) -> Outcome:
        reservation, quantity = self._held(command)
        # Taken from the last allocation first, told in the order of the allocations.
        taken = _take(reversed(reservation["allocations"]), quantity)[::-1]
        cause = cause_of(command, "release")
        for warehouse, part in taken:
            self._change(command.sku, warehouse, cause, reserved=-part)
        self._take_from(command.sku, command.reservation_id, taken, counts_as="released", ends_as="released")
        return command.reservation_id, [warehouse for warehouse, _ in taken]

    def _extend(self, command: Extend) -> Outcome:
        reservation, _ = self._held(command)
        reservation["expires_at"] = self._expires_at(command.ttl_ms, command.sku, command.reservation_id)
        return command.reservation_id, []

    def _query(self, command: Query) -> Outcome:
        rows = self.stock.get(command.sku)
        if not rows:
            raise Refused(Code.UNKNOWN_SKU)
        if command.reservation_id is not None and (command.sku, command.reservation_id) not in self.reservations:
            raise Refused(Code.UNKNOWN_RESERVATION)
        return command.reservation_id, list(rows)

    # What the rules are made of.

    def _held(self, command: Commit | Release | Extend) -> tuple[Json, int]:
        """Give the reservation and the quantity that the command is about, or refuse."""
        if not self.stock.get(command.sku):
            raise Refused(Code.UNKNOWN_SKU)
        reservation = self.reservations.get((command.sku, command.reservation_id))
        if reservation is None:
            raise Refused(Code.UNKNOWN_RESERVATION)
        if reservation["state"] != "held":
            raise Refused(Code(f"reservation_{reservation['state']}"))
        left = sum(quantity for _, quantity in reservation["allocations"])
        wanted = None if isinstance(command, Extend) else command.quantity
        if wanted is not None and wanted > left:
            raise Refused(Code.QUANTITY_EXCEEDS_RESERVATION)
        return reservation, left if wanted is None else wanted

    def _take_from(self, sku: str, reservation_id: str, taken: list[Holding], *, counts_as: str, ends_as: str) -> None:
        """Take from what a reservation holds; when nothing is left it ends, and is dropped after its time."""
        reservation = self.reservations[sku, reservation_id]
        parts = dict(taken)
        held = [(warehouse, quantity - parts.get(warehouse, 0)) for warehouse, quantity in reservation["allocations"]]
        reservation["allocations"] = [holding for holding in held if holding[1]]
        reservation[counts_as] += sum(parts.values())
        if not reservation["allocations"]:
            reservation["state"] = ends_as
            reservation["closed_at"] = self.now
            self._closed_in_order.append((self.now, (sku, reservation_id)))

    def _expires_at(self, ttl_ms: int, sku: str, reservation_id: str) -> int | None:
        if ttl_ms == 0:
            return None
        heappush(self._expiries, (self.now + ttl_ms, sku, reservation_id))
        return self.now + ttl_ms

    def _change(self, sku: str, warehouse: str, cause: Json, **delta: int) -> None:
        rows = self.stock.setdefault(sku, {})
        if warehouse not in rows:
            rows[warehouse] = dict(NO_ROW)
            self.stock[sku] = rows = dict(sorted(rows.items()))
        row = rows[warehouse]
        for quantity, difference in delta.items():
            row[quantity] += difference
        row["seq"] = self.seq[sku] = self.seq.get(sku, 0) + 1
        self._out.stock_changes.append(
            {
                "sku": sku,
                "warehouse": warehouse,
                "seq": row["seq"],
                "at": self.now,
                "cause": cause,
                "delta": delta,
                "after": quantities_of(row),
                "shortfall": row["reserved"] > row["on_hand"],
            }
        )

    def _result(
        self,
        command_id: str | None,
        type_: str | None,
        sku: str,
        *,
        code: Code | None = None,
        reservation_id: str | None = None,
        touched: Iterable[str] = (),
    ) -> Json:
        rows = self.stock.get(sku, {})
        stock = [{"warehouse": warehouse, **quantities_of(rows.get(warehouse, NO_ROW))} for warehouse in touched]
        view = None
        if reservation_id is not None:
            view = reservation_view(reservation_id, self.reservations[sku, reservation_id])
        return {
            "command_id": command_id,
            "type": type_,
            "sku": sku,
            "status": "rejected" if code else "accepted",
            "code": code.value if code else None,
            "replayed": False,
            "reservation": view,
            "stock": stock,
            "shortfall": any(row["reserved"] > row["on_hand"] for row in stock),
            "seq": self.seq.get(sku, 0),
            "at": self.now,
            "partition": self.partition,
            "offset": self._offset,
        }


def _available(row: Json) -> int:
    available: int = row["on_hand"] - row["reserved"] - row["safety_stock"]
    return available


def _take(holdings: Iterable[Holding], quantity: int) -> list[Holding]:
    """Take a quantity from holdings, each as far as it goes, in the order given."""
    taken = []
    for warehouse, holds in holdings:
        if quantity == 0:
            break
        taken.append((warehouse, min(holds, quantity)))
        quantity -= taken[-1][1]
    return taken
