"""Owns the check of reference records against the ledger's rows, for a log that has lost its beginning."""

from collections.abc import Iterable
from typing import Any

import msgspec

from audit.comparison.formats import show_document
from audit.comparison.rows import LedgerSnapshot, read_row, show_key
from audit.comparison.streams import Record, canonical, parse
from audit.model.book import policy_document
from audit.model.documents import ROW_VERSION, Json
from audit.model.policies import POLICY_FIELDS, policy_as_set
from audit.model.reference import KINDS, ReferenceRecord, Register
from audit.report.report import Difference, PartitionReport, What
from schemas.commands import Command, SetPolicy, tag_of
from schemas.reference import Reference, ReferenceCommand

_POLICY = b"policy/"


class ReferenceChecks:
    """Takes the records of `inventory.reference` like a `Stream`, and compares the last of each key with its row.

    Compaction keeps the last record of a key for ever, here and in the changelog, so this needs no log. While the
    ledger runs, the topic may be ahead of the rows: a record may also be what a command after the position demands.

    Args:
        report: gets the differences.
        ledger: the rows to compare with.
    """

    def __init__(self, report: PartitionReport, ledger: LedgerSnapshot) -> None:
        self.report = report
        self.wanted_done = self.found_done = False
        self.found: list[Record] = []  # last records that nothing demands so far
        self._now_ms = self._ledger_now_ms = ledger.now_ms
        self._last: dict[bytes, Record] = {}
        self._matched = self._news = False
        self._register = Register()
        self._of_row: dict[bytes, Json] = {}
        self._later: dict[bytes, list[Json | None]] = {}  # what commands after the position demand; None: a removal
        self._unreadable: set[bytes] = set()
        for key, value in ledger.rows.items():
            if key[:1] == b"K" and value is not None:
                self._take_row(key, read_row(value))

    @property
    def hungry(self) -> bool:
        """Whether there is more to read."""
        return not self.found_done

    @property
    def compared(self) -> int:
        """How many records were compared: the last of each key."""
        return len(self._last)

    @property
    def rows_compared(self) -> int:
        """How many rows were compared."""
        return len(self._of_row) + len(self._unreadable)

    def advance(self, timestamp_ms: int) -> None:
        """Move the clock with a record of the log that is after the ledger's position."""
        self._now_ms = max(self._now_ms, timestamp_ms)

    def expect(self, command: Command) -> None:
        """Note what a command after the ledger's position demands."""
        if isinstance(command, ReferenceCommand):
            record, _, replaced = self._register.put(tag_of(type(command)), command, self._now_ms)
            if replaced:
                self._expect(record.key, record.document())
        elif isinstance(command, SetPolicy):
            sku, channel, policy = command.sku, command.channel, policy_as_set(command)
            given = any(value is not None for value in policy)
            document = policy_document(sku, channel, policy, self._now_ms) if given else None
            self._expect(f"policy/{channel}/{sku}", document)

    def add(self, records: Iterable[Record]) -> None:
        """Keep the last record of each key."""
        for record in records:
            self._last[record.key or b""] = record

    def match(self) -> None:
        """Find the last records that differ; the rest of the log may still demand them."""
        if self.found_done and (self._news or not self._matched):
            records = self.found if self._matched else self._last.values()
            self.found = [record for record in records if not self._is_demanded(record)]
            self._matched, self._news = True, False

    def finish(self) -> None:
        """Report what differs; the whole topic has been read."""
        self.match()
        for record in self.found:
            wanted = self._of_row.get(record.key or b"")
            self._say("doubled" if wanted is None else "altered", record.key or b"", wanted, record)
        for key, wanted in self._of_row.items():
            if key not in self._last:
                self._say("lost", key, wanted, None)

    def _take_row(self, key: bytes, row: Any) -> None:
        sku, _, name = key[1:].decode(errors="backslashreplace").partition("\0")
        of_record = (f"policy/{name}/{sku}" if sku else name).encode()
        try:
            if sku:
                self._of_row[of_record] = _policy_of(sku, name, row)
            else:
                record = _record_of(name, row)
                self._of_row[of_record] = record.document()
                self._register.add(record)
        except (TypeError, ValueError, msgspec.ValidationError):
            self._unreadable.add(of_record)
            self.report.add(
                Difference(kind="row", what="altered", partition=self.report.partition, key=show_key(key), found=row)
            )

    def _expect(self, key: str, document: Json | None) -> None:
        self._later.setdefault(key.encode(), []).append(document)
        self._news = True

    def _is_demanded(self, record: Record) -> bool:
        key = record.key or b""
        if key in self._unreadable:
            return True  # its row is a difference already
        later = self._later.get(key, ())
        if record.value is None:
            return (key not in self._of_row and key.startswith(_POLICY)) or None in later
        found = parse(record.value)
        wanted = self._of_row.get(key)
        if wanted is not None and "at" not in wanted and self._may_be_of_row(found):
            wanted = wanted | {"at": found["at"]}
        said = canonical(found)
        return any(document is not None and said == canonical(document) for document in (wanted, *later))

    def _may_be_of_row(self, found: Any) -> bool:
        """Return whether a policy's record has a time that its row, which has none, allows."""
        at = found.get("at") if isinstance(found, dict) else None
        return type(at) is int and at <= self._ledger_now_ms

    def _say(self, what: What, key: bytes, wanted: Json | None, record: Record | None) -> None:
        difference = Difference(
            kind="reference",
            what=what,
            partition=self.report.partition,
            record_offset=None if record is None else record.offset,
            key=key.decode(errors="backslashreplace"),
            expected=wanted,
            found=None if record is None else show_document(record),
        )
        self.report.add(difference)


def _policy_of(sku: str, channel: str, row: Any) -> Json:
    """Return a policy as its record shows it, but for the time, which a row does not have.

    Raises:
        TypeError, ValueError, msgspec.ValidationError: the row is not laid out as documented.
    """
    layout, *policy = row
    if layout != ROW_VERSION or len(policy) != len(POLICY_FIELDS):
        raise ValueError(f"no row of a policy: {row}")
    document = policy_document(sku, channel, tuple(policy), at=0)
    msgspec.convert(document, Reference)
    del document["at"]
    return document


def _record_of(name: str, row: Any) -> ReferenceRecord:
    """Return the warehouse, channel or feed of a row.

    Raises:
        TypeError, ValueError, msgspec.ValidationError: the row is not laid out as documented.
    """
    kind, _, id_ = name.partition("/")
    type_ = f"set_{kind}"
    layout, version, command_id, at, *values = row
    if layout != ROW_VERSION or type_ not in KINDS:
        raise ValueError(f"no row of reference data: {name}")
    journal_since = values.pop() if kind == "warehouse" and values else None
    record = ReferenceRecord(type_, id_, version, command_id, at, tuple(values), journal_since)
    msgspec.convert(record.document(), Reference)
    return record
