"""Owns the rows of the ledger: their fields, keys and bytes.

A key is UTF-8: one letter for the kind of row, the SKU, a zero character, and the id within the SKU. It is the same in
RocksDB and in the changelog. So rows of one kind and SKU are stored together, in the order of their ids. A value is a
msgpack array that starts with the version of its layout. Rows are never changed in place: a change makes a new row, so
dropping a batch undoes it.
"""

from collections.abc import Callable

import msgspec

from schemas.inbound import InboundState
from schemas.policies import Strategy
from schemas.results import State
from tables.core.row_kind import RowKind, collect_kinds

_HOUR_MS = 60 * 60 * 1000
DEDUPLICATION_WINDOW_MS = 24 * _HOUR_MS
CLOSED_RESERVATION_MS = 7 * 24 * _HOUR_MS


class Stock(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """The units of one SKU in one warehouse. `seq` is the SKU's sequence number at the row's last change."""

    seq: int = 0
    on_hand: int = 0
    reserved: int = 0
    damaged: int = 0
    safety_stock: int = 0
    inbound: int = 0

    @property
    def available(self) -> int:
        """The units that may still be reserved; negative when fewer are there than are promised."""
        return self.on_hand - self.reserved - self.safety_stock

    @property
    def shortfall(self) -> bool:
        """Whether more is reserved than is on hand."""
        return self.reserved > self.on_hand


class FullStock(Stock, tag=2, frozen=True, gc=False):
    """A stock row with units in quarantine: its layout is this one exactly when there are any."""

    quarantine: int = 0


def stock_row(
    seq: int, on_hand: int, reserved: int, damaged: int, safety_stock: int, inbound: int, quarantine: int
) -> Stock:
    """Return a stock row in the layout that it must have."""
    if quarantine:
        return FullStock(seq, on_hand, reserved, damaged, safety_stock, inbound, quarantine)
    return Stock(seq, on_hand, reserved, damaged, safety_stock, inbound)


def with_quarantine(after: Stock, before: FullStock) -> FullStock:
    """Return a stock row with the quarantine of another one."""
    return FullStock(
        after.seq,
        after.on_hand,
        after.reserved,
        after.damaged,
        after.safety_stock,
        after.inbound,
        before.quarantine,
    )


def quarantine_of(row: Stock) -> int:
    """Return a row's units in quarantine."""
    return row.quarantine if type(row) is FullStock else 0


class Reservation(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """A hold. `allocations` is a list of (warehouse, quantity still held), in the order they were made.

    `expires_at` (ms) is None when it never expires; `closed_at` (ms) is None while it is held.
    """

    state: State
    quantity: int
    committed: int
    released: int
    allocations: tuple[tuple[str, int], ...]
    channel: str
    order_id: str | None
    expires_at: int | None
    closed_at: int | None

    @property
    def left(self) -> int:
        """The units that are still held."""
        return self.quantity - self.committed - self.released


Claims = tuple[tuple[str | None, int, int | None], ...]
# Reservations of one channel that may wait for the same goods: (channel, the warehouse that they named or None).
Class = tuple[str, str | None]


class FullReservation(Reservation, tag=2, frozen=True, gc=False):
    """A hold with any of the fields that few have: its layout is this one exactly when one of them is not empty.

    `claims` are the units that wait: (inbound id or None, units, promised date or None); the one without id is last.
    Rank is (`priority`, `placed`), given when it first waits: at the offset `placed`, the time `placed_at`. `only` is
    the warehouse that its `reserve` named. A `counted` one was made under a cap of its channel. `returned` of its
    committed units came back. `kept_ms` is how long it is known after it closed with something committed; None: 7 days.
    """

    claims: Claims = ()
    only: str | None = None
    region: str | None = None
    priority: int | None = None
    placed: int | None = None
    placed_at: int | None = None
    counted: bool = False
    returned: int = 0
    kept_ms: int | None = None

    @property
    def waiting(self) -> int:
        """The units that wait."""
        return sum(units for _, units, _ in self.claims)


def full(row: Reservation) -> FullReservation:
    """Return a reservation with all fields that it may have."""
    if isinstance(row, FullReservation):
        return row
    return FullReservation(
        row.state,
        row.quantity,
        row.committed,
        row.released,
        row.allocations,
        row.channel,
        row.order_id,
        row.expires_at,
        row.closed_at,
    )


class Seen(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """A decided command: its content, and the parts of its result that do not follow from the command.

    `of_command` is null: it was the JSON of the result that a query asked for, when queries were remembered.
    """

    content: bytes
    type: str
    code: str | None
    seq: int
    at: int
    offset: int
    reservation_id: str | None
    reservation: Reservation | FullReservation | None
    stock: tuple[tuple[str, Stock | FullStock], ...]
    requested: int | None
    available: int | None
    of_command: bytes | None


class SeenHead(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """The first fields of a `Seen` row: reading these takes 0.6 us, the whole row 1.5."""

    content: msgspec.Raw
    type: msgspec.Raw
    code: msgspec.Raw
    seq: int
    at: int


class Position(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """The next command's offset, the clock (ms), and the ledger's incarnation."""

    next_offset: int
    now_ms: int
    incarnation: str


class SeenWithExtra(Seen, tag=2, frozen=True, gc=False):
    """A decided command whose result has further fields: `extra` is their JSON object, in the result's order."""

    extra: bytes


class SeenWithExtraHead(SeenHead, tag=2, frozen=True, gc=False):
    """The first fields of a `SeenWithExtra` row."""


class Inbound(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Announced goods in a SKU's book, in units; `landed` of the `claimed` ones have come.

    `from_` is the warehouse that a transfer took them from. They stay in the book while any may come or is claimed.
    """

    inbound_id: str
    warehouse: str
    eta_at: int
    quantity: int
    received: int = 0
    damaged: int = 0
    claimed: int = 0
    landed: int = 0
    from_: str | None = None
    reference: str | None = None

    @property
    def remaining(self) -> int:
        """The units still to come."""
        return max(0, self.quantity - self.received - self.damaged)

    @property
    def state(self) -> InboundState:
        """Whether more may come; `cancelled` when nothing ever came."""
        if self.remaining:
            return "open"
        return "received" if self.received + self.damaged else "cancelled"


class ClosedInbound(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """Announced goods of which no more will come, so that their id is known for a while."""

    warehouse: str
    quantity: int
    received: int
    damaged: int
    eta_at: int
    from_: str | None
    reference: str | None
    state: InboundState
    closed_at: int


class BookRow(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """What a SKU has beside its warehouses: the row under the empty warehouse id.

    `seq` is that of its last published change, `policies` the number of the SKU's policies. `since` is the offset since
    which the queue has to be looked at; `settling` says that a tail left it unfinished. `backordered` units wait
    without a date, `promised` units with one. `inbounds` are in the order of (eta_at, id). `channels` is a list of
    (channel, units held under a cap, units backordered), by channel.
    """

    seq: int = 0
    since: int | None = None
    settling: bool = False
    backordered: int = 0
    promised: int = 0
    policies: int = 0
    inbounds: tuple[Inbound, ...] = ()
    channels: tuple[tuple[str, int, int], ...] = ()


class JournalRow(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """What a stock row of a journalled warehouse had after one of its movements."""

    on_hand: int
    damaged: int
    quarantine: int


# The time of the count, when it was applied, and by how much each bucket differed: on_hand, damaged, quarantine.
Correction = tuple[int, int, int, int, int]


class CountRow(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """The time of a stock row's last accepted count, and the corrections that still reach back."""

    as_of_at: int
    corrections: tuple[Correction, ...] = ()


class PolicyRow(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """The policy of a channel for one SKU; None is not given."""

    enabled: bool | None = None
    warehouses: tuple[str, ...] | None = None
    strategy: Strategy | None = None
    split: bool | None = None
    buffer: int | None = None
    cap: int | None = None
    max_per_reservation: int | None = None
    backorder_limit: int | None = None
    presell_horizon_ms: int | None = None
    priority: int | None = None
    return_window_ms: int | None = None


class WarehouseRow(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """A warehouse in force; see `schemas.reference.Warehouse`."""

    version: int
    command_id: str
    at: int
    enabled: bool
    priority: int
    region: str | None
    journal_ms: int
    name: str | None
    journal_since: int | None


class ChannelRow(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """A channel in force; see `schemas.reference.Channel`. A policy field that is None was not given."""

    version: int
    command_id: str
    at: int
    name: str | None
    enabled: bool | None
    warehouses: tuple[str, ...] | None
    strategy: Strategy | None
    split: bool | None
    buffer: int | None
    cap: int | None
    max_per_reservation: int | None
    backorder_limit: int | None
    presell_horizon_ms: int | None
    priority: int | None
    return_window_ms: int | None


class FeedRow(msgspec.Struct, array_like=True, tag_field="layout", tag=1, frozen=True, gc=False):
    """A feed in force; see `schemas.reference.FeedState`."""

    version: int
    command_id: str
    at: int
    as_of_at: int
    interval_ms: int
    rows: int
    refused: int


ReferenceRow = WarehouseRow | ChannelRow | FeedRow
Row = (
    Stock
    | Reservation
    | Seen
    | Position
    | BookRow
    | PolicyRow
    | WarehouseRow
    | ChannelRow
    | FeedRow
    | ClosedInbound
    | JournalRow
    | CountRow
)

STOCK = RowKind("S", Stock, kept="with_its_sku", later=((FullStock, FullStock),))
RESERVATION = RowKind(
    "R",
    Reservation,
    due="expires_at",
    ended="closed_at",
    retention_ms=CLOSED_RESERVATION_MS,
    kept_for="kept_ms",
    later=((FullReservation, FullReservation),),
)
SEEN = RowKind(
    "C",
    Seen,
    kept="encoded",
    ended="at",
    retention_ms=DEDUPLICATION_WINDOW_MS,
    head=SeenHead,
    later=((SeenWithExtra, SeenWithExtraHead),),
)
INBOUND = RowKind("I", ClosedInbound, ended="closed_at", retention_ms=CLOSED_RESERVATION_MS)
JOURNAL = RowKind("J", JournalRow, kept="by_its_owner")
COUNT = RowKind("F", CountRow)
POLICY = RowKind("K", PolicyRow, kept="with_its_sku")
POSITION = RowKind("P", Position, kept="by_its_owner")

KINDS = collect_kinds((STOCK, RESERVATION, SEEN, INBOUND, JOURNAL, COUNT, POLICY, POSITION))

POSITION_KEY = POSITION.letter.encode()
encode_row: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
decode_position = POSITION.decode
stock_key = STOCK.key  # (SKU, warehouse)
reservation_key = RESERVATION.key  # (SKU, reservation_id)
seen_key = SEEN.key  # (SKU, command_id)
inbound_key = INBOUND.key  # (SKU, inbound_id)
count_key = COUNT.key  # (SKU, warehouse)
policy_key = POLICY.key  # (SKU, channel)
decode_book: Callable[[bytes], BookRow] = msgspec.msgpack.Decoder(BookRow).decode


def book_key(sku: str) -> bytes:
    """Return the key of a SKU's book: that of a stock row in the warehouse without a name."""
    return stock_key(sku, "")


def reference_key(name: str) -> bytes:
    """Return the key of a reference row: that of a policy of the SKU without a name.

    Args:
        name: `warehouse/ID`, `channel/ID` or `feed/ID`.
    """
    return policy_key("", name)


def journal_prefix(sku: str, warehouse: str) -> bytes:
    """Return what the keys of a stock row's journal begin with."""
    return JOURNAL.key(sku, f"{warehouse}\0")


def journal_key(sku: str, warehouse: str, at: int, seq: int) -> bytes:
    """Return the key of a journal entry; entries of a stock row sort by time and sequence number."""
    return journal_prefix(sku, warehouse) + journal_id(at, seq)


def journal_id(at: int, seq: int) -> bytes:
    """Return what the key of a journal entry ends with: time (ms) and sequence number, 13 and 16 hexadecimal digits."""
    return f"{at:013x}{seq:016x}".encode()


def journal_place(key: bytes) -> tuple[int, int]:
    """Return the time (ms) and sequence number of a journal entry from its key."""
    return int(key[-29:-16], 16), int(key[-16:], 16)
