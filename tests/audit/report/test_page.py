"""The report as a page: everything is in it, nothing of it is taken for markup, and a browser shows it."""

import re

import msgspec
import pytest

from audit.report.page import to_html
from audit.report.report import Compared, Difference, Digested, Digests, Invariant, PartitionReport, sum_up
from tests.browser import dom_of

DIGEST = "5c" * 32


@pytest.fixture
def make():
    """Return a function that makes a report of two partitions, with differences or without."""

    def make(*, differences=0, invariant_holds=True, note=None):
        partitions = [
            PartitionReport(
                partition=number,
                log_start=7000 * number,
                begin=7000 + number,
                log_end=9_500_000 + number,
                position=9_400_000 + number,
                compared=Compared(commands=1234567, results=1234568, stock_changes=99, dead_letters=3, rows=44),
                digests=Digests(rows=Digested(44, DIGEST)),
                invariants=[Invariant("no bucket is negative", holds=invariant_holds, checked=44, note="")],
            )
            for number in range(2)
        ]
        for number in range(differences):
            partitions[0].add(
                Difference(
                    kind="stock_change",
                    what="altered",
                    partition=0,
                    offset=8000 + number,
                    record_offset=9000,
                    key="<script>alert(1)</script>",
                    expected={"seq": 41},
                    found={"seq": "<b>42</b>"},
                    command={"command_id": "c&1"},
                )
            )
        if note:
            partitions[1].note(note)
        report = sum_up(partitions, 2.0)
        report.cluster, report.bootstrap, report.made_at = "cluster-77", "kafka-1:9092", 1_764_000_000_000
        return report

    return make


def shown(page):
    """Return the words of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))


def test_an_equal_audit_is_signed_off(make):
    words = shown(to_html(make()))
    assert "Equal All that was published is what the log demands." in words
    assert "cluster cluster-77 at kafka-1:9092, made 2025-11-24 16:00:00 UTC" in words
    for piece in ("2,469,134", "7,001 .. 9,400,001", "7,000 .. 9,500,001", "no bucket is negative holds 44", DIGEST):
        assert piece in words
    assert "Differences" not in words
    assert "Notes" not in words


def test_what_could_not_be_checked_is_said(make):
    words = shown(to_html(make(note="the log <begins> late")))
    assert "All that could be checked is what the log demands." in words
    assert "partition 1: the log &lt;begins&gt; late" in words


def test_a_difference_shows_command_expected_and_found(make):
    page = to_html(make(differences=1))
    words = shown(page)
    assert "Different 1 difference" in words
    assert "partition 0, command 8,000, record 9,000" in words
    for piece in ("c&amp;1", "&quot;seq&quot;: 41", "&lt;b&gt;42&lt;/b&gt;", "&lt;script&gt;"):
        assert piece in words
    assert "<script" not in page


def test_more_differences_than_are_kept_are_counted(make):
    assert "... and 30 more differences." in shown(to_html(make(differences=130)))


def test_a_broken_invariant_makes_it_different(make):
    report = make(invariant_holds=False)
    assert report.equal is False
    words = shown(to_html(report))
    assert "Different 0 differences, 2 invariants that do not hold" in words
    assert "broken" in words


def test_nothing_is_fetched_from_elsewhere(make):
    page = to_html(make(differences=2))
    assert not re.search(r"(?:src|href|@import|url\()", page)


def test_a_browser_shows_the_page(make, tmp_path):
    path = tmp_path / "audit.html"
    path.write_text(to_html(make(differences=3)), encoding="utf-8")
    dom = dom_of(path.as_uri(), tmp_path / "profile")
    assert dom.count("<article>") == 3
    assert dom.count("<tr>") == 1 + 2 + 1 + 2 + 1 + 6
    assert '<div class="verdict bad" id="verdict"><strong>Different</strong>3 differences</div>' in dom
    assert "<title>Holdfast audit</title>" in dom


def test_the_reports_fields_survive_json(make):
    document = msgspec.json.decode(msgspec.json.encode(make(differences=1)))
    assert document["partitions"][0]["digests"]["rows"] == {"count": 44, "sha256": DIGEST}
    assert document["partitions"][0]["invariants"][0]["holds"] is True
    assert document["differences"][0]["command"] == {"command_id": "c&1"}
