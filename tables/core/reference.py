"""Owns the decision of a reference command: what is in force after it, whatever the order in which they come."""

from typing import Any

from schemas.codec import encode
from schemas.codes import Code
from schemas.commands import tag_of
from schemas.policies import POLICY_FIELDS
from schemas.reference import (
    DEFAULT_PRIORITY,
    Channel,
    FeedState,
    Reference,
    ReferenceCommand,
    SetChannel,
    SetWarehouse,
    Warehouse,
    name_of,
    version_of,
)
from schemas.results import Result
from tables.core.decision import Beside, Decision, Record
from tables.core.register import Register
from tables.core.rows import ChannelRow, FeedRow, ReferenceRow, WarehouseRow, reference_key
from tables.core.views import given_fields


def decide_reference(register: Register, command: ReferenceCommand, record: Record) -> Decision:
    """Decide a reference command: the greatest (version, command_id, content) is in force.

    It takes effect in whatever partition it is. It is not remembered: what is in force is its memory.

    Args:
        register: what is in force before it.
        command: the command.
        record: its place and the clock.
    """
    name, row = name_of(command), _proposed(command, record.now_ms)
    held = register.find(name)
    rank = version_of(name, row)
    if held is not None and version_of(name, held) > rank:
        return Decision("", _result(command, record, name, held, Code.STALE_VERSION))
    if held is not None and version_of(name, held) == rank:
        return Decision("", _result(command, record, name, held))
    if isinstance(row, WarehouseRow):
        row = _with_journal(row, held, record.now_ms)
    published = ((name.encode(), encode(reference_document(name, row))),)
    result = _result(command, record, name, row)
    beside = Beside(in_force=(name, row), reference=published)
    return Decision("", result, None, (), ((reference_key(name), row),), [], beside)


def _proposed(command: ReferenceCommand, now_ms: int) -> ReferenceRow:
    """Return the row that a command would put in force, with defaults filled in."""
    c = command
    if isinstance(c, SetWarehouse):
        enabled = True if c.enabled is None else c.enabled
        priority = DEFAULT_PRIORITY if c.priority is None else c.priority
        journal_ms = c.journal_ms or 0
        return WarehouseRow(c.version, c.command_id, now_ms, enabled, priority, c.region, journal_ms, c.name, None)
    if isinstance(c, SetChannel):
        return ChannelRow(c.version, c.command_id, now_ms, c.name, *given_policy(c))
    return FeedRow(c.version, c.command_id, now_ms, c.as_of_at, c.interval_ms, c.rows or 0, c.refused or 0)


def given_policy(command: Any) -> tuple[Any, ...]:
    """Return the policy fields of a command in their order, None where it does not give one."""
    given = [getattr(command, name) for name in POLICY_FIELDS]
    return tuple(tuple(value) if isinstance(value, list) else value for value in given)


def _with_journal(row: WarehouseRow, held: ReferenceRow | None, now_ms: int) -> WarehouseRow:
    """Return the row with the time since when its journal is complete: any change of `journal_ms` begins it anew."""
    if not row.journal_ms:
        return row
    goes_on = isinstance(held, WarehouseRow) and held.journal_ms == row.journal_ms
    since = held.journal_since if goes_on and isinstance(held, WarehouseRow) else now_ms
    return WarehouseRow(
        row.version, row.command_id, row.at, row.enabled, row.priority, row.region, row.journal_ms, row.name, since
    )


def reference_document(name: str, row: ReferenceRow) -> Reference:
    """Return a row as it is published and shown.

    Args:
        name: `warehouse/ID`, `channel/ID` or `feed/ID`.
        row: the row in force.
    """
    _, _, id_ = name.partition("/")
    head = (id_, row.version, row.command_id, row.at)
    if isinstance(row, WarehouseRow):
        return Warehouse(*head, row.enabled, row.priority, row.region, row.journal_ms, row.name, row.journal_since)
    if isinstance(row, ChannelRow):
        return Channel(*head, row.name, **given_fields(row))
    return FeedState(*head, row.as_of_at, row.interval_ms, row.rows, row.refused)


def _result(
    command: ReferenceCommand, record: Record, name: str, in_force: ReferenceRow, code: Code | None = None
) -> Result:
    result = Result(
        command.command_id,
        tag_of(type(command)),
        "",
        "accepted" if code is None else "rejected",
        code,
        False,
        None,
        [],
        False,
        0,
        record.now_ms,
        record.partition,
        record.offset,
    )
    result.reference = reference_document(name, in_force)
    return result
