"""The report counts what a feed found: drift by warehouse and by cause, and the rows behind it."""

from collections import Counter

import pytest

from ops.importing.importer import ImportReport
from ops.reconciling.feed_lines import CountedRow
from ops.reconciling.feed_tally import FeedTally, Found
from ops.reconciling.history import MovedBy, UnnamedRow
from ops.reconciling.report import NO_MOVEMENT, CauseOf, DriftOf, drift_text, make_report, moved_text, summary
from schemas.codes import Code
from schemas.movements import CountedUnits


class NamedHistory:
    """Stands for the stock changes: `A` was moved by two causes, `B` by nothing."""

    def moved(self, found):
        moved = [MovedBy("commit", 2, {"on_hand": -3}), MovedBy("transfer", 1, {"on_hand": -1, "damaged": 1})]
        return moved if found.sku == "A" else []

    def not_in_feed(self):
        return [UnnamedRow("D", "leeds", 1, 0, 0)]

    def not_in_ledger(self):
        return [CountedRow(4, "C", "york", 50, {"on_hand": 0})]


def found(line, sku, drift, code=None, warehouse="leeds"):
    counted = CountedUnits(10, 1)
    return Found(
        line=line, sku=sku, warehouse=warehouse, as_of_at=50, code=code, counted=counted, ledger=counted, drift=drift
    )


@pytest.fixture
def report():
    rows = {
        name: CountedRow(line, name.upper(), warehouse, 50, {"on_hand": 10})
        for line, (name, warehouse) in enumerate((("a", "leeds"), ("b", "york"), ("c", "york"), ("e", "leeds")), 2)
    }
    tally = FeedTally(rows=rows, commands=4, answered=4, accepted=2, refused=Counter({"drift_above_tolerance": 1}))
    tally.refused["stale_count"] = 1
    tally.found = [
        found(2, "A", CountedUnits(-3, 1)),
        found(3, "B", CountedUnits(-9), Code.DRIFT_ABOVE_TOLERANCE, "york"),
        found(5, "E", None, Code.STALE_COUNT),
    ]
    run = ImportReport(name="wms", lines=5, unusable_lines=1, seconds=1.2345, tally=tally)
    return make_report(
        run, tally, NamedHistory(), as_of_at=50, tolerance=5, unread=[(6, "it has no on_hand")], known_later=False
    )


def test_every_line_is_somewhere(report):
    assert (report.lines, report.sent, report.accepted, report.adjusted) == (5, 4, 2, 1)
    assert report.lines == report.accepted + sum(report.refused.values()) + len(report.unread)
    assert [(it.line, it.code) for it in report.refusals] == [(3, "drift_above_tolerance"), (5, "stale_count")]
    assert [(it.line, it.problem) for it in report.unread] == [(6, "it has no on_hand")]
    assert [(it.line, it.sku) for it in report.not_in_ledger] == [(4, "C")]
    assert not report.ok


def test_drift_is_summed_by_warehouse_and_by_cause_and_the_largest_comes_first(report):
    assert [(it.line, it.sku) for it in report.drifts] == [(3, "B"), (2, "A")]
    assert report.drift == {"leeds": DriftOf(2, 1, 1, 3), "york": DriftOf(2, 1, 0, 9)}
    assert report.causes == {
        NO_MOVEMENT: CauseOf(1, 0, 9), "commit": CauseOf(1, 1, 3), "transfer": CauseOf(1, 1, 3),
    }  # fmt: skip
    assert list(report.causes) == [NO_MOVEMENT, "commit", "transfer"]


def test_people_read_drifts_with_signs_and_movements_with_their_number(report):
    drift = report.drifts[1]
    assert drift_text(drift.drift) == "on_hand -3, damaged +1"
    assert moved_text(drift.moved) == "commit 2 (on_hand -3), transfer 1 (on_hand -1, damaged +1)"
    assert (drift_text(None), drift_text(CountedUnits(0, 0)), moved_text([])) == ("-", "-", "-")
    table = dict(summary(report))
    assert (table["refused: stale_count"], table["lines that could not be used"], table["adjusted"]) == (1, 1, 1)
    assert "answered twice" not in table
