"""A list of commands, over a fake ledger: what is sent of it, and what is answered for each item."""

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest

from gateway.access.credential import Credential
from gateway.access.rates import Allowance, Usage
from gateway.access.scopes import Scope
from gateway.problems import KafkaUnavailable, ResultTimeout, TooManyRequests
from gateway.routes.commands import COMMAND_ROUTES
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from tests.examples import EXAMPLES

ADJUST = {"type": "adjust", "sku": "a", "warehouse": "w", "delta": 1, "reason": "receipt"}
RESERVE = {"type": "reserve", "sku": "a", "quantity": 3}


def send(client, commands, key="k", **headers):
    return client.post("/v1/commands", json={"commands": commands}, headers={"Idempotency-Key": key, **headers})


async def results_of(client, commands, key="k"):
    answer = await send(client, commands, key)
    assert answer.status_code == 200
    return answer.json()["results"]


async def test_results_come_in_the_order_of_the_commands_with_the_statuses_of_their_own_routes(client, ledger):
    results = await results_of(client, [ADJUST, RESERVE, {**ADJUST, "sku": "b", "command_id": "mine"}])
    assert [(found["command_id"], found["status"]) for found in results] == [("k.0", 200), ("k.1", 201), ("mine", 200)]
    assert [found["result"] for found in results] == [ledger.answer(command) for command in ledger.commands]
    assert [command["sku"] for command in ledger.commands] == ["a", "a", "b"]
    assert all("problem" not in found for found in results)


async def test_every_command_of_one_sku_has_the_status_of_its_own_route(client):
    own = {tag_of(route.body): route.status for route in COMMAND_ROUTES if route.body in SKU_COMMAND_TYPES}
    examples = {str(command["type"]): command for command in EXAMPLES}
    for tag in map(tag_of, SKU_COMMAND_TYPES):
        found = (await results_of(client, [examples[tag]]))[0]
        assert found["status"] == own.get(tag, 200)


async def test_an_item_without_an_id_is_named_by_the_requests_key_so_the_same_list_again_is_the_same_commands(
    client, ledger
):
    for _ in range(2):
        await results_of(client, [RESERVE, {**RESERVE, "command_id": None}])
    first, second, *again = ledger.commands
    assert [first, second] == again
    assert (first["command_id"], first["reservation_id"], second["command_id"]) == ("k.0", "k.0", "k.1")


async def test_a_key_of_58_characters_names_a_thousand_items_and_a_longer_one_only_those_that_have_ids(client, ledger):
    results = await results_of(client, [ADJUST] * 1000, "k" * 58)
    assert (results[999]["command_id"], results[999]["status"]) == ("k" * 58 + ".999", 200)
    named = [{**ADJUST, "command_id": "mine"}]
    assert (await results_of(client, named, "k" * 59))[0]["status"] == 200
    sent = len(ledger.commands)
    answer = await send(client, [*named, ADJUST], "k" * 59)
    assert (answer.status_code, answer.json()["field"], answer.json()["problem"]) == (422, "command_id", "too_long")
    assert len(ledger.commands) == sent


async def test_without_a_key_one_is_made_and_returned(client):
    answer = await client.post("/v1/commands", json={"commands": [ADJUST]})
    key = answer.headers["idempotency-key"]
    assert answer.json()["results"][0]["command_id"] == f"{key}.0"


BAD = [
    ("no object", 3, 400, "malformed", None, "k.1"),
    ("a quantity of 0", {**RESERVE, "quantity": 0}, 422, "invalid_field", "quantity", "k.1"),
    ("its own id", {**RESERVE, "quantity": 0, "command_id": "mine"}, 422, "invalid_field", "quantity", "mine"),
    ("an id that is none", {**RESERVE, "command_id": "a b"}, 422, "invalid_field", "command_id", None),
    ("no type", {"sku": "a"}, 422, "invalid_field", "type", "k.1"),
    ("a type that is no string", {"type": 3, "sku": "a"}, 422, "invalid_field", "type", "k.1"),
    ("an unknown type", {"type": "steal", "command_id": "mine"}, 422, "invalid_field", "type", "mine"),
    ("a tick", {"type": "tick"}, 422, "invalid_field", "type", "k.1"),
    ("reference data", {"type": "set_warehouse", "warehouse": "w", "version": 1}, 422, "invalid_field", "type", "k.1"),
    ("an order's part", {"type": "portion", "sku": "a"}, 422, "invalid_field", "type", "k.1"),
    ("65,537 bytes", {**ADJUST, "reference": "x" * 65_537}, 413, "body_too_large", None, None),
]


@pytest.mark.parametrize(
    ("bad", "status", "code", "field", "command_id"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
async def test_a_bad_item_carries_its_problem_and_does_not_hold_up_the_others(
    client, ledger, bad, status, code, field, command_id
):
    results = await results_of(client, [ADJUST, bad, RESERVE])
    assert [found["status"] for found in results] == [200, status, 201]
    problem = results[1]["problem"]
    assert (problem["status"], problem["code"], problem.get("field")) == (status, code, field)
    assert (results[1]["command_id"], "result" in results[1]) == (command_id, False)
    assert [command["command_id"] for command in ledger.commands] == ["k.0", "k.2"]


async def test_a_refusal_of_the_ledger_is_the_problem_of_the_single_route(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, code="insufficient_stock", requested=3, available=1)
    alone = await client.post("/v1/reservations", json={"sku": "a", "quantity": 3}, headers={"Idempotency-Key": "k.0"})
    found = (await results_of(client, [RESERVE]))[0]
    assert (found["status"], found["problem"]) == (alone.status_code, alone.json())


NO_LISTS = [
    (b"[]", 400, "malformed", None),
    (b'{"commands":[', 400, "malformed", None),
    (b'{"commands":[' + b"[" * 5000, 400, "malformed", None),
    (b"{}", 422, "invalid_field", "commands"),
    (b'{"commands":[]}', 422, "invalid_field", "commands"),
    (b'{"commands":3}', 422, "invalid_field", "commands"),
    (b'{"commands":[{}],"atomic":true}', 422, "invalid_field", "atomic"),
    (b'{"commands":[' + b",".join([b"{}"] * 1001) + b"]}", 422, "invalid_field", "commands"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), NO_LISTS, ids=range(len(NO_LISTS)))
async def test_a_body_that_is_no_list_of_1_to_1000_commands_is_refused_as_a_whole(
    client, ledger, body, status, code, field
):
    answer = await client.post("/v1/commands", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"], answer.json().get("field")) == (status, code, field)
    assert ledger.commands == []


async def test_a_list_may_have_a_mebibyte_and_no_more(client):
    padding = {**ADJUST, "reference": ""}
    body = json.dumps({"commands": [padding] * 9}).encode()
    for size, status in ((1 << 20, 200), ((1 << 20) + 1, 413)):
        content = body + b" " * (size - len(body))
        answer = await client.post("/v1/commands", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("error", "status"), [(TooManyRequests(3), 429), (KafkaUnavailable("away"), 503)], ids=["429", "503"]
)
async def test_a_list_of_which_nothing_can_be_sent_is_refused_as_a_whole(client, ledger, error, status):
    ledger.error = error
    for prefer in ("", "respond-async"):
        answer = await send(client, [ADJUST], Prefer=prefer)
        assert (answer.status_code, answer.headers["retry-after"]) == (status, "1")


async def test_a_list_without_a_good_item_is_answered_though_nothing_can_be_sent(client, ledger):
    ledger.error = KafkaUnavailable("away")
    assert [found["status"] for found in await results_of(client, [3, {}])] == [400, 422]


async def test_an_item_whose_result_does_not_come_carries_504_in_an_answer_of_200(client, ledger):
    whole = ledger.ask_all

    async def all_but_the_first(commands, answered):
        await whole(commands[1:], lambda number, outcome: answered(number + 1, outcome))
        answered(0, ResultTimeout(command_id=commands[0].command_id))

    ledger.ask_all = all_but_the_first
    results = await results_of(client, [ADJUST, RESERVE])
    assert [(found["command_id"], found["status"]) for found in results] == [("k.0", 504), ("k.1", 201)]
    assert results[0]["problem"]["code"] == "result_timeout"


async def test_an_async_list_is_answered_202_when_kafka_has_it_each_item_with_where_its_result_will_be(client, ledger):
    answer = await send(client, [ADJUST, 3, {**RESERVE, "sku": "a b"}], Prefer="respond-async")
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    adjust, bad, reserve = answer.json()["results"]
    assert adjust == {"command_id": "k.0", "status": 202, "location": "/v1/commands/k.0?sku=a"}
    assert reserve == {"command_id": "k.2", "status": 202, "location": "/v1/commands/k.2?sku=a%20b"}
    assert (bad["status"], "location" in bad) == (400, False)
    assert [command["command_id"] for command in ledger.posted] == ["k.0", "k.2"]
    assert ledger.commands == []


async def test_a_list_that_waits_while_the_gateway_ends_is_answered_with_what_there_is(client, gateway, ledger):
    task = None

    async def never(commands, answered):
        answered(0, await ledger.ask(commands[0]))
        gateway.stopping.set()
        task.cancel()
        await asyncio.sleep(60)

    ledger.ask_all = never
    task = asyncio.ensure_future(send(client, [ADJUST, RESERVE]))
    results = (await task).json()["results"]
    assert [(found["command_id"], found["status"]) for found in results] == [("k.0", 200), ("k.1", 503)]
    assert results[1]["problem"]["code"] == "stopping"


def credential(monkeypatch, *scopes, **given):
    """Let every list come from a credential of these scopes."""
    who = Credential(id="who", source="key/who", scopes=frozenset(scopes), **given)
    monkeypatch.setattr("gateway.bulk_routes.credential_of", lambda _: who)
    return who


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [
        (Scope.RESERVE, [403, 201, 403, 403, 403]),
        (Scope.ADJUST, [200, 403, 403, 403, 403]),
        (Scope.READ, [403, 403, 200, 403, 403]),
        (Scope.ADMIN, [200, 201, 200, 200, 200]),
    ],
)
async def test_each_item_needs_the_scope_of_its_own_route(client, ledger, monkeypatch, scope, statuses):
    credential(monkeypatch, scope)
    query, policy = {"type": "query", "sku": "a"}, {"type": "set_policy", "sku": "a", "channel": "web", "cap": 3}
    results = await results_of(client, [ADJUST, RESERVE, query, policy, {"type": "settle", "sku": "a"}])
    assert [found["status"] for found in results] == statuses
    refused = [found for found in results if found["status"] == 403]
    assert {(found["problem"]["code"], found["problem"]["field"]) for found in refused} <= {("forbidden", "scope")}
    assert [found["command_id"] for found in results] == [f"k.{index}" for index in range(5)]
    assert len(ledger.commands) == 5 - len(refused)


async def test_items_carry_who_sent_them_and_another_channel_is_refused_in_the_item(client, ledger, monkeypatch):
    credential(monkeypatch, Scope.RESERVE, channels=("web",))
    items = [RESERVE, {**RESERVE, "channel": "shop", "command_id": "mine"}, {**RESERVE, "source": "me"}]
    results = await results_of(client, items)
    assert [(found["command_id"], found["status"]) for found in results] == [("k.0", 201), ("mine", 403), ("k.2", 422)]
    assert (results[1]["problem"]["field"], results[2]["problem"]["field"]) == ("channel", "source")
    assert [(sent["source"], sent["channel"]) for sent in ledger.commands] == [("key/who", "web")]


async def test_each_item_counts_against_the_rate_and_the_waiting_requests_of_its_credential(
    client, ledger, monkeypatch
):
    who = credential(monkeypatch, Scope.ADMIN, usage=Usage(Allowance(0.001, 10), most_waiting=4))
    assert (await send(client, [ADJUST] * 6)).status_code == 429  # the request itself has been counted already
    assert who.usage.bucket.tokens < 6
    who.usage.most_waiting = 100
    assert (await send(client, [ADJUST] * 5)).status_code == 200
    answer = await send(client, [ADJUST] * 4)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert (len(ledger.commands), who.usage.waits) == (5, 0)


async def test_waiting_for_a_command_asks_again_when_a_result_with_its_key_comes(client, ledger, helpers):
    found = helpers.result_of({"command_id": "k", "type": "reserve", "sku": "a"})
    answers = [{"code": "unknown_sku"}, {"of_command": None}, {"of_command": found}]

    def answer(command):
        ledger.seen.set()  # while the question is on its way, so the wait that follows ends at once
        return helpers.result_of(command, **answers.pop(0))

    ledger.answer = answer
    got = await client.get("/v1/commands/k?sku=a&wait_ms=30000")
    assert (got.status_code, got.json(), answers) == (200, found, [])
    assert ledger.watched == ("a", "k")


async def test_waiting_for_a_command_that_does_not_come_asks_a_last_time_and_is_404(client, ledger, helpers):
    ledger.answer = lambda command: helpers.result_of(command, of_command=None)
    answer = await client.get("/v1/commands/k?sku=a&wait_ms=20")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_command")
    assert len(ledger.commands) == 2


@pytest.mark.parametrize("wait_ms", ["-1", "30001", "x", "1.5", ""])
async def test_a_wait_is_up_to_30_seconds(client, ledger, wait_ms):
    answer = await client.get("/v1/commands/k", params={"sku": "a", "wait_ms": wait_ms})
    assert (answer.status_code, answer.json()["field"]) == (422, "wait_ms")
    assert ledger.commands == []


def test_the_how_to_sends_the_same_list_until_every_item_has_an_answer(monkeypatch):
    page = (Path(__file__).parents[2] / "docs/how-to/bulk-over-http.md").read_text()
    names = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], names)  # noqa: S102 # the page's own code
    monkeypatch.setattr("time.sleep", lambda _: None)
    done, late = [{"status": 200}, {"status": 409}], [{"status": 200}, {"status": 504}]
    answers = [
        httpx.ConnectError("away"),
        httpx.Response(503, headers={"Retry-After": "1"}),
        httpx.Response(200, json={"results": late}),
        httpx.Response(200, json={"results": done}),
    ]
    sent = []

    def answer(request):
        sent.append((request.headers["idempotency-key"], request.content))
        if isinstance(given := answers.pop(0), Exception):
            raise given
        return given

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://localhost") as http:
        assert names["send_list"](http, "delivery-88", [ADJUST, RESERVE]) == done
    assert (len(sent), len(set(sent)), answers) == (4, 1, [])
