"""Owns the gathering of what a decision changes of a SKU, where it is more than one kind of thing."""

from tables.core.book import counted_in
from tables.core.decision import Beside, KeyedRow, Outcome, Sku
from tables.core.rows import Reservation, Stock, book_key, reservation_key


class Draft:
    """What a decision changes of a SKU: its stock rows, each once and in the order of `move`, and then its book.

    Args:
        sku_id: the SKU.
        sku: its rows before the decision.
    """

    def __init__(self, sku_id: str, sku: Sku) -> None:
        self._sku_id = sku_id
        self._sku = sku
        self._moves: dict[str, dict[str, int]] = {}
        self._held = self._backordered = 0
        self._channel = ""

    def move(self, warehouse: str, *, on_hand: int = 0, reserved: int = 0) -> None:
        """Change the quantities of a row that exists."""
        delta = self._moves.setdefault(warehouse, {"on_hand": 0, "reserved": 0})
        delta["on_hand"] += on_hand
        delta["reserved"] += reserved

    def count(self, channel: str, *, held: int = 0, backordered: int = 0) -> None:
        """Change what a channel holds under its cap, and what waits for it without a date; one channel a decision."""
        self._channel = channel
        self._held += held
        self._backordered += backordered

    def outcome(self, reservation_id: str, reservation: Reservation, *, requested: int | None = None) -> Outcome:
        """Return the outcome, with the reservation after it."""
        seq, stock, deltas = self._sku.seq, [], []
        for warehouse, moved in self._moves.items():
            delta = {name: units for name, units in moved.items() if units}
            if not delta:
                continue
            seq += 1
            row = self._sku.stock[warehouse]
            on_hand, reserved = row.on_hand + moved["on_hand"], row.reserved + moved["reserved"]
            stock.append((warehouse, Stock(seq, on_hand, reserved, row.damaged, row.safety_stock, row.inbound)))
            deltas.append(delta)
        writes: list[KeyedRow] = [(reservation_key(self._sku_id, reservation_id), reservation)]
        book = None
        if self._held or self._backordered:
            book = counted_in(self._sku.book, seq + 1, self._channel, self._held, self._backordered)
            writes.append((book_key(self._sku_id), book))
        return Outcome(
            tuple(stock),
            tuple(deltas),
            reservation_id,
            reservation,
            tuple(writes),
            beside=None if book is None else Beside(book),
            requested=requested,
        )
