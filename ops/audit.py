"""Owns `holdfast audit`: runs the audit with its progress and prints its report."""

import sys
import time
from pathlib import Path

from rich.progress import Progress as Bar
from rich.progress import TaskID

from audit.problems import CannotAudit
from audit.report.page import to_html
from audit.report.report import Report, render, to_json
from audit.run import Progress, audit
from ops.kafka.cluster import connect
from ops.problems import FOUND_WRONG, CannotDo
from ops.screen import print_rich, progress, say

# Without a terminal, a line is written now and then, for the reader of a log.
_LINE_EVERY_S = 30.0


async def run_audit(
    *,
    bootstrap: str,
    wait_s: float,
    as_json: bool,
    checkpoint: Path | None = None,
    html: Path | None = None,
    processes: int | None = None,
) -> int:
    """Audit a cluster and print the report.

    Returns:
        The exit code: 1 when something differs.

    Raises:
        CannotDo: no Kafka answers, the topics cannot be audited, or a file cannot be written.
    """
    if html is not None:
        _write(html, "", mode="a")  # an audit may take an hour: check first that its page can be written
    report = await audited(bootstrap, wait_s=wait_s, checkpoint=checkpoint, processes=processes)
    if html is not None:
        _write(html, to_html(report))
    if as_json:
        sys.stdout.write(to_json(report).decode() + "\n")
    else:
        print_rich(render(report))
    return 0 if report.equal else FOUND_WRONG


async def audited(
    bootstrap: str, *, wait_s: float, checkpoint: Path | None = None, processes: int | None = None
) -> Report:
    """Audit a cluster and show the progress on standard error.

    Raises:
        CannotDo: no Kafka answers, or what is there cannot be audited.
    """
    async with connect(bootstrap):
        pass  # the audit's own reader would try for a long time when Kafka is away
    with progress() as bar:
        show = _Show(bar)
        try:
            return await audit(
                bootstrap, wait_s=wait_s, progress=show.advance, checkpoint=checkpoint, processes=processes
            )
        except CannotAudit as error:
            raise CannotDo(f"the audit could not be made: {error}") from error
        except OSError as error:
            raise CannotDo(f"the checkpoint cannot be written: {error}") from error


class Rate:
    """The rate of compared commands and the time left, over all partitions since the start."""

    def __init__(self) -> None:
        self._places: dict[int, Progress] = {}
        self._since: float | None = None

    def advance(self, at: Progress, now_s: float) -> str:
        """Note one partition's progress; return rate and time left in words."""
        self._places[at.partition] = at
        if self._since is None:
            self._since = now_s
        done = sum(place.offset - place.begin for place in self._places.values())
        left = sum(place.end - place.offset for place in self._places.values())
        seconds = now_s - self._since
        if done <= 0 or seconds <= 0:
            return ""
        return f"{done / seconds:,.0f} commands/s, {_duration(left * seconds / done)} left"


class _Show:
    """Shows progress: bars on a terminal, else a line now and then."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._rate = Rate()
        self._tasks: dict[int, TaskID] = {}
        self._said_at = time.monotonic()

    def advance(self, at: Progress) -> None:
        """Show one partition's progress."""
        if at.partition not in self._tasks:
            self._tasks[at.partition] = self._bar.add_task(f"partition {at.partition}", total=None, note="")
        now = time.monotonic()
        rate = self._rate.advance(at, now) if at.stage == "comparing" else ""
        note = f"{at.stage}, {at.offset:,} of {at.end:,} commands"
        self._bar.update(
            self._tasks[at.partition],
            total=at.end - at.begin,
            completed=at.offset - at.begin,
            note=f"{note}; {rate}" if rate else note,
        )
        if self._bar.disable and now - self._said_at >= _LINE_EVERY_S:
            self._said_at = now
            say(f"partition {at.partition}: {note}{f'; all together {rate}' if rate else ''}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CannotDo(f"{path} cannot be written: {error.strerror or error}") from error
