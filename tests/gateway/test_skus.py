"""The SKUs of the view are listed in byte order, a page at a time."""

import asyncio
import itertools
import json
import random
from urllib.parse import urlencode

import pytest
from litestar import Request

from gateway import skus
from gateway.availability import AvailabilityView
from gateway.incoming import Query
from gateway.skus import SkuRoutes
from gateway.view_answer import ViewState
from tests.gateway.conftest import change_of

NAMES = ["a", "a b", "a/b", "ab", "b", "\N{PACKAGE}", "\N{EURO SIGN}", "a\N{PACKAGE}", "B", "0"]
PLACES = ["leeds", "york", "bath"]
PARAMETERS = {"prefix", "warehouse", "shortfall", "limit", "cursor", "max_lag_ms"}


@pytest.fixture
def put(gateway):
    """Return a function that applies a stock change of a row."""
    return lambda *row: put_into(gateway.view, *row)


def put_into(view, sku, warehouse, seq, on_hand=1, reserved=0):
    view.apply_record(0, None, json.dumps(change_of(sku, warehouse, seq, on_hand=on_hand, reserved=reserved)).encode())


def page(view, **asked):
    """Return one page as the route answers it."""
    query = urlencode(asked)
    scope = {"type": "http", "method": "GET", "path": "/v1/skus", "headers": [], "query_string": query.encode()}
    request = Request(scope)
    reply = asyncio.run(SkuRoutes(view, ViewState((), 10_000)).skus(request, Query(request, PARAMETERS)))
    return json.loads(reply.body)


async def test_an_item_is_what_availability_answers(client, put):
    put("a", "york", 1)
    put("a", "leeds", 2, 5, 2)
    shown = (await client.get("/v1/skus")).json()
    assert shown["items"] == (await client.get("/v1/availability?sku=a")).json()["items"]
    assert (shown["next"], shown["lag"], shown["lag_ms"]) == (None, 0, 0)


@pytest.mark.parametrize("seed", range(40))
def test_the_list_is_that_of_a_plain_dictionary_for_every_filter(seed):
    chance = random.Random(seed)
    rows = [
        (chance.choice(NAMES), chance.choice(PLACES), chance.randrange(3), chance.randrange(3))
        for _ in range(chance.randrange(25))
    ]
    for prefix, warehouse, short in itertools.product(["", "a", "a/", "zz"], [None, "york"], [False, True]):
        check_list(rows, prefix, warehouse, short)


def check_list(rows, prefix, warehouse, short):
    view, known = AvailabilityView(), {}
    for seq, (sku, place, on_hand, reserved) in enumerate(rows, start=1):
        known.setdefault(sku, {})[place] = reserved > on_hand
        put_into(view, sku, place, seq, on_hand, reserved)
    fitting = {
        sku
        for sku, places in known.items()
        if sku.startswith(prefix)
        and any((is_short or not short) and warehouse in {None, place} for place, is_short in places.items())
    }
    asked = {"prefix": prefix, "shortfall": str(short).lower(), "limit": 2}
    asked |= {} if warehouse is None else {"warehouse": warehouse}
    found, cursor = [], {}
    while True:
        shown = page(view, **asked, **cursor)
        found += [it["sku"] for it in shown["items"]]
        if shown["next"] is None:
            break
        assert len(shown["items"]) == 2
        cursor = {"cursor": shown["next"]}
    assert found == sorted(fitting, key=str.encode)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_there_all_along_is_listed_once_whatever_comes_between_the_pages(seed):
    chance = random.Random(seed)
    names = [f"{chance.randrange(10**6):06}" for _ in range(300)]
    there, coming = names[:150], iter(names[150:])
    view = AvailabilityView()
    for name in there:
        put_into(view, name, "leeds", 1)
    found, cursor = [], {}
    while cursor is not None:
        shown = page(view, limit=chance.choice([1, 7, 20]), **cursor)
        found += [it["sku"] for it in shown["items"]]
        cursor = None if shown["next"] is None else {"cursor": shown["next"]}
        for name in [name for name, _ in zip(coming, range(chance.randrange(30)), strict=False)]:
            put_into(view, name, "leeds", 1)
    assert found == sorted(set(found))
    assert set(there) <= set(found) <= set(names)


def test_a_search_for_what_is_rare_looks_at_so_many_skus_and_goes_on_with_the_next_page(monkeypatch):
    monkeypatch.setattr(skus, "MOST_LOOKED_AT", 20)
    monkeypatch.setattr(skus, "_SLICE", 10)
    view = AvailabilityView()
    for number in range(50):
        put_into(view, f"s{number:02}", "york" if number == 45 else "leeds", 1)
    first = page(view, warehouse="york")
    assert (first["items"], first["next"]) == ([], "s19")
    second = page(view, warehouse="york", cursor="s19")
    assert (second["items"], second["next"]) == ([], "s39")
    last = page(view, warehouse="york", cursor="s39")
    assert ([it["sku"] for it in last["items"]], last["next"]) == (["s45"], None)


async def test_the_link_keeps_every_parameter_but_the_cursor(client, put):
    for sku in ("p&1", "p&2", "p&3"):
        put(sku, "leeds", 1)
    query = {"prefix": "p&", "warehouse": "leeds", "limit": "1", "cursor": "p&1", "max_lag_ms": "5"}
    link = (await client.get("/v1/skus", params=query)).headers["link"]
    assert link == ('</v1/skus?prefix=p%26&warehouse=leeds&limit=1&max_lag_ms=5&cursor=p%262>; rel="next"')


@pytest.mark.parametrize(
    ("query", "field", "problem"),
    [
        ("limit=0", "limit", "too_small"), ("limit=1001", "limit", "too_large"),
        ("shortfall=yes", "shortfall", "wrong_type"), ("shortfall=true&shortfall=true", "shortfall", "not_allowed"),
        ("channel=web", "channel", "unknown_field"), ("warehouse=a%20b", "warehouse", "bad_characters"),
        (f"prefix={'p' * 65}", "prefix", "too_long"),
    ],
)  # fmt: skip
async def test_a_parameter_that_is_none_is_named(client, query, field, problem):
    answer = await client.get(f"/v1/skus?{query}")
    assert (answer.status_code, answer.json()["field"], answer.json()["problem"]) == (422, field, problem)
