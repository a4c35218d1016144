"""Owns the results: one per command, in the order of the log, and the unsolicited ones (`expire`)."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.availability import ChannelAvailability
from schemas.codes import Code, Problem
from schemas.inbound import InboundView
from schemas.movements import ReconciliationView
from schemas.reference import Reference
from schemas.stock_changes import (
    AvailableUnits,
    BookView,
    DamagedUnits,
    InboundUnits,
    OnHandUnits,
    QuarantineUnits,
    ReservedUnits,
    SafetyStockUnits,
)

State = Literal["held", "committed", "released", "expired"]


class StockView(msgspec.Struct, gc=False):
    """One stock row as callers see it; quantities in units. `available = on_hand - reserved - safety_stock`."""

    warehouse: Annotated[str, Meta(description="Where the units are.")]
    on_hand: OnHandUnits
    reserved: ReservedUnits
    damaged: DamagedUnits
    safety_stock: SafetyStockUnits
    inbound: InboundUnits
    available: AvailableUnits
    quarantine: QuarantineUnits | UnsetType = UNSET


class Allocation(msgspec.Struct, array_like=False, gc=False):
    """The part of a reservation that is pinned to a warehouse; `quantity` is what it still holds."""

    warehouse: Annotated[str, Meta(description="Where the units are.")]
    quantity: Annotated[int, Meta(description="Units still held there.")]


class Claim(msgspec.Struct, gc=False):
    """Units of a reservation that wait."""

    inbound_id: Annotated[str, Meta(description="For which announced goods; null: for any.")] | None
    quantity: Annotated[int, Meta(description="How many.")]
    promised_at: Annotated[int, Meta(description="The date that was last said, ms since the Unix epoch.")] | None


class ReservationView(msgspec.Struct, gc=False):
    """A reservation after the command. `committed + released +` what the allocations hold `= quantity`."""

    reservation_id: Annotated[str, Meta(description="The hold's name.")]
    state: Annotated[State, Meta(description="`held` until nothing is left; then how the last of it went.")]
    quantity: Annotated[int, Meta(description="Units that were reserved.")]
    committed: Annotated[int, Meta(description="Units of it that left the stock.")]
    released: Annotated[int, Meta(description="Units of it that were given back, by a release or an expiry.")]
    allocations: Annotated[
        list[Allocation], Meta(description="Where the rest is held; empty when the reservation has ended.")
    ]
    channel: Annotated[str, Meta(description="Where it is sold.")]
    order_id: Annotated[str, Meta(description="The caller's order.")] | None
    expires_at: Annotated[int, Meta(description="When the hold ends, ms since the Unix epoch; null: never.")] | None
    waiting: Annotated[int, Meta(description="Units of it that wait; absent when none does.")] | UnsetType = UNSET
    promised_at: (
        Annotated[int, Meta(description="The latest date of its claims; null when one has none.")] | None | UnsetType
    ) = UNSET
    claims: Annotated[list[Claim], Meta(description="What the waiting units wait for.")] | UnsetType = UNSET
    returned: Annotated[int, Meta(description="Units of it that came back; absent when none did.")] | UnsetType = UNSET


class Waiting(msgspec.Struct, gc=False):
    """A reservation that waits, by rank."""

    reservation_id: Annotated[str, Meta(description="The hold's name.")]
    channel: Annotated[str, Meta(description="Where it is sold.")]
    order_id: Annotated[str, Meta(description="The caller's order.")] | None
    priority: Annotated[int, Meta(description="Lower goes first.")]
    placed_at: Annotated[int, Meta(description="Since when it waits, ms since the Unix epoch.")]
    quantity: Annotated[int, Meta(description="Units that wait.")]
    promised_at: Annotated[int, Meta(description="The latest date of its claims; null when one has none.")] | None


class Result(msgspec.Struct, gc=False):
    """What became of one command.

    `at` is the partition's clock (ms), `partition` and `offset` are the command's place in the log, `seq` the SKU's
    sequence number after it. `type` is null only when the record gave none; `command_id` only for `expire`, `fill` and
    `promise`.
    """

    command_id: Annotated[str, Meta(description="The command; null for an expiry and for steps of settling.")] | None
    type: (
        Annotated[
            str,
            Meta(
                description="The command's type, or `expire`, `fill`, `promise`; null when the record gave no string."
            ),
        ]
        | None
    )
    sku: Annotated[str, Meta(description="The SKU.")]
    status: Annotated[
        Literal["accepted", "rejected"], Meta(description="Whether it was applied. A rejected command changed nothing.")
    ]
    code: Annotated[Code, Meta(description="Why it was rejected; null when accepted.")] | None
    replayed: Annotated[bool, Meta(description="Whether this repeats the result that the same command got before.")]
    reservation: (
        Annotated[
            ReservationView,
            Meta(description="The reservation after it; null where the command names none, and when rejected."),
        ]
        | None
    )
    stock: Annotated[
        list[StockView], Meta(description="The rows that it touched, after it; all of the SKU's for a query.")
    ]
    shortfall: Annotated[bool, Meta(description="Whether a row in `stock` has more reserved than on hand.")]
    seq: Annotated[int, Meta(description="The SKU's sequence number after it; 0 without rows.")]
    at: Annotated[int, Meta(description="The partition's clock, ms since the Unix epoch.")]
    partition: Annotated[int, Meta(description="The partition of the command.")]
    offset: Annotated[
        int, Meta(description="The offset of the command; of an expiry, that of the record that moved the clock.")
    ]
    field: Annotated[str, Meta(description="The path of the wrong field, with `invalid_field`.")] | UnsetType = UNSET
    problem: Annotated[Problem, Meta(description="What is wrong with that field.")] | UnsetType = UNSET
    requested: Annotated[int, Meta(description="With `insufficient_stock`: the quantity asked for.")] | UnsetType = (
        UNSET
    )
    available: (
        Annotated[int, Meta(description="With `insufficient_stock`: what could have been reserved.")] | UnsetType
    ) = UNSET
    of_command: (
        Annotated[
            "Result",
            Meta(
                description="With `of_command_id`: the result that command got; null when it is not remembered, or its"
                " reservation is of a channel that is not among `channels`."
            ),
        ]
        | None
        | UnsetType
    ) = UNSET
    inbound: (
        Annotated[InboundView, Meta(description="With the commands of announced goods: these goods after it.")]
        | UnsetType
    ) = UNSET
    reconciliation: (
        Annotated[ReconciliationView, Meta(description="With `reconcile`: what the count found.")] | UnsetType
    ) = UNSET
    availability: (
        Annotated[ChannelAvailability, Meta(description="With `channel` of a query: what the channel may have now.")]
        | UnsetType
    ) = UNSET
    book: Annotated[BookView, Meta(description="With a query of a SKU whose book holds anything.")] | UnsetType = UNSET
    waiting: (
        Annotated[list[Waiting], Meta(description="With `waiting` of a query: the first that wait, by rank.")]
        | UnsetType
    ) = UNSET
    reference: (
        Annotated[Reference, Meta(description="With reference data: what is in force after it; null when nothing is.")]
        | None
        | UnsetType
    ) = UNSET
    reservations: (
        Annotated[list[ReservationView], Meta(description="With `reservations` of a query: held reservations, by id.")]
        | UnsetType
    ) = UNSET
    next: (
        Annotated[str, Meta(description="With `reservations`: `after` of the query that goes on; null at the end.")]
        | None
        | UnsetType
    ) = UNSET
