"""Owns the movements of goods and their reconciliation with a count: the commands, and how a reconciliation looks."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.fields import CommandOfSku, Count, Identifier, OfChannels, Place, Quantity, Text, TimeMs

Disposition = Literal["restock", "damaged", "inspect"]
State = Literal["on_hand", "damaged", "quarantine"]
Document = Annotated[Text, Meta(description="The caller's document behind it.")]


class Return(CommandOfSku, tag="return"):
    """Take goods back that had left the building."""

    warehouse: Annotated[Place, Meta(description="Where they came back; its stock row is made when it is missing.")]
    quantity: Annotated[Quantity, Meta(description="How many units.")]
    disposition: Annotated[
        Disposition, Meta(description="Where they go: to `on_hand`, to `damaged`, or to `quarantine` for inspection.")
    ]
    reservation_id: (
        Annotated[Identifier, Meta(description="Of which reservation; no more can come back than it committed.")] | None
    ) = None
    reference: Document | None = None
    channels: OfChannels | None = None


class Move(CommandOfSku, tag="move"):
    """Move goods of a warehouse from one bucket to another, such as after an inspection."""

    warehouse: Annotated[Place, Meta(description="Whose stock row is changed.")]
    quantity: Annotated[Quantity, Meta(description="How many units.")]
    from_: Annotated[State, Meta(description="Out of which bucket.")] = msgspec.field(name="from")
    to: Annotated[State, Meta(description="Into which bucket.")]
    reason: Annotated[Text, Meta(description="Why, in the caller's words; repeated in stock changes.")] | None = None
    reference: Document | None = None

    def __post_init__(self) -> None:
        """Hold the rule that no single field's type can: two buckets.

        Raises:
            ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it.
        """
        if self.from_ == self.to:
            raise ValueError("`to` must be another bucket than from")


class Transfer(CommandOfSku, tag="transfer"):
    """Move goods from one warehouse to another, at once or as a shipment that is received there."""

    from_: Annotated[Place, Meta(description="Where they leave.")] = msgspec.field(name="from")
    to: Annotated[Place, Meta(description="Where they go; its stock row is made when it is missing.")]
    quantity: Annotated[Quantity, Meta(description="How many units.")]
    inbound_id: (
        Annotated[Identifier, Meta(description="The shipment's name, to receive it by. Default: they are there now.")]
        | None
    ) = None
    eta_at: Annotated[TimeMs, Meta(description="When the shipment comes (ms); with `inbound_id` only.")] | None = None
    reference: Document | None = None

    def __post_init__(self) -> None:
        """Hold the rules that no single field's type can: two warehouses, and a shipment has a name and a date.

        Raises:
            ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it;
                `is needed` means that the field is missing.
        """
        if self.from_ == self.to:
            raise ValueError("`to` must be another warehouse than from")
        if self.inbound_id is None and self.eta_at is not None:
            raise ValueError("`inbound_id` is needed with eta_at")
        if self.inbound_id is not None and self.eta_at is None:
            raise ValueError("`eta_at` is needed with inbound_id")


class Reconcile(CommandOfSku, tag="reconcile"):
    """Bring a count into the ledger: what differs from the ledger as of the count's time is added to the row now."""

    warehouse: Annotated[Place, Meta(description="What was counted; its row is made when it is missing and differs.")]
    counted_on_hand: Annotated[Count, Meta(description="Good units that were there, reserved ones included.")]
    counted_damaged: Annotated[Count, Meta(description="Damaged units. Default: not counted.")] | None = None
    counted_quarantine: Annotated[Count, Meta(description="Units in inspection. Default: not counted.")] | None = None
    as_of_at: Annotated[TimeMs, Meta(description="When it was counted (ms). Default: now.")] | None = None
    tolerance: (
        Annotated[Count, Meta(description="Refuse with `drift_above_tolerance` beyond so many units. Default: any.")]
        | None
    ) = None
    reference: Document | None = None


class CountedUnits(msgspec.Struct, gc=False):
    """Units of the buckets that were counted."""

    on_hand: Annotated[int, Meta(description="Good units.")]
    damaged: Annotated[int, Meta(description="Damaged units; absent when not counted.")] | UnsetType = UNSET
    quarantine: Annotated[int, Meta(description="Units in inspection; absent when not counted.")] | UnsetType = UNSET


class ReconciliationView(msgspec.Struct, gc=False):
    """What a count found."""

    warehouse: Annotated[str, Meta(description="Where.")]
    as_of_at: Annotated[int, Meta(description="The time of the count, ms since the Unix epoch.")]
    since: Annotated[int, Meta(description="The time of the last accepted count; null without one.")] | None
    ledger: Annotated[CountedUnits, Meta(description="What the ledger had then.")]
    counted: Annotated[CountedUnits, Meta(description="What was counted.")]
    drift: Annotated[CountedUnits, Meta(description="`counted` - `ledger`.")]
