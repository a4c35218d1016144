"""Owns what a benchmark leaves behind: medians, the JSON document with its machine, the table on the screen."""

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import describe
from ops.screen import progress, say

RESULTS_DIR = Path(__file__).resolve().parent / "results"

Document = dict[str, Any]


class Watcher:
    """Told of every step, it shows how far a benchmark is: a bar for a person, a line each for a file."""

    def __init__(self, name: str, bar: Any, task: Any) -> None:
        self._name = name
        self._bar = bar
        self._task = task

    def steps(self, count: int) -> None:
        """Say how many steps there will be."""
        self._bar.update(self._task, total=count)

    def step(self, text: str) -> None:
        """Begin the next step."""
        if sys.stderr.isatty():
            self._bar.update(self._task, advance=1, note=text)
        else:
            say(f"{self._name}: {text}")


@contextmanager
def watching(name: str) -> Iterator[Watcher]:
    """Show progress during the block."""
    with progress() as bar:
        yield Watcher(name, bar, bar.add_task(name, total=None, note=""))


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a benchmark is run: `quick` only proves that it runs, its figures say nothing."""

    quick: bool
    runs: int


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of a report."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def median(values: Sequence[float], digits: int = 3) -> float:
    """Return the middle one of some values, rounded."""
    return round(statistics.median(values), digits)


def ratio(part: float, whole: float, digits: int = 3) -> float | None:
    """Return part / whole, rounded; None when there is no whole."""
    return round(part / whole, digits) if whole else None


def write(name: str, document: Document, folder: Path) -> Path:
    """Write a benchmark's document, with the machine it ran on, as `NAME.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"benchmark": name, "machine": describe(), **document}, indent=2) + "\n")
    return path
