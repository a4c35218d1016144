"""Owns the ledger of one partition: committed rows in a store, a bounded cache, and the overlay of one transaction."""

import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from tables.core.decision import Change, Decision, Sku
from tables.core.retention import remembered_until
from tables.core.rows import (
    POSITION_KEY,
    Position,
    Reservation,
    Row,
    Seen,
    decode_position,
    decode_reservation,
    decode_seen,
    decode_stock,
    encode_row,
    reservation_key,
    seen_key,
    stock_key,
)
from tables.due import Expiries, Forgetting
from tables.store import Item, Store

# A row in the cache costs about 500 bytes; two generations of this are 100 MB at most for a worker of one partition.
CACHED_ROWS = 100_000
_CHECKPOINT_KEY = b"L"

Value = TypeVar("Value")


class Checkpoint(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True):
    """Up to where the store follows the changelog: the offset of the position row it holds.

    `written_at` is wall-clock time (ms): only with it can be told whether tombstones may have been missed.
    """

    position_offset: int
    written_at: int


_decode_checkpoint = msgspec.msgpack.Decoder(Checkpoint).decode


class Ledger:
    """The rows of one partition, as the core reads them (`tables.core.decision.Rows`).

    Decisions are applied to an overlay; `pending()` gives their rows for the changelog, `checkpoint()` makes them
    permanent once the transaction is decided. A ledger whose transaction failed is thrown away, never rolled back.

    Args:
        store: holds what is permanent.
        cached_rows: how many decoded rows each of the two generations of the cache may hold.
    """

    def __init__(self, store: Store, *, cached_rows: int = CACHED_ROWS) -> None:
        self._store = store
        self._skus: _Cache[Sku] = _Cache(cached_rows, lambda sku: len(sku.stock))
        self._reservations: _Cache[Reservation] = _Cache(cached_rows, lambda _: 1)
        self._new_skus: dict[str, Sku] = {}
        self._overlay: dict[str, Row | None] = {}
        self._pending: list[Item] | None = None
        self._expiries = Expiries(store)
        self._forgetting = Forgetting(store)
        position = store.get(POSITION_KEY.encode())
        self.position: Position | None = None if position is None else decode_position(position)

    # What the core reads.

    def sku(self, sku: str) -> Sku | None:
        """Give the SKU's stock, None when it has no row at all."""
        found = self._new_skus.get(sku) or self._skus.get(sku)
        if found is None:
            found = self._load_sku(sku)
            if found is not None:
                self._skus.put(sku, found)
        return found

    def _load_sku(self, sku: str) -> Sku | None:
        prefix = stock_key(sku, "").encode()
        rows = {}
        seq = 0
        for key, value in self._store.scan(prefix, prefix[:-1] + b"\x01"):
            row = rows[key[len(prefix) :].decode()] = decode_stock(value)
            seq = max(seq, row.seq)
        return Sku(seq, rows) if rows else None

    def reservation(self, sku: str, reservation_id: str) -> Reservation | None:
        """Give a reservation row, as old as it may be."""
        key = reservation_key(sku, reservation_id)
        if key in self._overlay:
            return self._overlay[key]  # type: ignore[return-value] # the key's letter says what the row is
        found = self._reservations.get(key)
        if found is None:
            value = self._store.get(key.encode())
            if value is not None:
                found = decode_reservation(value)
                self._reservations.put(key, found)
        return found

    def seen(self, sku: str, command_id: str) -> Seen | None:
        """Give a seen command's row, as old as it may be."""
        key = seen_key(sku, command_id)
        if key in self._overlay:
            return self._overlay[key]  # type: ignore[return-value] # the key's letter says what the row is
        value = self._store.get(key.encode())
        return None if value is None else decode_seen(value)

    # What a transaction does.

    @property
    def next_due_at(self) -> int:
        """Give the time (ms) before which no reservation expires."""
        return self._expiries.next_due_at

    def pop_due(self, now_ms: int) -> tuple[str, str] | None:
        """Take the next (SKU, reservation_id) that may have expired by `now_ms`; None when there is none left."""
        return self._expiries.pop_due(now_ms)

    def apply(self, decision: Decision) -> None:
        """Put a decision's rows into the overlay, where the next decision sees them."""
        overlay = self._overlay
        sku = decision.sku
        if decision.stock:
            self._apply_stock(sku, decision.stock)
        reservation = decision.reservation
        if reservation is not None:
            key = reservation_key(sku, decision.reservation_id or "")
            overlay[key] = reservation
            if reservation.closed_at is not None:
                self._forgetting.add(remembered_until(reservation) or 0, key)
            elif reservation.expires_at is not None:
                self._expiries.add(reservation.expires_at, sku, decision.reservation_id or "")
        if decision.seen is not None:
            key = seen_key(sku, decision.command_id or "")
            overlay[key] = decision.seen
            self._forgetting.add(remembered_until(decision.seen) or 0, key)

    def _apply_stock(self, sku: str, changes: tuple[Change, ...]) -> None:
        before = self.sku(sku)
        rows = dict(before.stock) if before else {}
        known = len(rows)
        for warehouse, _, after in changes:
            rows[warehouse] = after
            self._overlay[stock_key(sku, warehouse)] = after
        if len(rows) != known:
            rows = {warehouse: rows[warehouse] for warehouse in sorted(rows)}
        self._new_skus[sku] = Sku(changes[-1].after.seq, rows)

    def forget(self, limit: int) -> None:
        """Drop rows whose time is over by the clock of the last transaction; about `limit` of them at most."""
        if self.position is None:
            return
        now_ms = self.position.now_ms
        for key in self._forgetting.due(now_ms, limit):
            value = self._store.get(key.encode())
            if value is None:
                continue
            # The id may have been used again since: then the row is younger than this entry.
            row = decode_seen(value) if key.startswith("C") else decode_reservation(value)
            until = remembered_until(row)
            if until is not None and until <= now_ms:
                self._overlay[key] = None
                self._reservations.discard(key)

    def pending(self) -> list[Item]:
        """Give the rows of this transaction as the changelog and the store take them, one per key."""
        self._pending = [(key.encode(), None if row is None else encode_row(row)) for key, row in self._overlay.items()]
        return self._pending

    def checkpoint(self, position: Position, position_offset: int) -> None:
        """Make the transaction permanent: one atomic write of rows, position and changelog offset.

        Args:
            position: where the ledger stands after the transaction.
            position_offset: the changelog offset of the transaction's position row.
        """
        items = self._pending if self._pending is not None else self.pending()
        self._store.write(
            [
                *items,
                *self._expiries.writes(position_offset, position.now_ms),
                *self._forgetting.writes(position_offset),
                (POSITION_KEY.encode(), encode_row(position)),
                (_CHECKPOINT_KEY, encode_row(Checkpoint(position_offset, wall_clock_ms()))),
            ]
        )
        self._forgetting.written()
        for sku, rows in self._new_skus.items():
            self._skus.put(sku, rows)
        for key, row in self._overlay.items():
            if type(row) is Reservation:
                self._reservations.put(key, row)
        self._overlay = {}
        self._new_skus = {}
        self._pending = None
        self.position = position


def checkpoint_of(store: Store) -> Checkpoint | None:
    """Give up to where a store follows its changelog; None for an empty store."""
    value = store.get(_CHECKPOINT_KEY)
    return None if value is None else _decode_checkpoint(value)


def load(store: Store, records: Iterable[tuple[int, bytes, bytes | None]], *, now_ms: int | None = None) -> None:
    """Write changelog records into a store, atomically, with the due times that follow from them.

    Args:
        store: a store that follows the changelog up to the first record.
        records: (offset, key, value) in the order of the log.
        now_ms: wall-clock time of the checkpoint; the present when None.
    """
    latest: dict[bytes, bytes | None] = {}
    last_offset = position_offset = -1
    for last_offset, key, value in records:
        latest[key] = value
        if key == b"P":
            position_offset = last_offset
    if last_offset < 0:
        return
    expiries, forgetting = Expiries(store), Forgetting(store)
    for key, value in latest.items():
        if value is not None:
            _note_due_times(key.decode(), value, expiries, forgetting)
    items: list[Item] = [*latest.items(), *expiries.writes(last_offset, 0), *forgetting.writes(last_offset)]
    if position_offset >= 0:
        written_at = wall_clock_ms() if now_ms is None else now_ms
        items.append((_CHECKPOINT_KEY, encode_row(Checkpoint(position_offset, written_at))))
    store.write(items)


def _note_due_times(key: str, value: bytes, expiries: Expiries, forgetting: Forgetting) -> None:
    if key[0] == "R":
        reservation = decode_reservation(value)
        if reservation.closed_at is not None:
            forgetting.add(remembered_until(reservation) or 0, key)
        elif reservation.expires_at is not None:
            sku, _, reservation_id = key[1:].partition("\0")
            expiries.add(reservation.expires_at, sku, reservation_id)
    elif key[0] == "C":
        forgetting.add(remembered_until(decode_seen(value)) or 0, key)


def wall_clock_ms() -> int:
    """Give the time of day (ms): for the age of a checkpoint only, never for a decision."""
    return time.time_ns() // 1_000_000


class _Cache(Generic[Value]):
    """Keeps what was used lately, in two generations: when the young one is full it becomes the old one."""

    def __init__(self, capacity: int, weigh: Callable[[Value], int]) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._young: dict[str, Value] = {}
        self._old: dict[str, Value] = {}
        self._weight = 0

    def get(self, key: str) -> Value | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: str, value: Value) -> None:
        if key not in self._young:
            weight = self._weigh(value)
            self._weight += weight
            if self._weight > self._capacity:
                self._old, self._young, self._weight = self._young, {}, weight
        self._young[key] = value

    def discard(self, key: str) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)
