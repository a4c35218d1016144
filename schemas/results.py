"""Owns the results: one per command, in the order of the log, and the unsolicited ones (`expire`)."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from schemas.codes import Code, Problem

State = Literal["held", "committed", "released", "expired"]


class StockView(msgspec.Struct, gc=False):
    """One stock row as callers see it; quantities in units. `available = on_hand - reserved - safety_stock`."""

    warehouse: str
    on_hand: int
    reserved: int
    damaged: int
    safety_stock: int
    inbound: int
    available: int


class Allocation(msgspec.Struct, array_like=False, gc=False):
    """The part of a reservation that is pinned to a warehouse; `quantity` is what it still holds."""

    warehouse: str
    quantity: int


class ReservationView(msgspec.Struct, gc=False):
    """A reservation after the command. `committed + released +` what the allocations hold `= quantity`."""

    reservation_id: str
    state: State
    quantity: int
    committed: int
    released: int
    allocations: list[Allocation]
    channel: str
    order_id: str | None
    expires_at: int | None


class Result(msgspec.Struct, gc=False):
    """What became of one command.

    `at` is the partition's clock (ms), `partition` and `offset` are the command's place in the log, `seq` the SKU's
    sequence number after it. `type` is null only when the record gave none; `command_id` only for `expire`.
    """

    command_id: str | None
    type: str | None
    sku: str
    status: Literal["accepted", "rejected"]
    code: Code | None
    replayed: bool
    reservation: ReservationView | None
    stock: list[StockView]
    shortfall: bool
    seq: int
    at: int
    partition: int
    offset: int
    field: str | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET
    requested: int | UnsetType = UNSET
    available: int | UnsetType = UNSET
    of_command: "Result | None | UnsetType" = UNSET
