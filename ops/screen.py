"""Owns the output for people: lines on standard error, tables, progress bars; and for programs on standard output."""

import sys
from collections.abc import Iterable, Sequence

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 400


def say(line: str) -> None:
    """Print one line for people on standard error."""
    typer.echo(line, err=True)


def print_json(document: object) -> None:
    """Print one JSON document as one line on standard output, and flush."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print a table on standard output, numbers aligned right. Text is printed unchanged, never as markup."""
    if title is not None:
        # Not the table's own title, which would be broken at the table's width.
        print_rich(Text(title, style="table.title"))
    rows = [tuple(row) for row in rows]
    table = Table(
        header_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell_text(cell)) for cell in row))
    print_rich(table)


def print_rich(shown: RenderableType) -> None:
    """Print on standard output. Into a pipe every row goes on one line; a terminal decides for itself."""
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(shown)


def cell_text(cell: object) -> str:
    """Return the text of a table's cell: numbers with thousands separators, yes or no, a dash for None."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:,.1f}" if isinstance(cell, float) else str(cell)


def progress() -> Progress:
    """Return a progress bar on standard error whose tasks have a field `note`; without a terminal it shows nothing."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
