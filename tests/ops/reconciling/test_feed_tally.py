"""Each row's result is counted once; rows that differ or are refused are kept with what the count found."""

import json

import pytest

from ops.importing.order_lines import Step
from ops.reconciling.feed_lines import CountedRow
from ops.reconciling.feed_tally import FeedTally, drifts
from schemas.codes import Code

ROWS = {name: CountedRow(line, name.upper(), "leeds", 50, {"on_hand": 7}) for line, name in enumerate("abc", 2)}


@pytest.fixture
def tally():
    """Return the tally of three rows that were sent."""
    tally = FeedTally(rows=ROWS)
    tally.sent([Step(row.sku, name, 0, 0, b"") for name, row in ROWS.items()])
    return tally


def result(command_id, drift=0, *, code=None, replayed=False, compared=True):
    found = {
        "warehouse": "leeds", "as_of_at": 40, "since": 30, "ledger": {"on_hand": 7 - drift}, "counted": {"on_hand": 7},
        "drift": {"on_hand": drift},
    }  # fmt: skip
    told = {"command_id": command_id, "status": "rejected" if code else "accepted", "code": code, "replayed": replayed}
    return json.dumps(told | ({"reconciliation": found} if compared else {})).encode()


def test_rows_that_differ_are_kept_and_only_those_that_were_accepted_are_adjusted(tally):
    for told in (result("a"), result("b", -2), result("c", 9, code="drift_above_tolerance")):
        assert tally.receive_result(told)
    assert (tally.commands, tally.accepted, tally.adjusted, tally.unanswered) == (3, 2, 1, 0)
    assert tally.refused == {"drift_above_tolerance": 1}
    assert [(it.line, it.sku, it.drift.on_hand, it.as_of_at, it.since, it.code) for it in tally.found] == [
        (3, "B", -2, 40, 30, None),
        (4, "C", 9, 40, 30, Code.DRIFT_ABOVE_TOLERANCE),
    ]
    assert tally.exactly_once


def test_a_row_that_was_not_compared_is_refused_and_drifts_by_nothing_that_is_known(tally):
    tally.receive_result(result("a", code="stale_count", compared=False))
    (found,) = tally.found
    assert (found.drift, found.since, found.as_of_at, found.counted.on_hand) == (None, None, 50, 7)
    assert not drifts(found)


def test_results_of_others_are_not_counted(tally):
    assert not tally.receive_result(result("somebody else's"))
    assert not tally.receive_result(json.dumps({"command_id": None, "status": "accepted"}).encode())
    assert (tally.answered, tally.doubled, tally.unanswered) == (0, 0, 3)


def test_a_row_that_is_twice_in_the_feed_is_answered_twice_and_found_once(tally):
    tally.sent([Step("B", "b", 0, 0, b"")])
    assert (tally.rows_sent, tally.commands, tally.unanswered) == (4, 3, 4)
    for told in (result("a"), result("b", -2), result("b", -2, replayed=True), result("c")):
        tally.receive_result(told)
    assert (tally.unanswered, tally.doubled, len(tally.found)) == (0, 0, 1)
    tally.receive_result(result("b", -2))
    assert tally.doubled == 1
    assert not tally.exactly_once


def test_a_run_of_the_same_feed_beside_this_one_answers_no_row_twice(tally):
    for told in (result("a"), result("a", replayed=True), result("b", replayed=True), result("b", replayed=True)):
        assert tally.receive_result(told)
    assert (tally.answered, tally.replayed, tally.doubled, tally.unanswered) == (2, 1, 0, 1)
