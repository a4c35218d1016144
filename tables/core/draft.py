"""Owns the gathering of what a decision changes of a SKU, where it is more than one kind of thing."""

from collections.abc import Iterable, Mapping

import msgspec

from tables.core.book import NO_BOOK, counted_in, shows_the_same
from tables.core.decision import Beside, KeyedRow, More, Outcome, Sku
from tables.core.rows import (
    BookRow,
    FullReservation,
    Inbound,
    Reservation,
    Stock,
    book_key,
    quarantine_of,
    reservation_key,
    stock_row,
)

_NO_STOCK = Stock()
# In the order in which a stock change names them; `safety_stock` is set by adjusts alone.
_QUANTITIES = ("on_hand", "reserved", "damaged", "inbound", "quarantine")


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
        self._held = self._backordered = self._promised = 0
        self._channel = ""
        self._inbounds: dict[str, Inbound] = {}

    def move(self, warehouse: str, **quantities: int) -> None:
        """Change quantities of a row, each by so many units; the row is made when it is missing."""
        moved = self._moves.setdefault(warehouse, dict.fromkeys(_QUANTITIES, 0))
        for name, units in quantities.items():
            moved[name] += units

    def count(self, channel: str, *, held: int = 0, backordered: int = 0) -> None:
        """Change what a channel holds under its cap, and what waits for it without a date; one channel a decision."""
        self._channel = channel
        self._held += held
        self._backordered += backordered

    def inbound(self, inbound_id: str) -> Inbound:
        """Return announced goods of the book as they are after the changes so far."""
        found = self._inbounds.get(inbound_id)
        if found is None:
            found = next(it for it in (self._sku.book or NO_BOOK).inbounds if it.inbound_id == inbound_id)
        return found

    def put_inbound(self, inbound: Inbound) -> None:
        """Change announced goods, or add them to the book."""
        self._inbounds[inbound.inbound_id] = inbound

    def claim(self, inbound_id: str, units: int, *, landed: int = 0) -> Inbound:
        """Change how many units of announced goods are waited for, and how many of these have come; return them."""
        before = self.inbound(inbound_id)
        claimed = before.claimed + units
        after = msgspec.structs.replace(before, claimed=claimed, landed=min(before.landed + landed, claimed))
        self._promised += units
        self.put_inbound(after)
        return after

    def outcome(
        self,
        reservation_id: str | None = None,
        reservation: Reservation | None = None,
        *,
        requested: int | None = None,
        writes: Iterable[KeyedRow] = (),
        extra: Mapping[str, object] | None = None,
    ) -> Outcome:
        """Return the outcome, with the reservation after it."""
        seq, stock, deltas = self._sku.seq, [], []
        for warehouse, moved in self._moves.items():
            delta = {name: units for name, units in moved.items() if units}
            if not delta:
                continue
            seq += 1
            stock.append((warehouse, _moved(self._sku.stock.get(warehouse, _NO_STOCK), seq, moved)))
            deltas.append(delta)
        rows = [*writes]
        if reservation_id is not None:
            rows.append((reservation_key(self._sku_id, reservation_id), reservation))
        book = self._book(seq + 1)
        if book is not None:
            rows.append((book_key(self._sku_id), book))
        waiting = None
        if reservation_id is not None and type(reservation) is FullReservation and reservation.priority is not None:
            waiting = reservation_id, reservation
        beside = None if book is None and waiting is None else Beside(book, waiting=waiting)
        more = More(extra, beside, requested)
        return Outcome(tuple(stock), tuple(deltas), reservation_id, reservation, tuple(rows), more)

    def _book(self, seq: int) -> BookRow | None:
        """Return the book after the decision; None when it stays as it is.

        Args:
            seq: of the change, if anything that is published of it changes.
        """
        if not (self._held or self._backordered or self._inbounds):
            return None
        before = self._sku.book or NO_BOOK
        after = counted_in(before, self._channel, self._held, self._backordered)
        if self._inbounds:
            inbounds = {it.inbound_id: it for it in before.inbounds} | self._inbounds
            left = [it for it in inbounds.values() if it.remaining or it.claimed]
            left.sort(key=lambda it: (it.eta_at, it.inbound_id))
            after = msgspec.structs.replace(after, promised=before.promised + self._promised, inbounds=tuple(left))
        if after == before:
            return None
        return after if shows_the_same(after, before) else msgspec.structs.replace(after, seq=seq)


def _moved(row: Stock, seq: int, moved: Mapping[str, int]) -> Stock:
    return stock_row(
        seq,
        row.on_hand + moved["on_hand"],
        row.reserved + moved["reserved"],
        row.damaged + moved["damaged"],
        row.safety_stock,
        row.inbound + moved["inbound"],
        quarantine_of(row) + moved["quarantine"],
    )
