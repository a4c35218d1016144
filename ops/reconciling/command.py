"""Owns the options of `holdfast reconcile` and the printing of its report."""

# ruff: noqa: PLC0415 - see ops/cli.py

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.importing.command import Delimiter, Encoding
from ops.options import DEFAULT_BOOTSTRAP, Bootstrap, Json
from ops.problems import FOUND_WRONG, CannotDo

if TYPE_CHECKING:
    from ops.reconciling.report import FeedReport

AS_IT_IS = "now"
_SHOWN = 20
_HINTS = {
    "drift_above_tolerance": "to apply what is above the tolerance, send the same file with a wider one",
    "as_of_too_old": "as_of_too_old: the warehouse has no journal, or none that reaches back to the count: "
    "set its `journal_ms`, and send counts sooner",
    "stale_count": "stale_count: a count as late is known; what the rows found was not applied",
}


def reconcile_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FEED.csv|-", help="A CSV file with a header, also compressed (`.gz`); `-` is standard input."
        ),
    ],
    feed: Annotated[str, typer.Option(help="The feed's name, the same each time it comes.")],
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME|now",
            help="When it was counted (ISO 8601 or ms), where a row does not say so; `now`: what is there now.",
        ),
    ] = None,
    tolerance: Annotated[
        int | None,
        typer.Option(
            min=0, max=1_000_000_000, help="Refuse rows that differ by more units; 0 only reports. Default: any."
        ),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="How often the feed comes, such as `24h`; default: as before, else a day.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the report to this file: JSON if `.json`, else a page.")
    ] = None,
    encoding: Encoding = "utf-8-sig",
    delimiter: Delimiter = ",",
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait without any result.")] = 60,
    as_json: Json = False,
) -> None:
    """Bring the counts of a warehouse system into the ledger, as of the time at which they were made.

    Columns: sku, warehouse, on_hand, and as they are there damaged, quarantine, as_of. What differs from the ledger as
    of that time is added to the row as it is now. After an interruption, or when a feed comes twice, just send it
    again; with `--as-of now` only while nothing has moved. The exit code is 1 when a line could not be used, or a row
    was not answered exactly once, or refused (but for `stale_count`: a count as late is known).

    Example: `holdfast reconcile wms.csv --feed wms-leeds --as-of 2026-11-27T02:00:00Z --tolerance 5 --report wms.html`
    """
    from ops.reconciling.feed import FeedPlan, reconcile_feed
    from ops.times import duration_ms, time_ms

    _check_name(feed)
    as_it_is = as_of == AS_IT_IS
    plan = FeedPlan(
        path=file,
        feed=feed,
        as_of_at=None if as_of is None or as_it_is else time_ms(as_of),
        as_it_is=as_it_is,
        tolerance=tolerance,
        interval_ms=None if interval is None else duration_ms(interval),
        encoding=encoding,
        delimiter=delimiter,
        timeout_s=timeout_s,
    )
    if report is not None:
        _write(report, b"", mode="ab")  # a feed may take minutes: check first that its report can be written
    made = asyncio.run(reconcile_feed(plan, bootstrap=bootstrap))
    if report is not None:
        _write(report, _rendered(made, report))
    _print(made, as_json=as_json)
    raise typer.Exit(0 if made.ok else FOUND_WRONG)


def _check_name(feed: str) -> None:
    import re

    from schemas.fields import IDENTIFIER_PATTERN

    if not re.fullmatch(IDENTIFIER_PATTERN, feed):
        raise CannotDo(f"a feed's name is 1 to 64 characters of [A-Za-z0-9._:-], not {feed!r}.")


def _rendered(made: "FeedReport", path: Path) -> bytes:
    if path.suffix == ".json":
        from schemas import codec

        return codec.encode(made) + b"\n"
    from ops.reconciling.page import to_html

    return to_html(made).encode()


def _write(path: Path, content: bytes, mode: str = "wb") -> None:
    try:
        with path.open(mode) as file:
            file.write(content)
    except OSError as error:
        raise CannotDo(f"{path} cannot be written: {error.strerror or error}") from error


def _print(made: "FeedReport", *, as_json: bool) -> None:
    from ops.reconciling.report import drift_text, summary, warehouses
    from ops.screen import print_json, print_table, say

    if as_json:
        print_json(made)
        return
    print_table(("", ""), summary(made))
    print_table(("warehouse", "rows", "differ", "units more", "units missing"), warehouses(made))
    for it in made.drifts[:_SHOWN]:
        applied = "applied" if it.code is None else f"refused: {it.code}"
        say(f"line {it.line}: {it.sku} in {it.warehouse} differs: {drift_text(it.drift)} ({applied})")
    if len(made.drifts) > _SHOWN:
        say(f"... and {len(made.drifts) - _SHOWN:,} more; `--report FILE` has all of them")
    for code in made.refused.keys() & _HINTS.keys():
        say(_HINTS[code])
    if made.feed_is_known_later:
        say(f"a later count of {made.feed} was known already: this one was late")
    if made.missing:
        say(f"{made.missing:,} rows have no result: see `holdfast doctor`, then run the same command again")
    if not made.sent:
        say("no row could be used: how far the feed has come stays as it was")
