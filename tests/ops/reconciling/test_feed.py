"""A feed is reconciled as of its time, once, in any order; every line is used or named, and the report has them all."""

import json
import time
import uuid

import pytest
from model_worker import ModelWorker

HOUR_MS = 3_600_000


@pytest.fixture
def tag():
    return uuid.uuid4().hex[:8]


@pytest.fixture
def tell(holdfast, answering):
    """Return a function that sends commands and returns their results."""

    def send(*commands):
        lines = "".join(json.dumps({"command_id": uuid.uuid4().hex} | command) + "\n" for command in commands)
        result = holdfast("send", "--wait", "--bootstrap", answering, given=lines)
        return [json.loads(line) for line in result.stdout.splitlines()]

    return send


@pytest.fixture
def warehouse(tell, tag):
    """Return a warehouse whose journal is kept."""
    name = f"w{tag}"
    tell({"type": "set_warehouse", "warehouse": name, "version": 1, "journal_ms": HOUR_MS})
    return name


@pytest.fixture
def receive(tell, warehouse):
    """Return a function that adds units to a SKU's row."""

    def adjust(sku, units, bucket="on_hand"):
        change = {"type": "adjust", "sku": sku, "warehouse": warehouse, "delta": units, "bucket": bucket}
        (result,) = tell(change | {"reason": "receipt" if units > 0 else "shrinkage"})
        assert result["status"] == "accepted"

    return adjust


@pytest.fixture
def on_hand(holdfast, answering):
    """Return a function that asks for what a SKU has."""

    def ask(sku):
        (row,) = json.loads(holdfast("stock", sku, "--json", "--bootstrap", answering).stdout)["stock"]
        return row["on_hand"]

    return ask


@pytest.fixture
def reconcile(holdfast, answering, tag, tmp_path):
    """Return a function that reconciles lines and returns exit code, report and errors."""

    def run(*lines, header="sku,warehouse,on_hand", options=()):
        file = tmp_path / "feed.csv"
        file.write_text("\n".join([header, *lines]) + "\n")
        result = holdfast("reconcile", file, "--feed", tag, *options, "--json", "--bootstrap", answering)
        assert result.stdout, result.stderr
        return result.exit_code, json.loads(result.stdout), result.stderr

    return run


def moment():
    """Return a time that no movement before has, nor any after."""
    time.sleep(0.01)
    now_ms = time.time_ns() // 1_000_000
    time.sleep(0.01)
    return now_ms


def test_drift_is_that_of_the_time_of_the_count_and_later_movements_stay(reconcile, receive, on_hand, warehouse, tag):
    receive(tag, 100)
    receive(f"{tag}/forgotten", 3)
    at = moment()
    receive(tag, -5)
    receive(tag, 20)
    lines = (f"{tag},{warehouse},97", f"{tag}/new,{warehouse},4", f"{tag}/none,{warehouse},0")
    code, report, _ = reconcile(*lines, options=("--as-of", at, "--tolerance", 2))
    assert (code, report["refused"], report["accepted"]) == (1, {"drift_above_tolerance": 2}, 1)
    assert on_hand(tag) == 115

    code, report, errors = reconcile(*lines, options=("--as-of", at))
    assert (code, report["sent"], report["accepted"], report["adjusted"]) == (0, 3, 2, 2), errors
    assert (report["ok"], report["refused"]) == (True, {"stale_count": 1}), "it was accepted with the tolerance"
    assert report["drift"] == {warehouse: {"rows": 3, "drifting": 2, "more": 4, "less": 3}}
    new, drift = report["drifts"]
    assert (new["sku"], new["drift"]) == (f"{tag}/new", {"on_hand": 4})
    expected = {
        "line": 2, "as_of_at": at, "since": None, "code": None, "ledger": {"on_hand": 100}, "counted": {"on_hand": 97},
        "drift": {"on_hand": -3}, "moved": [{"cause": "adjust: receipt", "changes": 1, "units": {"on_hand": 100}}],
    }  # fmt: skip
    assert expected.items() <= drift.items()
    assert on_hand(tag) == 112
    assert [it["sku"] for it in report["not_in_feed"]] == [f"{tag}/forgotten"]
    assert [it["line"] for it in report["not_in_ledger"]] == [3, 4]

    code, again, _ = reconcile(*lines, options=("--as-of", at))
    assert (code, again["replayed"], again["drifts"]) == (0, 3, report["drifts"])
    assert on_hand(tag) == 112
    code, late, _ = reconcile(*lines, options=("--as-of", at - 1))
    assert (code, late["refused"], late["drifts"]) == (0, {"stale_count": 3}, [])
    assert late["feed_is_known_later"]


def test_lines_that_cannot_be_used_are_named_and_a_row_twice_in_the_feed_counts_once(
    reconcile, receive, on_hand, warehouse, tag
):
    receive(tag, 10)
    at = moment()
    good = f"{tag},{warehouse},9,1,{at}"
    bad = (f"{tag},{warehouse},x,,{at}", f"{tag},{warehouse},1,,soon", f"{tag},not a warehouse,1,,{at}")
    by_shelf = (f"{tag}/spread,{warehouse},4,,{at}", f"{tag}/spread,{warehouse},3,,{at}")
    header = "sku,warehouse,on_hand,damaged,as_of"
    code, report, errors = reconcile(good, *bad, good, f"{tag},{warehouse},5,,{at - 1}", *by_shelf, header=header)
    assert (code, report["lines"], report["sent"], report["repeated"], report["accepted"]) == (1, 8, 3, 1, 1)
    assert report["refused"] == {"stale_count": 1}
    assert [it["line"] for it in report["unread"]] == [3, 4, 5, 8, 9]
    assert "feed.csv, line 3: on_hand 'x' is no whole number" in errors
    (drift,) = report["drifts"]
    assert (drift["line"], drift["drift"]) == (2, {"on_hand": -1, "damaged": 1})
    assert on_hand(tag) == 9


def test_a_run_that_was_broken_off_is_finished_by_starting_it_again(reconcile, receive, on_hand, warehouse, tag):
    for number in range(4):
        receive(f"{tag}/{number}", 10)
    at = moment()
    lines = [f"{tag}/{number},{warehouse},{9 - number}" for number in range(4)]
    reconcile(*lines[:2], options=("--as-of", at))
    receive(f"{tag}/0", 5)
    code, report, _ = reconcile(*lines, options=("--as-of", at))
    assert (code, report["accepted"], report["replayed"], report["adjusted"]) == (0, 4, 2, 4)
    assert [on_hand(f"{tag}/{number}") for number in range(4)] == [14, 8, 7, 6]


@pytest.mark.parametrize(("copies", "counted"), [(0, {"missing": 1, "doubled": 0}), (2, {"missing": 0, "doubled": 1})])
def test_a_row_that_is_not_answered_once_is_told_and_without_its_result_the_feed_has_not_come(
    holdfast, cluster, tag, tmp_path, copies, counted
):
    file = tmp_path / "feed.csv"
    file.write_text(f"sku,warehouse,on_hand\n{tag},leeds,5\n{tag}/other,leeds,5\n")
    told = []

    def how_often(result):
        told.append(result)
        return copies if (result["type"], result["sku"]) == ("reconcile", tag) else 1

    with ModelWorker(*cluster, how_often):
        result = holdfast("reconcile", file, "--feed", tag, "--as-of", "now", "--json", "--bootstrap", cluster[0])
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"], counted.items() <= report.items()) == (1, False, True)
    states = [it["reference"]["rows"] for it in told if it["type"] == "set_feed"]
    assert states == ([] if copies == 0 else [2] * cluster[1])


def test_a_count_of_what_is_there_now_needs_no_journal(reconcile, tell, on_hand, tag):
    tell({"type": "adjust", "sku": tag, "warehouse": "leeds", "delta": 5, "reason": "receipt"})
    now = time.time_ns() // 1_000_000
    assert reconcile(f"{tag},leeds,7", options=("--as-of", now))[1]["refused"] == {"as_of_too_old": 1}
    code, report, _ = reconcile(f"{tag},leeds,7", options=("--as-of", "now"))
    assert (code, report["drifts"][0]["drift"], on_hand(tag)) == (0, {"on_hand": 2}, 7)
    assert report["not_in_ledger"] == []


def test_a_feed_from_standard_input_sets_how_far_it_has_come_in_every_partition(
    holdfast, answering, cluster, tell, receive, warehouse, tag, tmp_path
):
    receive(tag, 5)
    at = moment()
    page = tmp_path / "feed.html"
    options = ("--feed", tag, "--as-of", at, "--interval", "12h", "--report", page, "--bootstrap", answering)
    result = holdfast("reconcile", "-", *options, given=f"sku,warehouse,on_hand\n{tag},{warehouse},6\n{tag},,1\n")
    assert result.exit_code == 1
    assert "standard input, line 3: warehouse ''" in result.stderr
    assert f"line 2: {tag} in {warehouse} differs: on_hand +1 (applied)" in result.stderr
    assert [warehouse, "1", "1", "1", "0"] in [line.split() for line in result.stdout.splitlines()]
    assert f"<h1>Reconciliation of {tag}</h1>" in page.read_text()
    older = {"type": "set_feed", "feed": tag, "version": 1, "as_of_at": 1, "interval_ms": 1}
    told = [it["reference"] for it in tell(older)]
    state = {"version": at, "as_of_at": at, "interval_ms": 12 * HOUR_MS, "rows": 1, "refused": 0}
    assert [state.items() <= it.items() for it in told] == [True] * cluster[1]
    twice = holdfast(
        "reconcile", "-", *options, "--tolerance", 9, given=f"sku,warehouse,on_hand\n{tag},{warehouse},6\n"
    )
    assert (twice.exit_code, "stale_count: a count as late is known" in twice.stderr) == (0, True)


def test_the_report_is_json_when_its_file_says_so_and_a_feed_without_a_row_leaves_its_state(
    holdfast, answering, tag, tmp_path
):
    file, report = tmp_path / "feed.csv", tmp_path / "report.json"
    file.write_text("sku,warehouse,on_hand\n")
    options = ("--feed", tag, "--as-of", "2026-11-27", "--report", report)
    result = holdfast("reconcile", file, *options, "--bootstrap", answering)
    assert result.exit_code == 1
    assert "no row could be used: how far the feed has come stays as it was" in result.stderr
    made = json.loads(report.read_text())
    assert (made["feed"], made["sent"], made["as_of_at"], made["ok"]) == (tag, 0, None, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "when was it counted? Give `--as-of TIME`, or a column as_of"),
        (("--as-of", "tonight"), "'tonight' is no time"),
        (("--as-of", "2126-11-27"), "is in the future"),
        (("--as-of", "2026-11-27", "--interval", "24"), "'24' is no duration"),
        (("--as-of", "2026-11-27", "--interval", "367d"), "a feed comes at least every 366 days"),
        (("--as-of", "2026-11-27", "--feed", "a b"), "a feed's name is 1 to 64 characters"),
        (("--as-of", "2026-11-27", "--delimiter", ";"), "A feed has sku, warehouse and on_hand; or name the separator"),
        (("--as-of", "2026-11-27", "--report", "/no/such/folder/r.html"), "cannot be written: No such file"),
    ],
    ids=str,
)
def test_what_cannot_be_reconciled_says_why(holdfast, bootstrap, tmp_path, options, message):
    file = tmp_path / "feed.csv"
    file.write_text("sku,warehouse,on_hand\nA,leeds,5\n")
    result = holdfast("reconcile", file, "--feed", "wms", *options, "--bootstrap", bootstrap)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
