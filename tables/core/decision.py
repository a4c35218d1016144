"""Owns the types that a rule returns and reads.

A rule returns a `Refusal` or an `Outcome`; `decide` (in `decide.py`) turns either into a `Decision`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

import msgspec

from schemas.codes import Code
from schemas.results import Result
from schemas.stock_changes import StockChange
from tables.core.queue import Queue
from tables.core.register import NO_POLICIES, OwnPolicies, Register
from tables.core.row_kind import R, RowKind
from tables.core.rows import BookRow, FullReservation, JournalRow, PolicyRow, ReferenceRow, Reservation, Row, Stock
from tables.core.shelf import Shelf


class Sku(msgspec.Struct, gc=False):
    """One SKU's stock rows by warehouse id, in the order of the ids, its sequence number, and what it has beside them.

    `book` is None for a SKU that has none; `policies` are its channels' own. `shelves` are what the core made of its
    rows, by the warehouses of a policy (None: all); there are none before it needs one, and after a new row.

    The core only reads it. The ledger changes it when it applies a decision, the units on its shelves included.
    """

    seq: int
    stock: Mapping[str, Stock]
    book: BookRow | None = None
    policies: OwnPolicies = NO_POLICIES
    shelves: dict[tuple[str, ...] | None, Shelf] | None = None


class JournalEntry(NamedTuple):
    """An entry of a stock row's journal: time (ms) and sequence number of the movement, and the row after it."""

    at: int
    seq: int
    row: JournalRow


class Journal(Protocol):
    """The journal of one stock row, in the order of (at, seq)."""

    def last(self, at: int) -> JournalEntry | None:
        """Return the last entry that is not after a time (ms); None when there is none."""

    def find(self, at: int, seq: int) -> JournalEntry | None:
        """Return the entry of a time and sequence number; None when there is none."""

    def first(self, count: int, after: int = -1) -> Sequence[JournalEntry]:
        """Return the first so many entries that are after a time (ms)."""


class Rows(Protocol):
    """What the core reads: the ledger as it stands before the command.

    Attributes:
        register: the reference data in force.
    """

    register: Register

    def sku(self, sku: str) -> Sku | None:
        """Return the SKU's stock, None when it has no row at all."""

    def sku_or_book(self, sku: str) -> Sku | None:
        """Return the SKU also when it has no stock row, but a book; None when it has neither."""

    def queue(self, sku: str) -> Queue:
        """Return the SKU's queue."""

    def first_pending(self) -> str | None:
        """Return the pending SKU with the least (since, SKU); None when none is."""

    def row(self, kind: RowKind[R], key: bytes) -> R | None:
        """Return a row by its kind and key, also after its time is over. Not for kinds that are kept with their SKU."""

    def journal(self, sku: str, warehouse: str) -> Journal:
        """Return the journal of a stock row."""

    def scan(self, kind: RowKind[R], sku: str, after: str) -> Iterator[tuple[str, R]]:
        """Yield (id, row) of a SKU's rows of a kind whose ids come after one, in the order of their bytes."""


@dataclass(slots=True)
class Record:
    """A command's place in the log: `offset` in `partition`, one of `partitions`. `now_ms` is the partition's clock."""

    partition: int
    partitions: int
    offset: int
    now_ms: int


@final
class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The command is rejected and changes nothing. The quantities are set for `insufficient_stock` only.

    `extra` has further fields of the result, in its order.
    """

    code: Code
    requested: int | None = None
    available: int | None = None
    extra: Mapping[str, object] | None = None


StockRows = tuple[tuple[str, Stock], ...]
KeyedRow = tuple[bytes, Row | None]
Published = tuple[tuple[bytes, bytes | None], ...]


class Beside(msgspec.Struct, frozen=True, gc=False):
    """What few decisions change, beside stock rows and reservations; all rows are among the decision's `writes`."""

    book: BookRow | None = None
    """The SKU's book, when it changed."""
    policy: tuple[str, PolicyRow | None] | None = None
    """A channel and its policy for the SKU, None when it was removed."""
    in_force: tuple[str, ReferenceRow] | None = None
    """Name and row of reference data that is now in force."""
    waiting: tuple[str, FullReservation] | None = None
    """Id and row of a reservation that waits, or did."""
    reference: Published = ()
    """Key and value of what is published as reference data."""
    journal: tuple[KeyedRow, ...] = ()
    """What is added to journals and removed from them."""


class More(msgspec.Struct, frozen=True, gc=False):
    """What few outcomes have: further fields of the result, and what they change beside rows and reservations."""

    extra: Mapping[str, object] | None = None
    beside: Beside | None = None
    requested: int | None = None
    """The quantity that was asked for, when less was given."""


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The command is accepted.

    `stock` is a tuple of (warehouse, row) that the result shows, in order. If the command changes the rows, they are
    those after the change, each with the sequence number of its change as `seq`, and `deltas` has the changed
    quantities of each. The result shows `reservation`. `writes` has all other rows to write, with their keys.
    """

    stock: StockRows = ()
    deltas: tuple[dict[str, int], ...] = ()
    reservation_id: str | None = None
    reservation: Reservation | None = None
    writes: tuple[KeyedRow, ...] = ()
    more: More | None = None


class Decision(msgspec.Struct, gc=False):
    """Everything that one command or expiry causes: its result, the rows to write, the stock changes to publish."""

    sku: str
    result: Result | None
    """None where only what is said of a SKU changes, in the tail of a record."""
    row: Sku | None = None
    """The SKU's stock before the decision."""
    stock: StockRows = ()
    """The SKU's changed stock rows after the decision."""
    writes: Sequence[KeyedRow] = ()
    """Every other row to write, with its key."""
    stock_changes: list[StockChange] = []
    beside: Beside | None = None
