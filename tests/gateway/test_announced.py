"""Announced goods and promises are answered from the view."""

import json
import time

import pytest

from tests.gateway.test_reference_routes import document

NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 24 * 60 * 60 * 1000
FIRST, SECOND = NOW_MS + 10 * DAY_MS, NOW_MS + 20 * DAY_MS


def goods(inbound_id, eta_at, remaining, claimed=0):
    units = {"remaining": remaining, "claimed": claimed}
    return {"inbound_id": inbound_id, "warehouse": "leeds", "eta_at": eta_at} | units


@pytest.fixture
def announced(gateway, helpers):
    """Let 3 be there, 4 of 10 be free in 10 days, and 6 in 20 days."""
    book = {"backordered": 0, "promised": 6, "channels": []}
    book["inbounds"] = [goods("po-7", FIRST, 10, claimed=6), goods("po-8", SECOND, 6)]
    for change in (
        helpers.change_of("S", "leeds", 1, on_hand=3),
        helpers.change_of("S", "", 2, on_hand=0) | {"book": book},
    ):
        gateway.view.apply_record(0, None, json.dumps(change).encode())
    return book


@pytest.fixture
def selling(gateway):
    """Put the policy of `web` in force in every partition."""

    def put(**fields):
        value = json.dumps(document("channel", "web", **fields)).encode()
        for number in range(len(gateway.rules.of)):
            gateway.rules.apply(number, b"channel/web", value)

    return put


async def test_the_announced_goods_of_a_sku_are_listed_by_date(client, announced):
    shown = (await client.get("/v1/inbounds?sku=S")).json()
    assert shown["items"] == announced["inbounds"]
    assert (shown["sku"], shown["seq"], shown["lag"]) == ("S", 2, 0)
    nothing = (await client.get("/v1/inbounds?sku=other")).json()
    assert (nothing["items"], nothing["seq"], nothing["at"]) == ([], 0, None)


@pytest.mark.parametrize(
    ("quantity", "by", "promised_at"),
    [
        (3, None, "now"), (4, None, FIRST), (7, None, FIRST), (8, None, SECOND), (13, None, SECOND), (14, None, None),
        (8, FIRST, None), (7, FIRST, FIRST), (4, FIRST - 1, None), (3, 0, "now"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("announced")
async def test_a_quantity_is_promised_by_the_first_date_by_which_it_can_be_had(
    client, selling, quantity, by, promised_at
):
    selling(presell_horizon_ms=30 * DAY_MS)
    wanted = {"sku": "S", "channel": "web", "quantity": quantity} | ({} if by is None else {"by": by})
    shown = (await client.get("/v1/promises", params=wanted)).json()
    dates = [{"at": FIRST, "available_to_promise": 7}, {"at": SECOND, "available_to_promise": 13}]
    assert shown["promises"] == [it for it in dates if by is None or it["at"] <= by]
    assert (shown["sku"], shown["channel"], shown["quantity"], shown["available"]) == ("S", "web", quantity, 3)
    if promised_at == "now":
        assert NOW_MS <= shown["promised_at"] <= NOW_MS + 600_000
    else:
        assert shown["promised_at"] == promised_at


@pytest.mark.usefixtures("announced")
async def test_nothing_is_promised_beyond_the_horizon_and_by_default_there_is_none(client, selling):
    url = "/v1/promises?sku=S&channel=web&quantity=8"
    assert (await client.get(url)).json()["promises"] == []
    selling(presell_horizon_ms=15 * DAY_MS)
    shown = (await client.get(url)).json()
    assert ([it["at"] for it in shown["promises"]], shown["promised_at"]) == ([FIRST], None)
    (item,) = (await client.get("/v1/availability?sku=S&channel=web")).json()["items"]
    assert item["promises"] == shown["promises"]


@pytest.mark.parametrize(
    ("changed", "field", "problem"),
    [
        ({"sku": ""}, "sku", "too_small"), ({"channel": "a b"}, "channel", "bad_characters"),
        ({"quantity": "0"}, "quantity", "too_small"), ({"quantity": "1e1"}, "quantity", "wrong_type"),
        ({"quantity": "1000000001"}, "quantity", "too_large"), ({"by": "-1"}, "by", "too_small"),
        ({"by": "tomorrow"}, "by", "wrong_type"), ({"by": str(2**53 + 1)}, "by", "too_large"),
        ({"sku": None}, "sku", "missing"), ({"channel": None}, "channel", "missing"),
        ({"quantity": None}, "quantity", "missing"), ({"colour": "red"}, "colour", "unknown_field"),
    ],
)  # fmt: skip
async def test_a_parameter_of_promises_that_is_none_is_named(client, changed, field, problem):
    given = {"sku": "S", "channel": "web", "quantity": "1"} | changed
    answer = await client.get("/v1/promises", params={name: it for name, it in given.items() if it is not None})
    shown = answer.json()
    assert (answer.status_code, shown["field"], shown["problem"]) == (422, field, problem)


async def test_nothing_is_promised_before_both_views_are_whole(client, gateway):
    for reader in (gateway.reader, gateway.rules_reader):
        reader.complete.clear()
        for url in ("/v1/inbounds?sku=S", "/v1/promises?sku=S&channel=web&quantity=1"):
            answer = await client.get(url)
            assert (answer.status_code, answer.json()["code"]) == (503, "view_not_ready")
        reader.complete.set()
