"""Owns the model's types: the ledger's rows, and their views in results and causes in stock changes.

Rows have the layout of `docs/semantics.md` (msgpack arrays that begin with their version), so they must equal the
ledger's rows byte for byte. Their collections have no cycles, so `gc=False`.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.codes import Code
from schemas.results import Allocation, ReservationView, Result, State, StockView
from schemas.stock_changes import Cause

Json = dict[str, Any]
Holding = tuple[str, int]  # a warehouse, and a quantity there

ROW_VERSION = 1
QUANTITIES = ("on_hand", "reserved", "damaged", "safety_stock", "inbound")  # a stock row's quantities, in their order

encode_row = msgspec.msgpack.Encoder().encode


class StockRow(msgspec.Struct, array_like=True, tag_field="version", tag=ROW_VERSION, gc=False):
    """One SKU in one warehouse, in units. `seq` is the SKU's sequence number at the row's last change."""

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

    def view(self, warehouse: str) -> StockView:
        """Return the row as a result shows it."""
        on_hand, reserved, safety = self.on_hand, self.reserved, self.safety_stock
        return StockView(warehouse, on_hand, reserved, self.damaged, safety, self.inbound, on_hand - reserved - safety)


class Hold(msgspec.Struct, array_like=True, tag_field="version", tag=ROW_VERSION, gc=False):
    """A reservation. `allocations` has the units still held; `closed_at` is None while it is held. Times in ms."""

    state: State
    quantity: int
    committed: int
    released: int
    allocations: list[Holding]
    channel: str
    order_id: str | None
    expires_at: int | None
    closed_at: int | None

    def view(self, reservation_id: str) -> ReservationView:
        """Return the `reservation` of a result."""
        return ReservationView(
            reservation_id,
            self.state,
            self.quantity,
            self.committed,
            self.released,
            [Allocation(warehouse, quantity) for warehouse, quantity in self.allocations],
            self.channel,
            self.order_id,
            self.expires_at,
        )


class SeenRow(msgspec.Struct, array_like=True, tag_field="version", tag=ROW_VERSION, gc=False):
    """A remembered command: its content as msgpack, and the parts of its result that do not follow from the command."""

    content: bytes
    type: str
    code: Code | None
    seq: int
    at: int
    offset: int
    reservation_id: str | None
    reservation: Hold | None
    stock: list[tuple[str, StockRow]]
    requested: int | None
    available: int | None
    of_command: bytes | None

    def result(self, sku: str, command_id: str, partition: int, *, replayed: bool) -> Result:
        """Return the command's result."""
        stock = [row.view(warehouse) for warehouse, row in self.stock]
        hold, reservation_id = self.reservation, self.reservation_id
        result = Result(
            command_id,
            self.type,
            sku,
            "rejected" if self.code else "accepted",
            self.code,
            replayed,
            None if hold is None or reservation_id is None else hold.view(reservation_id),
            stock,
            any(row.reserved > row.on_hand for row in stock),
            self.seq,
            self.at,
            partition,
            self.offset,
        )
        if self.requested is not None:
            result.requested = self.requested
        if self.available is not None:
            result.available = self.available
        return result


decode_hold = msgspec.msgpack.Decoder(Hold).decode
decode_seen = msgspec.msgpack.Decoder(SeenRow).decode


def cause_of(command: Any, type_: str, reason: str | None = None, reference: str | None = None) -> Cause:
    """Return the `cause` of a command's stock changes."""
    reservation_id = getattr(command, "reservation_id", None)
    return Cause(type_, command.command_id, reservation_id, reason, reference, command.actor, command.source)


def draw_from(holdings: Iterable[Holding], quantity: int) -> list[Holding]:
    """Take a quantity from holdings in the given order, as much as each has."""
    taken = []
    for warehouse, holds in holdings:
        if quantity == 0:
            break
        part = min(holds, quantity)
        taken.append((warehouse, part))
        quantity -= part
    return taken
