"""Owns the report of a reconciled feed as one HTML page without external parts, readable on a phone."""

from collections.abc import Mapping, Sequence
from html import escape

from audit.report.html import Markup, document, figures, table
from ops.reconciling.report import CauseOf, Drift, DriftOf, FeedReport, buckets_text, drift_text, moved_text
from ops.stock import time_text
from schemas.codes import Code

# Enough for a person; all of them are in the report as JSON.
MAX_ROWS = 500

_STYLE = """
.bars { margin: .6rem 0 0; } .bars dd { margin: 0; }
.bars div { display: grid; grid-template: "name track units" / minmax(6rem, 16rem) 1fr 7rem; gap: 0 .9rem;
  align-items: center; padding: .2rem 0; }
.bars dt { grid-area: name; overflow-wrap: anywhere; }
.bars .track { grid-area: track; display: flex; height: 1.1rem; background: var(--tint); border-radius: 3px;
  overflow: hidden; }
.bars .units { grid-area: units; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bars .less, .key .less { background: var(--bad); } .bars .more, .key .more { background: var(--good); }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .3rem; }
.key span { margin-right: 1.2rem; }
td strong { white-space: nowrap; }
@media (max-width: 40rem) {
  body { padding: 1.2rem .9rem 3rem; }
  .bars div { grid-template: "name units" "track track" / 1fr auto; padding: .35rem 0; }
}
"""
_KEY = (
    '<p class="soft key"><span><i class="less"></i>units missing</span>'
    '<span><i class="more"></i>units found more</span></p>'
)
_CAUSES_NOTE = (
    '<p class="soft">What moved the rows that differ, between their last count and this one. A row that several causes '
    "moved is in the bar of each: a cause whose bar is long for the units it moves is the one to look at.</p>"
)


def to_html(report: FeedReport) -> str:
    """Return the report as an HTML page."""
    counted = "nothing was counted" if report.as_of_at is None else f"counted {time_text(report.as_of_at)}"
    tolerance = "any drift is applied" if report.tolerance is None else f"tolerance {report.tolerance:,} units"
    body = [
        f"<h1>Reconciliation of {escape(report.feed)}</h1>",
        f'<p class="soft">{counted}, {tolerance}</p>',
        _verdict(report),
        figures(_numbers(report)),
        _bars("Drift by warehouse", report.drift, ""),
        _bars("Drift by cause", report.causes, _CAUSES_NOTE),
        _drifts(report.drifts),
        _rows(
            "Refused",
            ("line", "SKU", "warehouse", "code"),
            [(it.line, it.sku, it.warehouse, it.code) for it in report.refusals],
        ),
        _rows(
            "Stock rows that the feed does not name",
            ("SKU", "warehouse", "on hand", "damaged", "quarantine"),
            [(it.sku, it.warehouse, it.on_hand, it.damaged, it.quarantine) for it in report.not_in_feed],
        ),
        _rows(
            "Rows that the ledger did not have",
            ("line", "SKU", "warehouse", "counted"),
            [(it.line, it.sku, it.warehouse, buckets_text(it.counted)) for it in report.not_in_ledger],
        ),
        _rows("Lines that could not be used", ("line", "why"), [(it.line, it.problem) for it in report.unread]),
    ]
    return document(f"Reconciliation of {escape(report.feed)}", body, style=_STYLE)


def _verdict(report: FeedReport) -> str:
    stale = report.refused.get(Code.STALE_COUNT, 0)
    unapplied = sum(report.refused.values()) - stale + len(report.unread)
    units = sum(it.more + it.less for it in report.drift.values())
    differing = f"{len(report.drifts):,} of {report.sent:,} rows differ, by {units:,} units in all"
    if not report.sent:
        kind, word, text = "bad", "Nothing was sent", "The file has no row that could be used."
    elif not report.ok:
        kind, word = "bad", "Look at it"
        text = f"{differing}. {unapplied:,} rows were not applied; each is named below."
    elif report.drifts:
        kind, word, text = "good", "Brought in line", f"{differing}; all of it was added to the ledger."
    elif stale == report.sent:
        kind, word, text = "good", "Late", "The ledger has later counts of every row."
    else:
        kind, word, text = "good", "No drift", "Every row that was compared is what the ledger had then."
    text += f" Of {stale:,} rows a count as late was known." if 0 < stale < report.sent else ""
    late = " A later count of this feed was known already." if report.feed_is_known_later else ""
    return f'<div class="verdict {kind}" id="verdict"><strong>{word}</strong>{text}{late}</div>'


def _numbers(report: FeedReport) -> dict[str, int]:
    return {
        "rows": report.sent,
        "accepted": report.accepted,
        "adjusted": report.adjusted,
        "refused": sum(report.refused.values()),
        "sent before": report.replayed,
        "units missing": sum(it.less for it in report.drift.values()),
        "units more": sum(it.more for it in report.drift.values()),
        "not in the feed": len(report.not_in_feed),
        "not in the ledger": len(report.not_in_ledger),
        "unusable lines": len(report.unread),
    }


def _bars(title: str, drift: Mapping[str, DriftOf] | Mapping[str, CauseOf], note: str) -> str:
    most = max((it.more + it.less for it in drift.values()), default=0)
    if not most:
        return ""
    bars = "".join(_bar(name, it, most) for name, it in drift.items())
    return f'<h2>{title}</h2>{note}{_KEY}<dl class="bars">{bars}</dl>'


def _bar(name: str, it: DriftOf | CauseOf, most: int) -> str:
    rows = f"{it.drifting:,} of {it.rows:,} rows" if isinstance(it, DriftOf) else f"rows: {it.drifting:,}"
    sides = [(kind, sign, units) for kind, sign, units in (("less", "-", it.less), ("more", "+", it.more)) if units]
    parts = "".join(f'<span class="{kind}" style="width:{units / most:.2%}"></span>' for kind, _, units in sides)
    numbers = " ".join(f"{sign}{units:,}" for _, sign, units in sides) or "0"
    return (
        f'<div><dt>{escape(name)} <span class="soft">{rows}</span></dt>'
        f'<dd class="track">{parts}</dd><dd class="units">{numbers}</dd></div>'
    )


def _drifts(drifts: Sequence[Drift]) -> str:
    head = ("line", "SKU", "warehouse", "ledger", "counted", "drift", "", "last count", "moved since, up to the count")
    rows = [
        (
            it.line,
            it.sku,
            it.warehouse,
            buckets_text(it.ledger),
            buckets_text(it.counted),
            Markup(f"<strong>{drift_text(it.drift)}</strong>"),
            Markup('<span class="good">applied</span>' if it.code is None else f'<span class="bad">{it.code}</span>'),
            "never" if it.since is None else time_text(it.since),
            moved_text(it.moved),
        )
        for it in drifts
    ]
    return _rows("Rows that differ", head, rows)


def _rows(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return ""
    more = len(rows) - MAX_ROWS
    rest = f"<p>... and {more:,} more; all are in the report as JSON.</p>" if more > 0 else ""
    return f"<h2>{title}</h2>{table(head, rows[:MAX_ROWS])}{rest}"
