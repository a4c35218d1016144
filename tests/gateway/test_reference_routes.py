"""Warehouses and channels are set in every partition; what is in force is read from the view."""

import json

import pytest

from gateway import reference_routes
from schemas.partitioner import partition_of
from schemas.reference import version_of
from tests.gateway.conftest import PARTITIONS, change_of


def document(kind, name, version=1, command_id="c", **fields):
    common = {"kind": kind, "id": name, "version": version, "command_id": command_id, "at": 5}
    defaults = {
        "warehouse": {
            "enabled": True, "priority": 100, "region": None, "journal_ms": 0, "name": None, "journal_since": None,
        },
        "channel": {"name": None},
        "feed": {"as_of_at": 1, "interval_ms": 2, "rows": 3, "refused": 0},
    }[kind]  # fmt: skip
    return common | defaults | fields


@pytest.fixture
def known(gateway):
    """Return a function that puts a document in force, in one partition or in all."""

    def put(value, *, partitions=range(PARTITIONS)):
        for partition in partitions:
            gateway.rules.apply(partition, b"key", json.dumps(value).encode())

    return put


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/warehouses/leeds", {"type": "set_warehouse", "warehouse": "leeds"}),
        ("/v1/channels/web", {"type": "set_channel", "channel": "web"}),
        ("/v1/channels/%2A", {"type": "set_channel", "channel": "*"}),
    ],
)
async def test_it_goes_to_every_partition_and_all_results_are_the_answer(client, ledger, path, sent):
    answer = await client.put(path, json={"version": 3}, headers={"Idempotency-Key": "k1"})
    assert ledger.commands == [{"command_id": "k1", "version": 3} | sent] * PARTITIONS
    assert answer.status_code == 200
    assert answer.json() == {"results": [ledger.answer(command) for command in ledger.commands]}
    assert answer.headers["idempotency-key"] == "k1"


async def test_one_partition_that_refuses_refuses_it(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(
        command, code="stale_version" if len(ledger.commands) == PARTITIONS else None
    )
    answer = await client.put("/v1/warehouses/leeds", json={"version": 3})
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_version")
    assert answer.json()["result"]["code"] == "stale_version"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/warehouses/leeds", {}, "version"),
        ("/v1/warehouses/%2A", {"version": 1}, "warehouse"),
        ("/v1/warehouses/leeds", {"version": 1, "warehouse": "york"}, "warehouse"),
        ("/v1/channels/web", {"version": 1, "warehouses": ["a", "a"]}, "warehouses"),
        ("/v1/channels/web", {"version": 1, "sku": "S"}, "sku"),
    ],
)
async def test_what_is_wrong_is_refused_before_it_is_sent(client, ledger, path, body, field):
    answer = await client.put(path, json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "invalid_field", field)
    assert ledger.commands == []


async def test_a_new_one_beyond_the_limit_is_refused_and_a_known_one_is_not(client, known, monkeypatch):
    monkeypatch.setattr(reference_routes, "MAX_CHANNELS", 1)
    known(document("channel", "web"))
    refused = await client.put("/v1/channels/shop", json={"version": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_exceeded")
    assert (await client.put("/v1/channels/web", json={"version": 2})).status_code == 200
    assert (await client.put("/v1/warehouses/leeds", json={"version": 1})).status_code == 200


async def test_the_greatest_version_over_the_partitions_is_shown(client, known):
    known(document("warehouse", "leeds", version=1))
    known(document("warehouse", "leeds", version=2, command_id="a", priority=7), partitions=[1])
    known(document("warehouse", "leeds", version=2, command_id="b", priority=8), partitions=[2])
    known(document("warehouse", "bath"), partitions=[3])
    shown = (await client.get("/v1/warehouses")).json()
    assert [(it["id"], it["version"], it["priority"]) for it in shown["items"]] == [("bath", 1, 100), ("leeds", 2, 8)]
    assert (shown["lag"], shown["lag_ms"]) == (0, 0)
    assert (await client.get("/v1/warehouses/leeds")).json() == shown["items"][1]


async def test_what_nobody_set_is_not_found(client):
    for path in ("/v1/warehouses/leeds", "/v1/channels/web"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_channels_and_feeds_are_listed_with_what_was_given(client, known):
    known(document("channel", "*", cap=5))
    known(document("feed", "wms"))
    assert (await client.get("/v1/channels")).json()["items"] == [document("channel", "*", cap=5)]
    assert (await client.get("/v1/channels/%2A")).json() == document("channel", "*", cap=5)
    assert (await client.get("/v1/feeds")).json()["items"] == [document("feed", "wms")]


async def test_lists_come_in_pages_that_lose_and_double_nothing_when_one_more_is_set_meanwhile(client, known):
    for name in ("york", "bath", "leeds", "bonn", "hull"):
        known(document("warehouse", name))
    seen, pages = [], 0
    address = "/v1/warehouses?limit=2"
    while address:
        page = (await client.get(address)).json()
        seen += [it["id"] for it in page["items"]]
        known(document("warehouse", "aachen"))
        address = f"/v1/warehouses?limit=2&cursor={page['next']}" if page["next"] is not None else None
        pages += 1
    assert (seen, pages) == (["bath", "bonn", "hull", "leeds", "york"], 3)
    shown = (await client.get("/v1/warehouses?limit=6")).json()
    assert ([it["id"] for it in shown["items"]], shown["next"]) == (["aachen", *seen], None)
    assert (await client.get("/v1/warehouses?cursor=zzz")).json()["items"] == []


@pytest.mark.parametrize("path", ["/v1/warehouses", "/v1/channels", "/v1/feeds"])
async def test_a_page_has_100_at_most_and_says_where_the_list_goes_on(client, known, path):
    for number in range(101):
        known(
            document(path.removeprefix("/v1/").removesuffix("s"), f"it-{number:03}"), partitions=[number % PARTITIONS]
        )
    answer = await client.get(path)
    assert answer.headers["link"] == f'<{path}?cursor=it-099>; rel="next"'
    first = answer.json()
    assert ([it["id"] for it in first["items"]], first["next"]) == ([f"it-{n:03}" for n in range(100)], "it-099")
    answer = await client.get(f"{path}?cursor=it-099")
    assert "link" not in answer.headers
    last = answer.json()
    assert ([it["id"] for it in last["items"]], last["next"]) == (["it-100"], None)
    for limit, problem in (("101", "too_large"), ("0", "too_small"), ("-1", "too_small"), ("x", "wrong_type")):
        refused = (await client.get(f"{path}?limit={limit}")).json()
        assert (refused["code"], refused["field"], refused["problem"]) == ("invalid_field", "limit", problem)


async def test_one_document_is_read_without_a_look_at_any_other(client, known, gateway, monkeypatch):
    for number in range(50):
        known(document("warehouse", f"w{number:02}"))
        known(document("channel", f"c{number:02}"))
    ranked = []
    monkeypatch.setattr("gateway.rules.version_of", lambda key, it: ranked.append(it.id) or version_of(key, it))
    await client.get("/v1/warehouses/w07")
    await client.get("/v1/channels/c09")
    await client.put("/v1/channels/c11", json={"version": 2})
    assert {*ranked} == {"w07", "c09"}
    assert gateway.rules.count("warehouse") == 50


def policy(channel, sku, **fields):
    return {"kind": "policy", "channel": channel, "sku": sku, "at": 5} | fields


async def test_a_policy_is_shown_resolved_with_where_each_field_comes_from(client, known, gateway):
    partition = partition_of("S", PARTITIONS)
    known(document("channel", "*", cap=9, buffer=1, split=False))
    known(document("channel", "web", buffer=2))
    known(policy("*", "S", max_per_reservation=4), partitions=[partition])
    known(policy("web", "S", buffer=0), partitions=[partition])
    known(policy("web", "other", buffer=7), partitions=[partition])
    shown = (await client.get("/v1/policies?sku=S&channel=web")).json()
    assert shown["items"] == [policy("*", "S", max_per_reservation=4), policy("web", "S", buffer=0)]
    given = {name: (it["value"], it["given_by"]) for name, it in shown["resolved"].items() if it["given_by"]}
    assert given == {
        "split": (False, "channel/*"), "buffer": (0, "policy/web/S"), "cap": (9, "channel/*"),
        "max_per_reservation": (4, "policy/*/S"),
    }  # fmt: skip
    assert shown["resolved"]["priority"] == {"value": 100, "given_by": None}
    assert "resolved" not in (await client.get("/v1/policies?sku=S")).json()
    gateway.rules.apply(partition, b"policy/web/S", None)
    gateway.rules.apply(partition, b"policy/*/S", None)
    assert (await client.get("/v1/policies?sku=S")).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("sku=", "sku"), ("sku=a%00", "sku"), ("sku=S&channel=a%20b", "channel"), ("channel=web", "sku")],
)
async def test_what_no_sku_or_channel_can_be_has_no_policies(client, query, field):
    answer = await client.get(f"/v1/policies?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (await client.get("/v1/policies?sku=S&channel=%2A")).status_code == 200


async def test_nothing_is_answered_before_the_view_is_whole(client, gateway):
    gateway.rules_reader.complete.clear()
    for path in ("/v1/warehouses", "/v1/channels/web", "/v1/policies?sku=S", "/v1/availability?sku=S"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "view_not_ready")
    assert (await client.put("/v1/channels/web", json={"version": 1})).status_code == 503
    assert (await client.get("/health/ready")).json()["reasons"][0]["code"] == "view_not_ready"


async def test_a_partition_is_ruled_by_its_own_records(client, known, gateway):
    gateway.view.apply_record(0, None, json.dumps(change_of("S", "leeds", 1, on_hand=10, reserved=2)).encode())
    partition = partition_of("S", PARTITIONS)
    known(document("channel", "web", cap=5), partitions=[partition])
    known(document("channel", "web", version=2, cap=1), partitions=[(partition + 1) % PARTITIONS])
    (item,) = (await client.get("/v1/availability?sku=S&channel=web")).json()["items"]
    assert (item["available"], item["channel"], item["allowed"], item["most_per_reservation"]) == (5, "web", True, 5)
    assert (item["backorder_room"], item["promises"], len(item["stock"])) == (0, [], 1)
    (everybody,) = (await client.get("/v1/availability?sku=S")).json()["items"]
    assert (everybody["available"], "allowed" in everybody) == (8, False)


async def test_what_a_channel_holds_comes_from_the_book(client, known, gateway):
    gateway.view.apply_record(0, None, json.dumps(change_of("S", "leeds", 1, on_hand=10)).encode())
    known(document("channel", "web", cap=5))
    book = change_of("S", "", 2, on_hand=0) | {
        "book": {
            "backordered": 0, "promised": 0, "inbounds": [],
            "channels": [{"channel": "web", "held": 4, "backordered": 0}],
        }
    }  # fmt: skip
    gateway.view.apply_record(0, None, json.dumps(book).encode())
    (item,) = (await client.get("/v1/availability?sku=S&channel=web")).json()["items"]
    assert (item["available"], item["seq"]) == (1, 2)
    assert [row["warehouse"] for row in item["stock"]] == ["leeds"]


async def test_a_warehouse_id_is_in_memory_once_however_many_policies_list_it(known, gateway):
    for channel in ("web", "shop"):
        known(document("channel", channel, warehouses=["far-away", "further-away"]))
        known(policy(channel, "S", warehouses=["far-away", "further-away"]))
    listed = [name for rules in gateway.rules.of for it in rules.channels.values() for name in it.warehouses]
    listed += [name for rules in gateway.rules.of for it in rules.own_policies("S") for name in it.warehouses]
    assert len(listed) == PARTITIONS * 2 * 2 * 2
    assert len({id(name) for name in listed}) == 2
