"""Owns what the stock changes tell of a feed: what it does not name, what it names anew, what moved what drifts."""

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from ops.exchange import count_of, reading, records_until_end
from ops.reconciling.feed_lines import BUCKETS, CountedRow
from ops.reconciling.feed_tally import Found, drifts
from schemas.stock_changes import Cause
from schemas.topics import STOCK_CHANGES


class MovedBy(msgspec.Struct):
    """The changes of a row between two counts that have one cause: how many, and the units they moved."""

    cause: str
    changes: int
    units: dict[str, int]


class UnnamedRow(msgspec.Struct):
    """A stock row with units that the feed does not name."""

    sku: str
    warehouse: str
    on_hand: int
    damaged: int
    quarantine: int


class _After(msgspec.Struct, gc=False):
    on_hand: int
    damaged: int
    quarantine: int = 0


class _Change(msgspec.Struct, gc=False):
    at: int
    cause: Cause
    delta: dict[str, int]
    after: _After


_decode = msgspec.json.Decoder(_Change).decode
_Key = tuple[str, str]  # SKU and warehouse


class History:
    """Reads the stock changes of a feed's warehouses, in the order of their partitions.

    Args:
        rows: the rows of the feed, by the ids of their commands.
        found: those that drift; what moved them is kept.
        as_of_at: the time (ms) of the feed: what came later is no concern of its.
    """

    def __init__(self, rows: dict[str, CountedRow], found: Iterable[Found], as_of_at: int) -> None:
        self._rows = rows
        self._as_of_at = as_of_at
        self._named = {(row.sku, row.warehouse) for row in rows.values()}
        self._warehouses = {warehouse for _, warehouse in self._named}
        self._drifting: defaultdict[_Key, list[Found]] = defaultdict(list)
        for it in found:
            if drifts(it):
                self._drifting[it.sku, it.warehouse].append(it)
        self._last: dict[_Key, bytes] = {}
        self._moved: defaultdict[_Key, list[_Change]] = defaultdict(list)

    def take(self, key: bytes, timestamp: int, value: bytes) -> None:
        """Take a record; its time is that of the change."""
        sku, _, warehouse = key.decode().rpartition("/")
        place = (sku, warehouse)
        if warehouse not in self._warehouses:  # a book is in no warehouse
            return
        if place in self._drifting:
            change = _decode(value)
            if change.cause.command_id in self._rows:
                return
            if self._matters(place, change):
                self._moved[place].append(change)
        if timestamp <= self._as_of_at:
            self._last[place] = value

    def _matters(self, place: _Key, change: _Change) -> bool:
        # What an earlier count corrected is part of what the ledger had at that count, whenever it was applied.
        moves = change.cause.type != "reconcile" and any(name in change.delta for name in BUCKETS)
        return moves and any(_between(it, change.at) for it in self._drifting[place])

    def moved(self, found: Found) -> list[MovedBy]:
        """Return the changes of a row after its last count, up to this one, by cause; those of a week at least."""
        units: defaultdict[str, Counter[str]] = defaultdict(Counter)
        changes: Counter[str] = Counter()
        for change in self._moved.get((found.sku, found.warehouse), ()):
            if _between(found, change.at):
                cause = cause_text(change.cause)
                changes[cause] += 1
                units[cause].update({name: change.delta[name] for name in BUCKETS if name in change.delta})
        return [MovedBy(cause, count, dict(units[cause])) for cause, count in changes.most_common()]

    def not_in_feed(self) -> list[UnnamedRow]:
        """Return the rows with units that the feed does not name, though it names others of their warehouse."""
        found = []
        for sku, warehouse in sorted(self._last.keys() - self._named):
            after = _decode(self._last[sku, warehouse]).after
            if after.on_hand or after.damaged or after.quarantine:
                found.append(UnnamedRow(sku, warehouse, after.on_hand, after.damaged, after.quarantine))
        return found

    def not_in_ledger(self) -> list[CountedRow]:
        """Return the rows of the feed that the ledger did not have then."""
        return [row for row in self._rows.values() if (row.sku, row.warehouse) not in self._last]


def _between(found: Found, at: int) -> bool:
    """Return whether a time is after a row's last count, and not after this one."""
    return (found.since or 0) < at <= found.as_of_at


def cause_text(cause: Cause) -> str:
    """Return a cause in words: the command's type, with the reason where it is one of a few."""
    return f"{cause.type}: {cause.reason}" if cause.reason and cause.type in {"adjust", "return"} else cause.type


async def read_history(bootstrap: str, rows: dict[str, CountedRow], found: Iterable[Found], as_of_at: int) -> History:
    """Read the stock changes up to their present end.

    Raises:
        CannotDo: no Kafka answers, or the topic does not exist.
    """
    history = History(rows, found, as_of_at)
    partitions = range(await count_of(bootstrap, STOCK_CHANGES))
    async with reading(bootstrap, STOCK_CHANGES, partitions, from_beginning=True) as consumer:
        async for record in records_until_end(consumer):
            if record.value is not None:
                history.take(record.key, record.timestamp, record.value)
    return history
