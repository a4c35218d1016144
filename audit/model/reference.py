"""Owns the register of reference data: the warehouses, channels and feeds in force in one partition."""

from typing import Any, NamedTuple

from audit.model.documents import ROW_VERSION, Json, encode_row
from audit.model.policies import POLICY_FIELDS, PolicyAsSet, WarehouseInForce

_WAREHOUSE_FIELDS = ("enabled", "priority", "region", "journal_ms", "name")
_FEED_FIELDS = ("as_of_at", "interval_ms", "rows", "refused")
# The command's type -> the kind of record, and its fields after the version.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "set_warehouse": ("warehouse", _WAREHOUSE_FIELDS),
    "set_channel": ("channel", ("name", *POLICY_FIELDS)),
    "set_feed": ("feed", _FEED_FIELDS),
}
# The defaults of fields that have one; policy fields have none here.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "set_warehouse": {"enabled": True, "priority": 100, "journal_ms": 0},
    "set_channel": {},
    "set_feed": {"rows": 0, "refused": 0},
}


class ReferenceRecord(NamedTuple):
    """A warehouse, channel or feed in force: what the command said, defaults filled in, and when it was applied."""

    type: str
    id: str
    version: int
    command_id: str
    at: int
    values: tuple[Any, ...]
    journal_since: int | None = None

    @property
    def key(self) -> str:
        """The key of its record in `inventory.reference`."""
        return f"{KINDS[self.type][0]}/{self.id}"

    @property
    def named(self) -> Json:
        """Its fields after the version, by name."""
        return dict(zip(KINDS[self.type][1], self.values, strict=True))

    def rank(self) -> tuple[int, bytes, bytes]:
        """Return what decides which of two commands counts: the greater one does."""
        content = (self.type, self.id, self.version, *self.values)
        return self.version, self.command_id.encode(), encode_row(content)

    def document(self) -> Json:
        """Return the value of its record in `inventory.reference`."""
        kind, _ = KINDS[self.type]
        document: Json = {"kind": kind, "id": self.id, "version": self.version, "command_id": self.command_id}
        document["at"] = self.at
        for name, value in self.named.items():
            if value is not None or kind != "channel" or name == "name":  # of a policy, only what was given
                document[name] = value
        if kind == "warehouse":
            document["journal_since"] = self.journal_since
        return document

    def row(self) -> tuple[bytes, bytes]:
        """Return its row of the ledger, as (key, value)."""
        values = (*self.values, self.journal_since) if self.type == "set_warehouse" else self.values
        return f"K\0{self.key}".encode(), encode_row((ROW_VERSION, self.version, self.command_id, self.at, *values))


class Register:
    """The reference records in force in a partition, by their key."""

    def __init__(self) -> None:
        self.records: dict[str, ReferenceRecord] = {}
        self.warehouses: dict[str, WarehouseInForce] = {}  # what the records say about them
        self.has_journals = False  # whether a warehouse was ever journalled

    def put(self, type_: str, command: Any, now_ms: int) -> tuple[ReferenceRecord, bool, bool]:
        """Apply a reference command.

        Returns:
            The record in force after it, whether the command was accepted, and whether it replaced the one in force.
        """
        kind, names = KINDS[type_]
        given = [getattr(command, name) for name in names]
        defaults = _DEFAULTS[type_]
        values = tuple(defaults.get(name) if value is None else value for name, value in zip(names, given, strict=True))
        new = ReferenceRecord(type_, getattr(command, kind), command.version, command.command_id, now_ms, values)
        old = self.records.get(new.key)
        if old is not None and new.rank() <= old.rank():
            return old, new.rank() == old.rank(), False
        if kind == "warehouse":
            new = new._replace(journal_since=_journal_since(old, new))
        self.add(new)
        return new, True, True

    def add(self, record: ReferenceRecord) -> None:
        """Put a record in force."""
        self.records[record.key] = record
        if record.type == "set_warehouse":
            enabled, priority, region, journal_ms, _ = record.values
            rules = WarehouseInForce(enabled, priority, region, journal_ms, record.journal_since)
            self.warehouses[record.id] = rules
            self.has_journals = self.has_journals or journal_ms > 0

    def channel(self, channel: str) -> PolicyAsSet | None:
        """Return the policy fields of a channel, or of `*`; None when it was not set."""
        record = self.records.get(f"channel/{channel}")
        return None if record is None else record.values[1:]


def _journal_since(old: ReferenceRecord | None, new: ReferenceRecord) -> int | None:
    """Return since when a warehouse is journalled; every change of `journal_ms` begins the journal anew."""
    journal_ms = new.named["journal_ms"]
    if old is not None and old.named["journal_ms"] == journal_ms:
        return old.journal_since
    return new.at if journal_ms else None
