"""The routes of streams: what a request may ask for, and how many streams there may be."""

import asyncio

import pytest

from gateway.access.credential import Credential
from gateway.access.rates import Usage
from gateway.access.scopes import Scope
from schemas.partitioner import partition_of

PARTITIONS = 4


@pytest.fixture
def fed(gateway, streaming):
    """Return the gateway, with rings that have begun."""
    for ring in (gateway.changes, gateway.results):
        streaming.take(ring, (), 5, 6, 7, 8)
    return gateway


@pytest.fixture
async def leave():
    """Return a set of clients to close at the end."""
    clients = []
    yield clients
    for client in clients:
        await client.leave()


@pytest.mark.usefixtures("fed")
@pytest.mark.parametrize("event_id", ["x", "0:1,", "0:-1", "4:0", "0:1;1:2", "0:1,1:1,2:1", "0:1,1:1,2:1,3:1,3:2"])
@pytest.mark.parametrize("path", ["/v1/stock-changes", "/v1/results"])
async def test_an_event_id_that_no_such_stream_gave_is_refused(client, path, event_id):
    answer = await client.get(path, headers={"Last-Event-ID": event_id})
    assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")
    assert "exactly the partitions 0, 1, 2, 3" in answer.json()["detail"]


@pytest.mark.usefixtures("fed")
async def test_the_id_of_another_filters_stream_is_refused(client):
    whole = {"Last-Event-ID": "0:1,1:1,2:1,3:1"}
    answer = await client.get("/v1/stock-changes", params={"sku": "a"}, headers=whole)
    assert (answer.status_code, answer.json()["field"]) == (422, "Last-Event-ID")
    assert f"exactly the partitions {partition_of('a', PARTITIONS)}," in answer.json()["detail"]


@pytest.mark.usefixtures("fed")
@pytest.mark.parametrize(
    ("query", "field", "problem"),
    [
        ("sku=", "sku[0]", "too_small"),
        ("sku=a&sku=b%0A", "sku[1]", "bad_characters"),
        ("&".join(f"sku={n}" for n in range(101)), "sku", "too_long"),
        ("warehouse=a%2Fb", "warehouse", "bad_characters"),
        ("warehouse=a&warehouse=b", "warehouse", "not_allowed"),
        ("channel=" + "c" * 33, "channel", "too_long"),
        ("channel=", "channel", "too_small"),
        ("last_event_id=0:1", "last_event_id", "unknown_field"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(client, query, field, problem):
    answer = await client.get(f"/v1/stock-changes?{query}")
    said = answer.json()
    assert (answer.status_code, said["field"], said["problem"]) == (422, field, problem)


@pytest.mark.usefixtures("fed")
async def test_results_have_no_warehouse(client):
    answer = await client.get("/v1/results?warehouse=york")
    assert (answer.status_code, answer.json()["problem"]) == (422, "unknown_field")


async def test_a_stream_is_not_opened_while_kafka_is_away_or_its_ring_has_not_begun(fed, client, ledger):
    ledger.unavailable = "no broker answers"
    assert (await client.get("/v1/stock-changes")).json()["code"] == "kafka_unavailable"
    ledger.unavailable = None
    fed.results.lose()
    assert (await client.get("/v1/results")).json()["code"] == "view_not_ready"


async def test_one_stream_more_than_there_may_be_is_refused_until_one_ends(fed, client, streaming):
    object.__setattr__(fed.config, "max_streams", 2)
    clients = [streaming.Client(fed.app), streaming.Client(fed.app, "/v1/results")]
    for each in clients:
        assert (await each.event())[b"id"] == b"0:5,1:6,2:7,3:8"
    assert fed.streams.open == 2
    answer = await client.get("/v1/stock-changes")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    for each in clients:
        await each.leave()
    assert fed.streams.open == 0
    again = streaming.Client(fed.app)
    await again.event()
    await again.leave()
    assert fed.streams.open == 0


async def test_a_credential_has_so_many_streams_and_its_own_channels_only(fed, client, streaming, leave, monkeypatch):
    bound = Credential(
        id="k", source="key/k", scopes=frozenset({Scope.READ}), channels=("web",), usage=Usage(most_streams=1)
    )
    monkeypatch.setattr("gateway.streams.routes.credential_of", lambda _: bound)
    answer = await client.get("/v1/results?channel=shop")
    assert (answer.status_code, answer.json()["field"]) == (403, "channel")
    leave.append(streaming.Client(fed.app, "/v1/results"))
    await leave[0].event()
    (follower,) = fed.streams._results[0].all
    assert follower.wanted.channel == "web"
    answer = await client.get("/v1/stock-changes")
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert fed.streams.open == 1


async def test_streams_say_bye_when_the_gateway_stops(fed, streaming):
    client = streaming.Client(fed.app)
    await client.event()
    fed.stopping.set()
    assert await client.named(b"bye") == {}
    await asyncio.wait_for(client.task, 5)
    assert client.ended


async def test_a_streams_answer_is_not_kept_and_not_packed(fed, streaming, leave):
    leave.append(streaming.Client(fed.app))
    await leave[0].event()
    headers = dict(leave[0].headers)
    assert headers[b"content-type"] == b"text/event-stream"
    assert headers[b"cache-control"] == b"no-store"
    assert b"content-encoding" not in headers
    assert b"content-length" not in headers
