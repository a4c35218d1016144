"""Owns the shapes of what the model keeps and expects: commands' content, causes, views, and the ledger's rows.

Rows are laid out as `docs/semantics.md` says (msgpack arrays that begin with their version), so that what the model
keeps is, byte for byte, what the ledger should have. Collections in them are never part of a cycle: `gc=False`.
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
    """One SKU in one warehouse, in units; `seq` is the SKU's at the row's last change."""

    seq: int = 0
    on_hand: int = 0
    reserved: int = 0
    damaged: int = 0
    safety_stock: int = 0
    inbound: int = 0

    @property
    def available(self) -> int:
        """What may still be reserved; negative when physical truth fell below what is promised."""
        return self.on_hand - self.reserved - self.safety_stock

    def view(self, warehouse: str) -> StockView:
        """Return the row as a result shows it."""
        on_hand, reserved, safety = self.on_hand, self.reserved, self.safety_stock
        return StockView(warehouse, on_hand, reserved, self.damaged, safety, self.inbound, on_hand - reserved - safety)


class Hold(msgspec.Struct, array_like=True, tag_field="version", tag=ROW_VERSION, gc=False):
    """A reservation; `allocations` are what it still holds, `closed_at` is None while it is held (times in ms)."""

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
    """A remembered command: its content as msgpack, and its result without what the command repeats."""

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
        """Return the result that the command got."""
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
        if self.of_command is not None:
            result.of_command = as_written(self.of_command)
        return result


decode_hold = msgspec.msgpack.Decoder(Hold).decode
decode_seen = msgspec.msgpack.Decoder(SeenRow).decode


def as_written(result: bytes) -> Any:
    """Return a result that is JSON already, to be put into another as it is."""
    return msgspec.Raw(result)


def cause_of(command: Any, type_: str, reason: str | None = None, reference: str | None = None) -> Cause:
    """Return the `cause` of the stock changes that a command brings about."""
    reservation_id = getattr(command, "reservation_id", None)
    return Cause(type_, command.command_id, reservation_id, reason, reference, command.actor, command.source)


def draw_from(holdings: Iterable[Holding], quantity: int) -> list[Holding]:
    """Take a quantity from holdings, each as far as it goes, in the order given."""
    taken = []
    for warehouse, holds in holdings:
        if quantity == 0:
            break
        part = min(holds, quantity)
        taken.append((warehouse, part))
        quantity -= part
    return taken
