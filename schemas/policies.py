"""Owns the policy of a channel: the fields that may be given, their defaults, and how layers of them are resolved."""

import sys
from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.fields import MAX_INTERVAL_MS, Actor, Count, Identifier, IssuedAt, Place, Priority, Quantity, Source

Strategy = Literal["priority", "most_stock", "fewest_splits", "region"]

_WEEK_MS = 7 * 24 * 60 * 60 * 1000
Warehouses = Annotated[list[Place], Meta(max_length=1_000, extra_json_schema={"uniqueItems": True})]
HorizonMs = Annotated[int, Meta(ge=0, le=MAX_INTERVAL_MS)]
ReturnWindowMs = Annotated[int, Meta(ge=_WEEK_MS, le=MAX_INTERVAL_MS)]

MayIt = Annotated[bool, Meta(description="Whether the channel may sell. Default: true.")]
FromWarehouses = Annotated[
    Warehouses,
    Meta(description="The only warehouses it may sell from, in the order of preference; `[]`: none. Default: all."),
]
ByStrategy = Annotated[
    Strategy, Meta(description="In which order warehouses are asked. Default: `priority` (docs/semantics.md).")
]
MaySplit = Annotated[bool, Meta(description="Whether one reservation may be in several warehouses. Default: true.")]
Buffer = Annotated[Count, Meta(description="Units of its warehouses, together, that it may not have. Default: 0.")]
Cap = Annotated[Count, Meta(description="Most units of a SKU that the channel may hold at once. Default: no limit.")]
MaxPerReservation = Annotated[Quantity, Meta(description="Most units of one reservation. Default: no limit.")]
BackorderLimit = Annotated[Count, Meta(description="Most units that may wait without a date. Default: 0.")]
PresellHorizon = Annotated[
    HorizonMs, Meta(description="How far ahead (ms) announced goods may be sold; 0: not. Default: 0.")
]
Rank = Annotated[Priority, Meta(description="Of its reservations in the queue; lower goes first. Default: 100.")]
OfCommand = Annotated[Identifier, Meta(description="The idempotency key.")]
ReturnWindow = Annotated[
    ReturnWindowMs, Meta(description="How long (ms) its committed reservations are known. Default: 7 days.")
]


class PolicyCommand(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """What a command that sets a policy carries. A policy field that is None is not given, so another layer decides."""

    enabled: MayIt | None = None
    warehouses: FromWarehouses | None = None
    strategy: ByStrategy | None = None
    split: MaySplit | None = None
    buffer: Buffer | None = None
    cap: Cap | None = None
    max_per_reservation: MaxPerReservation | None = None
    backorder_limit: BackorderLimit | None = None
    presell_horizon_ms: PresellHorizon | None = None
    priority: Rank | None = None
    return_window_ms: ReturnWindow | None = None
    command_id: OfCommand
    issued_at: IssuedAt | None = None
    actor: Actor | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        """Hold the rule that no single field's type can: no warehouse twice.

        Raises:
            ValueError: names the field in backquotes, where `schemas/field_errors.py` reads it.
        """
        if self.warehouses is not None and len({*self.warehouses}) != len(self.warehouses):
            raise ValueError("`warehouses` must not name a warehouse twice")


class PolicyDocument(msgspec.Struct, kw_only=True, tag_field="kind", gc=False):
    """What a published document with policy fields ends with: those that were given."""

    enabled: MayIt | UnsetType = UNSET
    warehouses: FromWarehouses | UnsetType = UNSET
    strategy: ByStrategy | UnsetType = UNSET
    split: MaySplit | UnsetType = UNSET
    buffer: Buffer | UnsetType = UNSET
    cap: Cap | UnsetType = UNSET
    max_per_reservation: MaxPerReservation | UnsetType = UNSET
    backorder_limit: BackorderLimit | UnsetType = UNSET
    presell_horizon_ms: PresellHorizon | UnsetType = UNSET
    priority: Rank | UnsetType = UNSET
    return_window_ms: ReturnWindow | UnsetType = UNSET


POLICY_FIELDS: tuple[str, ...] = PolicyDocument.__struct_fields__


class Policy(NamedTuple):
    """A resolved policy: a value for every field; None is no limit, and all warehouses."""

    enabled: bool = True
    warehouses: tuple[str, ...] | None = None
    strategy: Strategy = "priority"
    split: bool = True
    buffer: int = 0
    cap: int | None = None
    max_per_reservation: int | None = None
    backorder_limit: int = 0
    presell_horizon_ms: int = 0
    priority: int = 100
    return_window_ms: int = _WEEK_MS


DEFAULT_POLICY = Policy()


def shared_id(id_: str) -> str:
    """Return an id as the one string that all who keep it share: a decoder makes a new one each time."""
    return sys.intern(id_)


def resolve(layers: Iterable[object]) -> Policy:
    """Return the policy that layers of given fields make: of each field, the first layer that gives it counts.

    Args:
        layers: objects with the policy fields, None or unset where not given; the strongest first.
    """
    found: dict[str, object] = {}
    for layer in layers:
        for name in POLICY_FIELDS:
            value = getattr(layer, name)
            if value is not None and value is not UNSET and name not in found:
                found[name] = tuple(value) if name == "warehouses" else value
    return Policy(**found)  # type: ignore[arg-type] # the decoder checked each field
