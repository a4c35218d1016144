"""Owns the audit's report as one HTML page without external parts, so it can be kept, sent and printed."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import msgspec

from audit.report.report import Difference, PartitionReport, Report

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5d6772; --line: #dfe3e8; --paper: #ffffff; --tint: #f5f7f9;
  --good: #17673a; --good-tint: #e6f4ec; --bad: #a1261b; --bad-tint: #fcebe9; --warn: #7a5200; --warn-tint: #fdf3dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa4af; --line: #333b44; --paper: #16191d;
  --tint: #1e2329; --good: #7fd6a3; --good-tint: #16301f; --bad: #f2988f; --bad-tint: #3a1a17; --warn: #e8c06a;
  --warn-tint: #33290f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2.5rem 1.5rem 4rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 2.4rem 0 .6rem; }
p { margin: .3rem 0; max-width: 60rem; }
.soft { color: var(--soft); }
.verdict { margin: 1.4rem 0; padding: 1rem 1.2rem; border-left: 5px solid; border-radius: 4px; }
.verdict strong { display: block; font-size: 1.2rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.verdict.good { background: var(--good-tint); } .verdict.bad { background: var(--bad-tint); }
.notes { background: var(--warn-tint); color: var(--warn); border-radius: 4px; padding: .6rem 1.2rem .6rem 2.2rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem; margin: 0; }
.figures div { background: var(--tint); border-radius: 4px; padding: .7rem .9rem; }
.figures dt { color: var(--soft); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; font-size: .85rem; white-space: nowrap; }
td.number, th.number { text-align: right; }
code, pre { font: .82rem/1.45 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
article { border: 1px solid var(--line); border-radius: 4px; padding: .8rem 1rem; margin: .8rem 0;
  break-inside: avoid; }
article h3 { margin: 0 0 .4rem; font-size: .95rem; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: .8rem; }
pre { background: var(--tint); border-radius: 4px; padding: .6rem .8rem; margin: .2rem 0 0; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 24rem; overflow: auto; }
"""

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
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n{chr(10).join(part for part in body if part)}\n</body>\n</html>\n"
    )


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
    figures = {
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
    cells = "".join(f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for name, number in figures.items())
    return f'<dl class="figures">{cells}</dl>'


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
    return _table(head, rows)


def _invariants(partitions: Iterable[PartitionReport]) -> str:
    rows = [
        (
            str(part.partition),
            invariant.name,
            _Markup('<span class="good">holds</span>' if invariant.holds else '<strong class="bad">broken</strong>'),
            invariant.checked,
            invariant.note,
        )
        for part in partitions
        for invariant in part.invariants
    ]
    return _table(("partition", "invariant", "", "checked", "note"), rows) if rows else "<p>None could be checked.</p>"


def _digests(partitions: Iterable[PartitionReport]) -> str:
    rows = [
        (str(part.partition), name, digested.count, _Markup(f"<code>{escape(digested.sha256)}</code>"))
        for part in partitions
        if part.digests is not None
        for name, digested in (
            ("results", part.digests.results),
            ("stock changes", part.digests.stock_changes),
            ("rows", part.digests.rows),
        )
    ]
    return _table(("partition", "of", "records", "SHA-256"), rows) if rows else "<p>None: the log has no beginning.</p>"


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


class _Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    numeric = [bool(rows) and all(isinstance(row[index], int) for row in rows) for index in range(len(head))]
    classes = [' class="number"' if number else "" for number in numeric]
    header = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(head, classes, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(cell: object) -> str:
    if isinstance(cell, _Markup):
        return str(cell)
    return f"{cell:,}" if isinstance(cell, int) else escape(str(cell))
