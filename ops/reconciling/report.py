"""Owns the report of a reconciled feed, as JSON and as text for people."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from ops.importing.importer import ImportReport
from ops.reconciling.feed_lines import CountedRow
from ops.reconciling.feed_tally import FeedTally, Found, drifts, units_by_bucket
from ops.reconciling.history import History, MovedBy, UnnamedRow
from ops.screen import cell_text
from ops.stock import time_text
from schemas.codes import Code
from schemas.movements import CountedUnits

NO_MOVEMENT = "no movement since the last count"


class Refused(msgspec.Struct):
    """A row that was refused."""

    line: int
    sku: str
    warehouse: str
    code: Code


class UnknownRow(msgspec.Struct):
    """A row of the feed that the ledger did not have."""

    line: int
    sku: str
    warehouse: str
    counted: CountedUnits


class Unread(msgspec.Struct):
    """A line that could not be used, and why."""

    line: int
    problem: str


class Drift(Found, kw_only=True, gc=False):
    """A row that differs from the ledger, and what moved it since its last count."""

    moved: list[MovedBy]


class DriftOf(msgspec.Struct):
    """The drift of a warehouse: rows counted, rows that differ, units found more and units missing."""

    rows: int = 0
    drifting: int = 0
    more: int = 0
    less: int = 0


class CauseOf(msgspec.Struct):
    """The drift of the rows that a cause moved since their last count; a row may have several causes."""

    drifting: int = 0
    more: int = 0
    less: int = 0


class FeedReport(msgspec.Struct, kw_only=True):
    """What a feed came to.

    Args:
        feed: its name.
        as_of_at: the time of its latest count (ms); null without any.
        tolerance: the most units by which a row might differ; null for any.
        lines: rows of the file; each is sent, or it is in `unread`.
        sent: rows that were sent: all usable ones.
        repeated: rows among them that are in the feed before, letter for letter.
        accepted: rows that were accepted, with or without drift.
        adjusted: rows among them that changed the ledger, now or when they were sent before.
        refused: the number of refused rows, by code.
        replayed: rows that were answered from memory: they had been sent before.
        missing: rows without a result.
        doubled: rows with two results.
        drift: drift by warehouse.
        causes: drift by what moved the rows since their last count.
        drifts: the rows that differ, those with the most units first.
        refusals: the rows that were refused.
        not_in_feed: stock rows with units that the feed does not name.
        not_in_ledger: rows of the feed that the ledger did not have.
        unread: lines that could not be used.
        feed_is_known_later: whether a later count of the feed is known: this one was late.
        seconds: how long it took.
        ok: whether every line was used, and every row was answered exactly once, and accepted unless a count as late is
            known (`stale_count`).
    """

    feed: str
    as_of_at: int | None
    tolerance: int | None
    lines: int
    sent: int
    repeated: int
    accepted: int
    adjusted: int
    refused: dict[str, int]
    replayed: int
    missing: int
    doubled: int
    drift: dict[str, DriftOf]
    causes: dict[str, CauseOf]
    drifts: list[Drift]
    refusals: list[Refused]
    not_in_feed: list[UnnamedRow]
    not_in_ledger: list[UnknownRow]
    unread: list[Unread]
    feed_is_known_later: bool
    seconds: float
    ok: bool


def make_report(
    run: ImportReport,
    tally: FeedTally,
    history: History | None,
    *,
    as_of_at: int | None,
    tolerance: int | None,
    unread: Sequence[tuple[int, str]],
    known_later: bool,
) -> FeedReport:
    """Return the report of a run.

    Args:
        run: the counts of the run; its name is the feed's.
        tally: what its rows came to.
        history: what the stock changes tell; None when no row was sent.
        as_of_at: the time of the latest count (ms).
        tolerance: as in the report.
        unread: the lines that could not be used, and why.
        known_later: whether a later count of the feed was known.
    """
    found = [_drift(it, history) for it in tally.found if drifts(it)]
    found.sort(key=lambda it: (-_weight(it), it.line))
    return FeedReport(
        feed=run.name,
        as_of_at=as_of_at,
        tolerance=tolerance,
        lines=run.lines,
        sent=tally.rows_sent,
        repeated=tally.sent_again,
        accepted=tally.accepted,
        adjusted=tally.adjusted,
        refused=dict(sorted(tally.refused.items())),
        replayed=tally.replayed,
        missing=tally.unanswered,
        doubled=tally.doubled,
        drift=_by_warehouse(tally.rows.values(), found),
        causes=_by_cause(found),
        drifts=found,
        refusals=[Refused(it.line, it.sku, it.warehouse, it.code) for it in tally.found if it.code is not None],
        not_in_feed=history.not_in_feed() if history else [],
        not_in_ledger=[_unknown(row) for row in history.not_in_ledger()] if history else [],
        unread=[Unread(line, problem) for line, problem in unread],
        feed_is_known_later=known_later,
        seconds=round(run.seconds, 3),
        ok=run.ok and tally.commands > 0 and tally.refused.keys() <= {Code.STALE_COUNT},
    )


def _drift(found: Found, history: History | None) -> Drift:
    return Drift(**msgspec.structs.asdict(found), moved=history.moved(found) if history else [])


def _unknown(row: CountedRow) -> UnknownRow:
    return UnknownRow(row.line, row.sku, row.warehouse, CountedUnits(**row.counted))


def _signed(drift: Drift) -> tuple[int, int]:
    """Return the units that a row has more than the ledger, and less."""
    units = [] if drift.drift is None else units_by_bucket(drift.drift).values()
    return sum(it for it in units if it > 0), -sum(it for it in units if it < 0)


def _weight(drift: Drift) -> int:
    return sum(_signed(drift))


def _by_warehouse(rows: Iterable[CountedRow], found: Iterable[Drift]) -> dict[str, DriftOf]:
    by: defaultdict[str, DriftOf] = defaultdict(DriftOf)
    for row in rows:
        by[row.warehouse].rows += 1
    for it in found:
        _add(by[it.warehouse], it)
    return dict(sorted(by.items()))


def _by_cause(found: Iterable[Drift]) -> dict[str, CauseOf]:
    by: defaultdict[str, CauseOf] = defaultdict(CauseOf)
    for it in found:
        for cause in [moved.cause for moved in it.moved] or [NO_MOVEMENT]:
            _add(by[cause], it)
    return dict(sorted(by.items(), key=lambda item: (-item[1].more - item[1].less, item[0])))


def _add(to: DriftOf | CauseOf, drift: Drift) -> None:
    more, less = _signed(drift)
    to.drifting += 1
    to.more += more
    to.less += less


def summary(report: FeedReport) -> list[tuple[str, object]]:
    """Return the rows of the table for people."""
    seldom = (
        ("twice in the feed", report.repeated),
        ("answered from memory: sent before", report.replayed),
        ("lines that could not be used", len(report.unread)),
        ("without a result", report.missing),
        ("answered twice", report.doubled),
        ("stock rows that the feed does not name", len(report.not_in_feed)),
        ("rows that the ledger did not have", len(report.not_in_ledger)),
    )
    return [
        ("feed", report.feed),
        ("counted", None if report.as_of_at is None else time_text(report.as_of_at)),
        ("rows", report.sent),
        ("accepted", report.accepted),
        ("adjusted", report.adjusted),
        *((f"refused: {code}", count) for code, count in report.refused.items()),
        *(row for row in seldom if row[1]),
        ("seconds", round(report.seconds, 1)),
    ]


def warehouses(report: FeedReport) -> list[tuple[object, ...]]:
    """Return the rows of the table of drift by warehouse."""
    return [(name, it.rows, it.drifting, it.more, it.less) for name, it in report.drift.items()]


def buckets_text(units: CountedUnits | None) -> str:
    """Return counted units in words: `on_hand 97, damaged 1`."""
    given = {} if units is None else units_by_bucket(units)
    return ", ".join(f"{name} {cell_text(number)}" for name, number in given.items()) or "-"


def drift_text(units: CountedUnits | None) -> str:
    """Return a drift in words, with signs and without what does not differ: `on_hand -3`."""
    given = {} if units is None else units_by_bucket(units)
    return ", ".join(f"{name} {number:+,}" for name, number in given.items() if number) or "-"


def moved_text(moved: Iterable[MovedBy]) -> str:
    """Return what moved a row in words: `commit 12 (on_hand -31), adjust: receipt 1 (on_hand +40)`."""
    return (
        ", ".join(
            f"{it.cause} {it.changes:,} ({', '.join(f'{name} {units:+,}' for name, units in it.units.items())})"
            for it in moved
        )
        or "-"
    )
