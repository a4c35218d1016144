"""Owns the availability view: each SKU's available quantity after the last stock change that was read.

The view is a fold of `inventory.stock-changes`. The topic keeps the latest record per SKU and warehouse for ever, so
reading it from its beginning gives every row.
"""

import asyncio
from collections.abc import Iterable
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from gateway.in_order import InOrder
from gateway.reader import FOREIGN, Record
from gateway.recent_changes import Read, RecentChanges
from gateway.remembered import EVERYBODY, Remembered
from gateway.rules import PartitionRules
from gateway.stock_rows import StockRows
from schemas.availability import (
    ChannelAvailability,
    Promise,
    Supply,
    availability,
    earliest_promise,
    open_warehouses,
    supplies_of,
)
from schemas.codec import encode
from schemas.policies import Policy
from schemas.results import StockView
from schemas.stock_changes import BookInbound

RowKey = tuple[str, str]  # SKU and warehouse, in the order of the view's lists
# SKUs that are put in order before other requests may run.
_SLICE = 500


class _After(msgspec.Struct, gc=False):
    on_hand: int
    reserved: int
    damaged: int
    safety_stock: int
    inbound: int
    available: int
    quarantine: int = 0


class _ChannelUnits(msgspec.Struct, gc=False):
    channel: str
    held: int
    backordered: int


class _Book(msgspec.Struct, gc=False):
    channels: list[_ChannelUnits]
    inbounds: list[BookInbound] = []
    backordered: int = 0
    promised: int = 0
    settling: bool = False


class Change(msgspec.Struct, gc=False):
    """The fields of a stock change that the view needs."""

    sku: str
    warehouse: str
    seq: int
    at: int
    after: _After
    book: _Book | None = None


class Available(msgspec.Struct, gc=False):
    """The available quantity of one SKU; `at` (ms) is null and `seq` 0 when the view does not know the SKU.

    Without a channel `available` is the sum of the warehouses' positive available quantities: a warehouse below 0 does
    not reduce it. With one it is what the channel may have, and the fields after `at` are there.
    """

    sku: str
    available: int
    stock: list[StockView]
    seq: int
    at: int | None
    channel: str | UnsetType = UNSET
    allowed: bool | UnsetType = UNSET
    most_per_reservation: int | UnsetType = UNSET
    backorder_room: int | UnsetType = UNSET
    promises: list[Promise] | UnsetType = UNSET


class Wanted(NamedTuple):
    """What a channel wants to be promised: units of a SKU, by a date (ms) if it matters."""

    sku: str
    channel: str
    quantity: int
    by: int | None = None


class _SkuBook(NamedTuple):
    """What a SKU has beside its rows."""

    channels: tuple[_ChannelUnits, ...] = ()
    inbounds: tuple[BookInbound, ...] = ()  # announced goods, by date and id
    owed: int = 0  # what the SKU's queue is due while its book says `settling`: nobody else gets these units


_EMPTY = _SkuBook()
_change_of = msgspec.json.Decoder(Change).decode


class AvailabilityView:
    """The stock rows of all SKUs, as of the last stock change applied to it.

    Args:
        recent: is given every record as well, in the order in which they are applied; None: none.
    """

    def __init__(self, recent: RecentChanges | None = None) -> None:
        self._recent = recent
        self._rows = StockRows()
        self._books: dict[str, _SkuBook] = {}  # those that are not empty
        self._remembered = Remembered()
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}
        # For lists: putting a SKU in order takes 2 us, and waits until somebody asks for the order. Few rows are short.
        self._skus: InOrder[str] = InOrder()
        self._not_in_order: list[str] = []
        self._short: set[RowKey] = set()
        self._short_in_order: InOrder[RowKey] = InOrder()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, sku: object) -> bool:
        return sku in self._rows

    @property
    def rows(self) -> int:
        """Return how many stock rows there are."""
        return self._rows.count

    def clear(self) -> None:
        """Remove all rows, before the topic is read again from its beginning."""
        if self._recent is not None:
            self._recent.clear()
        self._remembered.forget_all()
        self._rows.clear()
        self._books.clear()
        self._skus.clear()
        self._not_in_order.clear()
        self._short.clear()
        self._short_in_order.clear()

    def apply_record(self, partition: int, _key: bytes | None, value: bytes | None) -> None:
        """Apply a record of `inventory.stock-changes`.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError, struct.error: it is not written by a worker.
        """
        if value is not None:
            change = _change_of(value)
            before = self.apply(change)
            if self._recent is not None:
                self._recent.put(Read(change.sku, partition, change.seq, change.at, before == change.seq - 1, value))

    def apply_records(self, partition: int, records: Iterable[Record], to_end: int = 0) -> None:
        """Apply records of a partition of `inventory.stock-changes`; those that no worker wrote are left out.

        Args:
            partition: which.
            records: in their order.
            to_end: how many records of the partition follow.
        """
        recent, last_at = self._recent, 0
        held = None if recent is None or not recent.wants(to_end) else recent
        for record in records:
            if (value := record.value) is None:
                continue
            try:
                change = _change_of(value)
                before = self.apply(change)
            except FOREIGN:
                continue
            last_at = change.at
            if held is not None:
                held.put(Read(change.sku, partition, change.seq, last_at, before == change.seq - 1, value))
        if recent is not None and held is None:
            recent.pass_over(partition, last_at)

    def seq_of(self, sku: str) -> int:
        """Return the sequence number of a SKU's last applied change; 0 when there was none."""
        return self._rows.last_change(sku)[0]

    def apply(self, change: Change) -> int:
        """Apply one stock change; a SKU's changes come in the order of its sequence numbers.

        Returns:
            The sequence number of the SKU's last change before; 0 when there was none.
        """
        sku = change.sku
        if change.book is not None:
            before = self._rows.note(sku, change.seq, change.at)
            self._put_book(sku, change.book)
        else:
            after, warehouse = change.after, change.warehouse
            before = self._rows.put(sku, warehouse, change.seq, change.at, astuple(after))
            is_short = after.reserved > after.on_hand
            if is_short or self._short:  # most of the time no row is
                self._list_or_strike((sku, warehouse), is_short)
        if not before:
            self._not_in_order.append(sku)
        if sku in self._remembered:
            self._remembered.forget(sku)
        if self._waiting:
            self._wake(sku, change.seq)
        return before

    def _put_book(self, sku: str, book: _Book) -> None:
        owed = book.backordered + book.promised if book.settling else 0
        if book.channels or book.inbounds or owed:
            self._books[sku] = _SkuBook(tuple(book.channels), tuple(book.inbounds), owed)
        else:
            self._books.pop(sku, None)

    def _list_or_strike(self, key: RowKey, is_short: bool) -> None:
        if is_short == (key in self._short):
            return
        if is_short:
            self._short.add(key)
            self._short_in_order.add(key)
        else:
            self._short.discard(key)
            self._short_in_order.discard(key)

    def short_rows(self, after: RowKey = ("", ""), limit: int | None = None) -> tuple[list[RowKey], bool]:
        """Return the rows with more reserved than on hand that come after a key, and whether more follow.

        Args:
            after: a key, also of a row that is not short or not known.
            limit: how many at most; None: all.
        """
        sku, warehouse = after
        following = self._short_in_order.since((sku, f"{warehouse}\0"))
        found = [*(following if limit is None else islice(following, limit + 1))]
        return found[:limit], limit is not None and limit < len(found)

    async def put_in_order(self) -> None:
        """Put all SKUs in order, in slices; it takes 2 s after a million new ones."""
        while new := self._not_in_order[-_SLICE:]:
            del self._not_in_order[-_SLICE:]
            for sku in new:
                self._skus.add(sku)
            await asyncio.sleep(0)

    def skus_from(self, least: str, count: int) -> list[str]:
        """Return SKUs in byte order, at most `count`, the first one that is not before `least` first.

        Those that came after `put_in_order` are missing.
        """
        return [*islice(self._skus.since(least), count)]

    def short_skus_from(self, least: str, count: int) -> list[str]:
        """Return the same of those with a row that is short."""
        return [sku for sku, _ in islice(groupby(self._short_in_order.since((least, "")), itemgetter(0)), count)]

    def has_row(self, sku: str, warehouse: str, *, short: bool = False) -> bool:
        """Return whether a SKU has a row in a warehouse; with `short` one with more reserved than on hand."""
        if short:
            return (sku, warehouse) in self._short
        return self._rows.has(sku, warehouse)

    def last_change(self, sku: str) -> tuple[int, int]:
        """Return the sequence number and the time (ms) of the last change of a SKU; 0 and 0 when there was none."""
        return self._rows.last_change(sku)

    def row(self, key: RowKey) -> StockView:
        """Return a stock row that the view knows."""
        return self._rows.row(*key)

    def written(self, sku: str) -> bytes:
        """Return `available` as JSON."""
        answer = self._remembered.find(sku, EVERYBODY, 0)
        if answer is None:
            answer = encode(self.available(sku))
            self._keep(sku, EVERYBODY, 0, answer)
        return answer

    def written_to(self, sku: str, channel: str, rules: PartitionRules, now_ms: int) -> bytes:
        """Return `available_to` as JSON."""
        answer = self._remembered.find(sku, channel, rules.number)
        if answer is None:
            answer = encode(self.available_to(sku, channel, rules, now_ms))
            if not self.inbounds(sku):  # what is announced comes nearer with time
                self._keep(sku, channel, rules.number, answer)
        return answer

    def _keep(self, sku: str, channel: str | None, rules: int, answer: bytes) -> None:
        if sku in self._rows:  # of others there may be any number
            self._remembered.keep(sku, channel, rules, answer)

    def available_to(self, sku: str, channel: str, rules: PartitionRules, now_ms: int) -> Available:
        """Return what a channel may have of a SKU, by the function that its reserves are decided by.

        Args:
            sku: the SKU.
            channel: the channel.
            rules: the policies and warehouses in force in the SKU's partition.
            now_ms: the clock; announced goods that are overdue by it promise nothing.
        """
        found = self.available(sku)
        may_have, _, _ = self._may_have(found, channel, rules, now_ms)
        found.available, found.channel, found.allowed = may_have.available, channel, may_have.allowed
        found.most_per_reservation = may_have.most_per_reservation
        found.backorder_room, found.promises = may_have.backorder_room, may_have.promises
        return found

    def promise(self, wanted: Wanted, rules: PartitionRules, now_ms: int) -> tuple[ChannelAvailability, int | None]:
        """Return what a channel may have, and the first date by which it can be promised a quantity; None: by none.

        Args:
            wanted: what the channel asks for.
            rules: the policies and warehouses in force in the SKU's partition.
            now_ms: the clock; the date when that many are on the shelf.
        """
        may_have, policy, supplies = self._may_have(self.available(wanted.sku), wanted.channel, rules, now_ms)
        if wanted.by is not None:
            may_have.promises = [promise for promise in may_have.promises if promise.at <= wanted.by]
        return may_have, earliest_promise(policy, may_have, supplies, wanted.quantity, now_ms)

    def inbounds(self, sku: str) -> tuple[BookInbound, ...]:
        """Return the announced goods of a SKU, by date and id."""
        return self._books.get(sku, _EMPTY).inbounds

    def _may_have(
        self, found: Available, channel: str, rules: PartitionRules, now_ms: int
    ) -> tuple[ChannelAvailability, Policy, list[Supply]]:
        """Return what a channel may have, its policy, and the announced goods that it may sell.

        What the queue is due is known while the book says `settling`, not while the SKU waits for another to settle.
        """
        policy = rules.policy(channel, found.sku)
        book = self._books.get(found.sku, _EMPTY)
        free = {row.warehouse: max(0, row.on_hand - row.reserved - row.safety_stock - book.owed) for row in found.stock}
        units = [free[name] for name in open_warehouses(policy, free, rules.warehouses)]
        held, backordered = 0, 0
        for each in book.channels:
            if each.channel == channel:
                held, backordered = each.held, each.backordered
        supplies = supplies_of(book.inbounds, policy, rules.warehouses, now_ms, book.owed)
        may_have = availability(channel, policy, units, held=held, backordered=backordered, supplies=supplies)
        return may_have, policy, supplies

    def available(self, sku: str) -> Available:
        """Return a SKU's available quantity, with its rows in the order of warehouse ids."""
        seq, at = self._rows.last_change(sku)
        if not seq:
            return Available(sku, 0, [], 0, None)
        rows = self._rows.rows(sku)
        return Available(sku, sum([row.available for row in rows if row.available > 0]), rows, seq, at)

    def owed(self, sku: str) -> int:
        """Return the units that a SKU's queue is due while its book says `settling`."""
        return self._books.get(sku, _EMPTY).owed

    async def reach(self, sku: str, seq: int) -> None:
        """Wait until the view has a SKU's change of this sequence number, without a time limit."""
        if self.seq_of(sku) >= seq:
            return
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(sku, [])
        waiting.append((seq, reached))
        try:
            await reached
        finally:
            waiting.remove((seq, reached))
            if not waiting and self._waiting.get(sku) is waiting:
                del self._waiting[sku]

    def _wake(self, sku: str, seq: int) -> None:
        for wanted, reached in self._waiting.get(sku, ()):
            if wanted <= seq and not reached.done():
                reached.set_result(None)
