"""Owns the look of the reports that are HTML pages: one style, figures and tables, without external parts."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

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


def document(title: str, body: Iterable[str], *, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: its title, as HTML.
        body: its parts, as HTML; empty ones are left out.
        style: CSS beside that of all reports.
    """
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n{chr(10).join(part for part in body if part)}\n</body>\n</html>\n"
    )


def figures(numbers: Mapping[str, int]) -> str:
    """Return named numbers, side by side."""
    cells = "".join(f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for name, number in numbers.items())
    return f'<dl class="figures">{cells}</dl>'


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table, numbers aligned right; a cell is escaped unless it is `Markup`."""
    numeric = [bool(rows) and all(isinstance(row[index], int) for row in rows) for index in range(len(head))]
    classes = [' class="number"' if number else "" for number in numeric]
    header = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(head, classes, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(cell: object) -> str:
    if isinstance(cell, Markup):
        return str(cell)
    return f"{cell:,}" if isinstance(cell, int) else escape(str(cell))
