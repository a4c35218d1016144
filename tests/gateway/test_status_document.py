"""`GET /v1/status`: one document, and the same once a second as events."""

import asyncio
import json
import time
from types import SimpleNamespace

import pytest

from gateway import status_document as gateway_status
from gateway import status_routes
from schemas.status import PartitionStatus, TransactionTimes, encode_status, key_of
from tests.gateway.conftest import PARTITIONS


def open_partition(gateway, partition=1):
    status = PartitionStatus(
        partition=partition, worker="w1", state="open", position=70, log_end=75, recovered=8, to_recover=8,
        transaction_ms=TransactionTimes(2, 9), epoch=1, at=0,
    )  # fmt: skip
    gateway.owners_reader.complete.set()
    gateway.owners.apply(partition, key_of(partition), encode_status(status))


async def test_the_document_has_health_requests_view_and_partitions(client, gateway, ledger):
    open_partition(gateway)
    ledger.in_flight = 3
    ledger.loads.begin(1, 2)
    found = (await client.get("/v1/status")).json()
    assert (found["status"], found["kafka"], found["in_flight"], found["streams"]) == (
        "degraded", {"connected": True}, 3, 0,
    )  # fmt: skip
    assert [(reason["code"], reason["partitions"]) for reason in found["reasons"]] == [("no_owner", [0, 2, 3])]
    assert found["view"] == {"complete": True, "skus": 0, "rows": 0, "lag": 0, "lag_ms": 0}
    assert found["started_at"] <= found["at"]
    assert found["version"]
    assert [it["partition"] for it in found["partitions"]] == [*range(PARTITIONS)]
    assert found["partitions"][1] == {
        "partition": 1, "state": "open", "worker": "w1", "silent_ms": found["partitions"][1]["silent_ms"],
        "position": 70, "log_end": 75, "lag": 5, "recovered": 8, "to_recover": 8,
        "transaction_ms": {"p50": 2, "p99": 9}, "results_per_second": 0, "waiting": 2,
    }  # fmt: skip
    assert found["partitions"][0]["worker"] is None


async def test_metrics_have_the_partitions_by_state_and_what_was_shed(client, gateway, ledger):
    open_partition(gateway)
    ledger.loads.shed = 4
    text = (await client.get("/metrics")).text
    assert "holdfast_partitions_without_owner 3.0" in text
    assert "holdfast_partitions_recovering 0.0" in text
    assert "holdfast_gateway_shed_total 4.0" in text


async def test_rows_of_the_view_are_counted(client, gateway, helpers):
    for number, (sku, warehouse) in enumerate([("a", "leeds"), ("a", "york"), ("b", "leeds"), ("a", "leeds")]):
        change = helpers.change_of(sku, warehouse, number + 1, on_hand=5)
        gateway.view.apply_record(0, None, json.dumps(change).encode())
    assert (await client.get("/v1/status")).json()["view"]["rows"] == 3
    gateway.view.clear()
    assert gateway.view.rows == 0


async def test_requests_of_callers_are_in_the_figures_and_those_of_operators_are_not(client, gateway):
    for _ in range(4):
        await client.get("/v1/availability?sku=a")
        await client.get("/v1/status")
        await client.get("/health/ready")
    await asyncio.sleep(1.01)  # the second in which they came is over
    figures = gateway.metrics.times.lately()
    assert figures.per_second == pytest.approx(0.4)


@pytest.fixture
async def making(gateway, monkeypatch):
    """Make the status often, while the test runs."""
    monkeypatch.setattr(gateway_status, "_EVERY_S", 0.02)
    task = asyncio.ensure_future(gateway.status.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_results_are_counted_by_partition_and_kept_for_ten_minutes(gateway, ledger):
    ledger.loads.results(2, 500)
    gateway.status._counted_at = time.monotonic() - 2
    gateway.status._count_results()
    gateway.status._make(keep=True)
    document = json.loads(gateway.status.document())
    assert document["results_per_second"] == document["partitions"][2]["results_per_second"]
    assert document["history"][-1]["results_per_second"] == pytest.approx(250, abs=5)
    gateway.status._count_results()
    for _ in range(120):
        gateway.status._make(keep=True)
    gateway.status._make(keep=False)
    history = json.loads(gateway.status.document())["history"]
    assert [point["results_per_second"] for point in history] == [0] * 120
    times = [point["at"] for point in history]
    assert times == sorted(times)


class Follower:
    """One client of the stream, spoken to in ASGI."""

    def __init__(self, app):
        self.sent, self._leave = [], asyncio.Event()
        scope = {
            "type": "http", "method": "GET", "path": "/v1/status", "raw_path": b"/v1/status", "query_string": b"",
            "headers": [(b"accept", b"text/event-stream"), (b"host", b"127.0.0.1:8080")], "http_version": "1.1",
            "scheme": "http", "client": ("127.0.0.1", 1), "server": ("gateway", 80), "root_path": "",
            "state": {}, "extensions": {}, "asgi": {"version": "3.0"},
        }  # fmt: skip
        self._asked = False
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self):
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.sent.append(message)

    @property
    def text(self):
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    async def until(self, count):
        async with asyncio.timeout(5):
            while self.text.count("event: status") < count:
                await asyncio.sleep(0.01)

    async def leave(self):
        self._leave.set()
        await self.task


async def test_the_document_says_who_asks_and_what_they_may_do(client):
    document = (await client.get("/v1/status")).json()
    assert document["credential"] == {"id": "open", "scopes": ["admin"], "channels": None}


@pytest.mark.usefixtures("making")
async def test_a_stream_gives_the_whole_document_at_once_and_then_each_new_one(gateway):
    follower = Follower(gateway.app)
    await follower.until(3)
    assert (b"content-type", b"text/event-stream") in follower.sent[0]["headers"]
    events = [part for part in follower.text.split("\n\n") if part.startswith("event: status")]
    documents = [json.loads(part.split("data: ", 1)[1]) for part in events]
    assert all("partitions" in document for document in documents)
    assert all(document["credential"]["id"] == "open" for document in documents)
    assert documents[0]["at"] <= documents[1]["at"] <= documents[2]["at"]
    await follower.leave()


@pytest.mark.usefixtures("making")
async def test_a_stream_says_goodbye_when_the_gateway_ends(gateway):
    follower = Follower(gateway.app)
    await follower.until(1)
    gateway.draining.set()
    await follower.until(2)
    gateway.stopping.set()
    await asyncio.wait_for(follower.task, 5)
    assert follower.text.endswith("event: bye\ndata: {}\n\n")


@pytest.mark.usefixtures("making")
async def test_there_are_not_more_streams_than_the_limit_and_who_leaves_makes_room(gateway, monkeypatch):
    monkeypatch.setattr(status_routes, "_MOST_STREAMS", 2)
    followers = [Follower(gateway.app) for _ in range(2)]
    for follower in followers:
        await follower.until(1)
    third = Follower(gateway.app)
    await third.task
    assert third.sent[0]["status"] == 429
    await followers[0].leave()
    followers[0].task = None
    fourth = Follower(gateway.app)
    await fourth.until(1)
    for follower in (followers[1], fourth):
        await follower.leave()


async def test_the_documents_are_made_by_the_second_also_after_the_process_stood_still(gateway, monkeypatch):
    clock = SimpleNamespace(now=0.0, slept=[])
    made = []
    monkeypatch.setattr(gateway.status, "_make", lambda *, keep: made.append((clock.now, keep)))

    async def sleep(seconds):
        clock.slept.append(seconds)
        clock.now += 30.4 if len(made) == 3 else seconds
        if len(made) == 6:
            raise asyncio.CancelledError

    monkeypatch.setattr(gateway_status.asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock.now)
    with pytest.raises(asyncio.CancelledError):
        await gateway.status.run()
    assert [at for at, _ in made] == pytest.approx([0, 1, 2, 32.4, 33, 34])
