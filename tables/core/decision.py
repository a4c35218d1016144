"""Owns what a rule returns, and what it may look at.

A rule returns a `Refusal` or an `Outcome`; `decide` (in `decide.py`) turns either into a `Decision`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import msgspec

from schemas.codes import Code
from schemas.results import Result
from schemas.stock_changes import StockChange
from tables.core.row_kind import R, RowKind
from tables.core.rows import Reservation, Row, Stock


class Sku(msgspec.Struct, gc=False):
    """One SKU's stock rows by warehouse id, in the order of the ids, and its sequence number.

    The core reads it; only the ledger that owns it brings it up to date, when a decision is applied.
    """

    seq: int
    stock: Mapping[str, Stock]


class Rows(Protocol):
    """What the core reads: the ledger as it stands before the command."""

    def sku(self, sku: str) -> Sku | None:
        """Return the SKU's stock, None when it has no row at all."""

    def row(self, kind: RowKind[R], key: bytes) -> R | None:
        """Return a row by its kind and key, as old as it may be; any kind but those that are kept with their SKU."""


@dataclass(slots=True)
class Record:
    """A command's place in the log. `now_ms` is the partition's clock, never a wall clock."""

    partition: int
    partitions: int
    offset: int
    now_ms: int


@final
class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The command is rejected and changes nothing; the quantities belong to `insufficient_stock`."""

    code: Code
    requested: int | None = None
    available: int | None = None


StockRows = tuple[tuple[str, Stock], ...]
KeyedRow = tuple[bytes, Row]


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The command is accepted.

    `stock` are the rows that the result shows, by warehouse, in order. When the command changes them they stand there
    as they are after it, and `deltas` says of each which quantities differ; `seq` of a row is its change's sequence
    number. `reservation` is shown. `writes` are all rows beside those of stock that are written, with their keys.
    """

    stock: StockRows = ()
    deltas: tuple[dict[str, int], ...] = ()
    reservation_id: str | None = None
    reservation: Reservation | None = None
    writes: tuple[KeyedRow, ...] = ()


class Decision(msgspec.Struct, gc=False):
    """All that one command (or one expiry) does: its result, the rows to write, the stock changes to publish."""

    sku: str
    result: Result
    row: Sku | None = None
    """The SKU's stock that the decision was made on."""
    stock: StockRows = ()
    """What changes in the SKU's stock, as it is after the decision: for the ledger's cache of SKUs."""
    writes: Sequence[KeyedRow] = ()
    """Every row to write, with its key."""
    stock_changes: list[StockChange] = []
