"""Owns the stock rows of all SKUs, packed: one string of bytes a SKU, and the id of each warehouse once.

A row takes 64 bytes and a SKU about 140 more, in whatever order SKUs and warehouses come. Strings of bytes are no
business of Python's search for garbage, which would look through a million arrays again and again.
"""

from functools import cache
from operator import attrgetter
from struct import Struct

from schemas.results import StockView

_pack_head = Struct("<2q").pack  # seq, at
_pack_row = Struct("<8q").pack  # the warehouse's number, then its units
_HEAD_BYTES, _ROW_BYTES = 16, 64
_HEAD, _ROW = 2, 8  # in integers
_head_of = Struct("<2q").unpack_from
_warehouse_of = attrgetter("warehouse")

Units = tuple[int, int, int, int, int, int, int]
"""on_hand, reserved, damaged, safety_stock, inbound, available, quarantine."""


class StockRows:
    """The stock rows of all SKUs, and when each SKU changed last."""

    def __init__(self) -> None:
        self.count = 0
        self._packed: dict[str, bytes] = {}
        self._names: list[str] = []  # of warehouses, by number
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, sku: object) -> bool:
        return sku in self._packed

    def clear(self) -> None:
        """Remove all rows."""
        self._packed.clear()
        self.count = 0

    def last_change(self, sku: str) -> tuple[int, int]:
        """Return the sequence number and the time (ms) of a SKU's last change; 0 and 0 when there was none."""
        packed = self._packed.get(sku)
        if packed is None:
            return 0, 0
        seq, at = _head_of(packed)
        return seq, at

    def note(self, sku: str, seq: int, at: int) -> int:
        """Note a change of a SKU that concerns no row; a SKU's changes come in their order.

        Returns:
            The sequence number of the SKU's last change before; 0 when this is the first.

        Raises:
            struct.error: a number has more than 64 bits.
        """
        packed = self._packed.get(sku)
        head = _pack_head(seq, at)
        if packed is None:
            self._packed[sku] = head
            return 0
        self._packed[sku] = head + packed[_HEAD_BYTES:]
        before: int = _head_of(packed)[0]
        return before

    def put(self, sku: str, warehouse: str, seq: int, at: int, units: Units) -> int:
        """Note a change of a SKU, and put a row in the place of the one that it had in the same warehouse.

        Returns, Raises:
            The same as `note`.
        """
        number, packed = self._numbers.get(warehouse), self._packed.get(sku)
        if number is None:
            number = self._numbers[warehouse] = len(self._names)
            self._names.append(warehouse)
        head, row = _pack_head(seq, at), _pack_row(number, *units)
        if packed is None:
            self._packed[sku] = head + row
            self.count += 1
            return 0
        start = _start_of(packed, row[:8])
        if start < 0:
            self._packed[sku] = b"".join((head, packed[_HEAD_BYTES:], row))
            self.count += 1
        else:
            self._packed[sku] = b"".join((head, packed[_HEAD_BYTES:start], row, packed[start + _ROW_BYTES :]))
        before: int = _head_of(packed)[0]
        return before

    def has(self, sku: str, warehouse: str) -> bool:
        """Return whether a SKU has a row in a warehouse."""
        number, packed = self._numbers.get(warehouse), self._packed.get(sku)
        return number is not None and packed is not None and _start_of(packed, number.to_bytes(8, "little")) >= 0

    def row(self, sku: str, warehouse: str) -> StockView:
        """Return a row that is there."""
        return next(row for row in self.rows(sku) if row.warehouse == warehouse)

    def rows(self, sku: str) -> list[StockView]:
        """Return all rows of a SKU, in the order of warehouse ids."""
        packed = self._packed.get(sku)
        if packed is None:
            return []
        values, names = _layout(len(packed)).unpack(packed), self._names
        rows = [
            _view(names[values[start]], *values[start + 1 : start + _ROW]) for start in range(_HEAD, len(values), _ROW)
        ]
        # Warehouse ids are ASCII: this is the byte order of the ledger.
        rows.sort(key=_warehouse_of)
        return rows


@cache
def _layout(size: int) -> Struct:
    return Struct(f"<{size // 8}q")


def _start_of(packed: bytes, number: bytes) -> int:
    """Return where the row of a warehouse's number begins; -1 when there is none."""
    lowest = packed[_HEAD_BYTES::_ROW_BYTES]  # the lowest byte of each row's number: a fast first look
    place = lowest.find(number[0])
    while place >= 0:
        start = _HEAD_BYTES + _ROW_BYTES * place
        if packed[start : start + len(number)] == number:
            return start
        place = lowest.find(number[0], place + 1)
    return -1


def _view(
    warehouse: str,
    on_hand: int,
    reserved: int,
    damaged: int,
    safety_stock: int,
    inbound: int,
    available: int,
    quarantine: int,
) -> StockView:
    row = StockView(warehouse, on_hand, reserved, damaged, safety_stock, inbound, available)
    if quarantine:
        row.quarantine = quarantine
    return row
