"""Owns the checks of a partition whose log has lost its beginning, so that its state cannot be rebuilt."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from audit.comparison.change_checks import ChangeChecks
from audit.comparison.changes import COMPACTION_LAG_MS
from audit.comparison.compare import Output
from audit.comparison.formats import DEAD_LETTER, RESULT
from audit.comparison.reference_checks import ReferenceChecks
from audit.comparison.rows import LedgerSnapshot
from audit.comparison.streams import Record, Stream, parse
from audit.model.documents import Json
from audit.report.report import Compared, PartitionReport
from audit.unpacking import UnreadBatch
from schemas.codec import Unreadable, decode_command
from schemas.commands import Tick
from schemas.dead_letters import DeadLetter
from schemas.reference import ReferenceCommand
from schemas.topics import DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES


def _same(answer: Json, record: Record) -> bool:
    result = parse(record.value)
    try:
        answers = result["offset"] == answer["offset"] or result["replayed"] is True
        return bool(answers and _found_id(record) == _wanted_id(answer) and record.key == answer["sku"].encode())
    except (TypeError, KeyError):
        return False


def _wanted_id(answer: Json) -> tuple[Any, Any]:
    return answer["sku"], answer["command_id"]


def _found_id(record: Record) -> tuple[Any, Any]:
    result = parse(record.value)
    try:
        return result["sku"], result["command_id"]
    except (TypeError, KeyError):
        return "unreadable", record.offset


# A result is identified by its command; its content cannot be computed without the state.
_ANSWER = RESULT._replace(same=_same, wanted_id=_wanted_id, found_id=_found_id)


_UNSOLICITED = ("expire", "fill", "promise")


class _Results(Stream):
    """Matches results with commands one to one, without results of lost commands and unsolicited ones."""

    def add(self, records: Iterable[Record]) -> None:
        start = self.report.log_start
        for record in records:
            result = parse(record.value)
            if isinstance(result, dict):
                unsolicited = result.get("command_id") is None and result.get("type") in _UNSOLICITED
                offset = result.get("offset")
                earlier = isinstance(offset, int) and offset < start and result.get("replayed") is not True
                if unsolicited or earlier:
                    continue
            self.found.append(record)


class _Letters(Stream):
    """Matches dead letters, without those of lost commands."""

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            offset = self.format.offset(record)
            if offset is None or offset >= self.report.log_start:
                self.found.append(record)


class TrimmedComparison:
    """Compares results and dead letters with the remaining commands, and checks stock changes among themselves.

    Reference records are compared with the ledger's rows, which have all that is in force.

    Args:
        report: the partition's report; `finish` completes it.
        ledger: the changelog's last values.
        heads_missing: the output topics that lost their beginning.
        now_ms: the time of day, to know what compaction may have removed.
    """

    def __init__(
        self, report: PartitionReport, ledger: LedgerSnapshot, *, heads_missing: Iterable[str] = (), now_ms: int
    ) -> None:
        self.report = report
        self.position = ledger.next_offset or 0
        self._commands = 0
        missing = frozenset(heads_missing)
        # A replayed result near the new beginning may answer an earlier command; the first other result shows the
        # place.
        self._results = _Results(_ANSWER, report, self.position, head_missing=True)
        self._letters = _Letters(DEAD_LETTER, report, self.position, head_missing=DEAD_LETTERS in missing)
        self._changes = ChangeChecks(
            report,
            ledger,
            compactable_until=now_ms - COMPACTION_LAG_MS,
            head_missing=STOCK_CHANGES in missing,
        )
        self._reference = ReferenceChecks(report, ledger)
        self.outputs: Mapping[str, Output] = {
            RESULTS: self._results,
            STOCK_CHANGES: self._changes,
            DEAD_LETTERS: self._letters,
            REFERENCE: self._reference,
        }
        report.note(
            f"the log begins at offset {report.log_start}: the state cannot be rebuilt from it. Checked instead: "
            "a result for every command, the sequence and arithmetic of stock changes, stock rows against them, and "
            "reference data against its rows"
        )

    def apply(self, commands: Sequence[Record]) -> int | None:
        """Add commands; the streams wait for the result of each."""
        offset = None
        for record in commands:
            offset = record.offset
            is_later = offset >= self.position
            self._commands += not is_later
            if is_later:
                self._reference.advance(record.timestamp)
            if isinstance(record, UnreadBatch):
                self._expect_letter_of_batch(record)
                continue
            try:
                command = decode_command(record.value)
            except Unreadable as unreadable:
                code, field = unreadable.code.value, unreadable.field
                reason = code if field is None else f"{code}:{field}"
                letter = DeadLetter.of(record.key, record.value, reason, partition=self.report.partition, offset=offset)
                self._letters.wanted.append((offset, letter.key, msgspec.structs.asdict(letter)))
                if unreadable.sku is not None:
                    self._expect(offset, unreadable.command_id, unreadable.sku)
            else:
                if is_later:
                    self._reference.expect(command)
                if not isinstance(command, Tick):
                    sku = "" if isinstance(command, ReferenceCommand) else command.sku
                    self._expect(offset, command.command_id, sku)
        return offset

    def finish(self) -> None:
        """Set the counts."""
        self.report.lost += self._results.lost
        self.report.doubled += self._results.doubled
        self.report.compared = Compared(
            commands=self._commands,
            results=self._results.compared,
            stock_changes=self._changes.compared,
            dead_letters=self._letters.compared,
            rows=self._changes.rows_compared + self._reference.rows_compared,
            reference=self._reference.compared,
        )

    def _expect_letter_of_batch(self, batch: UnreadBatch) -> None:
        # The letter of a batch whose beginning is lost is left out too: it has the batch's first offset.
        if batch.offset >= self.report.log_start:
            letter = DeadLetter.of_batch(batch.reason, batch.offset, batch.last_offset, partition=self.report.partition)
            self._letters.wanted.append((batch.offset, None, msgspec.structs.asdict(letter)))

    def _expect(self, offset: int, command_id: str | None, sku: str) -> None:
        answer = {"sku": sku, "command_id": command_id, "offset": offset}
        self._results.wanted.append((offset, sku.encode(), answer))
