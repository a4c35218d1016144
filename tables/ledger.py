"""Owns the ledger of one partition: committed rows in a store, a bounded cache, and the overlay of one transaction."""

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec

from tables.core.decision import Beside, Decision, Sku
from tables.core.queue import Queue
from tables.core.register import NO_POLICIES, OwnPolicies, Register, with_shared_ids
from tables.core.row_kind import R, RowKind
from tables.core.rows import (
    KINDS,
    POLICY,
    POSITION_KEY,
    STOCK,
    BookRow,
    PolicyRow,
    Position,
    Row,
    Stock,
    decode_book,
    decode_position,
    encode_row,
    journal_prefix,
    policy_key,
    reference_key,
    stock_key,
)
from tables.core.shelf import free_of
from tables.due import Expiries, Forgetting
from tables.journal import Fresh, StoredJournal, note
from tables.queues import Queues
from tables.store import Item, Store
from tables.waiting import pending_in, pending_key, settling_items

# A row takes 300 to 550 bytes, so two generations of SKUs and two of reservations typically take 160 MB a partition,
# and 200 MB with long ids and large numbers.
CACHED_ROWS = 100_000
# Ticks at a time: 128 steps of about 100 us, so a command that comes meanwhile waits 13 ms for them.
_TICKS = 16
_CHECKPOINT_KEY = b"L"
# Kinds by the first byte of their keys, by how the ledger holds their rows in memory.
_DECODED = {letter: kind for letter, kind in KINDS.items() if kind.kept == "decoded"}
_ENCODED = {letter: kind for letter, kind in KINDS.items() if kind.kept == "encoded"}

Key = TypeVar("Key")
Value = TypeVar("Value")


class Checkpoint(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True):
    """How far the store follows the changelog: the changelog offset of its position row.

    `written_at` is wall-clock time (ms); it shows whether the store may have missed tombstones.
    """

    position_offset: int
    written_at: int


_decode_checkpoint = msgspec.msgpack.Decoder(Checkpoint).decode


class Ledger:
    """The rows of one partition, as the core reads them (`tables.core.decision.Rows`).

    Decisions are applied in memory. `pending()` returns their rows for the changelog, and `checkpoint()` stores them
    once the transaction is committed. A ledger whose transaction failed is dropped with its caches, never rolled back.

    Args:
        store: holds the committed rows.
        cached_rows: how many decoded rows each generation of each of the two caches may hold. Of a SKU its policies,
            the warehouses that they list, and the channels and announced goods in its book count as rows too.

    Attributes:
        position: the position after the last transaction; None before the first.
        expiries: when reservations expire.
        register: the reference data in force.
    """

    def __init__(self, store: Store, *, cached_rows: int = CACHED_ROWS) -> None:
        self._store = store
        self._skus: _Cache[str, Sku] = _Cache(cached_rows, _weight_of)
        self._rows: _Cache[bytes, Row] = _Cache(cached_rows, lambda _: 1)
        self._changed_skus: dict[str, Sku] = {}
        self._overlay: dict[bytes, Row | None] = {}
        self._by_prefix: dict[bytes, list[bytes]] = {}  # sorted keys of the overlay, of the first so many of it
        self._noted = 0
        self._encoded: dict[int, dict[bytes, bytes]] = {letter: {} for letter in _ENCODED}
        self._ended: dict[int, list[bytes]] = {letter: [] for letter in _DECODED}
        self._kept_otherwise: list[tuple[int, bytes]] = []  # ended rows with a retention of their own
        self._queues = Queues(store)
        self._journalled: Fresh = {}  # of the open transaction
        self._books_noted: set[str] = set()  # SKUs whose `since` changed in the open transaction
        self.pending_since = dict(pending_in(store))
        self._pending_order = [(since, sku) for sku, since in self.pending_since.items()]
        heapify(self._pending_order)
        self._pending: list[Item] | None = None
        self.expiries = Expiries(store)
        self._forgetting = Forgetting(store)
        names = reference_key("")
        self.register = Register(
            (key[len(names) :].decode(), value) for key, value in store.scan(names, names[:-1] + b"\x01")
        )
        position = store.get(POSITION_KEY)
        self.position: Position | None = None if position is None else decode_position(position)

    # What the core reads.

    def sku(self, sku: str) -> Sku | None:
        """Return the SKU's stock, None when it has no stock row at all."""
        found = self._skus.young.get(sku) or self._skus.find_old(sku)
        if found is None:
            found = self._changed_skus.get(sku) or self._load_sku(sku)
            if found is not None:
                if not found.stock:
                    return None
                self._skus.put(sku, found)
        return found

    def sku_or_book(self, sku: str) -> Sku | None:
        """Return the SKU also when it has no stock row, but a book; None when it has neither."""
        return self.sku(sku) or self._changed_skus.get(sku) or self._load_sku(sku)

    def _load_sku(self, sku: str) -> Sku | None:
        prefix = stock_key(sku, "")
        rows = {}
        seq, book = 0, None
        for key, value in self._store.scan(prefix, prefix[:-1] + b"\x01"):
            if key == prefix:
                book = decode_book(value)
                seq = book.seq
                continue
            row = rows[key[len(prefix) :].decode()] = STOCK.decode(value)
            seq = max(seq, row.seq)
        if book is None:
            return Sku(seq, rows) if rows else None
        return Sku(seq, rows, book, self._load_policies(sku) if book.policies else NO_POLICIES)

    def _load_policies(self, sku: str) -> OwnPolicies:
        prefix = policy_key(sku, "")
        found = self._store.scan(prefix, prefix[:-1] + b"\x01")
        return OwnPolicies((key[len(prefix) :].decode(), with_shared_ids(POLICY.decode(value))) for key, value in found)

    def row(self, kind: RowKind[R], key: bytes) -> R | None:
        """Return a row by its kind and key, also after its time is over. Not for kinds that are kept with their SKU."""
        if kind.kept == "encoded":
            value = self._encoded[key[0]].get(key) or self._store.get(key)
            return None if value is None else kind.decode(value)
        found: Any = self._rows.young.get(key) or self._rows.find_old(key)
        if found is None:
            if key in self._overlay:
                return self._overlay[key]  # type: ignore[return-value] # the key's letter says what the row is
            value = self._store.get(key)
            if value is not None:
                found = kind.decode(value)
                self._rows.put(key, found)
        return found  # type: ignore[no-any-return]

    def journal(self, sku: str, warehouse: str) -> StoredJournal:
        """Return the journal of a stock row."""
        return StoredJournal(self._store, self._journalled, journal_prefix(sku, warehouse))

    def scan(self, kind: RowKind[R], sku: str, after: str) -> Iterator[tuple[str, R]]:
        """Yield (id, row) of a SKU's rows of a kind whose ids come after one. Only for kinds that are kept decoded."""
        prefix = kind.key(sku, "")
        start = kind.key(sku, after) + b"\0"
        fresh = self._changed_keys(prefix)
        at, overlay, length = bisect_left(fresh, start), self._overlay, len(prefix)
        for key, value in self._store.scan(start, prefix[:-1] + b"\x01"):
            while at < len(fresh) and fresh[at] < key:
                yield from _named(length, fresh[at], overlay[fresh[at]])
                at += 1
            if at < len(fresh) and fresh[at] == key:
                yield from _named(length, key, overlay[key])
                at += 1
            else:
                yield key[length:].decode(), kind.decode(value)
        for key in fresh[at:]:
            yield from _named(length, key, overlay[key])

    def _changed_keys(self, prefix: bytes) -> list[bytes]:
        """Return the keys of the open transaction's rows of one kind and SKU, in order."""
        # Keys stay where they were put first, so those that came since the last time are the last ones.
        overlay, found = self._overlay, self._by_prefix
        for key in islice(reversed(overlay), len(overlay) - self._noted):
            insort(found.setdefault(key[: key.find(b"\0") + 1], []), key)
        self._noted = len(overlay)
        return found.get(prefix, [])

    def queue(self, sku: str) -> Queue:
        """Return the SKU's queue."""
        return self._queues.get(sku)

    def first_pending(self) -> str | None:
        """Return the pending SKU with the least (since, SKU); None when none is."""
        if not self.pending_since:
            return None
        order = self._pending_order
        while order:
            since, sku = order[0]
            if self.pending_since.get(sku) == since:
                return sku
            heappop(order)
        return None

    @property
    def ticks_to_settle(self) -> int:
        """Return how many ticks would settle the SKU that is pending longest, 16 at most; 0 when none is pending."""
        sku = self.first_pending()
        return 0 if sku is None else min(_TICKS, 1 + self.queue(sku).size // 4)

    # What a transaction does.

    def apply(self, decision: Decision) -> None:
        """Apply a decision's rows; the next decision sees them."""
        if decision.stock:
            self._update_sku(decision)
        if decision.beside is not None:
            self._apply_beside(decision.sku, decision.row, decision.beside)
        overlay, all_encoded = self._overlay, self._encoded
        for key, row in decision.writes:
            letter = key[0]
            if letter in all_encoded:
                all_encoded[letter][key] = encode_row(row)
                continue
            overlay[key] = row
            if letter in _DECODED and row is not None:
                self._rows.put(key, row)
                kind = _DECODED[letter]
                if kind.ended is not None and getattr(row, kind.ended) is not None:
                    if type(row) is kind.row_type or (kept_ms := kind.own_retention(row)) is None:
                        self._ended[letter].append(key)
                    else:
                        self._kept_otherwise.append((kept_ms, key))
                elif kind.due is not None and (due := getattr(row, kind.due)) is not None:
                    self.expiries.add(due, decision.sku, key.decode().partition("\0")[2])

    def _update_sku(self, decision: Decision) -> None:
        sku_id, sku = decision.sku, decision.row or self.sku_or_book(decision.sku)
        if sku is None:
            sku = Sku(0, {})
        stock: dict[str, Stock] = sku.stock  # type: ignore[assignment] # the core's view of it is read-only
        known = len(stock)
        for warehouse, row in decision.stock:
            self._overlay[stock_key(sku_id, warehouse)] = row
            stock[warehouse] = row
            sku.seq = row.seq
        if sku.shelves is not None:
            for shelf in sku.shelves.values():
                for warehouse, row in decision.stock:
                    shelf.put(warehouse, free_of(row))
        if len(stock) != known:
            sku.shelves = None
            sku.stock = {warehouse: stock[warehouse] for warehouse in sorted(stock)}
            self._skus.discard(sku_id)  # its weight in the cache has changed
            self._skus.put(sku_id, sku)
        self._changed_skus[sku_id] = sku

    def _apply_beside(self, sku_id: str, sku: Sku | None, beside: Beside) -> None:
        if beside.in_force is not None:
            self.register.put(*beside.in_force)
        if beside.waiting is not None:
            self._queues.note(sku_id, *beside.waiting)
        for key, entry in beside.journal:
            note(self._journalled, key, entry)
        if beside.book is None:
            return
        if sku is None or not sku.stock:
            sku = self.sku_or_book(sku_id) or Sku(0, {})
        self._changed_skus[sku_id] = sku
        self._note_pending(sku_id, sku.book, beside.book)
        grown_by = _weight_of_book(beside.book) - _weight_of_book(sku.book)
        sku.book = beside.book
        sku.seq = max(sku.seq, beside.book.seq)
        if beside.policy is not None:
            channel, row = beside.policy
            grown_by += _weight_of_policy(row) - _weight_of_policy(sku.policies.get(channel))
            others = [(name, policy) for name, policy in sku.policies.items() if name != channel]
            sku.policies = OwnPolicies(others if row is None else [*others, (channel, with_shared_ids(row))])
        if sku.stock and grown_by:
            self._skus.reweigh(sku_id, sku, grown_by)

    def _note_pending(self, sku_id: str, before: BookRow | None, after: BookRow) -> None:
        if after.since is None:
            self.pending_since.pop(sku_id, None)
        elif self.pending_since.get(sku_id) != after.since:
            self.pending_since[sku_id] = after.since
            heappush(self._pending_order, (after.since, sku_id))
        if before is None or before.since != after.since:
            self._books_noted.add(sku_id)

    def forget(self, limit: int) -> None:
        """Remove about `limit` rows at most whose time is over by the clock of the last transaction."""
        if self.position is None:
            return
        now_ms = self.position.now_ms
        for key in self._forgetting.due(now_ms, limit):
            value = self._store.get(key)
            if value is None:
                continue
            # If the id was used again, the row is younger than this entry.
            kind = KINDS[key[0]]
            until = kind.forgotten_at(kind.decode_head(value))
            if until is not None and until <= now_ms:
                self._overlay[key] = None
                self._rows.discard(key)

    def pending(self) -> list[Item]:
        """Return the rows of this transaction for changelog and store, one per key; None as value removes the row."""
        rows: list[Item] = [(key, None if row is None else encode_row(row)) for key, row in self._overlay.items()]
        for encoded in self._encoded.values():
            rows += encoded.items()
        self._pending = rows
        return self._pending.copy()

    def checkpoint(self, position: Position, position_offset: int) -> None:
        """Store the committed transaction: one atomic write of rows, position and changelog offset.

        Args:
            position: the position after the transaction.
            position_offset: the changelog offset of the transaction's position row.
        """
        items = self._pending if self._pending is not None else self.pending()
        # Counted from the clock at the end of the batch: a row may be dropped a little late, never too early.
        for letter, keys in (*self._encoded.items(), *self._ended.items()):
            retention_ms = KINDS[letter].retention_ms
            if retention_ms is not None:
                self._forgetting.add(position.now_ms + retention_ms, list(keys))
        for kept_ms, key in self._kept_otherwise:
            self._forgetting.add_one(position.now_ms + kept_ms, key)
        items += self._queues.writes()
        items += [item for sku in sorted(self._books_noted) for item in self._pending_items(sku)]
        items += self.expiries.writes(position_offset, position.now_ms)
        items += self._forgetting.writes(position_offset)
        items.append((POSITION_KEY, encode_row(position)))
        items.append((_CHECKPOINT_KEY, encode_row(Checkpoint(position_offset, wall_clock_ms()))))
        self._store.write(items)
        self._forgetting.written()
        self._overlay = {}
        self._by_prefix, self._noted = {}, 0
        self._encoded = {letter: {} for letter in _ENCODED}
        self._ended = {letter: [] for letter in _DECODED}
        self._kept_otherwise = []
        self._queues.written()
        self._journalled = {}
        self._books_noted = set()
        self._changed_skus = {}
        self._pending = None
        self.position = position

    def _pending_items(self, sku: str) -> Iterator[Item]:
        since = self.pending_since.get(sku)
        yield pending_key(sku), None if since is None else since.to_bytes(8, "big")


def checkpoint_of(store: Store) -> Checkpoint | None:
    """Return a store's checkpoint; None for an empty store."""
    value = store.get(_CHECKPOINT_KEY)
    return None if value is None else _decode_checkpoint(value)


def load(store: Store, records: Sequence[tuple[int, bytes, bytes | None]], *, now_ms: int | None = None) -> None:
    """Write changelog records and the due times that follow from them into a store, atomically.

    Args:
        store: a store that follows the changelog up to the first record.
        records: (offset, key, value) in the order of the log.
        now_ms: wall-clock time of the checkpoint; the present when None.
    """
    if not records:
        return
    latest = {key: value for _, key, value in records}
    expiries, forgetting = Expiries(store), Forgetting(store)
    _note_due_times(latest, expiries, forgetting)
    suffix = records[-1][0]
    items: list[Item] = [*latest.items(), *settling_items(store, latest)]
    items += [*expiries.writes(suffix, 0), *forgetting.writes(suffix)]
    if POSITION_KEY in latest:
        position_offset = next(offset for offset, key, _ in reversed(records) if key == POSITION_KEY)
        written_at = wall_clock_ms() if now_ms is None else now_ms
        items.append((_CHECKPOINT_KEY, encode_row(Checkpoint(position_offset, written_at))))
    store.write(items)


def _note_due_times(rows: Mapping[bytes, bytes | None], expiries: Expiries, forgetting: Forgetting) -> None:
    for key, value in rows.items():
        kind = KINDS.get(key[0])
        if value is None or kind is None or (kind.ended is None and kind.due is None):
            continue
        head = kind.decode_head(value)
        if (until := kind.forgotten_at(head)) is not None:
            forgetting.add_one(until, key)
        elif (due := kind.due_at(head)) is not None:
            sku, _, rest = key[1:].decode().partition("\0")
            expiries.add(due, sku, rest)


def wall_clock_ms() -> int:
    """Return the time of day (ms), for the age of a checkpoint only, never for a decision."""
    return time.time_ns() // 1_000_000


def _named(prefix: int, key: bytes, row: Any) -> Iterator[tuple[str, Any]]:
    """Yield the id and the row; nothing for a row that was removed."""
    if row is not None:
        yield key[prefix:].decode(), row


def _weight_of(sku: Sku) -> int:
    weight = len(sku.stock)
    if sku.book is not None:
        weight += _weight_of_book(sku.book) + sum(map(_weight_of_policy, sku.policies.values()))
    return weight


def _weight_of_book(book: BookRow | None) -> int:
    return 0 if book is None else len(book.channels) + len(book.inbounds)


def _weight_of_policy(policy: PolicyRow | None) -> int:
    return 0 if policy is None else 1 + len(policy.warehouses or ())


class _Cache(Generic[Key, Value]):
    """Keeps the last used values in two generations: when the young one is full it becomes the old one.

    Callers read `young` directly, so a hit costs no call.
    """

    def __init__(self, capacity: int, weigh: Callable[[Value], int]) -> None:
        self.young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._capacity = capacity
        self._weigh = weigh
        self._weight = 0

    def find_old(self, key: Key) -> Value | None:
        """Return a value of the old generation and move it to the young one; None when it is not there."""
        found = self._old.get(key)
        if found is not None:
            self.put(key, found)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; it replaces an earlier one of its key."""
        if key not in self.young:
            self._grow(value, self._weigh(value))
        self.young[key] = value

    def reweigh(self, key: Key, value: Value, grown_by: int) -> None:
        """Count what a value of the young generation weighs more, or less, than before it was changed."""
        self._grow(value, grown_by)
        self.young[key] = value

    def _grow(self, value: Value, grown_by: int) -> None:
        self._weight += grown_by
        if self._weight > self._capacity:
            self._old, self.young = self.young, {}
            self._weight = self._weigh(value)

    def discard(self, key: Key) -> None:
        """Forget a key."""
        self.young.pop(key, None)
        self._old.pop(key, None)
