"""Owns what an audit says: the report, its text for people and its JSON for programs."""

from typing import Any, Literal

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Kind = Literal["command", "result", "stock_change", "dead_letter", "row"]
What = Literal["lost", "doubled", "reordered", "altered", "oversold"]

# Enough to see the pattern; the counts go on.
MAX_DIFFERENCES = 100
MAX_SHOWN = 400  # characters of a document in the text for people
_UNBOUNDED = 10_000  # columns: wider than any table


class Difference(msgspec.Struct, kw_only=True):
    """One place where what was published is not what the log demands.

    Args:
        kind: what kind of record differs.
        what: `lost` (expected, not published), `doubled` (published, not expected), `reordered` (published, but not in
            its place), `altered` (published with other content), `oversold` (a reserve made available negative).
        partition: of all topics alike.
        offset: of the command in `inventory.commands`, where it is known.
        record_offset: of the published record in its own topic, where there is one.
        key: the record's key, for a row with its prefix.
        expected: the document or row that should be there, or None.
        found: the one that is there, or None.
        command: the command's own record, where it is known and still there.
    """

    kind: Kind
    what: What
    partition: int
    offset: int | None = None
    record_offset: int | None = None
    key: str | None = None
    expected: Any = None
    found: Any = None
    command: Any = None


class Compared(msgspec.Struct):
    """How many records of each kind were compared; `commands` were applied by the model."""

    commands: int = 0
    results: int = 0
    stock_changes: int = 0
    dead_letters: int = 0
    rows: int = 0


class Digested(msgspec.Struct):
    """A SHA-256 (hexadecimal, see `audit/comparison/digest.py`) over so many records."""

    count: int = 0
    sha256: str = ""


class Digests(msgspec.Struct):
    """The digests of a partition from the log's beginning to the ledger's position, those of earlier audits included.

    Results and stock changes are taken as the log demands them, with what was found in place of one that differs; rows
    as they should be. So two audits that found no difference have the same digests exactly when all was the same.
    """

    results: Digested = msgspec.field(default_factory=Digested)
    stock_changes: Digested = msgspec.field(default_factory=Digested)
    rows: Digested = msgspec.field(default_factory=Digested)


class Invariant(msgspec.Struct):
    """Something that must be true whatever the commands were; `checked` is of how many rows, SKUs or changes."""

    name: str
    holds: bool
    checked: int
    note: str = ""


class PartitionReport(msgspec.Struct, kw_only=True):
    """One partition: offsets of `inventory.commands` from `log_start` to `log_end` (at the audit's start).

    The comparison began at `begin`: the log's start, or where the checkpoint stood that it went on from.
    Commands below `position` are applied, the `pending` ones are not yet. `lost` are commands applied without their
    result, `doubled` results that no command accounts for, `oversold` reserves that made available negative. Not
    `complete`: something could not be checked, and `notes` says what and why.
    """

    partition: int
    log_start: int
    log_end: int
    position: int
    begin: int = 0
    pending: int = 0
    compared: Compared = msgspec.field(default_factory=Compared)
    lost: int = 0
    doubled: int = 0
    oversold: int = 0
    difference_count: int = 0
    differences: list[Difference] = []
    complete: bool = True
    notes: list[str] = []
    digests: Digests | None = None
    invariants: list[Invariant] = []

    @property
    def sound(self) -> bool:
        """Whether nothing differs, and all invariants hold."""
        return self.difference_count == 0 and all(invariant.holds for invariant in self.invariants)

    def add(self, difference: Difference) -> bool:
        """Count a difference; it is kept, and true returned, if there is room."""
        self.difference_count += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)
            return True
        return False

    def note(self, sentence: str) -> None:
        """Say that, and why, something could not be checked."""
        self.complete = False
        self.notes.append(sentence)


class Report(msgspec.Struct, kw_only=True):
    """The whole audit. `equal` is the verdict on all that could be compared, `complete` says whether that was all."""

    equal: bool
    complete: bool
    compared: Compared
    pending: int
    lost: int
    doubled: int
    oversold: int
    difference_count: int
    differences: list[Difference]
    notes: list[str]
    partitions: list[PartitionReport]
    seconds: float
    commands_per_s: float
    cpu_seconds: float = 0.0  # of all its processes: unlike `seconds` it does not depend on what else the machine does
    made_at: int = 0  # ms
    bootstrap: str | None = None
    cluster: str | None = None
    checkpoint: str | None = None


def sum_up(partitions: list[PartitionReport], seconds: float) -> Report:
    """Make one report of all partitions' reports."""
    compared = Compared(
        **{name: sum(getattr(part.compared, name) for part in partitions) for name in Compared.__struct_fields__}
    )
    totals = {
        name: sum(getattr(part, name) for part in partitions)
        for name in ("pending", "lost", "doubled", "oversold", "difference_count")
    }
    return Report(
        equal=all(part.sound for part in partitions),
        complete=all(part.complete for part in partitions),
        compared=compared,
        differences=[difference for part in partitions for difference in part.differences][:MAX_DIFFERENCES],
        notes=[f"partition {part.partition}: {note}" for part in partitions for note in part.notes],
        partitions=[msgspec.structs.replace(part, differences=[]) for part in partitions],
        seconds=round(seconds, 3),
        commands_per_s=round(compared.commands / seconds, 1) if seconds else 0.0,
        **totals,
    )


def to_json(report: Report) -> bytes:
    """Return the report as one JSON object; bytes in it (dead letters) are base64."""
    return msgspec.json.encode(report)


def render(report: Report) -> RenderableType:
    """Return the report as a person reads it: the verdict, the partitions, what could not be checked, what differs."""
    parts: list[RenderableType] = [_verdict(report), _PartitionsTable(report.partitions)]
    parts += [Text(f"note: {note}", style="yellow") for note in report.notes]
    parts += [
        Text(f"partition {part.partition}: violated: {it.name}: {it.note}", style="red")
        for part in report.partitions
        for it in part.invariants
        if not it.holds
    ]
    if report.differences:
        parts.append(_differences_table(report))
        if (more := report.difference_count - len(report.differences)) > 0:
            parts.append(Text(f"... and {more:,} more differences"))
    return Group(*parts)


def _verdict(report: Report) -> Text:
    compared = report.compared
    what = (
        f"{compared.commands:,} commands, {compared.results:,} results, {compared.stock_changes:,} stock changes, "
        f"{compared.dead_letters:,} dead letters, {compared.rows:,} rows in {report.seconds:.1f} s "
        f"({report.commands_per_s:,.0f} commands/s, {report.cpu_seconds:.1f} s of processor)"
    )
    counts = f"lost {report.lost:,}, doubled {report.doubled:,}, oversold {report.oversold:,}"
    pending = f", {report.pending:,} commands not yet applied" if report.pending else ""
    if not report.equal:
        return Text(f"DIFFERENT: {report.difference_count:,} differences; {counts}{pending}. {what}", style="bold red")
    everything = "all that was published is" if report.complete else "all that could be checked is"
    return Text(f"EQUAL: {everything} what the log demands; {counts}{pending}. {what}", style="bold green")


# The columns of the partitions' table, in the groups into which it is parted where it is too wide for one.
_GROUPS = (
    ("commands", "position", "pending"),
    ("results", "changes", "dead letters", "rows"),
    ("lost", "doubled", "oversold", "differences"),
)


class _PartitionsTable:
    """A line per partition in one table, or in several below each other: no number is ever cut."""

    def __init__(self, partitions: list[PartitionReport]) -> None:
        self._partitions = partitions

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._table(*_GROUPS)
        if Measurement.get(console, options.update(width=_UNBOUNDED), whole).maximum <= options.max_width:
            yield whole
        else:
            yield from map(self._table, _GROUPS)

    def _table(self, *groups: tuple[str, ...]) -> Table:
        table = Table("partition", box=None)
        for name in (name for group in groups for name in group):
            table.add_column(name, justify="right", no_wrap=True)
        for part in self._partitions:
            numbers = _numbers_of(part)
            table.add_row(str(part.partition), *(numbers[name] for group in groups for name in group))
        return table


def _numbers_of(part: PartitionReport) -> dict[str, str]:
    compared = part.compared
    numbers = {
        "position": part.position,
        "pending": part.pending,
        "results": compared.results,
        "changes": compared.stock_changes,
        "dead letters": compared.dead_letters,
        "rows": compared.rows,
        "lost": part.lost,
        "doubled": part.doubled,
        "oversold": part.oversold,
        "differences": part.difference_count,
    }
    span = f"{max(part.begin, part.log_start)}..{part.log_end}"
    return {"commands": span} | {name: f"{number:,}" for name, number in numbers.items()}


def _differences_table(report: Report) -> Table:
    table = Table()
    for name in ("kind", "what", "partition", "command", "record"):
        table.add_column(name, no_wrap=True)
    for name in ("key", "command / expected / found"):
        table.add_column(name, overflow="fold")
    for it in report.differences:
        documents = (it.command, it.expected, it.found)
        both = Text("\n".join(_short(document) for document in documents))
        places = (str(it.partition), _number(it.offset), _number(it.record_offset))
        # As texts: a key or a document may hold what rich takes for markup.
        table.add_row(it.kind, it.what, *places, Text(it.key or ""), both)
    return table


def _number(offset: int | None) -> str:
    return "-" if offset is None else str(offset)


def _short(document: Any) -> str:
    text = "-" if document is None else msgspec.json.encode(document).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
