"""Owns the commands: what a caller may ask of a SKU's stock, field by field.

Null is the same as absent everywhere, so every optional field is `X | None`; the rule that uses it fills in the
default. Unknown fields, wrong types and values out of range are refused by the decoder (`schemas/codec.py`).
"""

from typing import Annotated, Literal, cast, final, get_args

import msgspec
from msgspec import Meta

from schemas.fields import (
    DEFAULT_CHANNEL,
    DEFAULT_TTL_MS,
    Actor,
    ChannelOrAll,
    CommandOfSku,
    Count,
    Delta,
    Identifier,
    IssuedAt,
    OfChannels,
    OfReservation,
    OfSku,
    Place,
    Quantity,
    Source,
    Text,
    TimeMs,
    TtlMs,
)
from schemas.inbound import AmendInbound, CancelInbound, ExpectInbound, ReceiveInbound
from schemas.movements import Move, Reconcile, Return, Transfer
from schemas.policies import PolicyCommand
from schemas.reference import ReferenceCommand

Bucket = Literal["on_hand", "damaged", "safety_stock", "quarantine"]
AdjustReason = Literal["receipt", "cycle_count", "damage", "shrinkage", "return", "correction", "erp_sync"]

ForWhat = Annotated[
    Literal["none", "inbound", "any"],
    Meta(description="What the units that are not there may wait for: nothing, announced goods, any. Default: `none`."),
]
PromiseBy = Annotated[TimeMs, Meta(description="By when they must be promised (ms); only with `wait` `inbound`.")]


def check_promise_by(wait: str | None) -> None:
    """Refuse a `promise_by` where nothing announced is waited for.

    Raises:
        ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it.
    """
    if wait != "inbound":
        raise ValueError("`promise_by` is allowed only with wait inbound")


class Adjust(CommandOfSku, tag="adjust"):
    """Change one bucket of one stock row, by a difference (`delta`) or to an absolute `count`."""

    warehouse: Annotated[Place, Meta(description="Whose stock row is changed; it is made when it is missing.")]
    reason: Annotated[AdjustReason, Meta(description="Why the stock changed.")]
    delta: (
        Annotated[Delta, Meta(description="By how much the bucket changes; not 0. Either this or `count`.")] | None
    ) = None
    count: (
        Annotated[Count, Meta(description="What the bucket is set to, whatever it holds. Either this or `delta`.")]
        | None
    ) = None
    bucket: Annotated[Bucket, Meta(description="Which quantity of the row is changed. Default: `on_hand`.")] | None = (
        None
    )
    reference: Annotated[Text, Meta(description="The caller's document behind it, such as a delivery note.")] | None = (
        None
    )
    expected_on_hand: (
        Annotated[
            Count,
            Meta(description="Refuse with `stale_expectation` unless the row's `on_hand` is this (0 without a row)."),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Hold the rule that no single field's type can: exactly one of `delta` and `count`, and no empty delta.

        Raises:
            ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it;
                `is needed` means that the field is missing.
        """
        if self.delta is None and self.count is None:
            raise ValueError("`delta` or count is needed, one of the two")
        if self.delta is not None and self.count is not None:
            raise ValueError("`delta` and count exclude each other")
        if self.delta == 0:
            raise ValueError("`delta` must not be 0")


class Reserve(CommandOfSku, tag="reserve"):
    """Hold a quantity for `ttl_ms` (0: for ever), wherever it is available or in one warehouse."""

    reservation_id: Annotated[
        Identifier, Meta(description="The hold's name, chosen by the caller and unique for the SKU.")
    ]
    quantity: Annotated[Quantity, Meta(description="How many units to hold.")]
    channel: Annotated[Place, Meta(description=f"Where it is sold. Default: `{DEFAULT_CHANNEL}`.")] | None = None
    warehouse: (
        Annotated[Place, Meta(description="Hold in this warehouse alone. Default: wherever units are available.")]
        | None
    ) = None
    ttl_ms: (
        Annotated[TtlMs, Meta(description=f"How long the hold lives; 0: for ever. Default: {DEFAULT_TTL_MS:,}.")] | None
    ) = None
    order_id: Annotated[Identifier, Meta(description="The caller's order, repeated in results.")] | None = None
    partial: Annotated[bool, Meta(description="Whether less than the quantity will do. Default: false.")] | None = None
    region: (
        Annotated[Place, Meta(description="Whose warehouses come first, where the channel's strategy is `region`.")]
        | None
    ) = None
    wait: ForWhat | None = None
    promise_by: PromiseBy | None = None

    def __post_init__(self) -> None:
        """Hold the rule over two fields; see `check_promise_by`."""
        if self.promise_by is not None:
            check_promise_by(self.wait)


class Amend(CommandOfSku, tag="amend"):
    """Change the quantity of a held reservation."""

    reservation_id: OfReservation
    quantity: Annotated[Quantity, Meta(description="The new total, what was committed and released included.")]
    partial: Annotated[bool, Meta(description="Whether growing by less will do. Default: false.")] | None = None
    wait: ForWhat | None = None
    promise_by: PromiseBy | None = None
    channels: OfChannels | None = None

    def __post_init__(self) -> None:
        """Hold the rule over two fields; see `check_promise_by`."""
        if self.promise_by is not None:
            check_promise_by(self.wait)


class Reallocate(CommandOfSku, tag="reallocate"):
    """Move what a reservation holds in one warehouse to another."""

    reservation_id: OfReservation
    from_: Annotated[Place, Meta(description="Where the units are held.")] = msgspec.field(name="from")
    to: Annotated[Place, Meta(description="Where they are to be held.")]
    quantity: Annotated[Quantity, Meta(description="How many units. Default: all that it holds at `from`.")] | None = (
        None
    )
    channels: OfChannels | None = None

    def __post_init__(self) -> None:
        """Hold the rule that no single field's type can: two warehouses.

        Raises:
            ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it.
        """
        if self.from_ == self.to:
            raise ValueError("`to` must be another warehouse than from")


class Commit(CommandOfSku, tag="commit"):
    """Take reserved goods out of stock: they have left the building."""

    reservation_id: OfReservation
    quantity: (
        Annotated[Quantity, Meta(description="How many units left. Default: all that the reservation still holds.")]
        | None
    ) = None
    channels: OfChannels | None = None


class Release(CommandOfSku, tag="release"):
    """Give reserved goods back to what is available."""

    reservation_id: OfReservation
    quantity: (
        Annotated[
            Quantity, Meta(description="How many units to give back. Default: all that the reservation still holds.")
        ]
        | None
    ) = None
    reason: Annotated[Text, Meta(description="Why, in the caller's words; repeated in stock changes.")] | None = None
    channels: OfChannels | None = None


class Extend(CommandOfSku, tag="extend"):
    """Let a reservation live for `ttl_ms` from now (0: for ever)."""

    reservation_id: OfReservation
    ttl_ms: Annotated[
        TtlMs, Meta(description="How long the hold lives, from the time this command is applied; 0: for ever.")
    ]
    channels: OfChannels | None = None


class Settle(CommandOfSku, tag="settle"):
    """Settle the SKU's queue by the rules now in force, as after a change of warehouses or channels."""


class Query(CommandOfSku, tag="query"):
    """Read a SKU (its reservations, or the result of an earlier command) in the order of the log; never remembered."""

    reservation_id: Annotated[Identifier, Meta(description="Also read this reservation.")] | None = None
    of_command_id: (
        Annotated[Identifier, Meta(description="Also read the result that this command of the SKU got.")] | None
    ) = None
    channel: Annotated[Place, Meta(description="Also read what this channel may have of the SKU.")] | None = None
    waiting: (
        Annotated[int, Meta(ge=0, le=100, description="Also list the first so many that wait, by rank. Default: 0.")]
        | None
    ) = None
    reservations: (
        Annotated[int, Meta(ge=1, le=100, description="Also list so many of the SKU's held reservations, by id.")]
        | None
    ) = None
    after: Annotated[Identifier, Meta(description="List those whose id is greater, in the order of bytes.")] | None = (
        None
    )
    channels: OfChannels | None = None


class SetPolicy(PolicyCommand, tag="set_policy"):
    """Set the policy of a channel for this SKU, as a whole; without any field it is removed."""

    sku: OfSku
    channel: Annotated[ChannelOrAll, Meta(description="Which channel; `*`: all that do not give a field themselves.")]


@final
class Tick(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tick", gc=False):
    """Advance the clock of a partition; written by the partition's owner when it is idle and something falls due."""

    issued_at: IssuedAt | None = None
    actor: Actor | None = None
    source: Source | None = None


SkuCommand = (
    Adjust
    | Reserve
    | Amend
    | Reallocate
    | Commit
    | Release
    | Extend
    | Query
    | ExpectInbound
    | AmendInbound
    | ReceiveInbound
    | CancelInbound
    | Return
    | Move
    | Transfer
    | Reconcile
    | Settle
    | SetPolicy
)
Command = SkuCommand | ReferenceCommand | Tick

# Whoever needs every type of command takes it from here, so that a type that joins the union is forgotten nowhere.
SKU_COMMAND_TYPES: tuple[type[SkuCommand], ...] = get_args(SkuCommand)
COMMAND_TYPES: tuple[type[Command], ...] = get_args(Command)


def tag_of(command_type: type[msgspec.Struct]) -> str:
    """Return what a command of this type says in its field `type`."""
    return cast("str", command_type.__struct_config__.tag)
