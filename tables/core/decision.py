"""Owns the types that a rule returns and reads.

A rule returns a `Refusal` or an `Outcome`; `decide` (in `decide.py`) turns either into a `Decision`.
"""

from collections.abc import Iterator, Mapping, Sequence
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

    The core only reads it. The ledger changes it when it applies a decision.
    """

    seq: int
    stock: Mapping[str, Stock]


class Rows(Protocol):
    """What the core reads: the ledger as it stands before the command."""

    def sku(self, sku: str) -> Sku | None:
        """Return the SKU's stock, None when it has no row at all."""

    def row(self, kind: RowKind[R], key: bytes) -> R | None:
        """Return a row by its kind and key, also after its time is over. Not for kinds that are kept with their SKU."""

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
    """The command is rejected and changes nothing. The quantities are set for `insufficient_stock` only."""

    code: Code
    requested: int | None = None
    available: int | None = None


StockRows = tuple[tuple[str, Stock], ...]
KeyedRow = tuple[bytes, Row]


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The command is accepted.

    `stock` is a tuple of (warehouse, row) that the result shows, in order. If the command changes the rows, they are
    those after the change, each with the sequence number of its change as `seq`, and `deltas` has the changed
    quantities of each. The result shows `reservation`, and further fields that `extra` names. `writes` has all other
    rows to write, with their keys.
    """

    stock: StockRows = ()
    deltas: tuple[dict[str, int], ...] = ()
    reservation_id: str | None = None
    reservation: Reservation | None = None
    writes: tuple[KeyedRow, ...] = ()
    extra: Mapping[str, object] = {}


class Decision(msgspec.Struct, gc=False):
    """Everything that one command or expiry causes: its result, the rows to write, the stock changes to publish."""

    sku: str
    result: Result
    row: Sku | None = None
    """The SKU's stock before the decision."""
    stock: StockRows = ()
    """The SKU's changed stock rows after the decision, for the ledger's cache of SKUs."""
    writes: Sequence[KeyedRow] = ()
    """Every row to write, with its key."""
    stock_changes: list[StockChange] = []
