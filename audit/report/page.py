"""Owns the audit's report as one HTML page without external parts, so it can be kept, sent and printed."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import msgspec

from audit.report.html import Markup, document, figures, table
from audit.report.report import Difference, PartitionReport, Report

_PARTITIONS_NOTE = (
    '<p class="soft">Offsets are those of inventory.commands. The comparison begins at the start of the log, '
    "or at an earlier audit's checkpoint, and ends at the ledger's position.</p>"
)
_DIGESTS_NOTE = (
    '<p class="soft">SHA-256 from the start of the log to the position of the ledger, earlier audits included. Two '
    "audits without differences have the same digests exactly when everything was equal.</p>"
)


def to_html(report: Report) -> str:
    """Return the report as an HTML page."""
    made = datetime.fromtimestamp(report.made_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    title = "Holdfast audit"
    cluster = f"cluster {report.cluster}" if report.cluster else "cluster without an id"
    body = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{escape(cluster)} at {escape(report.bootstrap or "-")}, made {made}</p>',
        _verdict(report),
        _figures(report),
        _notes(report.notes),
        "<h2>Partitions</h2>",
        _PARTITIONS_NOTE,
        _partitions(report.partitions),
        "<h2>Invariants</h2>",
        _invariants(report.partitions),
        "<h2>Digests</h2>",
        _DIGESTS_NOTE,
        _digests(report.partitions),
        _differences(report),
    ]
    return document(title, body)


def _verdict(report: Report) -> str:
    if not report.equal:
        failed = sum(not invariant.holds for part in report.partitions for invariant in part.invariants)
        invariants = f", {failed:,} invariants that do not hold" if failed else ""
        return (
            '<div class="verdict bad" id="verdict"><strong>Different</strong>'
            f"{report.difference_count:,} difference{'' if report.difference_count == 1 else 's'}{invariants}</div>"
        )
    what = "All that was published is" if report.complete else "All that could be checked is"
    return f'<div class="verdict good" id="verdict"><strong>Equal</strong>{what} what the log demands.</div>'


def _figures(report: Report) -> str:
    compared = report.compared
    numbers = {
        "commands": compared.commands,
        "results": compared.results,
        "stock changes": compared.stock_changes,
        "dead letters": compared.dead_letters,
        "reference records": compared.reference,
        "ledger rows": compared.rows,
        "not yet applied": report.pending,
        "lost": report.lost,
        "doubled": report.doubled,
        "oversold": report.oversold,
    }
    return figures(numbers)


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<h2>Notes</h2><ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def _partitions(partitions: Iterable[PartitionReport]) -> str:
    counted = ("results", "changes", "letters", "reference", "rows")
    head = ("partition", "log holds", "compared", "pending", *counted, "differences")
    rows = [
        (
            str(part.partition),
            f"{part.log_start:,} .. {part.log_end:,}",
            f"{part.begin:,} .. {part.position:,}",
            part.pending,
            part.compared.results,
            part.compared.stock_changes,
            part.compared.dead_letters,
            part.compared.reference,
            part.compared.rows,
            part.difference_count,
        )
        for part in partitions
    ]
    return table(head, rows)


def _invariants(partitions: Iterable[PartitionReport]) -> str:
    rows = [
        (
            str(part.partition),
            invariant.name,
            Markup('<span class="good">holds</span>' if invariant.holds else '<strong class="bad">broken</strong>'),
            invariant.checked,
            invariant.note,
        )
        for part in partitions
        for invariant in part.invariants
    ]
    return table(("partition", "invariant", "", "checked", "note"), rows) if rows else "<p>None could be checked.</p>"


def _digests(partitions: Iterable[PartitionReport]) -> str:
    rows = [
        (str(part.partition), name, digested.count, Markup(f"<code>{escape(digested.sha256)}</code>"))
        for part in partitions
        if part.digests is not None
        for name, digested in (
            ("results", part.digests.results),
            ("stock changes", part.digests.stock_changes),
            ("rows", part.digests.rows),
        )
    ]
    return table(("partition", "of", "records", "SHA-256"), rows) if rows else "<p>None: the log has no beginning.</p>"


def _differences(report: Report) -> str:
    if not report.difference_count:
        return ""
    articles = "".join(_difference(it) for it in report.differences)
    more = report.difference_count - len(report.differences)
    rest = f"<p>... and {more:,} more differences.</p>" if more > 0 else ""
    return f"<h2>Differences</h2>{articles}{rest}"


def _difference(it: Difference) -> str:
    command = "-" if it.offset is None else f"{it.offset:,}"
    record = "" if it.record_offset is None else f", record {it.record_offset:,}"
    place = f"partition {it.partition}, command {command}{record}"
    sides = "".join(
        f'<div><span class="soft">{name}</span><pre>{escape(_pretty(document))}</pre></div>'
        for name, document in (("command", it.command), ("expected", it.expected), ("found", it.found))
    )
    return (
        f'<article><h3><span class="bad">{escape(it.kind.replace("_", " "))} {it.what}</span> '
        f'<code>{escape(it.key or "")}</code></h3><p class="soft">{place}</p><div class="sides">{sides}</div></article>'
    )


def _pretty(document: Any) -> str:
    return "-" if document is None else msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
