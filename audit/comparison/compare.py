"""Owns the comparison of one partition: its commands go through the model, and everything published is compared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from audit.checkpoint import State, fingerprint
from audit.comparison.changes import COMPACTION_LAG_MS, ChangeStream, CompactedStream
from audit.comparison.formats import DEAD_LETTER, REFERENCE_RECORD, RESULT
from audit.comparison.invariants import check_oversold, check_sequence, check_state
from audit.comparison.rows import POSITION, LedgerSnapshot, compare_rows, digest_rows
from audit.comparison.streams import Record, Stream
from audit.model.oracle import Model
from audit.model.parts import Outputs
from audit.report.report import Compared, Difference, Digested, Digests, PartitionReport
from audit.unpacking import UnreadBatch
from schemas.topics import DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES

OUTPUTS = (RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE)


class Source(Protocol):
    """One partition of one topic, to be read once, from its beginning to a fixed end."""

    done: bool

    async def read(self) -> Sequence[Record]:
        """Return the next records, possibly none; `done` is true with the last."""


class Output(Protocol):
    """The receiver of one output topic's records: a `Stream`, `ChangeChecks` or `ReferenceChecks`."""

    wanted_done: bool
    found_done: bool

    @property
    def found(self) -> Iterable[Record]:
        """The records not yet compared."""

    @property
    def hungry(self) -> bool:
        """Whether more records should be read before `match`."""

    def add(self, records: Iterable[Record]) -> None:
        """Add records."""

    def match(self) -> None:
        """Compare as much as can be decided."""

    def finish(self) -> None:
        """Report what is left."""


class Comparison(Protocol):
    """A comparison for `compare_partition`: `ModelComparison`, or `TrimmedComparison` if the log lost its beginning."""

    position: int
    outputs: Mapping[str, Output]

    def apply(self, commands: Sequence[Record]) -> int | None:
        """Apply commands; return the offset of the last, None without commands."""

    def finish(self) -> None:
        """Compare the rest and complete the report; everything has been read."""


async def compare_partition(
    comparison: Comparison,
    commands: Source,
    outputs: Mapping[str, Source],
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Read all sources in parallel through a comparison, in memory that does not grow with the logs.

    Commands after the ledger's position are read only while outputs of them exist: a running ledger has gone on since
    its position was read.

    Args:
        comparison: completed on return.
        commands: of `inventory.commands`.
        outputs: by topic.
        progress: called with the offset up to which commands are compared.
    """
    passed = False
    while not (commands.done or (passed and _all_matched(comparison))):
        last = comparison.apply(await commands.read())
        if last is not None:
            passed = last >= comparison.position
            progress(last + 1)
        await _match_outputs(comparison, outputs)
    for output in comparison.outputs.values():
        output.wanted_done = True
    await _match_outputs(comparison, outputs)
    for output in comparison.outputs.values():
        output.finish()
    comparison.finish()


async def _match_outputs(comparison: Comparison, sources: Mapping[str, Source]) -> None:
    for topic, output in comparison.outputs.items():
        source = sources[topic]
        output.found_done = source.done
        output.match()
        while output.hungry:
            output.add(await source.read())
            output.found_done = source.done
            output.match()


def _all_matched(comparison: Comparison) -> bool:
    return all(output.found_done and not output.found for output in comparison.outputs.values())


class ModelComparison:
    """Compares a partition with the model, from its beginning or from the end of an earlier audit.

    Args:
        report: the partition's report; `finish` completes it.
        state: the model before the first command, and the digests so far.
        ledger: the changelog's last values.
        heads_missing: the output topics that lost their beginning.
        now_ms: the time of day, to know what compaction may have removed.
        next_offsets: output topic -> the first offset to read.
        at_position: called with the model at the ledger's position.
    """

    def __init__(
        self,
        report: PartitionReport,
        state: State,
        ledger: LedgerSnapshot,
        *,
        heads_missing: Iterable[str] = (),
        now_ms: int,
        next_offsets: Mapping[str, int] | None = None,
        at_position: Callable[[Model], None] | None = None,
    ) -> None:
        self.report = report
        self.position = ledger.next_offset or 0
        self.last_command: str | None = None  # see `fingerprint`
        self._ledger = ledger
        self._model = model = state.model
        self._at_position = at_position
        self._commands = 0
        self._rows: int | None = None  # compared when the model is at the ledger's position
        self._rows_digest = Digested()
        self._sequences = self._skus = 0
        begins = next_offsets or {}
        missing = frozenset(heads_missing)
        self.results = Stream(
            RESULT,
            report,
            self.position,
            head_missing=RESULTS in missing,
            digest=state.results,
            next_offset=begins.get(RESULTS, 0),
        )
        self.letters = Stream(
            DEAD_LETTER,
            report,
            self.position,
            head_missing=DEAD_LETTERS in missing,
            next_offset=begins.get(DEAD_LETTERS, 0),
        )
        self.changes = ChangeStream(
            report,
            self.position,
            head_missing=STOCK_CHANGES in missing,
            compactable_until=now_ms - COMPACTION_LAG_MS,
            digest=state.stock_changes,
            next_offset=begins.get(STOCK_CHANGES, 0),
        )
        self.reference = CompactedStream(
            REFERENCE_RECORD,
            report,
            self.position,
            head_missing=REFERENCE in missing,
            compactable_until=now_ms,
            what="reference records",
            next_offset=begins.get(REFERENCE, 0),
        )
        self.outputs: Mapping[str, Any] = {
            RESULTS: self.results,
            STOCK_CHANGES: self.changes,
            DEAD_LETTERS: self.letters,
            REFERENCE: self.reference,
        }
        wanted = (self.results.wanted, self.changes.wanted, self.letters.wanted, self.reference.wanted)
        model.publish_to(Outputs(*wanted))

    def apply(self, commands: Sequence[Record]) -> int | None:
        """Apply commands to the model; the expected records wait in the streams."""
        if not commands:
            return None
        position = self.position
        before = commands if commands[-1].offset < position else [it for it in commands if it.offset < position]
        if before:
            self._fold(before)
            last = before[-1]
            self._commands += len(before)
            self.last_command = fingerprint(last.offset, last.timestamp, last.value)
        if len(before) < len(commands):
            self._compare_rows()
            self._fold(commands[len(before) :])
        return commands[-1].offset

    def _fold(self, commands: Sequence[Record]) -> None:
        batch = commands[0]
        if isinstance(batch, UnreadBatch):  # which comes alone
            self._model.bury_batch(batch.reason, batch.offset, batch.last_offset, batch.timestamp)
            return
        fold = self._model.fold
        for record in commands:
            fold(record.offset, record.timestamp, record.key, record.value)

    def finish(self) -> None:
        """Compare the rows if that was not done yet, and set the counts."""
        self._compare_rows()
        report = self.report
        report.lost += self.results.lost
        report.doubled += self.results.doubled
        report.compared = Compared(
            commands=self._commands,
            results=self.results.compared,
            stock_changes=self.changes.compared,
            dead_letters=self.letters.compared,
            rows=self._rows or 0,
            reference=self.reference.compared,
        )
        changes = self.changes.digest
        report.digests = Digests(
            results=Digested(self.results.digest.count, self.results.digest.hexdigest()),
            stock_changes=Digested(changes.count, changes.hexdigest()),
            rows=self._rows_digest,
        )
        report.invariants.append(check_sequence(changes.count, self._sequences, self._skus))
        report.invariants.append(check_oversold(report.oversold, self.changes.compared))

    def _compare_rows(self) -> None:
        if self._rows is not None:
            return
        model, report = self._model, self.report
        self._rows = compare_rows(model, self._ledger, report)
        rows = digest_rows(model)
        self._rows_digest = Digested(rows.count, rows.hexdigest())
        report.invariants = check_state(model)
        self._skus = len(model.items)
        self._sequences = sum(item.seq for item in model.items.values())
        if self._at_position is not None:
            self._at_position(model)
        if self._ledger.next_offset is None:
            return
        self._rows += 1
        expected, found = ([self.position, now_ms] for now_ms in (model.now, self._ledger.now_ms))
        if expected != found:
            report.add(
                Difference(
                    kind="row",
                    what="altered",
                    partition=report.partition,
                    key=POSITION.decode(),
                    expected=expected,
                    found=found,
                )
            )
