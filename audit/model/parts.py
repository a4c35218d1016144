"""Owns what the model is made of beside its rules: a SKU with its rows, a refusal, and where outputs go."""

from collections.abc import MutableSequence
from typing import NamedTuple

from audit.model.documents import Holding, Json, StockRow, draw_from
from schemas.codes import Code

# What one record must bring about: (its offset, the published record's key, its value).
Wanted = tuple[int, bytes, bytes]
WantedLetter = tuple[int, bytes | None, Json]


class Outputs(NamedTuple):
    """Where `Model.fold` puts what must be published, in the order of publishing.

    The values of results and stock changes are JSON; of a dead letter it is a dict of `key`, `value` (bytes or None),
    `reason`, `partition`, `offset`, and what else `DeadLetter` has.
    """

    results: MutableSequence[Wanted]
    stock_changes: MutableSequence[Wanted]
    dead_letters: MutableSequence[WantedLetter]


class Expected(NamedTuple):
    """What one record must bring about, as documents."""

    results: list[Json]
    stock_changes: list[Json]
    dead_letters: list[Json]


class CommandRefused(Exception):
    """A rule refuses the command; `requested` and `available` are what the result then carries besides the code."""

    def __init__(self, code: Code, requested: int | None = None, available: int | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.requested = requested
        self.available = available


class Item:
    """A SKU that has a stock row: its sequence number, its rows by warehouse id, and its records' keys."""

    __slots__ = ("change_keys", "key", "rows", "seq")

    def __init__(self, sku: str, seq: int = 0) -> None:
        self.key = sku.encode()
        self.seq = seq
        self.rows: dict[str, StockRow] = {}
        self.change_keys: dict[str, bytes] = {}

    def add_row(self, warehouse: str, row: StockRow) -> None:
        """Add a row; the rows stay in the order of their warehouses."""
        self.rows[warehouse] = row
        self.rows = dict(sorted(self.rows.items()))
        self.change_keys[warehouse] = self.key + b"/" + warehouse.encode()


def allocate(candidates: dict[str, StockRow], quantity: int) -> list[Holding]:
    """Find where a quantity comes from: the first row that has it all, else several in order.

    Raises:
        CommandRefused: there is not enough in all of them.
    """
    free = []
    total = 0
    for warehouse, row in candidates.items():
        available = row.on_hand - row.reserved - row.safety_stock
        if available >= quantity:
            return [(warehouse, quantity)]
        if available > 0:
            free.append((warehouse, available))
            total += available
    if total < quantity:
        raise CommandRefused(Code.INSUFFICIENT_STOCK, quantity, total)
    return draw_from(free, quantity)
