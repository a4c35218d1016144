"""Owns the comparison of one partition: its commands through the model, everything published against what that says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from audit.changes import COMPACTION_LAG_MS, ChangeStream
from audit.formats import DEAD_LETTER, RESULT
from audit.model import Model
from audit.report import Compared, Difference, PartitionReport
from audit.rows import POSITION, Ledger, compare_rows
from audit.streams import Record, Stream
from schemas.topics import DEAD_LETTERS, RESULTS, STOCK_CHANGES

OUTPUTS = (RESULTS, STOCK_CHANGES, DEAD_LETTERS)


class Source(Protocol):
    """One partition of one topic, to be read once from its beginning to an end that was fixed beforehand."""

    done: bool

    async def read(self) -> Sequence[Record]:
        """Give the next records, possibly none; `done` is true with the last."""


class Output(Protocol):
    """What takes the records of one output topic: `Stream`, or `ChangeChecks`."""

    wanted_done: bool
    found_done: bool

    @property
    def found(self) -> Iterable[Record]:
        """The records not yet compared."""

    @property
    def hungry(self) -> bool:
        """Whether more records should be read before `match`."""

    def add(self, records: Iterable[Record]) -> None:
        """Take records."""

    def match(self) -> None:
        """Compare as far as can be decided."""

    def finish(self) -> None:
        """Say what is left over."""


class Comparison(Protocol):
    """What `compare_partition` feeds: `ModelComparison`, or `TrimmedComparison` when the log has lost its beginning."""

    position: int
    outputs: Mapping[str, Output]

    def apply(self, commands: Iterable[Record]) -> int | None:
        """Take commands; the last one's offset, or None without any."""

    def finish(self) -> None:
        """Compare what is left, and complete the report; everything has been read."""


async def compare_partition(
    comparison: Comparison,
    commands: Source,
    outputs: Mapping[str, Source],
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Read all sources side by side through a comparison, in memory that does not grow with the logs.

    Commands beyond the ledger's position are read only as far as outputs of them are there already: a running ledger
    has gone on since its position was read.

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
    """Compares a partition whose whole log is there with what the model makes of it.

    Args:
        report: of the partition; completed by `finish`.
        partitions: of every topic.
        ledger: the changelog's last values.
        heads_missing: the output topics that have lost their beginning.
        now_ms: the time of day, to know what may have been compacted away.
    """

    def __init__(
        self,
        report: PartitionReport,
        partitions: int,
        ledger: Ledger,
        *,
        heads_missing: Iterable[str] = (),
        now_ms: int,
    ) -> None:
        self.report = report
        self.position = ledger.next_offset or 0
        self._ledger = ledger
        self._model = Model(report.partition, partitions)
        self._commands = 0
        self._rows: int | None = None  # compared when the model stands where the ledger stands
        missing = frozenset(heads_missing)
        self._results = Stream(RESULT, report, self.position, head_missing=RESULTS in missing)
        self._letters = Stream(DEAD_LETTER, report, self.position, head_missing=DEAD_LETTERS in missing)
        self._changes = ChangeStream(
            report,
            self.position,
            head_missing=STOCK_CHANGES in missing,
            compactable_until=now_ms - COMPACTION_LAG_MS,
        )
        self.outputs: Mapping[str, Output] = {
            RESULTS: self._results,
            STOCK_CHANGES: self._changes,
            DEAD_LETTERS: self._letters,
        }

    def apply(self, commands: Iterable[Record]) -> int | None:
        """Take commands through the model; what it expects waits in the streams."""
        model, position = self._model, self.position
        results, changes, letters = self._results.wanted, self._changes.wanted, self._letters.wanted
        offset = None
        for record in commands:
            offset = record.offset
            if offset >= position:
                self._compare_rows()
            else:
                self._commands += 1
            expected = model.apply(offset, record.timestamp, record.key, record.value)
            for result in expected.results:
                results.append((offset, result))
            for change in expected.stock_changes:
                changes.append((offset, change))
            for letter in expected.dead_letters:
                letters.append((offset, letter))
        return offset

    def finish(self) -> None:
        """Compare the rows if that is still to be done, and write down the counts."""
        self._compare_rows()
        report = self.report
        report.lost += self._results.lost
        report.doubled += self._results.doubled
        report.compared = Compared(
            commands=self._commands,
            results=self._results.compared,
            stock_changes=self._changes.compared,
            dead_letters=self._letters.compared,
            rows=self._rows or 0,
        )

    def _compare_rows(self) -> None:
        if self._rows is not None:
            return
        self._rows = compare_rows(self._model.rows(), self._ledger, self.report)
        if self._ledger.next_offset is None:
            return
        self._rows += 1
        expected, found = ([self.position, now_ms] for now_ms in (self._model.now, self._ledger.now_ms))
        if expected != found:
            self.report.add(
                Difference(
                    kind="row",
                    what="altered",
                    partition=self.report.partition,
                    key=POSITION.decode(),
                    expected=expected,
                    found=found,
                )
            )
