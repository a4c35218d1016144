"""Owns the reference data: the commands that set warehouses, channels and feeds, and the documents they become.

A reference command has no SKU. It is sent to every partition, and what is in force does not depend on the order in
which it comes there: the greatest (version, command_id, content) wins.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from schemas.fields import (
    MAX_INTERVAL_MS,
    MAX_QUANTITY,
    Actor,
    ChannelOrAll,
    Identifier,
    IssuedAt,
    Place,
    Priority,
    Source,
    Text,
    TimeMs,
    Version,
)
from schemas.policies import POLICY_FIELDS, PolicyCommand, PolicyDocument

MAX_JOURNAL_MS = 7 * 24 * 60 * 60 * 1000
DEFAULT_PRIORITY = 100
# Senders hold these limits; a worker does not, or sends that cross would leave the partitions different for good.
MAX_WAREHOUSES = 10_000
MAX_CHANNELS = 1_000
MAX_FEEDS = 100

Feed = Identifier
JournalMs = Annotated[int, Meta(ge=0, le=MAX_JOURNAL_MS)]
IntervalMs = Annotated[int, Meta(ge=1, le=MAX_INTERVAL_MS)]
RowCount = Annotated[int, Meta(ge=0, le=MAX_QUANTITY)]
OfVersion = Annotated[Version, Meta(description="A greater one replaces a smaller one, whenever either comes.")]
Name = Annotated[Text, Meta(description="For readers only.")]
OfId = Annotated[str, Meta(description="What it is of.")]
InForce = Annotated[int, Meta(description="The version in force.")]
SetBy = Annotated[str, Meta(description="The command that set it.")]
SetAt = Annotated[int, Meta(description="The partition's clock then, ms since the Unix epoch.")]
OfName = Annotated[str, Meta(description="For readers only.")]


class _ReferenceCommand(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """What every reference command carries."""

    command_id: Annotated[Identifier, Meta(description="Names the command; of two with one version the greater wins.")]
    issued_at: IssuedAt | None = None
    actor: Actor | None = None
    source: Source | None = None


class SetWarehouse(_ReferenceCommand, tag="set_warehouse"):
    """Say what a warehouse is; a warehouse nobody set is enabled, with priority 100."""

    warehouse: Annotated[Place, Meta(description="Which warehouse.")]
    version: OfVersion
    enabled: Annotated[bool, Meta(description="Whether anything may be allocated to it. Default: true.")] | None = None
    priority: Annotated[Priority, Meta(description="Lower goes first. Default: 100.")] | None = None
    region: Annotated[Place, Meta(description="Where it lies.")] | None = None
    journal_ms: (
        Annotated[JournalMs, Meta(description="How long its movements are kept for reconciliation. Default: 0.")] | None
    ) = None
    name: Name | None = None


class SetChannel(PolicyCommand, tag="set_channel"):
    """Set the policy of a channel for every SKU, as a whole: a field that is not given falls back."""

    channel: Annotated[ChannelOrAll, Meta(description="Which channel; `*`: all that do not give a field themselves.")]
    version: OfVersion
    name: Name | None = None


class SetFeed(_ReferenceCommand, tag="set_feed"):
    """Say how far a feed of counts has come."""

    feed: Annotated[Feed, Meta(description="Which feed.")]
    version: OfVersion
    as_of_at: Annotated[TimeMs, Meta(description="The time that its last counts are of (ms).")]
    interval_ms: Annotated[IntervalMs, Meta(description="How often it comes (ms).")]
    rows: Annotated[RowCount, Meta(description="Rows that were sent. Default: 0.")] | None = None
    refused: Annotated[RowCount, Meta(description="Rows among them that were refused. Default: 0.")] | None = None


ReferenceCommand = SetWarehouse | SetChannel | SetFeed
REFERENCE_COMMAND_TYPES: tuple[type[ReferenceCommand], ...] = (SetWarehouse, SetChannel, SetFeed)


def name_of(command: ReferenceCommand) -> str:
    """Return what a reference command sets: `warehouse/ID`, `channel/ID` or `feed/ID`, the key of its records."""
    if isinstance(command, SetWarehouse):
        return f"warehouse/{command.warehouse}"
    if isinstance(command, SetChannel):
        return f"channel/{command.channel}"
    return f"feed/{command.feed}"


class Warehouse(msgspec.Struct, tag_field="kind", tag="warehouse", gc=False):
    """A warehouse as it is in force in one partition."""

    id: OfId
    version: InForce
    command_id: SetBy
    at: SetAt
    enabled: Annotated[bool, Meta(description="Whether anything may be allocated to it.")]
    priority: Annotated[int, Meta(description="Lower goes first.")]
    region: Annotated[str, Meta(description="Where it lies.")] | None
    journal_ms: Annotated[int, Meta(description="How long its movements are kept; 0: not.")]
    name: OfName | None
    journal_since: Annotated[int, Meta(description="Since when its journal is complete; null without one.")] | None


class Channel(PolicyDocument, tag="channel"):
    """A channel as it is in force in one partition, with the policy fields that were given."""

    id: OfId
    version: InForce
    command_id: SetBy
    at: SetAt
    name: OfName | None


class FeedState(msgspec.Struct, tag_field="kind", tag="feed", gc=False):
    """A feed of counts as it is known in one partition."""

    id: OfId
    version: InForce
    command_id: SetBy
    at: SetAt
    as_of_at: Annotated[int, Meta(description="The time that its last counts are of.")]
    interval_ms: Annotated[int, Meta(description="How often it comes.")]
    rows: Annotated[int, Meta(description="Rows that were sent.")]
    refused: Annotated[int, Meta(description="Rows among them that were refused.")]


class SkuPolicy(PolicyDocument, tag="policy"):
    """The policy of a channel for one SKU, with the fields that were given."""

    channel: Annotated[str, Meta(description="Which channel; `*`: all.")]
    sku: Annotated[str, Meta(description="For which SKU.")]
    at: SetAt


Reference = Warehouse | Channel | FeedState | SkuPolicy
OfEverySku = Warehouse | Channel | FeedState

_CONTENT = {
    "warehouse": ("enabled", "priority", "region", "journal_ms", "name"),
    "channel": ("name", *POLICY_FIELDS),
    "feed": ("as_of_at", "interval_ms", "rows", "refused"),
}
_encode = msgspec.msgpack.Encoder().encode


def version_of(name: str, it: Any) -> tuple[int, str, bytes]:
    """Return what decides which of two documents, or rows, of one name is in force: the greater one is.

    It has all that a command gives, so two of one rank differ at most by the clocks of their partitions.

    Args:
        name: `warehouse/ID`, `channel/ID` or `feed/ID`.
        it: the document, or the ledger's row.
    """
    given = (getattr(it, field) for field in _CONTENT[name.partition("/")[0]])
    return it.version, it.command_id, _encode([None if value is UNSET else value for value in given])


def command_of(document: OfEverySku) -> ReferenceCommand:
    """Return the command that a document is of. Sent again it changes nothing where it is in force."""
    version, command_id = document.version, document.command_id
    if isinstance(document, FeedState):
        return SetFeed(
            feed=document.id,
            as_of_at=document.as_of_at,
            interval_ms=document.interval_ms,
            rows=document.rows,
            refused=document.refused,
            version=version,
            command_id=command_id,
        )
    if isinstance(document, Channel):
        given: dict[str, Any] = {name: getattr(document, name) for name in POLICY_FIELDS}
        given = {name: value for name, value in given.items() if value is not UNSET}
        return SetChannel(channel=document.id, name=document.name, version=version, command_id=command_id, **given)
    return SetWarehouse(
        warehouse=document.id,
        enabled=document.enabled,
        priority=document.priority,
        region=document.region,
        journal_ms=document.journal_ms,
        name=document.name,
        version=version,
        command_id=command_id,
    )
