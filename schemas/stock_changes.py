"""Owns the stock changes: every change of a stock row, with the row after it."""

import msgspec

MAX_SEQ = (1 << 53) - 1  # the largest number that every JSON reader can represent


class Quantities(msgspec.Struct, gc=False):
    """The quantities of one stock row, in units. `available = on_hand - reserved - safety_stock`."""

    on_hand: int
    reserved: int
    damaged: int
    safety_stock: int
    inbound: int
    available: int


class Cause(msgspec.Struct, omit_defaults=True, gc=False):
    """What brought the change about; fields that the command did not give are left out."""

    type: str
    command_id: str | None = None
    reservation_id: str | None = None
    reason: str | None = None
    reference: str | None = None
    actor: str | None = None
    source: str | None = None


class StockChange(msgspec.Struct, gc=False):
    """One change of one row. `seq` counts the SKU's changes from 1 without gaps; `at` is the partition's clock (ms)."""

    sku: str
    warehouse: str
    seq: int
    at: int
    cause: Cause
    delta: dict[str, int]
    after: Quantities
    shortfall: bool
