"""Owns the queues of a partition: those in use are in memory, the others are read from their local rows."""

from collections.abc import Iterator

from tables.core.queue import Queue, WaitsFor, rank_of, waiting_for
from tables.core.rows import FullReservation
from tables.store import Item, Store
from tables.waiting import queue_prefix, waiting_key, waiting_of, waiting_value

# So much weight is kept in memory: about 40 MB.
KEPT = 200_000
# What a queue weighs that is empty, in reservations that wait: these take some 200 bytes each.
_EMPTY = 10


class Queues:
    """The queues of SKUs, as they are in the open transaction.

    Args:
        store: holds the committed rows.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queues: dict[str, Queue] = {}  # the one used last is last
        self._weight = 0
        self._changed: dict[str, dict[bytes, bytes | None]] = {}  # by SKU; None for who waits no longer

    def get(self, sku: str) -> Queue:
        """Return the SKU's queue."""
        found = self._queues.pop(sku, None)
        if found is None:
            found = self._load(sku)
            self._weight += _weight(found)
            while self._weight > KEPT and self._queues:
                self._weight -= _weight(self._queues.pop(next(iter(self._queues))))
        self._queues[sku] = found
        return found

    def _load(self, sku: str) -> Queue:
        found, prefix = Queue(), queue_prefix(sku)
        changed = self._changed.get(sku, {})
        for key, value in self._store.scan(prefix, prefix[:-1] + b"\x01"):
            if key not in changed:
                found.put(*waiting_of(key[len(prefix) :], value))
        for key, after in changed.items():
            if after is not None:
                found.put(*waiting_of(key[len(prefix) :], after))
        return found

    def note(self, sku: str, reservation_id: str, row: FullReservation) -> None:
        """Note that a reservation changed that waits, or did."""
        ranked = rank_of(reservation_id, row)
        if ranked is None:
            return
        of, rank = ranked
        waiting = WaitsFor(of, waiting_for(row.claims))
        changed = self._changed.setdefault(sku, {})
        changed[waiting_key(sku, of, rank)] = waiting_value(waiting) if row.claims else None
        queue = self._queues.get(sku)
        if queue is None:
            return
        self._weight -= queue.size
        if row.claims:
            queue.put(rank, waiting)
        else:
            queue.remove(rank)
        self._weight += queue.size

    def writes(self) -> Iterator[Item]:
        """Yield the items to write with this transaction."""
        for changed in self._changed.values():
            yield from changed.items()

    def written(self) -> None:
        """Take note that the items of `writes` are stored."""
        self._changed = {}


def _weight(queue: Queue) -> int:
    return _EMPTY + queue.size
