"""Owns `holdfast audit`: runs the audit with a progress bar and prints its report."""

import sys

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID

from audit.problems import CannotAudit
from audit.report import Report, render, to_json
from audit.run import Progress, audit
from ops.cluster import connect
from ops.problems import FOUND_WRONG, CannotDo
from ops.screen import progress


async def run_audit(*, bootstrap: str, wait_s: float, as_json: bool) -> int:
    """Audit a cluster and print the report.

    Returns:
        The exit code: 1 when something differs.

    Raises:
        CannotDo: no Kafka answers, or what is there cannot be audited.
    """
    report = await audited(bootstrap, wait_s=wait_s)
    if as_json:
        sys.stdout.write(to_json(report).decode() + "\n")
    else:
        Console().print(render(report))
    return 0 if report.equal else FOUND_WRONG


async def audited(bootstrap: str, *, wait_s: float) -> Report:
    """Audit a cluster with a progress bar on standard error.

    Raises:
        CannotDo: no Kafka answers, or what is there cannot be audited.
    """
    async with connect(bootstrap):
        pass  # the audit's own reader would try for long before it says that nobody is there
    with progress() as bar:
        tasks: dict[int, TaskID] = {}

        def show(at: Progress) -> None:
            if at.partition not in tasks:
                tasks[at.partition] = bar.add_task(f"partition {at.partition}", total=at.end, note="")
            _update(bar, tasks[at.partition], at)

        try:
            return await audit(bootstrap, wait_s=wait_s, progress=show)
        except CannotAudit as error:
            raise CannotDo(f"the audit could not be made: {error}") from error


def _update(bar: Bar, task: TaskID, at: Progress) -> None:
    bar.update(task, total=at.end, completed=at.offset, note=f"{at.stage}, {at.offset:,} of {at.end:,} commands")
