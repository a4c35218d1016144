"""Owns the due times: when reservations expire and when rows are forgotten.

They are stored in buckets of time: each transaction writes one list of entries per bucket it adds to, so a command
costs a list append, not a row. Of the expiries, only the bucket that the clock is in is held in memory. These rows are
local: they follow from the reservations and seen commands, so they are not in the changelog.
"""

import heapq
from collections.abc import Iterator

import msgspec

from tables.store import Item, Store

EXPIRY_BUCKET_MS = 10_000
FORGET_BUCKET_MS = 60_000
NEVER = 1 << 62

_encode = msgspec.msgpack.Encoder().encode
_decode_expiries = msgspec.msgpack.Decoder(list[tuple[int, str, str]]).decode
_decode_keys = msgspec.msgpack.Decoder(list[bytes]).decode


def _bucket_key(kind: bytes, bucket: int, suffix: int = 0) -> bytes:
    return kind + bucket.to_bytes(8, "big") + suffix.to_bytes(8, "big")


def _bucket_of(key: bytes) -> int:
    return int.from_bytes(key[2:10], "big")


def _first_bucket(store: Store, kind: bytes, start: int) -> int | None:
    """Return the lowest stored bucket that is not below `start`; None when there is none."""
    for key, _ in store.scan(_bucket_key(kind, start), _after(kind)):
        return _bucket_of(key)
    return None


def _after(kind: bytes) -> bytes:
    return kind + b"\xff" * 9


class Expiries:
    """The times at which reservations expire. An entry is a hint: only the reservation's row says whether it is due."""

    _KIND = b"DE"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heap: list[tuple[int, str, str]] = []
        self._loaded = -1  # the heap has every bucket up to and including this one
        self._fresh: dict[int, list[tuple[int, str, str]]] = {}
        self._oldest = _first_bucket(store, self._KIND, 0)
        self._next = self._oldest
        self.next_due_at = NEVER
        self._update()

    def _update(self) -> None:
        due = self._heap[0][0] if self._heap else NEVER
        if self._next is not None:
            due = min(due, self._next * EXPIRY_BUCKET_MS)
        self.next_due_at = due

    def add(self, expires_at: int, sku: str, reservation_id: str) -> None:
        """Note that a reservation expires at a time (ms)."""
        entry = (expires_at, sku, reservation_id)
        bucket = expires_at // EXPIRY_BUCKET_MS
        entries = self._fresh.get(bucket)
        if entries is None:
            self._fresh[bucket] = [entry]
            if bucket > self._loaded and (self._next is None or bucket < self._next):
                self._next = bucket
                self._update()
        else:
            entries.append(entry)
        if bucket <= self._loaded:
            heapq.heappush(self._heap, entry)
            self._update()

    def pop_due(self, now_ms: int) -> tuple[int, str, str] | None:
        """Remove and return the least (expires_at, SKU, reservation_id) due by `now_ms`; None when none is."""
        while self.next_due_at <= now_ms:
            if self._heap and self._heap[0][0] <= now_ms:
                entry = heapq.heappop(self._heap)
                self._update()
                return entry
            self._load_next()
        return None

    def _load_next(self) -> None:
        bucket = self._next
        assert bucket is not None  # noqa: S101 - next_due_at came from it
        for _, value in self._store.scan(_bucket_key(self._KIND, bucket), _bucket_key(self._KIND, bucket + 1)):
            self._heap.extend(_decode_expiries(value))
        self._heap.extend(self._fresh.get(bucket, ()))
        heapq.heapify(self._heap)
        self._loaded = bucket
        later = [b for b in self._fresh if b > bucket]
        on_disk = _first_bucket(self._store, self._KIND, bucket + 1)
        self._next = min([*later, *([] if on_disk is None else [on_disk])], default=None)
        self._update()

    def writes(self, suffix: int, now_ms: int) -> list[Item]:
        """Return the items to write with this transaction: new entries, and the removal of finished buckets.

        Args:
            suffix: a number that no other transaction's rows have, such as its offset in the changelog.
            now_ms: the clock after the transaction.
        """
        if self._fresh:
            self._oldest = min(self._fresh) if self._oldest is None else min(self._oldest, *self._fresh)
        waiting = self._heap[0][0] if self._heap else NEVER
        done = min(min(now_ms, waiting) // EXPIRY_BUCKET_MS, self._loaded + 1)  # every bucket below is finished
        items: list[Item] = [
            (_bucket_key(self._KIND, bucket, suffix), _encode(entries))
            for bucket, entries in self._fresh.items()
            if bucket >= done
        ]
        if self._oldest is not None and self._oldest < done:
            finished = self._store.scan(_bucket_key(self._KIND, 0), _bucket_key(self._KIND, done))
            items.extend((key, None) for key, _ in list(finished))
            on_disk = _first_bucket(self._store, self._KIND, done)
            left = [bucket for bucket in (on_disk, *self._fresh) if bucket is not None and bucket >= done]
            self._oldest = min(left, default=None)
        self._fresh = {}
        return items


class Forgetting:
    """The rows to forget (seen commands, closed reservations), by the minute in which their time is over."""

    _KIND = b"DF"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fresh: dict[int, list[bytes]] = {}
        self._finished: list[bytes] = []
        self.next_at = NEVER
        self._find_next()

    def _find_next(self) -> None:
        first = _first_bucket(self._store, self._KIND, 0)
        self.next_at = NEVER if first is None else (first + 1) * FORGET_BUCKET_MS

    def add(self, due_at: int, keys: list[bytes]) -> None:
        """Note that the rows of these keys are to be forgotten at a time (ms)."""
        if keys:
            self._fresh.setdefault(due_at // FORGET_BUCKET_MS, []).extend(keys)

    def add_one(self, due_at: int, key: bytes) -> None:
        """Note that one row is to be forgotten at a time (ms)."""
        bucket = due_at // FORGET_BUCKET_MS
        keys = self._fresh.get(bucket)
        if keys is None:
            self._fresh[bucket] = [key]
        else:
            keys.append(key)

    def due(self, now_ms: int, limit: int) -> Iterator[bytes]:
        """Yield keys whose minute is over, all of one stored list at a time, until `limit` is reached."""
        if now_ms < self.next_at:
            return
        stop = _bucket_key(self._KIND, now_ms // FORGET_BUCKET_MS)
        given = 0
        for disk_key, value in self._store.scan(_bucket_key(self._KIND, 0), stop):
            keys = _decode_keys(value)
            self._finished.append(disk_key)
            yield from keys
            given += len(keys)
            if given >= limit:
                return

    def writes(self, suffix: int) -> list[Item]:
        """Return the items to write with this transaction; see `Expiries.writes`."""
        items: list[Item] = [
            (_bucket_key(self._KIND, bucket, suffix), _encode(keys)) for bucket, keys in self._fresh.items()
        ]
        items.extend((key, None) for key in self._finished)
        return items

    def written(self) -> None:
        """Take note that the items of `writes` are stored."""
        if self._finished:
            self._finished = []
            self._fresh = {}
            self._find_next()
        elif self._fresh:
            self.next_at = min(self.next_at, (min(self._fresh) + 1) * FORGET_BUCKET_MS)
            self._fresh = {}
