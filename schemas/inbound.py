"""Owns the announced goods (inbounds): the commands that announce, change, receive and cancel them, and their view."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.fields import CommandOfSku, Count, Identifier, Place, Quantity, Text, TimeMs

InboundState = Literal["open", "received", "cancelled"]

OfInbound = Annotated[Identifier, Meta(description="Which announced goods of the SKU.")]
Comes = Annotated[TimeMs, Meta(description="When they come (ms).")]
Document = Annotated[Text, Meta(description="The caller's document behind it, such as a delivery note.")]


class ExpectInbound(CommandOfSku, tag="expect_inbound"):
    """Announce goods that will come to a warehouse."""

    inbound_id: Annotated[Identifier, Meta(description="Their name, chosen by the caller and unique for the SKU.")]
    warehouse: Annotated[Place, Meta(description="Where they go; its stock row is made when it is missing.")]
    quantity: Annotated[Quantity, Meta(description="How many units.")]
    eta_at: Comes
    reference: Document | None = None


class AmendInbound(CommandOfSku, tag="amend_inbound"):
    """Change how many announced goods come, or when."""

    inbound_id: OfInbound
    quantity: Annotated[Count, Meta(description="The new total, what was received included.")] | None = None
    eta_at: Comes | None = None

    def __post_init__(self) -> None:
        """Hold the rule that no single field's type can: something changes.

        Raises:
            ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it;
                `is needed` means that the field is missing.
        """
        if self.quantity is None and self.eta_at is None:
            raise ValueError("`quantity` or eta_at is needed, one of the two")


class ReceiveInbound(CommandOfSku, tag="receive_inbound"):
    """Take announced goods into stock, all or a part of them."""

    inbound_id: OfInbound
    quantity: Annotated[Count, Meta(description="Good units that came.")]
    damaged: Annotated[Count, Meta(description="Damaged units that came. Default: 0.")] | None = None
    final: Annotated[bool, Meta(description="Whether nothing more will come. Default: false.")] | None = None
    reference: Document | None = None

    def __post_init__(self) -> None:
        """Hold the rule that no single field's type can: something came, or nothing more will.

        Raises:
            ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it.
        """
        if not (self.quantity or self.damaged or self.final):
            raise ValueError("`quantity` and damaged must not both be 0 unless final is true")


class CancelInbound(CommandOfSku, tag="cancel_inbound"):
    """Say that no more of announced goods will come."""

    inbound_id: OfInbound
    reason: Annotated[Text, Meta(description="Why, in the caller's words; repeated in stock changes.")] | None = None


class InboundView(msgspec.Struct, gc=False):
    """Announced goods after the command, in units. `remaining = max(0, quantity - received - damaged)`."""

    inbound_id: Annotated[str, Meta(description="Their name.")]
    warehouse: Annotated[str, Meta(description="Where they go.")]
    quantity: Annotated[int, Meta(description="Units announced in all.")]
    received: Annotated[int, Meta(description="Good units that came.")]
    damaged: Annotated[int, Meta(description="Damaged units that came.")]
    remaining: Annotated[int, Meta(description="Units still to come.")]
    claimed: Annotated[int, Meta(description="Units of them that reservations wait for.")]
    eta_at: Annotated[int, Meta(description="When they come, ms since the Unix epoch.")]
    from_: Annotated[str, Meta(description="The warehouse that a transfer took them from.")] | None = msgspec.field(
        name="from"
    )
    reference: Annotated[str, Meta(description="The document that announced them.")] | None
    state: Annotated[InboundState, Meta(description="`open` while more may come; `cancelled` when nothing ever came.")]
