"""The gateway over a real Kafka, with a scripted ledger on the other side."""

import asyncio
import contextlib
import uuid

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import GatewayConfig
from ops.kafka.topics import ensure_topics
from schemas.partitioner import partition_of


@contextlib.asynccontextmanager
async def serving(bootstrap, **settings):
    """Run a gateway in this loop, ready, and give it with a client."""
    gateway = Gateway(GatewayConfig(bootstrap=bootstrap, partitions=4, **settings))
    async with gateway.running():
        await asyncio.wait_for(gateway.until_ready(), 30)
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
            yield gateway, client


@pytest.fixture
async def scripted(broker, helpers):
    await ensure_topics(broker.bootstrap, helpers.partitions)
    async with helpers.scripted_ledger(broker.bootstrap) as ledger:
        yield ledger


@pytest.fixture
def sku():
    return f"ä/{uuid.uuid4().hex[:12]} x"


def reserve(client, sku, key, quantity=1, **headers):
    body = {"sku": sku, "quantity": quantity, "reservation_id": "r"}
    return client.post("/v1/reservations", json=body, headers={"Idempotency-Key": key, **headers})


async def test_a_command_goes_to_its_skus_partition_and_its_result_comes_back(broker, scripted, sku):
    async with serving(broker.bootstrap) as (_, client):
        answer = await reserve(client, sku, "k-1")
    assert answer.status_code == 201
    assert (answer.json()["command_id"], answer.json()["sku"]) == ("k-1", sku)
    assert [command["partition"] for command in scripted.seen] == [partition_of(sku, 4)]


@pytest.mark.usefixtures("scripted")
async def test_many_requests_at_a_time_each_get_their_own_result(broker, sku):
    async with serving(broker.bootstrap) as (gateway, client):
        answers = await asyncio.gather(*(reserve(client, f"{sku}{i % 7}", f"k-{i}", 1 + i) for i in range(200)))
        assert gateway.ledger.in_flight == 0
    assert [answer.json()["command_id"] for answer in answers] == [f"k-{i}" for i in range(200)]
    assert [answer.json()["sku"] for answer in answers] == [f"{sku}{i % 7}" for i in range(200)]


async def test_requests_under_one_key_in_flight_together_are_all_answered_rightly(broker, scripted, sku):
    async with serving(broker.bootstrap) as (_, client):
        quantities = [1, 2, 1, 1, 3, 1]
        answers = await asyncio.gather(*(reserve(client, sku, "same", quantity) for quantity in quantities))
    first = scripted.remembered["same"][0]["quantity"]
    expected = [201 if quantity == first else 422 for quantity in quantities]
    assert [answer.status_code for answer in answers] == expected
    accepted = [answer.json() for answer in answers if answer.status_code == 201]
    assert sorted(result["replayed"] for result in accepted) == [False] + [True] * (len(accepted) - 1)


async def test_a_result_that_does_not_come_is_504_and_asking_again_is_safe(broker, scripted, sku):
    async with serving(broker.bootstrap, request_timeout_s=1.0) as (gateway, client):
        scripted.silent = True
        answer = await reserve(client, sku, "k")
        assert (answer.status_code, answer.json()["code"]) == (504, "result_timeout")
        assert answer.headers["holdfast-command-id"] == "k"
        assert gateway.ledger.in_flight == 0
        scripted.silent = False
        assert (await reserve(client, sku, "k")).status_code == 201


async def test_a_request_whose_client_is_gone_does_not_wait_any_longer(broker, scripted, sku):
    async with serving(broker.bootstrap) as (gateway, client):
        scripted.silent = True
        request = asyncio.ensure_future(reserve(client, sku, "k"))
        while gateway.ledger.in_flight == 0:
            await asyncio.sleep(0.01)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        assert gateway.ledger.in_flight == 0


async def test_one_request_more_than_may_wait_is_refused(broker, scripted, sku):
    async with serving(broker.bootstrap, max_in_flight=2, request_timeout_s=2.0) as (gateway, client):
        scripted.silent = True
        waiting = [asyncio.ensure_future(reserve(client, sku, f"k-{i}")) for i in range(2)]
        while gateway.ledger.in_flight < 2:
            await asyncio.sleep(0.01)
        answer = await reserve(client, sku, "k-2")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert answer.headers["retry-after"] == "1"
        for request in waiting:
            request.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_an_async_request_is_answered_before_its_result_is_there(broker, scripted, sku):
    async with serving(broker.bootstrap) as (_, client):
        scripted.silent = True
        answer = await reserve(client, sku, "k", Prefer="respond-async")
        assert answer.status_code == 202
        while not scripted.seen:
            await asyncio.sleep(0.01)
    assert scripted.seen[0]["command_id"] == "k"


async def test_the_view_is_read_from_the_beginning_and_followed(broker, scripted, helpers, sku):
    partition = partition_of(sku, 4)
    await scripted.change(partition, helpers.change_of(sku, "york", 1, on_hand=5))
    await scripted.change(partition, helpers.change_of(sku, "bath", 2, on_hand=3, reserved=1))
    await scripted.change(partition, helpers.change_of(sku, "hull", 3, on_hand=2, reserved=6))
    async with serving(broker.bootstrap) as (_, client):
        item = (await client.get("/v1/availability", params={"sku": sku})).json()["items"][0]
        assert (item["available"], item["seq"], len(item["stock"])) == (7, 3, 3)
        short = [it for it in (await client.get("/v1/shortfalls")).json()["items"] if it["sku"] == sku]
        assert [(it["warehouse"], it["short"]) for it in short] == [("hull", 4)]
        asked = asyncio.ensure_future(client.get("/v1/availability", params={"sku": sku, "min_seq": 4}))
        await asyncio.sleep(0)
        await scripted.change(partition, helpers.change_of(sku, "york", 4, on_hand=1))
        answer = (await asked).json()
        assert (answer["items"][0]["available"], answer["items"][0]["seq"]) == (3, 4)


async def test_a_topic_of_another_partition_count_is_refused(broker, scripted, sku):
    gateway = Gateway(GatewayConfig(bootstrap=broker.bootstrap, partitions=3))
    async with gateway.running():
        while "partitions, not 3" not in (gateway.ledger.unavailable or ""):
            await asyncio.sleep(0.05)
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await reserve(client, sku, "k")).status_code == 503
    assert scripted.seen == []
