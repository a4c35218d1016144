"""Owns the stock changes: every change of a stock row, with the row after it."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

MAX_SEQ = (1 << 53) - 1  # the largest number that every JSON reader can represent

# The quantities of a stock row, in results (`schemas/results.py`) as well.
OnHandUnits = Annotated[int, Meta(description="Good units physically there, reserved ones included.")]
ReservedUnits = Annotated[int, Meta(description="Units that are held, still on hand.")]
DamagedUnits = Annotated[int, Meta(description="Units there that cannot be sold; not in `on_hand`.")]
SafetyStockUnits = Annotated[int, Meta(description="Units kept back from what is available.")]
InboundUnits = Annotated[int, Meta(description="Units announced and still to come.")]
AvailableUnits = Annotated[
    int, Meta(description="`on_hand - reserved - safety_stock`; negative when fewer are there than are promised.")
]
QuarantineUnits = Annotated[
    int, Meta(description="Units there that are in inspection, not in `on_hand`; absent when there are none.")
]


class Quantities(msgspec.Struct, gc=False):
    """The quantities of one stock row, in units. `available = on_hand - reserved - safety_stock`."""

    on_hand: OnHandUnits
    reserved: ReservedUnits
    damaged: DamagedUnits
    safety_stock: SafetyStockUnits
    inbound: InboundUnits
    available: AvailableUnits
    quarantine: QuarantineUnits | UnsetType = UNSET


class Cause(msgspec.Struct, omit_defaults=True, gc=False):
    """The command or expiry that made the change; fields that the command did not give are left out."""

    type: Annotated[str, Meta(description="The command's type, or `expire`, `fill`, `promise`, `settle`.")]
    command_id: Annotated[str, Meta(description="The command; absent when a hold expired, and in settling.")] | None = (
        None
    )
    reservation_id: Annotated[str, Meta(description="The reservation, where the change has one.")] | None = None
    reason: Annotated[str, Meta(description="`reason` of the command.")] | None = None
    reference: Annotated[str, Meta(description="`reference` of the command, else the announced goods.")] | None = None
    actor: Annotated[str, Meta(description="`actor` of the command.")] | None = None
    source: Annotated[str, Meta(description="`source` of the command.")] | None = None


class ChannelUnits(msgspec.Struct, gc=False):
    """What a channel has of a SKU, in units."""

    channel: Annotated[str, Meta(description="Which channel.")]
    held: Annotated[int, Meta(description="Units left of its reservations that were made under a cap.")]
    backordered: Annotated[int, Meta(description="Units of it that wait without a date.")]


class BookInbound(msgspec.Struct, gc=False):
    """Announced goods in a SKU's book."""

    inbound_id: Annotated[str, Meta(description="Their name.")]
    warehouse: Annotated[str, Meta(description="Where they go.")]
    eta_at: Annotated[int, Meta(description="When they come, ms since the Unix epoch.")]
    remaining: Annotated[int, Meta(description="Units still to come.")]
    claimed: Annotated[int, Meta(description="Units of them that reservations wait for.")]
    from_: (
        Annotated[str, Meta(description="The warehouse that a transfer took them from; absent without one.")]
        | UnsetType
    ) = msgspec.field(name="from", default=UNSET)


class BookView(msgspec.Struct, gc=False):
    """What a SKU has beside its warehouses, in units."""

    backordered: Annotated[int, Meta(description="Units that wait without a date.")]
    promised: Annotated[int, Meta(description="Units that wait for announced goods.")]
    settling: (
        Annotated[bool, Meta(description="True while a tail left the SKU's queue unfinished; absent otherwise.")]
        | UnsetType
    ) = UNSET
    inbounds: Annotated[list[BookInbound], Meta(description="Announced goods.")] = []
    channels: Annotated[list[ChannelUnits], Meta(description="Channels that have something, by id.")] = []


class StockChange(msgspec.Struct, gc=False):
    """One change of one row, or of the SKU's book.

    `seq` counts the SKU's changes from 1 without gaps; `at` is the partition's clock (ms).
    """

    sku: Annotated[str, Meta(description="Whose stock changed.")]
    warehouse: Annotated[str, Meta(description="Where.")]
    seq: Annotated[int, Meta(description="Counts the SKU's changes, from 1 and without gaps.")]
    at: Annotated[int, Meta(description="The partition's clock, ms since the Unix epoch.")]
    cause: Annotated[Cause, Meta(description="What brought it about.")]
    delta: Annotated[dict[str, int], Meta(description="The quantities that changed, and by how much.")]
    after: Annotated[Quantities, Meta(description="The whole row after the change.")]
    shortfall: Annotated[bool, Meta(description="Whether more is reserved than is on hand.")]
    book: Annotated[BookView, Meta(description="Of a change of the SKU's book: the book after it.")] | UnsetType = UNSET
