"""Stock rows where more is reserved than on hand are listed from the view."""

import json

import pytest


@pytest.fixture
def put(gateway, helpers):
    """Return a function that applies a stock change of a row."""

    def apply(sku, warehouse, seq, on_hand, reserved):
        change = helpers.change_of(sku, warehouse, seq, on_hand=on_hand, reserved=reserved)
        gateway.view.apply_record(0, None, json.dumps(change).encode())

    return apply


async def test_rows_that_are_short_are_listed_by_sku_and_warehouse_until_they_are_not(client, put):
    put("b", "york", 1, 1, 4)
    put("a/x", "york", 1, 2, 3)
    put("a/x", "leeds", 2, 0, 5)
    put("a/x", "hull", 3, 5, 5)
    shown = (await client.get("/v1/shortfalls")).json()
    assert [(it["sku"], it["warehouse"], it["short"]) for it in shown["items"]] == [
        ("a/x", "leeds", 5), ("a/x", "york", 1), ("b", "york", 3),
    ]  # fmt: skip
    assert shown["items"][1] == {
        "sku": "a/x", "warehouse": "york", "on_hand": 2, "reserved": 3, "short": 1, "seq": 3, "at": 1_764_000_000_003,
    }  # fmt: skip
    assert (shown["next"], shown["lag"], shown["lag_ms"]) == (None, 0, 0)
    put("a/x", "leeds", 4, 5, 5)
    put("b", "york", 2, 1, 1)
    assert [it["warehouse"] for it in (await client.get("/v1/shortfalls")).json()["items"]] == ["york"]


async def test_a_page_goes_on_where_the_last_one_ended_whatever_came_and_went_meanwhile(client, put):
    for sku in ("s/1", "s/2", "s/3", "s/4"):
        put(sku, "leeds", 1, 0, 1)
    first = (await client.get("/v1/shortfalls?limit=2")).json()
    assert [it["sku"] for it in first["items"]] == ["s/1", "s/2"]
    put("s/2", "leeds", 2, 1, 1)
    put("s/0", "leeds", 1, 0, 1)
    put("s/2", "york", 3, 0, 1)
    second = (await client.get("/v1/shortfalls", params={"limit": 100, "cursor": first["next"]})).json()
    assert [(it["sku"], it["warehouse"]) for it in second["items"]] == [
        ("s/2", "york"), ("s/3", "leeds"), ("s/4", "leeds"),
    ]  # fmt: skip
    assert second["next"] is None


async def test_the_link_of_a_page_leads_to_the_next_one_and_the_last_page_has_none(client, put):
    skus = ["a b", "a/b", "a?b&c=d", "\N{PACKAGE}", "\N{PACKAGE}\N{EURO SIGN}"]
    for sku in skus:
        put(sku, "leeds", 1, 0, 1)
    url, seen = "/v1/shortfalls?limit=2", []
    while url is not None:
        answer = await client.get(url)
        seen += [it["sku"] for it in answer.json()["items"]]
        link = answer.headers.get("link")
        assert (link is None) == (answer.json()["next"] is None)
        url = None if link is None else link.removeprefix("<").removesuffix('>; rel="next"')
    assert seen == skus


async def test_exactly_a_full_page_is_the_last_one(client, put):
    for number in range(100):
        put(f"s{number:03}", "leeds", 1, 0, 1)
    shown = (await client.get("/v1/shortfalls")).json()
    assert (len(shown["items"]), shown["next"]) == (100, None)
    put("s100", "leeds", 1, 0, 1)
    assert (await client.get("/v1/shortfalls")).json()["next"] == "s099/leeds"


@pytest.mark.parametrize(
    ("query", "field", "problem"),
    [
        ("limit=0", "limit", "too_small"), ("limit=101", "limit", "too_large"), ("limit=x", "limit", "wrong_type"),
        ("cursor=s", "cursor", "not_allowed"), ("cursor=", "cursor", "not_allowed"), ("sku=s", "sku", "unknown_field"),
    ],
)  # fmt: skip
async def test_a_parameter_that_is_none_is_named(client, query, field, problem):
    answer = await client.get(f"/v1/shortfalls?{query}")
    assert (answer.status_code, answer.json()["field"], answer.json()["problem"]) == (422, field, problem)


async def test_nothing_is_listed_before_the_view_is_whole(client, gateway):
    gateway.reader.complete.clear()
    answer = await client.get("/v1/shortfalls")
    assert (answer.status_code, answer.json()["code"]) == (503, "view_not_ready")


async def test_a_book_is_no_row_that_could_be_short(client, gateway, helpers):
    book = {"backordered": 3, "promised": 0, "channels": [], "inbounds": []}
    change = helpers.change_of("a", "", 1, on_hand=0, reserved=9) | {"book": book}
    gateway.view.apply_record(0, None, json.dumps(change).encode())
    assert (await client.get("/v1/shortfalls")).json()["items"] == []
