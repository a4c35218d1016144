"""Owns `holdfast reconcile`: it sends the counts of a feed, sets how far the feed has come, and makes the report."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.exchange import exchange
from ops.importing.importer import Job, run_job
from ops.importing.order_files import DEFAULT_DELIMITER, DEFAULT_ENCODING, OrderFile, open_orders
from ops.importing.order_lines import MissingColumn, Step, Unusable
from ops.problems import CannotDo
from ops.reconciling.feed_lines import FeedPlanner
from ops.reconciling.feed_tally import FeedTally
from ops.reconciling.history import read_history
from ops.reconciling.report import FeedReport, make_report
from ops.reference import read_view, set_in
from ops.times import duration_text
from schemas.fields import MAX_INTERVAL_MS
from schemas.reference import MAX_FEEDS, FeedState, SetFeed

DEFAULT_INTERVAL_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, kw_only=True)
class FeedPlan:
    """The settings of a reconciliation.

    Args:
        path: the file; `-` for standard input.
        feed: the feed's name.
        as_of_at: when it was counted (ms), of rows that do not say so; None when each does.
        as_it_is: whether the rows are held against the ledger as it is when they come.
        tolerance: the most units by which a row may differ; None for any.
        interval_ms: how often the feed comes; None for what is in force, else a day.
        encoding: the file's encoding, as Python names it.
        delimiter: the character between its fields.
        timeout_s: how long to wait without any result before giving up.
    """

    path: Path
    feed: str
    as_of_at: int | None = None
    as_it_is: bool = False
    tolerance: int | None = None
    interval_ms: int | None = None
    encoding: str = DEFAULT_ENCODING
    delimiter: str = DEFAULT_DELIMITER
    timeout_s: float = 60.0


async def reconcile_feed(plan: FeedPlan, *, bootstrap: str) -> FeedReport:
    """Send a feed's counts, wait for all their results, and say in every partition how far the feed has come.

    Args:
        plan: the settings.
        bootstrap: `HOST:PORT,...` of the brokers.

    Returns:
        The report.

    Raises:
        CannotDo: the file cannot be read, Kafka or the workers are away, or no result came for too long. Start the same
            command again then: what was applied is not applied again.
    """
    if (plan.interval_ms or 0) > MAX_INTERVAL_MS:
        raise CannotDo(f"a feed comes at least every {duration_text(MAX_INTERVAL_MS)}; give a shorter `--interval`.")
    known = (await read_view(bootstrap)).feeds()
    if plan.feed not in known and len(known) >= MAX_FEEDS:
        raise CannotDo(f"there are {MAX_FEEDS} feeds, which is the most: {', '.join(known)}")
    interval_ms = plan.interval_ms or (known[plan.feed].interval_ms if plan.feed in known else DEFAULT_INTERVAL_MS)
    now_ms = time.time_ns() // 1_000_000
    with open_orders(plan.path, encoding=plan.encoding, delimiter=plan.delimiter) as file:
        planner, unread = _planner(plan, file, now_ms), list[tuple[int, str]]()
        planner.look_through((file.line, row) for row in file.rows())
        file.rewind()

        def steps_of(_: int, row: list[str]) -> Sequence[Step]:
            try:
                return planner.steps(file.line, row)
            except Unusable as error:
                unread.append((file.line, str(error)))
                raise

        tally = FeedTally(rows=planner.rows)
        job = Job(name=plan.feed, timeout_s=plan.timeout_s, complaints=None, doing="reconciling")
        run = await run_job(job, file, steps_of, bootstrap=bootstrap, tally=tally)
    as_of_at, history, known_later = planner.as_of_at, None, False
    if as_of_at is not None:
        if not tally.unanswered:
            state = _state(plan.feed, tally, as_of_at, interval_ms)
            known_later = await _set_feed(state, bootstrap, plan.timeout_s)
        history = await read_history(bootstrap, planner.rows, tally.found, as_of_at)
    return make_report(
        run,
        tally,
        history,
        as_of_at=as_of_at,
        tolerance=plan.tolerance,
        unread=unread,
        known_later=known_later,
    )


def _planner(plan: FeedPlan, file: OrderFile, now_ms: int) -> FeedPlanner:
    try:
        return FeedPlanner(
            feed=plan.feed,
            header=file.header,
            as_of_at=plan.as_of_at,
            now_ms=now_ms,
            as_it_is=plan.as_it_is,
            tolerance=plan.tolerance,
        )
    except MissingColumn as error:
        hint = "; or name the separator of fields with `--delimiter`" if len(file.header) == 1 else ""
        raise CannotDo(f"{file.path}: {error}. A feed has sku, warehouse and on_hand{hint}.") from error


def _state(feed: str, tally: FeedTally, as_of_at: int, interval_ms: int) -> SetFeed:
    # Of two runs of one feed the later one knows better, so its id is the greater one.
    return SetFeed(
        command_id=f"{time.time_ns() // 1_000_000:013}-{feed}"[:64],
        feed=feed,
        version=as_of_at,
        as_of_at=as_of_at,
        interval_ms=interval_ms,
        rows=tally.rows_sent,
        refused=tally.refused.total(),
    )


async def _set_feed(state: SetFeed, bootstrap: str, timeout_s: float) -> bool:
    """Say in every partition how far a feed has come. Tells whether a later state was known already."""
    async with exchange(bootstrap) as link:
        results = await set_in(link, range(link.partitions), state, timeout_s)
    # Of two runs of one count either may be the later one: that is no later count.
    in_force = [result.reference for result in results]
    return any(isinstance(it, FeedState) and it.version > state.version for it in in_force)
