"""Owns what is particular to stock changes: their topic is compacted, and they show an oversell by themselves."""

from typing import Any

from audit.documents import Json
from audit.formats import STOCK_CHANGE, change_key, show_document
from audit.report import Difference, PartitionReport, What
from audit.streams import Record, Stream, parse

# `min.compaction.lag.ms` of the topic: a younger record cannot have been compacted away.
COMPACTION_LAG_MS = 7 * 24 * 60 * 60 * 1000


def oversold(change: Any) -> bool:
    """Whether a stock change is a reserve that made what is available negative."""
    try:
        return bool(change["cause"]["type"] == "reserve" and change["after"]["available"] < 0)
    except (TypeError, KeyError):
        return False


class ChangeStream(Stream):
    """Matches stock changes; one that is missing may have been compacted away when it is old and a later one is there.

    Args:
        report: where differences are added.
        position: the ledger's.
        head_missing: the topic has lost its beginning.
        compactable_until: records up to this time (ms) may have been compacted away.
    """

    def __init__(self, report: PartitionReport, position: int, *, head_missing: bool, compactable_until: int) -> None:
        super().__init__(STOCK_CHANGE, report, position, head_missing=head_missing)
        self.compactable_until = compactable_until
        self.compacted = 0
        self._awaiting: dict[str, list[tuple[int, Json]]] = {}  # missing changes by key, until a later one is seen

    def finish(self) -> None:
        """Say what is left over; a missing change that no later one of its row follows was not compacted away."""
        super().finish()
        for missing in self._awaiting.values():
            for offset, document in missing:
                super()._lose(offset, document)
        if self.compacted:
            self.report.note(f"{self.compacted} stock changes have been compacted away")

    def _matched(self, document: Json) -> None:
        self.compared += 1
        if self._awaiting:
            self.compacted += len(self._awaiting.pop(change_key(document), ()))

    def _part(self) -> bool:
        offset, document = self.wanted[0]
        if document["at"] <= self.compactable_until and _follows(parse(self.found[0].value), document):
            self._lose(offset, document)
            self.wanted.popleft()
            return True
        return super()._part()

    def _lose(self, offset: int, document: Json) -> None:
        if document["at"] <= self.compactable_until:
            self._awaiting.setdefault(change_key(document), []).append((offset, document))
        else:
            super()._lose(offset, document)

    def _alter(self, offset: int, document: Json, record: Record) -> None:
        super()._alter(offset, document, record)
        self._check_oversold(offset, record)

    def _double(self, record: Record) -> None:
        super()._double(record)
        self._check_oversold(None, record)

    def _check_oversold(self, offset: int | None, record: Record) -> None:
        change = show_document(record)
        if oversold(change):
            self.report.oversold += 1
            self.report.add(difference_of(self.report.partition, "oversold", record, change, None, offset))


def _follows(found: Any, document: Json) -> bool:
    """Whether a record that was found can be one that comes after a change that is missing."""
    try:
        return bool(
            found["at"] >= document["at"] and (found["sku"], found["seq"]) != (document["sku"], document["seq"])
        )
    except (TypeError, KeyError):
        return False


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
