"""Owns the state of a partition in the model, and the operations that its rules use."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappush
from typing import Any, Protocol, cast

from audit.model.book import Book
from audit.model.documents import CLOSED_MS, Hold, Json, StockRow, decode_hold, encode_row
from audit.model.inbounds import Inbound, closed_at_of
from audit.model.journal import PHYSICAL, Counted, Entry, Journal, entry_key, units_of
from audit.model.parts import CommandRefused, Item, Outputs
from audit.model.policies import EVERY_CHANNEL, UNSET_WAREHOUSE, OpenInbound, PolicyInForce, Supply, resolve
from audit.model.reference import Register
from schemas.codec import encode
from schemas.codes import Code
from schemas.results import Result, State
from schemas.stock_changes import Cause, Quantities, StockChange

# Stale expiries stay in the queue until their time; when there are more than this, they are removed.
_STALE_EXPIRIES = 10_000


class OfHold(Protocol):
    """A command about a reservation."""

    sku: str
    reservation_id: str
    channels: list[str] | None


def is_of(channels: list[str] | None, hold: Hold | bytes) -> bool:
    """Return whether a reservation is of one of these channels; of None, all are."""
    if channels is None:
        return True
    return (hold if isinstance(hold, Hold) else decode_hold(hold)).channel in channels


class PartitionState:
    """The state of a partition after the records so far, with the operations of the rules.

    Args:
        partition: its number.
        partitions: how many there are.
        out: gets what must be published.

    The key of a reservation or remembered command is the SKU, a zero character and the id, which sorts like the two.
    Closed reservations and remembered commands are kept as their row's bytes: this takes a third of the memory, and the
    garbage collector need not walk through them.
    """

    def __init__(self, partition: int, partitions: int, out: Outputs | None = None) -> None:
        self.partition = partition
        self.partitions = partitions
        self.publish_to(out or Outputs([], [], [], []))
        self.now = 0
        self.changes = 0  # stock changes so far
        self.items: dict[str, Item] = {}
        self.holds: dict[str, Hold | bytes] = {}  # closed ones as their encoded row
        self.books: dict[str, Book] = {}  # of the SKUs that have one
        self.journals: dict[str, Journal] = {}  # of stock rows; the key is the SKU, a zero character, the warehouse
        self.counted: dict[str, Counted] = {}  # what was counted of stock rows, by the same keys
        self.closed_inbounds: dict[str, bytes] = {}  # rows, in the order in which they were closed
        self.pending: list[tuple[int, str]] = []  # `since` and SKU of the pending ones, in this order
        self.since_before: dict[str, int | None] = {}  # SKU -> its `since` before this record, if it changed
        self.register = Register()
        self.seen: dict[str, bytes] = {}  # encoded rows, in the order of the log
        self.open = 0
        self.seen_order: deque[str] = deque()
        self.seen_runs: deque[list[int]] = deque()  # [time, how many entries of `seen_order` have it]
        self.closed: list[tuple[int, str]] = []  # when which closed reservation is forgotten, as a heap
        self.closed_inbound_times: deque[tuple[int, str]] = deque()  # when which closed inbound is forgotten
        self.expiries: list[tuple[int, str]] = []  # some are stale: their reservation was extended or ended
        # Keys of changed rows, for a later audit to compare; None while they are not collected.
        self.touched: set[str] | None = None
        self.offset = 0
        self.due = 0  # the earliest time at which something falls due
        self.shown: Json = {}  # fields of this command's result beside its reservation and rows

    def publish_to(self, out: Outputs) -> None:
        """Set the receiver of what must be published."""
        self.out = out
        self.add_result = out.results.append
        self._add_change = out.stock_changes.append
        self._add_reference = out.reference.append

    def touch(self, key: str) -> None:
        """Note the key of a changed row."""
        if self.touched is not None:
            self.touched.add(key)

    def find_hold(self, command: OfHold, wanted: int | None) -> tuple[Item, str, Hold, int]:
        """Return the SKU, the reservation's key, the reservation and the command's quantity, or refuse."""
        item = self.items.get(command.sku)
        if item is None:
            raise CommandRefused(Code.UNKNOWN_SKU)
        key = f"{command.sku}\0{command.reservation_id}"
        hold = self.holds.get(key)
        if hold is None or not is_of(command.channels, hold):
            raise CommandRefused(Code.UNKNOWN_RESERVATION)
        if not isinstance(hold, Hold):
            raise CommandRefused(Code(f"reservation_{decode_hold(hold).state}"))
        if wanted is not None and wanted > hold.left:
            raise CommandRefused(Code.QUANTITY_EXCEEDS_RESERVATION)
        return item, key, hold, hold.left if wanted is None else wanted

    def held(self, key: str) -> Hold:
        """Return a reservation that is held."""
        return cast("Hold", self.holds[key])

    def policy_of(self, sku: str, channel: str) -> PolicyInForce:
        """Return the policy in force of a SKU and a channel."""
        policies = self.books[sku].policies if sku in self.books else {}
        of_sku = (policies.get(channel), policies.get(EVERY_CHANNEL))
        return resolve(*of_sku, self.register.channel(channel), self.register.channel(EVERY_CHANNEL))

    def supply_of(self, sku: str, channel: str) -> Supply:
        """Return what of a SKU with rows a channel finds, without what is owed to those that wait."""
        book = self.books.get(sku)
        if book is None:
            return Supply(self.free_of(sku, 0))
        free, inbounds = self.free_of(sku, book.owed), self.inbounds_of(sku, book.owed)
        return Supply(free, inbounds, book.held.get(channel, 0), book.undated.get(channel, 0))

    def free_of(self, sku: str, owed: int) -> dict[str, int]:
        """Return what each row of a SKU has above its holds, its safety stock and what is owed, never below 0."""
        return {name: max(0, row.available - owed) for name, row in self.items[sku].rows.items()}

    def inbounds_of(self, sku: str, owed: int) -> list[OpenInbound]:
        """Return the announced goods of a SKU with a book: what of each is above its claims and what is owed."""
        return [
            OpenInbound(
                inbound.eta_at,
                inbound.inbound_id,
                inbound.warehouse,
                max(0, inbound.remaining - inbound.claimed - owed),
            )
            for inbound in self.books[sku].inbounds.values()
        ]

    # A rule that changes a reservation begins with `discount` and ends with `recount`.

    def discount(self, sku: str, key: str, hold: Hold) -> None:
        """Take a reservation that is about to change out of its SKU's book."""
        if hold.counted or hold.claims:
            self.books[sku].discount(key, hold)

    def recount(self, sku: str, key: str, hold: Hold, cause: Cause, ends_as: State = "released") -> None:
        """Put a reservation into its SKU's book, or close it if nothing is left; publish the book if it changed."""
        self.touch(f"R{key}")
        if hold.left == 0:
            self.close(key, hold, ends_as)
        elif hold.counted or hold.claims:
            self.books.setdefault(sku, Book()).count(key, hold)
        self.publish_book(sku, cause)

    def publish_book(self, sku: str, cause: Cause) -> None:
        """Publish a SKU's book if what is published of it has changed."""
        book = self.books.get(sku)
        if book is None:
            return
        book.trim()
        if book.document() != book.published:
            self._change_book(sku, self.items[sku], book, cause)

    def await_settling(self, sku: str) -> None:
        """Make a SKU that changed pending, if units of it wait."""
        book = self.books.get(sku)
        if book is not None and book.since is None and book.backordered + book.promised > 0:
            self.set_since(sku, self.offset)

    def set_since(self, sku: str, since: int | None) -> None:
        """Make a SKU pending since an offset; None: it is not pending."""
        book = self.books[sku]
        self.since_before.setdefault(sku, book.since)
        if book.since is not None:
            del self.pending[bisect_left(self.pending, (book.since, sku))]
        if since is not None:
            insort(self.pending, (since, sku))
        book.since = since

    def touch_pending(self) -> None:
        """Note the books whose `since` this record changed; one that is again as before is not written."""
        for sku, since in self.since_before.items():
            if self.books[sku].since != since:
                self.touch(f"S{sku}\0")
        self.since_before.clear()

    def close(self, key: str, hold: Hold, state: State) -> None:
        """End a reservation; its row is forgotten after its time."""
        self.touch(f"R{key}")
        hold.state = state
        hold.closed_at = self.now
        if hold.committed:
            window_ms = self.policy_of(key.partition("\0")[0], hold.channel).return_window_ms
            hold.kept_ms = None if window_ms == CLOSED_MS else window_ms
        heappush(self.closed, (hold.forgotten_at(), key))
        self.holds[key] = encode_row(hold.row())
        self.open -= 1

    def close_inbound(self, sku: str, inbound: Inbound) -> None:
        """Close announced goods; the id is known for some time."""
        key = f"{sku}\0{inbound.inbound_id}"
        self.touch(f"I{key}")
        self.keep_inbound(key, inbound.row_closed(self.now))

    def keep_inbound(self, key: str, row: bytes) -> None:
        """Keep the row of closed announced goods for its time."""
        self.closed_inbounds[key] = row
        self.closed_inbound_times.append((closed_at_of(row) + CLOSED_MS, key))

    def expires_at(self, ttl_ms: int, key: str) -> int | None:
        """Return and note the expiry of a reservation with a `ttl_ms` from now; None for never."""
        if ttl_ms == 0:
            return None
        if len(self.expiries) > 2 * self.open + _STALE_EXPIRIES:
            self._sort_out_expiries()
        expires_at = self.now + ttl_ms
        heappush(self.expiries, (expires_at, key))
        self.due = min(self.due, expires_at)
        return expires_at

    def _sort_out_expiries(self) -> None:
        self.expiries = [
            (hold.expires_at, key)
            for key, hold in self.holds.items()
            if isinstance(hold, Hold) and hold.expires_at is not None
        ]
        heapify(self.expiries)

    def change(self, sku: str, item: Item, warehouse: str, row: StockRow, cause: Cause, delta: dict[str, int]) -> None:
        """Publish a change of a row."""
        item.seq += 1
        row.seq = item.seq
        self.changes += 1
        self.touch(f"S{sku}\0{warehouse}")
        on_hand, reserved, safety = row.on_hand, row.reserved, row.safety_stock
        after = Quantities(on_hand, reserved, row.damaged, safety, row.inbound, on_hand - reserved - safety)
        if row.quarantine:
            after.quarantine = row.quarantine
        change = StockChange(sku, warehouse, item.seq, self.now, cause, delta, after, reserved > on_hand)
        self._add_change((self.offset, item.change_keys[warehouse], encode(change)))
        if self.register.has_journals:
            self._keep_journal(f"{sku}\0{warehouse}", warehouse, row, delta)

    def _keep_journal(self, place: str, warehouse: str, row: StockRow, delta: dict[str, int]) -> None:
        """Note what is physically there after a change, if the warehouse is journalled."""
        by = [delta.get(name, 0) for name in PHYSICAL]
        rules = self.register.warehouses.get(warehouse, UNSET_WAREHOUSE)
        if rules.journal_since is None or not any(by):
            return
        after = units_of(row)
        before = (after[0] - by[0], after[1] - by[1], after[2] - by[2])
        journal = self.journals.setdefault(place, Journal())
        for entry in journal.write(rules, Entry(self.now, row.seq, after), before):
            self.touch(f"J{entry_key(place, entry)}")

    def change_row(self, sku: str, warehouse: str, cause: Cause, delta: dict[str, int]) -> tuple[str, StockRow]:
        """Change quantities of a row, which is made when it is missing, and publish it."""
        item = self.items.get(sku)
        if item is None:
            item = self.items[sku] = Item(sku)
        if warehouse not in item.rows:
            item.add_row(warehouse, StockRow())
        row = item.rows[warehouse]
        for name, units in delta.items():
            setattr(row, name, getattr(row, name) + units)
        self.change(sku, item, warehouse, row, cause, delta)
        return warehouse, row

    def _change_book(self, sku: str, item: Item, book: Book, cause: Cause) -> None:
        item.seq += 1
        book.seq = item.seq
        self.changes += 1
        self.touch(f"S{sku}\0")
        before, book.published = book.published, book.document()
        moved = {name: book.published[name] - before[name] for name in ("backordered", "promised")}
        delta = {name: units for name, units in moved.items() if units}
        nothing = Quantities(0, 0, 0, 0, 0, 0)
        change = StockChange(sku, "", item.seq, self.now, cause, delta, nothing, False)
        change.book = cast("Any", book.published)
        self._add_change((self.offset, item.key + b"/", encode(change)))

    def publish_reference(self, key: str, document: Json | None) -> None:
        """Publish what is in force under a key of `inventory.reference`; None: nothing."""
        self._add_reference((self.offset, key.encode(), {"key": key, "at": self.now, "value": document}))

    def publish(self, sku: str, value: bytes) -> None:
        """Publish a result that is JSON already."""
        self.add_result((self.offset, sku.encode(), value))

    def result(
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
        """Return a result as of this record."""
        stock = [row.view(warehouse) for warehouse, row in rows]
        shortfall = any(row.reserved > row.on_hand for row in stock)
        return Result(
            command_id,
            type_,
            sku,
            "rejected" if code else "accepted",
            code,
            False,  # all arguments by position: by name it takes twice as long
            None if hold is None else hold[1].view(hold[0]),
            stock,
            shortfall,
            0 if item is None else item.seq,
            self.now,
            self.partition,
            self.offset,
        )
