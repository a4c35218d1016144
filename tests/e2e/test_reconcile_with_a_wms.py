"""A WMS counts at night, is late, repeats, crosses and errs while orders go on: the drift found is what was planted."""

import asyncio
import json
import re
import subprocess
import urllib.request
from datetime import datetime, timedelta

import msgspec
import pytest

from ops.reconciling.feed import FeedPlan, reconcile_feed
from tests.e2e.wms import REPEATED, WAREHOUSES, Wms, order_lines, write_rows

LINES = 3_000
# Orders come at this pace for longer than the test takes; it ends them.
LINES_A_SECOND, ORDERS_TAKE_S = 80, 120
JOURNAL_MS = 24 * 60 * 60 * 1000


@pytest.fixture(scope="module")
def lines():
    return order_lines(LINES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("wms")


@pytest.fixture(scope="module")
def stocked(stage, lines, folder):
    """Return the rows of three warehouses whose journals are kept, each with 500 units."""
    rules = [
        {
            "type": "set_warehouse",
            "command_id": f"wms-{name}",
            "warehouse": name,
            "version": 1,
            "journal_ms": JOURNAL_MS,
        }
        for name in WAREHOUSES
    ]
    stage.ask("reference", "set", "-", given="".join(json.dumps(rule) + "\n" for rule in rules))
    rows = [(sku, name) for sku in sorted({line["sku"] for line in lines}) for name in WAREHOUSES]
    counts = [{"sku": sku, "warehouse": name, "on_hand": 500} for sku, name in rows]
    stage.ask("import-stock", str(write_rows(folder / "stock.csv", counts)), "--reason", "receipt")
    return rows


@pytest.fixture(scope="module")
def orders(stage, lines, folder, stocked):
    """Run the orders beside the tests."""
    assert stocked
    begin = datetime.fromisoformat(lines[0]["ordered_at"])
    paced = [
        lines[number % LINES] | {"ordered_at": str(begin + timedelta(seconds=number))}
        for number in range(LINES_A_SECOND * ORDERS_TAKE_S)
    ]
    options = ("--speed", LINES_A_SECOND, "--warehouse", "hull", "--bootstrap", stage.bootstrap)
    file = write_rows(folder / "orders.csv", paced)
    running = stage.python("-m", "ops.cli", "import", file, *options, stdout=subprocess.DEVNULL)
    yield running
    running.kill()
    running.wait(30)


@pytest.fixture(scope="module")
def reconcile(stage):
    """Return a function that reconciles a count and returns its report."""

    def run(file, at, tolerance=None):
        plan = FeedPlan(path=file, feed="wms", as_of_at=at, tolerance=tolerance, interval_ms=JOURNAL_MS)
        report = msgspec.to_builtins(asyncio.run(reconcile_feed(plan, bootstrap=stage.bootstrap)))
        assert (report["repeated"], report["missing"], report["doubled"]) == (REPEATED, 0, 0)
        return report | {"rows": report["sent"] - REPEATED}

    return run


def drift_in(report):
    return {(it["sku"], it["warehouse"]): it["drift"]["on_hand"] for it in report["drifts"]}


def moved_in(drift):
    return sum(moved["units"].get("on_hand", 0) for moved in drift["moved"])


def test_the_drift_that_is_found_is_what_was_planted_row_by_row_while_orders_go_on(
    stage, folder, stocked, orders, reconcile
):
    wms = Wms(stage.bootstrap, seed=11)

    def night(name):
        """Count, and return the time, what is there, and the file of the count."""
        at, stock = asyncio.run(wms.count())
        return at, stock, wms.send(folder / f"{name}.csv", stock)

    while sum(night("zero")[1].values()) == 500 * len(stocked):  # until goods move
        assert orders.poll() is None
    first_errors = wms.go_wrong()
    wms.unnamed.add(stocked[0])
    at_first, counted_first, first = night("first")
    second_errors = wms.go_wrong()
    at_second, _, second = night("second")

    # The first night comes late, only to be looked at, then to be applied.
    seen = reconcile(first, at_first, tolerance=0)
    assert drift_in(seen) == first_errors
    assert (seen["refused"], seen["adjusted"]) == ({"drift_above_tolerance": len(first_errors)}, 0)
    applied = reconcile(first, at_first)
    assert drift_in(applied) == first_errors
    assert [it["drift"] for it in applied["drifts"]] == [it["drift"] for it in seen["drifts"]]
    assert applied["adjusted"] == len(first_errors)
    assert [(it["sku"], it["warehouse"]) for it in applied["not_in_feed"]] == [stocked[0]]
    # It comes again, and changes nothing.
    again = reconcile(first, at_first)
    assert (again["replayed"], drift_in(again)) == (again["rows"], first_errors)

    # The third night overtakes the second, which then is an old one.
    third_errors = wms.go_wrong()
    at_third, counted_third, third = night("third")
    assert min(map(len, (first_errors, second_errors, third_errors))) > 5
    moved = [row for row, units in counted_first.items() if counted_third[row] != units]
    assert len(moved) > 2 * len(second_errors | third_errors), "no goods moved between the counts"
    both = {row: second_errors.get(row, 0) + third_errors.get(row, 0) for row in second_errors | third_errors}
    overtaking = reconcile(third, at_third)
    assert drift_in(overtaking) == {row: units for row, units in both.items() if units}
    assert overtaking["adjusted"] == len(drift_in(overtaking))
    for drift in overtaking["drifts"]:
        assert drift["since"] == at_first
        before = counted_first[drift["sku"], drift["warehouse"]]
        assert drift["ledger"]["on_hand"] == before + moved_in(drift), "what moved it does not explain the ledger"
    late = reconcile(second, at_second)
    assert (late["refused"], late["drifts"], late["ok"]) == ({"stale_count": late["rows"]}, [], True)
    assert late["feed_is_known_later"]
    # In the end WMS and ledger agree in every row, those that were wrong included.
    at_last, _, last = night("last")
    agreed = reconcile(last, at_last, tolerance=0)
    assert (agreed["drifts"], agreed["accepted"], agreed["refused"]) == ([], agreed["rows"], {})
    assert orders.poll() is None, "the orders were done too soon"


def test_how_old_the_feed_is_is_told_by_the_gateway_and_the_doctor(stage):
    with urllib.request.urlopen(f"http://{stage.gateway}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    (age,) = re.findall(r'^holdfast_feed_age_seconds{feed="wms"} (.+)$', text, re.MULTILINE)
    assert 0 < float(age) < 600
    shown = json.loads(stage.ask("doctor", "--partitions", "4", "--json", code=None))
    (feed,) = [check for check in shown["checks"] if check["name"] == "feed wms"]
    assert (feed["ok"], feed["data"]["interval_ms"]) == (True, JOURNAL_MS)
