"""Owns what a feed's rows came to: their results, and what each count found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from ops.importing.order_lines import Step
from ops.importing.tally import ResultFields, Tally
from ops.reconciling.feed_lines import BUCKETS, CountedRow
from schemas.codes import Code
from schemas.movements import CountedUnits, ReconciliationView


class RowOutcome(ResultFields, gc=False):
    """As much of the result of a `reconcile` as the report needs."""

    reconciliation: ReconciliationView | None = None


_decode = msgspec.json.Decoder(RowOutcome).decode


class Found(msgspec.Struct, kw_only=True, gc=False):
    """A row that differs from the ledger, or that was refused; `drift` is null when the ledger did not compare."""

    line: int
    sku: str
    warehouse: str
    as_of_at: int
    code: Code | None
    since: int | None = None
    ledger: CountedUnits | None = None
    counted: CountedUnits
    drift: CountedUnits | None = None


def units_by_bucket(units: CountedUnits) -> dict[str, int]:
    """Return the units that were counted, by bucket."""
    given = ((name, getattr(units, name)) for name in BUCKETS)
    return {name: number for name, number in given if isinstance(number, int)}


def drifts(found: Found) -> bool:
    """Return whether a row differs from the ledger."""
    return found.drift is not None and any(units_by_bucket(found.drift).values())


@dataclass(kw_only=True)
class FeedTally(Tally):
    """Counts the results of a feed's rows, and keeps those that drift or are refused.

    Args:
        rows: the rows that were sent, by the ids of their commands; filled by who makes the commands.
    """

    rows: Mapping[str, CountedRow]
    prefix: str = ""
    found: list[Found] = field(default_factory=list)
    _sent: set[str] = field(default_factory=set)

    @property
    def rows_sent(self) -> int:
        """Return how many rows were sent, those that are twice in the feed included."""
        return self.commands + self.sent_again

    @property
    def adjusted(self) -> int:
        """Return how many rows changed the ledger, now or when they were sent before."""
        return sum(it.code is None for it in self.found)

    def sent(self, steps: Iterable[Step]) -> None:
        """Count commands before they are sent; a row that is twice in the feed is the same command again."""
        for step in steps:
            if step.command_id in self._sent:
                self.sent_twice(step.command_id)
            else:
                self._sent.add(step.command_id)
                super().sent([step])

    def receive_result(self, value: bytes) -> bool:
        """Count a result, and return whether it is that of a row."""
        answer = _decode(value)
        row = self.rows.get(answer.command_id or "")
        if row is None or answer.command_id is None:
            return False
        if self.take(answer.command_id, answer):
            self._keep(row, answer)
        return True

    def _take_another(self, command_id: str, outcome: ResultFields) -> None:
        # An answer from memory to a command that this run sent once: another run of the same feed sent it too.
        if not outcome.replayed or self._again[command_id]:
            super()._take_another(command_id, outcome)

    def _keep(self, row: CountedRow, answer: RowOutcome) -> None:
        found = Found(
            line=row.line,
            sku=row.sku,
            warehouse=row.warehouse,
            as_of_at=row.as_of_at,
            code=answer.code,
            counted=CountedUnits(**row.counted),
        )
        if (view := answer.reconciliation) is not None:
            found.as_of_at, found.since, found.ledger, found.drift = view.as_of_at, view.since, view.ledger, view.drift
        if answer.code is not None or drifts(found):
            self.found.append(found)
