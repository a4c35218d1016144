"""Owns `holdfast import-stock`: a file of counted stock goes through the ledger, and each result is counted."""

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
    """What to import, and how.

    Args:
        path: the file.
        name: the import's name, the beginning of every id.
        reason: the reason of each adjust.
        columns: which column holds what.
        delimiter: what separates the fields of a line.
        encoding: how the file's text is encoded, as Python names it.
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
    """What became of an import of counted stock. `units` are those that the usable lines give, by bucket."""

    sent: ImportReport
    units: Counter[Bucket]

    @property
    def ok(self) -> bool:
        """Tell whether every line was used and every count was accepted, and answered exactly once."""
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
        plan: what and how.
        bootstrap: `HOST:PORT,...` of the brokers.

    Returns:
        The count of results, and the sums.

    Raises:
        CannotDo: the file cannot be read, Kafka or the workers are away, or no result came for too long. Running the
            same import again then goes on where it stopped, because what was applied is not applied again.
    """
    with open_orders(plan.path, delimiter=plan.delimiter, encoding=plan.encoding) as file:
        try:
            planner = StockPlanner(name=plan.name, reason=plan.reason, columns=plan.columns, header=file.header)
        except MissingColumn as error:
            raise no_column(file, error) from error
        job = Job(name=plan.name, timeout_s=plan.timeout_s, complaints=None)
        sent = await run_job(job, file, planner.steps, bootstrap=bootstrap)
    return StockReport(sent=sent, units=planner.units)
