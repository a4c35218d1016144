"""Owns the special rules of compacted topics, and of stock changes, which show an oversell."""

from typing import Any

from audit.comparison.digest import Digest
from audit.comparison.formats import STOCK_CHANGE, is_removal, show_document
from audit.comparison.streams import Entry, Format, Record, Stream, document_of, parse
from audit.model.documents import Json
from audit.report.report import Difference, PartitionReport, What

# `min.compaction.lag.ms` of the topic: a younger record cannot have been compacted away.
COMPACTION_LAG_MS = 7 * 24 * 60 * 60 * 1000


_RESERVING = ("reserve", "amend", "reallocate", "fill")
# A fill of announced goods that came asks nothing, so it may leave a row short: its cause says which goods.
_LANDED = "reference"


def oversold(change: Any) -> bool:
    """Return whether a stock change reserves more than there is; an `amend` or `reallocate` may also reserve less.

    A `transfer` may send off what is kept back, but nothing that is reserved.
    """
    try:
        cause, after = change["cause"], change["after"]
        if cause["type"] == "transfer" and change["delta"].get("on_hand", 0) < 0:
            return bool(after["on_hand"] < after["reserved"])
        asks = cause["type"] in _RESERVING and not (cause["type"] == "fill" and _LANDED in cause)
        reserves = asks and change["delta"]["reserved"] > 0
        return bool(reserves and after["available"] < 0)
    except (TypeError, KeyError, AttributeError):
        return False


class CompactedStream(Stream):
    """Matches the records of a compacted topic; a missing old one may be gone if a later one of its key is there.

    Args:
        format_: see `Stream`.
        report: gets the differences.
        position: the ledger's position.
        head_missing: whether the topic has lost its beginning.
        compactable_until: compaction may have removed records up to this time (ms).
        what: the records in words.
        digest: see `Stream`.
        next_offset: see `Stream`.
    """

    def __init__(
        self,
        format_: Format,
        report: PartitionReport,
        position: int,
        *,
        head_missing: bool,
        compactable_until: int,
        what: str,
        digest: Digest | None = None,
        next_offset: int = 0,
    ) -> None:
        super().__init__(format_, report, position, head_missing=head_missing, digest=digest, next_offset=next_offset)
        self.compactable_until = compactable_until
        self.compacted = 0
        self._what = what
        # Missing records by key, until a later one is seen: how many, and the last of them.
        self._awaiting: dict[bytes | None, tuple[int, Entry]] = {}

    def finish(self) -> None:
        """Report what is left. A missing record without a later one of its key was not compacted away."""
        super().finish()
        for count, entry in self._awaiting.values():
            if is_removal(document_of(entry[2])):
                self.compacted += count  # nothing has to be kept for a key whose last record removes it
                continue
            super()._lose(entry)
            self.report.difference_count += count - 1
            self.lost += count - 1
        if self.compacted:
            self.report.note(f"{self.compacted} {self._what} have been compacted away")

    def _matched(self, key: bytes) -> None:
        if self._awaiting and key in self._awaiting:
            self.compacted += self._awaiting.pop(key)[0]

    def _all_matched(self, keys_and_values: list[tuple[bytes, bytes]]) -> None:
        if self._awaiting:
            for key, _ in keys_and_values:
                self._matched(key)

    def _part(self) -> bool:
        document = document_of(self.wanted[0][2])
        if document["at"] <= self.compactable_until and self._follows(self.found[0], document):
            self._lose(self.wanted.pop(0))
            return True
        return super()._part()

    def _follows(self, record: Record, document: Json) -> bool:
        """Return whether a found record can come after a missing one."""
        found = parse(record.value)
        try:
            is_later = record.value is None or found["at"] >= document["at"]
        except (TypeError, KeyError):
            return False
        return is_later and self._id_of(record) != self.format.wanted_id(document)

    def _lose(self, entry: Entry) -> None:
        document = document_of(entry[2])
        if document["at"] > self.compactable_until:
            super()._lose(entry)
            return
        self._digest_expected(entry)
        count = self._awaiting[entry[1]][0] if entry[1] in self._awaiting else 0
        self._awaiting[entry[1]] = (count + 1, entry)


class ChangeStream(CompactedStream):
    """Matches stock changes, and counts oversells; see `CompactedStream`."""

    def __init__(
        self,
        report: PartitionReport,
        position: int,
        *,
        head_missing: bool,
        compactable_until: int,
        digest: Digest | None = None,
        next_offset: int = 0,
    ) -> None:
        super().__init__(
            STOCK_CHANGE,
            report,
            position,
            head_missing=head_missing,
            compactable_until=compactable_until,
            what="stock changes",
            digest=digest,
            next_offset=next_offset,
        )

    def _alter(self, entry: Entry, record: Record) -> None:
        super()._alter(entry, record)
        self._check_oversold(entry[0], record)

    def _double(self, record: Record) -> None:
        super()._double(record)
        self._check_oversold(None, record)

    def _check_oversold(self, offset: int | None, record: Record) -> None:
        change = show_document(record)
        if oversold(change):
            self.report.oversold += 1
            self.report.add(difference_of(self.report.partition, "oversold", record, change, None, offset))


def difference_of(
    partition: int, what: What, record: Record, found: Any, expected: Any, offset: int | None = None
) -> Difference:
    """Report one record of the topic."""
    return Difference(
        kind="stock_change",
        what=what,
        partition=partition,
        offset=offset,
        record_offset=record.offset,
        key=(record.key or b"").decode(errors="backslashreplace"),
        expected=expected,
        found=found,
    )
