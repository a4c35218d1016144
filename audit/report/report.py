"""Owns the report of an audit: its text for people and its JSON for programs."""

from typing import Any, Literal

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Kind = Literal["command", "result", "stock_change", "reference", "dead_letter", "row"]
What = Literal["lost", "doubled", "reordered", "altered", "oversold"]

# Enough to see the pattern; further differences are only counted.
MAX_DIFFERENCES = 100
MAX_SHOWN = 400  # characters of a document in the text for people
_UNBOUNDED = 10_000  # columns: wider than any table


class Difference(msgspec.Struct, kw_only=True):
    """One difference between a published record or row and the expected one.

    Args:
        kind: what kind of record differs.
        what: `lost` (expected, not published), `doubled` (published, not expected), `reordered` (published, but not in
            its place), `altered` (published with other content), `oversold` (a reserve made available negative).
        partition: the partition, the same in all topics.
        offset: of the command in `inventory.commands`, where it is known.
        record_offset: of the published record in its own topic, where there is one.
        key: the record's key; for a row with its letter.
        expected: the expected document or row, or None.
        found: the found one, or None.
        command: the command's record, if it is known and still exists.
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
    """How many records of each kind were compared; `commands` counts those that the model applied."""

    commands: int = 0
    results: int = 0
    stock_changes: int = 0
    dead_letters: int = 0
    rows: int = 0
    reference: int = 0


class Digested(msgspec.Struct):
    """A SHA-256 (hexadecimal, see `audit/comparison/digest.py`), and over how many records."""

    count: int = 0
    sha256: str = ""


class Digests(msgspec.Struct):
    """The digests of a partition from the log's beginning to the ledger's position, earlier audits included.

    They are over the expected results and stock changes, with the found record in place of one that differs, and over
    the expected rows. So two audits without differences have equal digests exactly when everything was equal.
    """

    results: Digested = msgspec.field(default_factory=Digested)
    stock_changes: Digested = msgspec.field(default_factory=Digested)
    rows: Digested = msgspec.field(default_factory=Digested)


class Invariant(msgspec.Struct):
    """A statement that must be true after any commands; `checked` is the number of rows, SKUs or changes."""

    name: str
    holds: bool
    checked: int
    note: str = ""


class PartitionReport(msgspec.Struct, kw_only=True):
    """One partition: offsets of `inventory.commands` from `log_start` to `log_end` (at the audit's start).

    The comparison began at `begin`: the log's start, or the offset of the checkpoint.
    Commands below `position` are applied; `pending` counts those after it. `lost` counts applied commands without a
    result, `doubled` results without a command, `oversold` reserves that made available negative. When `complete` is
    false, something could not be checked, and `notes` says what and why.
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
        """Count a difference, and keep it if there is room; return whether it is kept."""
        self.difference_count += 1
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)
            return True
        return False

    def note(self, sentence: str) -> None:
        """Note what could not be checked, and why."""
        self.complete = False
        self.notes.append(sentence)


class Report(msgspec.Struct, kw_only=True):
    """The whole audit. `equal`: all that could be compared is equal. `complete`: everything could be compared."""

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
    cpu_seconds: float = 0.0  # of all its processes; unlike `seconds` it does not depend on the machine's other work
    made_at: int = 0  # ms
    bootstrap: str | None = None
    cluster: str | None = None
    checkpoint: str | None = None


def sum_up(partitions: list[PartitionReport], seconds: float) -> Report:
    """Return one report from the partitions' reports."""
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
    """Return the report as text for people: the verdict, the partitions, what could not be checked, what differs."""
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
        f"{compared.dead_letters:,} dead letters, {compared.reference:,} reference records, {compared.rows:,} rows "
        f"in {report.seconds:.1f} s "
        f"({report.commands_per_s:,.0f} commands/s, {report.cpu_seconds:.1f} s of processor)"
    )
    counts = f"lost {report.lost:,}, doubled {report.doubled:,}, oversold {report.oversold:,}"
    pending = f", {report.pending:,} commands not yet applied" if report.pending else ""
    if not report.equal:
        return Text(f"DIFFERENT: {report.difference_count:,} differences; {counts}{pending}. {what}", style="bold red")
    everything = "all that was published is" if report.complete else "all that could be checked is"
    return Text(f"EQUAL: {everything} what the log demands; {counts}{pending}. {what}", style="bold green")


# The columns of the partitions' table, in groups: a narrow window gets one table per group.
_GROUPS = (
    ("commands", "position", "pending"),
    ("results", "changes"),
    ("dead letters", "reference", "rows"),
    ("lost", "doubled", "oversold", "differences"),
)


class _PartitionsTable:
    """A row per partition, in one table or in several below each other; no number is ever cut."""

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
        "reference": compared.reference,
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
        # As `Text`: a key or a document may have characters that rich takes for markup.
        table.add_row(it.kind, it.what, *places, Text(it.key or ""), both)
    return table


def _number(offset: int | None) -> str:
    return "-" if offset is None else str(offset)


def _short(document: Any) -> str:
    text = "-" if document is None else msgspec.json.encode(document).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
