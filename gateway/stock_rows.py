"""Owns the stock rows of all SKUs, packed: one array of integers a SKU, and the id of each warehouse once.

A row takes 64 bytes and a SKU about 180 more, in whatever order SKUs and warehouses come.
"""

from array import array
from operator import attrgetter

from schemas.results import StockView

_HEAD = 2  # cells before the rows: seq, at
_ROW = 8  # cells of a row: the warehouse's number, then its units
_warehouse_of = attrgetter("warehouse")

Units = tuple[int, int, int, int, int, int, int]
"""on_hand, reserved, damaged, safety_stock, inbound, available, quarantine."""


class StockRows:
    """The stock rows of all SKUs, and when each SKU changed last."""

    def __init__(self) -> None:
        self.count = 0
        self._cells: dict[str, array[int]] = {}
        self._names: list[str] = []  # of warehouses, by number
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._cells)

    def clear(self) -> None:
        """Remove all rows."""
        self._cells.clear()
        self.count = 0

    def last_change(self, sku: str) -> tuple[int, int]:
        """Return the sequence number and the time (ms) of a SKU's last change; 0 and 0 when there was none."""
        cells = self._cells.get(sku)
        return (0, 0) if cells is None else (cells[0], cells[1])

    def note(self, sku: str, seq: int, at: int) -> int:
        """Note a change of a SKU that concerns no row; a SKU's changes come in their order.

        Returns:
            The sequence number of the SKU's last change before; 0 when this is the first.
        """
        cells = self._cells.get(sku)
        if cells is None:
            self._cells[sku] = array("q", (seq, at))
            return 0
        before = cells[0]
        cells[0], cells[1] = seq, at
        return before

    def put(self, sku: str, warehouse: str, seq: int, at: int, units: Units) -> int:
        """Note a change of a SKU, and put a row in the place of the one that it had in the same warehouse.

        Returns:
            The same as `note`.

        Raises:
            OverflowError: a number has more than 64 bits.
        """
        number, cells = self._numbers.get(warehouse), self._cells.get(sku)
        if number is None:
            number = self._numbers[warehouse] = len(self._names)
            self._names.append(warehouse)
        if cells is None:
            self._cells[sku] = array("q", (seq, at, number, *units))
            self.count += 1
            return 0
        before, row = cells[0], array("q", (number, *units))
        cells[0], cells[1] = seq, at
        numbers = cells[_HEAD::_ROW]
        if number in numbers:
            start = _HEAD + _ROW * numbers.index(number)
            cells[start : start + _ROW] = row
        else:
            # A sum of arrays has no room to spare, unlike an array that was extended.
            self._cells[sku] = cells + row
            self.count += 1
        return before

    def has(self, sku: str, warehouse: str) -> bool:
        """Return whether a SKU has a row in a warehouse."""
        number, cells = self._numbers.get(warehouse), self._cells.get(sku)
        return number is not None and cells is not None and number in cells[_HEAD::_ROW]

    def row(self, sku: str, warehouse: str) -> StockView:
        """Return a row that is there."""
        cells = self._cells[sku]
        start = _HEAD + _ROW * cells[_HEAD::_ROW].index(self._numbers[warehouse])
        return _view(warehouse, *cells[start + 1 : start + _ROW])

    def rows(self, sku: str) -> list[StockView]:
        """Return all rows of a SKU, in the order of warehouse ids."""
        cells = self._cells.get(sku)
        if cells is None:
            return []
        values, names = cells.tolist(), self._names
        rows = [
            _view(names[values[start]], *values[start + 1 : start + _ROW]) for start in range(_HEAD, len(values), _ROW)
        ]
        # Warehouse ids are ASCII: this is the byte order of the ledger.
        rows.sort(key=_warehouse_of)
        return rows


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
