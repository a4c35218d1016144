"""Owns `holdfast import-stock`: it sends the counts of a file as commands and counts their results."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ops.importing.importer import ImportReport, Job, no_column, run_job
from ops.importing.order_files import DEFAULT_DELIMITER, DEFAULT_ENCODING, open_orders
from ops.importing.order_lines import MissingColumn
from ops.importing.stock_lines import StockColumns, StockPlanner
from schemas.commands import AdjustReason, Bucket


@dataclass(frozen=True, kw_only=True)
class StockPlan:
    """The settings of an import.

    Args:
        path: the file.
        name: the import's name, with which every id begins.
        reason: the reason of each adjust.
        columns: the names of the columns.
        delimiter: the character that separates fields.
        encoding: the file's encoding, as Python names it.
        timeout_s: how long to wait without any result before giving up.
    """

    path: Path
    name: str
    reason: AdjustReason = "cycle_count"
    columns: StockColumns = field(default_factory=StockColumns)
    delimiter: str = DEFAULT_DELIMITER
    encoding: str = DEFAULT_ENCODING
    timeout_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class StockReport:
    """The counts of an import of counted stock. `units` are the sums of the usable lines, by bucket."""

    sent: ImportReport
    units: Counter[Bucket]

    @property
    def ok(self) -> bool:
        """Return whether every line was used, and every count was accepted and answered exactly once."""
        return self.sent.ok and not self.sent.tally.refused

    def as_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        tally = self.sent.tally
        return {
            "name": self.sent.name,
            "lines": self.sent.lines,
            "unusable_lines": self.sent.unusable_lines,
            "commands": tally.commands,
            "accepted": tally.accepted,
            "refused": dict(sorted(tally.refused.items())),
            "replayed": tally.replayed,
            "missing": tally.unanswered,
            "doubled": tally.doubled,
            "units": dict(self.units),
            "seconds": round(self.sent.seconds, 3),
            "ok": self.ok,
        }


async def import_stock(plan: StockPlan, *, bootstrap: str) -> StockReport:
    """Send a file's counts and wait for all their results.

    Args:
        plan: the settings.
        bootstrap: `HOST:PORT,...` of the brokers.

    Returns:
        The counts of the results, and the sums.

    Raises:
        CannotDo: the file cannot be read, Kafka or the workers are away, or no result came for too long. Start the same
            import again then: commands that were applied are not applied again.
    """
    with open_orders(plan.path, delimiter=plan.delimiter, encoding=plan.encoding) as file:
        try:
            planner = StockPlanner(name=plan.name, reason=plan.reason, columns=plan.columns, header=file.header)
        except MissingColumn as error:
            raise no_column(file, error) from error
        job = Job(name=plan.name, timeout_s=plan.timeout_s, complaints=None)
        sent = await run_job(job, file, planner.steps, bootstrap=bootstrap)
    return StockReport(sent=sent, units=planner.units)
