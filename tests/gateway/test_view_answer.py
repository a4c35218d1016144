"""Every answer from the view says how old the view is, and a caller may refuse one that is too old."""

import json
import time

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import GatewayConfig, settings_of
from gateway.routes.table import ROUTES

FROM_THE_VIEW = {
    "/v1/availability": "sku=a&sku=b",
    "/v1/skus": "limit=1",
    "/v1/inbounds": "sku=a",
    "/v1/promises": "sku=a&channel=web&quantity=1",
    "/v1/shortfalls": "limit=1",
    "/v1/stock-changes/recent": "sku=a",
    "/v1/warehouses": "limit=1",
    "/v1/channels": "limit=1",
    "/v1/feeds": "limit=1",
    "/v1/policies": "sku=a&channel=web",
    "/v1/warehouses/{id}": "",
    "/v1/channels/{id}": "",
}
PATHS = [f"{path}?{query}".format(id="it") for path, query in FROM_THE_VIEW.items()]
TAGGED = [path for path in PATHS if path.startswith("/v1/availability") or "limit=1" in path]


@pytest.fixture
def known(gateway, helpers):
    """Let the view know two SKUs with short rows, and two warehouses, channels and feeds."""
    for sku in ("a", "b"):
        put(gateway, helpers.change_of(sku, "leeds", 1, on_hand=1, reserved=2))
    common = {"version": 1, "command_id": "c", "at": 1}
    warehouse = {"enabled": True, "priority": 1, "region": None, "journal_ms": 0, "name": None, "journal_since": None}
    feed = {"as_of_at": 1, "interval_ms": 2, "rows": 3, "refused": 0}
    for kind, fields in (("warehouse", warehouse), ("channel", {"name": None}), ("feed", feed)):
        for name in ("it", "other"):
            document = json.dumps({"kind": kind, "id": name, **common, **fields}).encode()
            for partition in range(4):
                gateway.rules.apply(partition, b"key", document)


def put(gateway, document, partition=0):
    gateway.view.apply_record(partition, None, json.dumps(document).encode())


def is_behind(reader, ms):
    """Let a reader have been behind for a time."""
    reader.lag, reader._in_step_at = 3, time.monotonic() - ms / 1000


def test_the_routes_of_this_module_are_those_that_answer_from_the_view():
    served = {route.path for route in ROUTES if route.method == "GET" and "view_behind" in route.codes}
    assert served == set(FROM_THE_VIEW)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_says_for_how_long_the_view_has_been_behind_and_when_that_is_too_long(client, gateway, path):
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["holdfast-view-lag-ms"]) == (200, "0")
    assert "stale" not in answer.json()
    is_behind(gateway.rules_reader, 900)  # within the last second it held everything
    assert (await client.get(path)).headers["holdfast-view-lag-ms"] == "0"
    is_behind(gateway.rules_reader, 5_000)
    answer = await client.get(path)
    assert 5_000 <= int(answer.headers["holdfast-view-lag-ms"]) < 6_000
    assert "stale" not in answer.json()
    is_behind(gateway.reader, 20_000)
    answer = await client.get(path)
    shown = answer.json()
    if "lag_ms" in shown:  # a single document is as it was set
        assert (shown["lag"], shown["stale"]) == (6, True)
        assert answer.headers["holdfast-view-lag-ms"] == str(shown["lag_ms"])


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("path", PATHS)
async def test_a_caller_may_refuse_an_answer_from_a_view_that_is_too_old(client, gateway, path):
    is_behind(gateway.reader, 5_000)
    assert (await client.get(f"{path}&max_lag_ms=6000")).status_code == 200
    answer = await client.get(f"{path}&max_lag_ms=4999")
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (503, "view_behind", 503)
    assert answer.headers["retry-after"] == "1"
    answer = await client.get(f"{path}&max_lag_ms=x")
    assert (answer.status_code, answer.json()["field"]) == (422, "max_lag_ms")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reader", ["reader", "rules_reader"])
async def test_nothing_is_answered_until_both_topics_were_read(client, gateway, path, reader):
    getattr(gateway, reader).complete.clear()
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (503, "view_not_ready")
    gateway.reader.read, gateway.reader.lag = 1_200, 300
    assert "1,200 of 1,500 records" in (await client.get(path)).json()["detail"]


@pytest.mark.usefixtures("known")
async def test_a_body_may_refuse_a_view_that_is_too_old(client, gateway):
    is_behind(gateway.reader, 5_000)
    for most, status in ((6_000, 200), (1_000, 503)):
        answer = await client.post("/v1/availability", json={"skus": ["a"], "max_lag_ms": most})
        assert answer.status_code == status
    answer = await client.get("/v1/availability?sku=a&min_seq=2&max_lag_ms=6000")
    assert (answer.status_code, answer.json()["status"]) == (504, 504)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("path", TAGGED)
async def test_an_answer_that_the_caller_has_already_is_not_sent_again(client, gateway, path):
    first = await client.get(path)
    tag = first.headers["etag"]
    for condition in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        answer = await client.get(path, headers={"If-None-Match": condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert answer.headers["holdfast-view-lag-ms"] == "0"
        assert "content-type" not in answer.headers
        assert answer.headers.get("link") == first.headers.get("link")
    assert (await client.get(path, headers={"If-None-Match": '"x"'})).status_code == 200
    is_behind(gateway.reader, 5_000)
    assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
    answer = await client.get(f"{path}&max_lag_ms=100", headers={"If-None-Match": tag})
    assert answer.status_code == 503


@pytest.mark.usefixtures("known")
async def test_the_tag_of_availability_changes_with_the_rules_and_not_with_the_order_of_records(
    client, gateway, helpers
):
    path = "/v1/availability?sku=a&channel=it"
    tags = [(await client.get(path)).headers["etag"]]
    assert (await client.get(path)).headers["cache-control"] == "private, no-cache"
    channel = {"kind": "channel", "id": "it", "version": 2, "command_id": "d", "at": 1, "name": None, "enabled": False}
    for partition in range(4):
        gateway.rules.apply(partition, b"key", json.dumps(channel).encode())
    tags.append((await client.get(path)).headers["etag"])
    put(gateway, helpers.change_of("a", "york", 2, on_hand=1))
    tags.append((await client.get(path)).headers["etag"])
    assert len({*tags}) == 3


async def test_a_page_to_which_another_one_was_added_has_another_tag(client, gateway, helpers):
    put(gateway, helpers.change_of("a", "leeds", 1, on_hand=1, reserved=2))
    first = await client.get("/v1/shortfalls?limit=1")
    put(gateway, helpers.change_of("b", "leeds", 1, on_hand=1, reserved=2))
    second = await client.get("/v1/shortfalls?limit=1", headers={"If-None-Match": first.headers["etag"]})
    assert (second.status_code, second.json()["next"]) == (200, "a/leeds")


def test_settings_come_from_variables_and_a_wrong_one_is_named():
    assert settings_of({"HOLDFAST_MAX_VIEW_LAG_MS": "5", "HOLDFAST_RECENT_CHANGES": " "}) == {"max_view_lag_ms": 5}
    with pytest.raises(ValueError, match="HOLDFAST_RECENT_CHANGES must be an integer of at least 1, not '0'"):
        settings_of({"HOLDFAST_RECENT_CHANGES": "0"})


async def test_two_gateways_that_read_the_partitions_in_another_order_give_the_same_tags(ledger, helpers):
    places = ("york", "leeds", "bath", "leeds")
    changes = [
        (partition, helpers.change_of(f"s{partition}", place, seq, on_hand=seq))
        for partition in range(4)
        for seq, place in enumerate(places, start=1)
    ]
    tags = []
    for order in (changes, sorted(changes, key=lambda it: (it[1]["seq"], -it[0]))):
        gateway = Gateway(GatewayConfig(partitions=4), ledger)
        gateway.reader.complete.set()
        gateway.rules_reader.complete.set()
        for partition, change in order:
            put(gateway, change, partition)
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            paths = ("/v1/skus", "/v1/availability?sku=s1&sku=s3&channel=web")
            tags.append([(await client.get(path)).headers["etag"] for path in paths])
    assert tags[0] == tags[1]
