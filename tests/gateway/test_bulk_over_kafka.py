"""Lists of commands, and waiting for a command, over a real Kafka with a scripted ledger on the other side."""

import asyncio
import contextlib
import uuid

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import GatewayConfig
from ops.kafka.topics import ensure_topics
from schemas.topics import RESULTS


@pytest.fixture
async def scripted(broker, helpers):
    await ensure_topics(broker.bootstrap, helpers.partitions)
    async with helpers.scripted_ledger(broker.bootstrap) as ledger:
        yield ledger


@pytest.fixture
def sku():
    return f"ä/{uuid.uuid4().hex[:12]} x"


@contextlib.asynccontextmanager
async def serving(bootstrap, **settings):
    gateway = Gateway(GatewayConfig(bootstrap=bootstrap, partitions=4, **settings))
    async with gateway.running():
        await asyncio.wait_for(gateway.until_ready(), 30)
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
            yield gateway, client


def reserve(sku, quantity=1, **fields):
    return {"type": "reserve", "sku": sku, "quantity": quantity, **fields}


async def send(client, commands, key="k", **headers):
    answer = await client.post("/v1/commands", json={"commands": commands}, headers={"Idempotency-Key": key, **headers})
    return answer, answer.json().get("results")


async def test_items_of_one_sku_reach_the_log_in_their_order_and_each_gets_its_own_result(broker, scripted, sku):
    skus = [f"{sku}{number % 7}" for number in range(1000)]
    commands = [reserve(name, 1 + number % 3, reservation_id=f"r{number}") for number, name in enumerate(skus)]
    commands[500] = reserve(skus[500], 0)  # refused here: its SKU's other items keep their order
    async with serving(broker.bootstrap) as (gateway, client):
        answer, results = await send(client, commands)
        assert gateway.ledger.in_flight == 0
        again = (await send(client, commands))[1]
    assert answer.status_code == 200
    assert [found["status"] for found in results] == [422 if number == 500 else 201 for number in range(1000)]
    assert [found["command_id"] for found in results] == [f"k.{number}" for number in range(1000)]
    for name in set(skus):
        sent = [command["command_id"] for command in scripted.seen[:999] if command["sku"] == name]
        assert sent == [f"k.{number}" for number in range(1000) if skus[number] == name and number != 500]
    assert all(found["result"]["replayed"] for found in again if found["status"] == 201)


async def test_items_without_a_result_in_time_carry_504_and_the_others_their_results(broker, scripted, sku):
    def deaf_to_one(command):
        return [] if command["command_id"] == "k.1" else scripted.remember(command)

    scripted.script = deaf_to_one
    async with serving(broker.bootstrap, request_timeout_s=1.0) as (gateway, client):
        _, results = await send(client, [reserve(sku), reserve(sku), reserve(sku)])
        assert [found["status"] for found in results] == [201, 504, 201]
        assert (results[1]["command_id"], results[1]["problem"]["code"]) == ("k.1", "result_timeout")
        assert gateway.ledger.in_flight == 0


async def test_a_list_that_does_not_fit_beside_what_waits_is_refused_before_anything_is_sent(broker, scripted, sku):
    async with serving(broker.bootstrap, max_in_flight=3) as (gateway, client):
        for prefer in ("", "respond-async"):
            answer, _ = await send(client, [reserve(sku)] * 4, Prefer=prefer)
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert (scripted.seen, gateway.ledger.in_flight) == ([], 0)
        assert (await send(client, [reserve(sku)] * 3))[0].status_code == 200


async def test_an_async_list_is_answered_before_its_results_are_there(broker, scripted, sku):
    scripted.silent = True
    async with serving(broker.bootstrap) as (gateway, client):
        answer, results = await send(client, [reserve(sku), reserve(sku)], Prefer="respond-async")
        assert (answer.status_code, [found["status"] for found in results]) == (202, [202, 202])
        while len(scripted.seen) < 2:
            await asyncio.sleep(0.01)
        assert gateway.ledger.in_flight == 0


def looking(scripted):
    """Let the scripted ledger find commands for queries, as the ledger does; queries themselves are not remembered."""

    def script(command):
        if command["type"] != "query":
            return scripted.remember(command)
        known = scripted.remembered.get(command["of_command_id"])
        place = {"partition": command["partition"], "offset": command["offset"]}
        return [scripted_result(command, of_command=known and known[1], **place)]

    return script


def scripted_result(command, **changed):
    return {
        **{name: command[name] for name in ("command_id", "type", "sku")},
        "status": "accepted",
        "code": None,
        "replayed": False,
        **changed,
    }


async def test_a_wait_ends_when_the_commands_result_comes_whoever_sent_it(broker, scripted, sku):
    scripted.script = looking(scripted)
    async with serving(broker.bootstrap) as (gateway, client), serving(broker.bootstrap) as (_, other):
        where = f"/v1/commands/k.0?{httpx.QueryParams({'sku': sku, 'wait_ms': 20_000})}"
        waiting = asyncio.ensure_future(client.get(where))
        while not scripted.seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert not waiting.done()
        assert gateway.ledger.in_flight == 1
        sent = (await send(other, [reserve(sku)]))[1][0]["result"]
        answer = await asyncio.wait_for(waiting, 5)
        assert (answer.status_code, answer.json()) == (200, sent)
        assert gateway.ledger.in_flight == 0
        assert (await client.get(where)).json() == sent


async def test_a_result_that_comes_between_the_question_and_its_answer_is_not_missed(broker, scripted, sku):
    """The ledger answers the first question late, after the command's result."""
    late = []

    def script(command):
        if command["type"] == "query" and not late:
            late.append(command)
            place = {"partition": command["partition"], "offset": command["offset"]}
            mine = {"command_id": "k", "type": "reserve", "sku": sku, "partition": place["partition"], "offset": 10**9}
            first = scripted_result(mine, offset=10**9)
            scripted.remembered["k"] = (mine, first)
            return [first, scripted_result(command, of_command=None, **place)]
        return looking(scripted)(command)

    scripted.script = script
    async with serving(broker.bootstrap) as (_, client):
        answer = await asyncio.wait_for(client.get("/v1/commands/k", params={"sku": sku, "wait_ms": 30_000}), 5)
    assert (answer.status_code, answer.json()["command_id"]) == (200, "k")


async def test_a_wait_for_what_never_comes_takes_its_time_and_is_404(broker, scripted, sku):
    scripted.script = looking(scripted)
    async with serving(broker.bootstrap) as (_, client):
        began = asyncio.get_running_loop().time()
        answer = await client.get("/v1/commands/k", params={"sku": sku, "wait_ms": 300})
        assert 0.3 <= asyncio.get_running_loop().time() - began < 3
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_command")
    assert len(scripted.seen) == 2


async def test_another_content_under_the_key_does_not_end_the_wait(broker, scripted, sku, helpers):
    scripted.script = looking(scripted)
    async with serving(broker.bootstrap) as (_, client):
        waiting = asyncio.ensure_future(client.get("/v1/commands/k", params={"sku": sku, "wait_ms": 700}))
        while not scripted.seen:
            await asyncio.sleep(0.01)
        refused = helpers.result_of({"command_id": "k", "type": "reserve", "sku": sku}, code="idempotency_mismatch")
        await scripted.publish(RESULTS, sku.encode(), scripted.seen[0]["partition"], refused)
        assert (await waiting).status_code == 404
