"""What a credential with some channels sees of each route, and which other channels' things it cannot touch."""

import json

import pytest

from tests.gateway.test_reference_routes import document, policy

ALL = {"scopes": ["admin"]}
WEB = ALL | {"channels": ["web"]}
TWO = ALL | {"channels": ["app", "web"]}
UNITS = [{"channel": name, "held": 1, "backordered": 0} for name in ("app", "market", "web")]
BOOK = {"backordered": 2, "promised": 1, "inbounds": [], "channels": UNITS}


@pytest.fixture
async def client(keyed, helpers):
    async with keyed(all=ALL, web=WEB, two=TWO) as client:
        gateway = client.gateway
        changes = (
            helpers.change_of("S", "leeds", 1, on_hand=9),
            helpers.change_of("S", "", 2, on_hand=0) | {"book": BOOK},
        )
        for change in changes:
            value = json.dumps(change).encode()
            gateway.reader._apply(0, None, value)
        for number in range(helpers.partitions):
            for name in ("app", "market", "web", "*"):
                value = json.dumps(document("channel", name, buffer=2)).encode()
                gateway.rules.apply(number, f"channel/{name}".encode(), value)
        yield client


async def read(client, who, path, **query):
    answer = await client.get(path, params=query, headers=client.as_[who])
    return answer.status_code, answer.json()


async def test_availability_is_that_of_its_channel(client):
    status, whole = await read(client, "all", "/v1/availability", sku="S")
    assert (status, whole["items"][0]["available"]) == (200, 9)
    status, own = await read(client, "web", "/v1/availability", sku="S")
    assert (status, own["items"][0]["available"]) == (200, 7)
    assert (await read(client, "two", "/v1/availability", sku="S"))[0] == 403
    _, named = await read(client, "two", "/v1/availability", sku="S", channel="web")
    assert named == own
    status, refused = await read(client, "two", "/v1/availability", sku="S", channel="market")
    assert (status, refused["field"], "market" in refused["detail"]) == (403, "channel", True)
    posted = await client.post("/v1/availability", json={"skus": ["S"]}, headers=client.as_["web"])
    assert posted.json() == own


async def test_promises_are_those_of_its_channels(client):
    assert (await read(client, "web", "/v1/promises", sku="S", channel="web", quantity=1))[0] == 200
    assert (await read(client, "web", "/v1/promises", sku="S", channel="market", quantity=1))[0] == 403


async def test_of_channels_and_policies_it_sees_its_own_and_those_for_all(client):
    status, listed = await read(client, "two", "/v1/channels")
    assert (status, [item["id"] for item in listed["items"]]) == (200, ["*", "app", "web"])
    assert [(await read(client, "web", f"/v1/channels/{name}"))[0] for name in ("web", "%2A", "market")] == [
        200,
        200,
        403,
    ]
    assert (await read(client, "web", "/v1/policies", sku="S", channel="market"))[0] == 403
    assert (await read(client, "web", "/v1/policies", sku="S", channel="*"))[0] == 200


async def test_of_the_policies_of_a_sku_it_sees_its_own_and_those_for_all(client, helpers):
    for number in range(helpers.partitions):
        for name in ("market", "web", "*"):
            value = json.dumps(policy(name, "S", buffer=1)).encode()
            client.gateway.rules.apply(number, f"policy/{name}/S".encode(), value)
    _, whole = await read(client, "all", "/v1/policies", sku="S")
    _, own = await read(client, "web", "/v1/policies", sku="S")
    assert sorted(item["channel"] for item in whole["items"]) == ["*", "market", "web"]
    assert sorted(item["channel"] for item in own["items"]) == ["*", "web"]


async def test_of_a_book_it_sees_the_entries_of_its_channels(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, book=BOOK)
    for path in ("/v1/stock", "/v1/reservations/r"):
        _, own = await read(client, "two", path, sku="S")
        assert own["book"] == BOOK | {"channels": [UNITS[0], UNITS[2]]}
        _, whole = await read(client, "all", path, sku="S")
        assert whole["book"] == BOOK
    query = {"commands": [{"type": "query", "command_id": "q", "sku": "S"}]}
    listed = (await client.post("/v1/commands", json=query, headers=client.as_["web"])).json()["results"]
    assert listed[0]["result"]["book"]["channels"] == [UNITS[2]]
    _, recent = await read(client, "web", "/v1/stock-changes/recent", sku="S")
    assert [item.get("book", {}).get("channels") for item in recent["items"]] == [None, [UNITS[2]]]


async def test_each_command_of_a_list_is_bound(client, ledger):
    commands = [
        {"type": "reserve", "command_id": "a", "sku": "S", "reservation_id": "r", "quantity": 1},
        {"type": "reserve", "command_id": "b", "sku": "S", "reservation_id": "r", "quantity": 1, "channel": "market"},
        {"type": "commit", "command_id": "c", "sku": "S", "reservation_id": "r"},
        {"type": "adjust", "command_id": "d", "sku": "S", "warehouse": "w", "delta": 1, "reason": "receipt"},
    ]
    answer = await client.post("/v1/commands", json={"commands": commands}, headers=client.as_["web"])
    assert [result["status"] for result in answer.json()["results"]] == [201, 403, 200, 200]
    assert [(it.get("channel"), it.get("channels"), it["source"]) for it in ledger.commands] == [
        ("web", None, "key/web"),
        (None, ["web"], "key/web"),
        (None, None, "key/web"),
    ]


async def test_policies_of_other_channels_are_not_its_own_to_set(client):
    body = {"sku": "S", "buffer": 1}
    for channel, status in (("web", 200), ("market", 403), ("*", 403)):
        answer = await client.put("/v1/policies", json=body | {"channel": channel}, headers=client.as_["web"])
        assert answer.status_code == status
        in_path = channel.replace("*", "%2A")
        answer = await client.put(f"/v1/channels/{in_path}", json={"version": 9}, headers=client.as_["web"])
        assert answer.status_code == status


async def test_dead_letters_have_no_channel_and_need_all(client):
    status, refused = await read(client, "web", "/v1/dead-letters")
    assert (status, refused["field"]) == (403, "channel")
