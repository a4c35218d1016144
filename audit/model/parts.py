"""Owns the parts of the model that are no rules: a SKU with its rows, a refusal, and the outputs."""

from collections.abc import MutableSequence
from typing import NamedTuple

from audit.model.documents import Json, StockRow
from schemas.codes import Code

# What must be published for a record: (the record's offset, the published record's key, its value).
Wanted = tuple[int, bytes, bytes]
WantedLetter = tuple[int, bytes | None, Json]


class Outputs(NamedTuple):
    """The records that must be published, in the order of publishing; `Model.fold` adds to them.

    Values of results and stock changes are JSON. A dead letter is a dict of `key`, `value` (bytes or None), `reason`,
    `partition`, `offset`, and the other fields of `DeadLetter`.
    Of reference data it is a dict of `key`, `at` (ms) and `value` (None removes the key).
    """

    results: MutableSequence[Wanted]
    stock_changes: MutableSequence[Wanted]
    dead_letters: MutableSequence[WantedLetter]
    reference: MutableSequence[WantedLetter]


class Expected(NamedTuple):
    """What must be published for one record, as documents."""

    results: list[Json]
    stock_changes: list[Json]
    dead_letters: list[Json]
    reference: list[Json]


class CommandRefused(Exception):
    """A rule refuses the command. The result then has the code, `requested` and `available`."""

    def __init__(self, code: Code, requested: int | None = None, available: int | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.requested = requested
        self.available = available


class Item:
    """A SKU with stock rows: its sequence number, its rows by warehouse id, and its records' keys."""

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
