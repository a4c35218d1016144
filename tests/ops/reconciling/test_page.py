"""The report as a page: everything is in it, nothing of it is taken for markup, and a browser shows it."""

import re

import msgspec
import pytest

from ops.reconciling.history import MovedBy, UnnamedRow
from ops.reconciling.page import MAX_ROWS, to_html
from ops.reconciling.report import CauseOf, Drift, DriftOf, FeedReport, Refused, UnknownRow, Unread
from schemas.codes import Code
from schemas.movements import CountedUnits
from tests.browser import dom_of

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def report():
    """Return the report of a feed that found drift in two warehouses."""
    moved = [MovedBy("commit", 12, {"on_hand": -31}), MovedBy("adjust: receipt", 1, {"on_hand": 40})]
    drifts = [
        Drift(
            line=number, sku=f"sku {number}", warehouse="leeds", as_of_at=1_764_000_000_000, since=1_763_900_000_000,
            code=Code.DRIFT_ABOVE_TOLERANCE if number == 2 else None, ledger=CountedUnits(100, 2),
            counted=CountedUnits(97, 2), drift=CountedUnits(-3, 0), moved=moved,
        )
        for number in range(2, 5)
    ]  # fmt: skip
    return FeedReport(
        feed="wms-leeds", as_of_at=1_764_000_000_000, tolerance=2, lines=1_204, sent=1_203, repeated=0, accepted=1_202,
        adjusted=2, refused={"drift_above_tolerance": 1}, replayed=7, missing=0, doubled=0,
        drift={"leeds": DriftOf(700, 3, 0, 9), "york": DriftOf(503, 1, 3, 0), "hull": DriftOf(1, 0, 0, 0)},
        causes={"commit": CauseOf(3, 0, 9), EVIL: CauseOf(1, 3, 0)}, drifts=drifts,
        refusals=[Refused(2, "sku 2", "leeds", Code.DRIFT_ABOVE_TOLERANCE)],
        not_in_feed=[UnnamedRow("forgotten", "york", 1_234, 5, 6)],
        not_in_ledger=[UnknownRow(9, "found", "york", CountedUnits(4))],
        unread=[Unread(77, f"sku '{EVIL}' is none")], feed_is_known_later=True, seconds=1.5, ok=False,
    )  # fmt: skip


def shown(page):
    """Return the words of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


def test_everything_of_the_report_is_on_the_page(report):
    words = shown(to_html(report))
    assert "Reconciliation of wms-leeds counted 2025-11-24 16:00:00 UTC, tolerance 2 units" in words
    assert "3 of 1,203 rows differ, by 12 units in all. 2 rows were not applied" in words
    assert "A later count of this feed was known already." in words
    assert "leeds 3 of 700 rows -9 york 1 of 503 rows +3 hull 0 of 1 rows 0" in words
    assert "2 sku 2 leeds on_hand 100, damaged 2 on_hand 97, damaged 2 on_hand -3 drift_above_tolerance" in words
    assert "3 sku 3 leeds on_hand 100, damaged 2 on_hand 97, damaged 2 on_hand -3 applied 2025-11-23 12:13:20" in words
    assert "commit 12 (on_hand -31), adjust: receipt 1 (on_hand +40)" in words
    assert "forgotten york 1,234 5 6" in words
    assert "9 found york on_hand 4" in words


def test_nothing_of_it_is_taken_for_markup_or_comes_from_elsewhere(report):
    page = to_html(report)
    assert EVIL not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert not re.search(r"https?:|<script|<link|<img|url\(|@import", page)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "Look at it"),
        ({"refused": {}, "unread": [], "ok": True}, "Brought in line"),
        ({"ok": True, "drifts": [], "drift": {}, "causes": {}}, "No drift"),
        ({"ok": True, "refused": {"stale_count": 1_203}, "drifts": [], "drift": {}, "causes": {}}, "Late"),
        ({"sent": 0}, "Nothing was sent"),
    ],
    ids=str,
)
def test_the_verdict_follows_from_what_was_found(report, changed, verdict):
    page = to_html(msgspec.structs.replace(report, **changed))
    assert f'id="verdict"><strong>{verdict}</strong>' in page
    assert ("<h2>Drift by warehouse</h2>" in page) is (changed.get("drift") is None)


def test_a_long_list_is_cut_and_says_so(report):
    many = [Unread(number, "it has no on_hand") for number in range(MAX_ROWS + 3)]
    assert "... and 3 more; all are in the report as JSON." in shown(
        to_html(msgspec.structs.replace(report, unread=many))
    )


def test_a_browser_shows_the_bars_and_on_a_phone_nothing_is_wider_than_the_screen(report, tmp_path):
    measure = (
        "<script>document.title = JSON.stringify([...document.querySelectorAll('.track span')].map(it => "
        "Math.round(100 * it.getBoundingClientRect().width / it.parentElement.getBoundingClientRect().width))"
        ".concat(document.documentElement.scrollWidth - document.documentElement.clientWidth))</script>"
    )
    page = tmp_path / "feed.html"
    page.write_text(to_html(report).replace("</body>", f"{measure}</body>"))
    dom = dom_of(page.as_uri(), tmp_path / "profile", width=390)
    assert re.search(r"<title>(.*?)</title>", dom)[1] == "[100,33,100,33,0]"
