"""Who waits for a SKU is read through the log, by rank."""

import pytest

WAITING = {
    "reservation_id": "b3", "channel": "vip", "order_id": None, "priority": 10, "placed_at": 1_764_000_000_000,
    "quantity": 4, "promised_at": None,
}  # fmt: skip


async def test_who_waits_is_listed_as_the_ledger_says_with_the_units_of_all(client, ledger, helpers):
    book = {"backordered": 12, "promised": 0, "settling": True, "inbounds": [], "channels": []}
    ledger.answer = lambda command: helpers.result_of(command, seq=9, waiting=[WAITING], book=book)
    answer = await client.get("/v1/backorders", params={"sku": "a/b", "limit": "7"})
    (sent,) = ledger.commands
    assert (sent["type"], sent["sku"], sent["waiting"]) == ("query", "a/b", 7)
    assert answer.headers["idempotency-key"] == sent["command_id"]
    assert answer.json() == {
        "sku": "a/b", "items": [WAITING], "backordered": 12, "promised": 0, "settling": True, "seq": 9,
        "at": 1_764_000_000_000,
    }  # fmt: skip


async def test_where_nobody_waits_the_list_is_empty_and_a_hundred_are_asked_for(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, waiting=[])
    shown = (await client.get("/v1/backorders?sku=a")).json()
    assert ledger.commands[0]["waiting"] == 100
    assert (shown["items"], shown["backordered"], shown["settling"]) == ([], 0, False)


async def test_who_waits_for_an_unknown_sku_is_a_problem(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, code="unknown_sku")
    answer = await client.get("/v1/backorders?sku=a")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_sku")


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        ("0", "too_small"), ("-1", "too_small"), ("101", "too_large"), ("9" * 5000, "too_large"),
        ("1e1", "wrong_type"), ("", "wrong_type"), ("+5", "wrong_type"), ("-", "wrong_type"),
    ],
)  # fmt: skip
async def test_a_limit_that_is_none_is_named_and_nothing_is_sent(client, ledger, limit, problem):
    answer = await client.get("/v1/backorders", params={"sku": "a", "limit": limit})
    document = answer.json()
    assert (answer.status_code, document["field"], document["problem"]) == (422, "limit", problem)
    assert document["detail"].startswith("limit must be an integer from 1 to 100: ")
    assert len(document["detail"]) < 200
    assert ledger.commands == []


async def test_zeros_before_a_limit_count_nothing(client, ledger):
    assert (await client.get(f"/v1/backorders?sku=a&limit={'0' * 14}12")).status_code == 200
    assert ledger.commands[0]["waiting"] == 12
