"""What can be promised is read through the log, with the goods that are announced."""

import json
import time
import uuid

import pytest

from ops.stock import time_text

DAY_MS = 24 * 60 * 60 * 1000


@pytest.fixture
def announced(holdfast, answering):
    """Let a SKU have 3 and be promised 4 in 10 days and 6 in 20, and return the SKU with the two dates."""
    sku, now = uuid.uuid4().hex[:8], time.time_ns() // 1_000_000
    dates = now + 10 * DAY_MS, now + 20 * DAY_MS
    goods = {"type": "expect_inbound", "warehouse": "leeds"}
    commands = [
        {"type": "adjust", "warehouse": "leeds", "delta": 3, "reason": "receipt"},
        {"type": "set_policy", "channel": "web", "presell_horizon_ms": 30 * DAY_MS, "split": True},
        goods | {"inbound_id": "po-7", "quantity": 4, "eta_at": dates[0]},
        goods | {"inbound_id": "po-8", "quantity": 6, "eta_at": dates[1]},
    ]
    lines = "".join(json.dumps({"command_id": uuid.uuid4().hex, "sku": sku} | it) + "\n" for it in commands)
    sent = holdfast("send", "--wait", "--bootstrap", answering, given=lines)
    assert [json.loads(line)["status"] for line in sent.stdout.splitlines()] == ["accepted"] * 4
    return sku, *dates


def test_a_quantity_is_promised_now_by_a_date_or_not(holdfast, answering, announced):
    sku, first, second = announced

    def promise(quantity, *more):
        result = holdfast("promise", sku, quantity, "--channel", "web", "--json", "--bootstrap", answering, *more)
        return result.exit_code, json.loads(result.stdout)

    code, shown = promise(3)
    assert (code, shown["promised_at"], shown["available"]) == (0, shown["at"], 3)
    assert shown["promises"] == [{"at": first, "available_to_promise": 7}, {"at": second, "available_to_promise": 13}]
    assert [promise(quantity)[1]["promised_at"] for quantity in (4, 7, 8, 13)] == [first, first, second, second]
    assert (promise(14)[0], promise(14)[1]["promised_at"]) == (1, None)
    assert promise(8, "--by", first)[0] == 1


def test_for_people_promises_are_a_table_and_a_sentence_and_stock_shows_what_is_announced(
    holdfast, answering, announced
):
    sku, first, second = announced
    result = holdfast("promise", sku, 8, "--channel", "web", "--bootstrap", answering)
    assert [line.split()[-1] for line in result.stdout.splitlines()[2:]] == ["3", "7", "13"]
    assert f"8 can be promised by {time_text(second)}" in result.stderr
    none = holdfast("promise", sku, 8, "--channel", "shop", "--bootstrap", answering)
    assert (none.exit_code, "8 cannot be promised" in none.stderr) == (1, True)
    stock = [line.split() for line in holdfast("stock", sku, "--bootstrap", answering).stdout.splitlines()]
    assert ["po-7", "leeds", *time_text(first).split(), "4", "0"] in stock
    tail = holdfast("tail", "stock-changes", "--from-beginning", "--sku", sku, "-n", 5, "--bootstrap", answering).stdout
    assert "po-7 brings 4 to leeds, po-8 brings 6 to leeds" in tail.splitlines()[-1]


def test_a_sku_or_a_time_that_is_none_is_said(holdfast, answering):
    unknown = holdfast("promise", uuid.uuid4().hex, 1, "--channel", "web", "--bootstrap", answering)
    assert (unknown.exit_code, "is unknown" in unknown.stderr) == (1, True)
    for by in ("soon", "2:17"):
        wrong = holdfast("promise", "S", 1, "--channel", "web", "--by", by, "--bootstrap", answering)
        assert (wrong.exit_code, "is no time" in wrong.stderr) == (2, True)
