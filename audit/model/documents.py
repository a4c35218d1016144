"""Owns the model's types: the ledger's rows, and their views in results and causes in stock changes.

Rows have the layout of `docs/semantics.md` (msgpack arrays that begin with their version), so they must equal the
ledger's rows byte for byte. Their collections have no cycles, so `gc=False`.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.codes import Code
from schemas.results import Allocation, Claim, ReservationView, Result, State, StockView
from schemas.stock_changes import Cause

Json = dict[str, Any]
Holding = tuple[str, int]  # a warehouse, and a quantity there
Waits = tuple[str | None, int, int | None]  # an inbound or None for any goods, a quantity, and the date that was said

ROW_VERSION = 1
CLOSED_MS = 7 * 24 * 60 * 60 * 1000  # how long a closed reservation is known, unless its channel's policy says more
# A stock row's quantities, in their order.
QUANTITIES = ("on_hand", "reserved", "damaged", "safety_stock", "inbound", "quarantine")

encode_row = msgspec.msgpack.Encoder().encode


class StockRow(msgspec.Struct, gc=False):
    """One SKU in one warehouse, in units. `seq` is the SKU's sequence number at the row's last change."""

    seq: int = 0
    on_hand: int = 0
    reserved: int = 0
    damaged: int = 0
    safety_stock: int = 0
    inbound: int = 0
    quarantine: int = 0

    @property
    def available(self) -> int:
        """The units that may still be reserved; negative when fewer are there than are promised."""
        return self.on_hand - self.reserved - self.safety_stock

    def view(self, warehouse: str) -> StockView:
        """Return the row as a result shows it."""
        on_hand, reserved, safety = self.on_hand, self.reserved, self.safety_stock
        view = StockView(warehouse, on_hand, reserved, self.damaged, safety, self.inbound, on_hand - reserved - safety)
        if self.quarantine:
            view.quarantine = self.quarantine
        return view

    def row(self) -> tuple[int, ...]:
        """Return its row of the ledger; its layout has the quarantine only when something is in it."""
        values = (self.seq, self.on_hand, self.reserved, self.damaged, self.safety_stock, self.inbound)
        return (2, *values, self.quarantine) if self.quarantine else (ROW_VERSION, *values)


class Hold(msgspec.Struct, gc=False):
    """A reservation. `allocations` has the units still held; `closed_at` is None while it is held. Times in ms.

    `claims` has the units that wait; those without a date are the last of them. `priority` and `placed` (the offset of
    the record) are its rank among those that wait, None before its first claim; `placed_at` is the clock then.
    `only` and `region` are the warehouse and the region that the `reserve` named. A `counted` one was made under a cap.
    `kept_ms` is how long it is known after it closed, if that is not the usual time.
    """

    state: State
    quantity: int
    committed: int
    released: int
    allocations: list[Holding]
    channel: str
    order_id: str | None
    expires_at: int | None
    closed_at: int | None
    claims: list[Waits] = []
    only: str | None = None
    region: str | None = None
    priority: int | None = None
    placed: int | None = None
    placed_at: int | None = None
    counted: bool = False
    returned: int = 0
    kept_ms: int | None = None

    @property
    def left(self) -> int:
        """The units that were neither committed nor released: those that it holds and those that wait."""
        return self.quantity - self.committed - self.released

    @property
    def waiting(self) -> int:
        """The units that wait."""
        return sum(units for _, units, _ in self.claims)

    @property
    def undated(self) -> int:
        """The units that wait without a date."""
        return sum(units for inbound_id, units, _ in self.claims if inbound_id is None)

    @property
    def promised_at(self) -> int | None:
        """The latest date of its claims; None when one has none."""
        dates = [promised_at for _, _, promised_at in self.claims if promised_at is not None]
        return max(dates) if dates and len(dates) == len(self.claims) else None

    def row(self) -> tuple[Any, ...]:
        """Return its row of the ledger; the fields from `claims` on are there only if one of them says something."""
        values = msgspec.structs.astuple(self)
        short, more = values[:_SHORT_HOLD], values[_SHORT_HOLD:]
        return (1, *short) if more == _SAYS_NOTHING else (2, *values)

    def forgotten_at(self) -> int:
        """Return when the row of a closed reservation is forgotten."""
        return (self.closed_at or 0) + (self.kept_ms or CLOSED_MS)

    def view(self, reservation_id: str) -> ReservationView:
        """Return the `reservation` of a result."""
        view = ReservationView(
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
        if self.claims:
            view.waiting, view.promised_at = self.waiting, self.promised_at
            view.claims = [Claim(*claim) for claim in self.claims]
        if self.returned:
            view.returned = self.returned
        return view


_SHORT_HOLD = Hold.__struct_fields__.index("claims")
_SAYS_NOTHING: tuple[Any, ...] = ([], None, None, None, None, None, False, 0, None)


class SeenRow(msgspec.Struct, gc=False):
    """A remembered command: its content as msgpack, and the parts of its result that do not follow from the command.

    `extra` is the JSON object of the result's fields after `of_command`; None: there are none.
    """

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
    of_command: bytes | None = None
    extra: bytes | None = None

    def row(self) -> bytes:
        """Return the ledger's row; its layout has `extra` only when there is any."""
        *values, extra = msgspec.structs.astuple(self)
        values[_RESERVATION] = None if self.reservation is None else self.reservation.row()
        values[_STOCK] = [(warehouse, row.row()) for warehouse, row in self.stock]
        return encode_row((1, *values) if extra is None else (2, *values, extra))

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
        if self.extra is not None:
            show(result, msgspec.json.decode(self.extra))
        return result


_RESERVATION = SeenRow.__struct_fields__.index("reservation")
_STOCK = SeenRow.__struct_fields__.index("stock")
_decode = msgspec.msgpack.Decoder().decode


def decode_hold(row: bytes) -> Hold:
    """Return the reservation of a row."""
    return hold_of(_decode(row))


def decode_seen(row: bytes) -> SeenRow:
    """Return the remembered command of a row."""
    _, *values = _decode(row)
    seen = SeenRow(*values)
    seen.code = None if seen.code is None else Code(seen.code)
    seen.reservation = None if seen.reservation is None else hold_of(seen.reservation)
    stock: Any = seen.stock
    seen.stock = [(warehouse, StockRow(*row[1:])) for warehouse, row in stock]
    return seen


def hold_of(row: Any) -> Hold:
    """Return the reservation of a decoded row."""
    _, *values = row
    hold = Hold(*values)
    hold.allocations = [(warehouse, quantity) for warehouse, quantity in hold.allocations]
    hold.claims = [(inbound_id, units, promised_at) for inbound_id, units, promised_at in hold.claims]
    return hold


def show(result: Result, fields: Json) -> None:
    """Put fields into a result that are documents already."""
    for name, value in fields.items():
        setattr(result, name, value)


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
