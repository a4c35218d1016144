"""A stranger with the OpenAPI document, and clients that mean no good, on a gateway with a real ledger behind it."""

import asyncio
import re
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from gateway.access.scopes import NOBODY, Scope
from tests.fuzz import directed, hostile, stranger
from tests.fuzz.refusing import refused
from tests.fuzz.stage import standing

ROOT = Path(__file__).resolve().parents[2]
SLOW_CLIENTS = 100
# What is documented and cannot be reached on this stage, with the test that reaches it.
OVER_KAFKA = "tests/gateway/streams/test_over_kafka_streams.py::"
ELSEWHERE = {
    ("GET /v1/stock-changes", 200): OVER_KAFKA
    + "test_whoever_reconnects_at_random_to_two_gateways_sees_the_log_without_a_hole",
    ("GET /v1/results", 200): OVER_KAFKA
    + "test_positions_that_the_log_does_not_hold_are_gaps_and_the_stream_goes_on_from_the_nearest",
    ("GET /v1/dead-letters", 410): "tests/gateway/test_dead_letters_over_kafka.py::"
    "test_a_cursor_that_the_log_no_longer_holds_is_gone",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with standing(tmp_path_factory.mktemp("stage"), HOLDFAST_DRAIN_MS=0) as stage:
        yield stage


@pytest.fixture(scope="module")
def besieged(stage):
    """Let slow clients come, and return what is found out about them while the other tests run."""
    found = {}

    async def hold():
        clients = hostile.Hostile(stage.url, stage.bearer()["authorization"])
        try:
            await clients.slow_heads(SLOW_CLIENTS)
            await clients.slow_bodies(SLOW_CLIENTS)
            found["open_at_first"] = await clients.still_open()
            await clients.drip(hostile.BODY_S + 1)
            found["open_at_last"] = await clients.still_open()
        finally:
            clients.leave()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    yield found, thread
    thread.join()


@pytest.fixture(scope="module")
def reached(stage):
    """Return how often each route answered with each status: to a story, to refusals, and where all is refused."""
    with httpx.Client(base_url=stage.url, headers=stage.bearer(), timeout=30) as http:
        call = directed.Caller(http)
        directed.Story(call, "story").tell()
        directed.refusals(call)
        for name, route in directed.BY_NAME.items():
            request = directed.valid(route)
            call(name, **request, headers={"host": "evil.example"})
            call(name, **request, headers={"sec-fetch-site": "cross-site"})
            if route.scope is not NOBODY:
                call(name, **request, headers={"authorization": "Bearer no"})
                call(name, **request, headers=stage.bearer("clerk" if Scope.READ in route.scope else "reader"))
                call(name, **request, headers=stage.bearer("slow"))
    asyncio.run(refused(call.reached))
    return call.reached


def test_every_documented_status_is_reached_and_no_other(stage, reached):
    unknown = stranger.undocumented(reached, stage.url)
    assert not unknown, unknown
    missing = sorted(stranger.documented(stage.url) - reached.keys() - ELSEWHERE.keys())
    assert not missing, "\n".join(map(str, missing))
    assert reached.keys().isdisjoint(ELSEWHERE)


@pytest.mark.parametrize("test", ELSEWHERE.values())
def test_what_is_not_reached_here_is_reached_by_the_named_test(test):
    path, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_a_query_leaves_nothing_behind_and_is_answered_anew_each_time(stage):
    with httpx.Client(base_url=stage.url, headers=stage.bearer(), timeout=30) as http:
        look = {"commands": [{"type": "query", "sku": "looked-at", "command_id": "look"}]}
        stock = {"sku": "looked-at", "warehouse": "w", "delta": 1, "reason": "receipt"}
        seqs = []
        for _ in range(2):
            http.post("/v1/adjustments", json=stock).raise_for_status()
            result = http.post("/v1/commands", json=look).json()["results"][0]["result"]
            seqs.append((result["seq"], result["replayed"]))
        answer = http.get("/v1/commands/look", params={"sku": "looked-at", "wait_ms": 50})
    assert seqs == [(1, False), (2, False)]
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_command")


def test_a_list_is_decided_by_the_ledger_item_by_item_and_once(stage):
    def result(item, name):
        return item.get("result", item["problem"].get("result") if "problem" in item else {}).get(name)

    with httpx.Client(base_url=stage.url, headers=stage.bearer(), timeout=30) as http:
        stock = {"type": "adjust", "sku": "listed", "warehouse": "w", "delta": 500, "reason": "receipt"}
        commands = [stock] + [{"type": "reserve", "sku": "listed", "quantity": 1}] * 999
        first, again = (
            http.post("/v1/commands", json={"commands": commands}, headers={"Idempotency-Key": "list"}).json()[
                "results"
            ]
            for _ in range(2)
        )
        row = http.get("/v1/stock", params={"sku": "listed"}).json()["stock"][0]
    assert Counter(item["status"] for item in first) == {200: 1, 201: 500, 409: 499}
    assert [item["status"] for item in again] == [item["status"] for item in first]
    assert [result(item, "replayed") for item in again] == [True] * 1000
    assert [result(item, "offset") for item in again] == [result(item, "offset") for item in first]
    assert (row["on_hand"], row["reserved"]) == (500, 500)


# The last to speak to the ledger: a stranger also sets policies, even those of all channels.
@pytest.mark.usefixtures("besieged")
def test_a_stranger_finds_nothing_wrong_with_what_the_document_says(stage, tmp_path):
    found = stranger.ask(stage.url, tmp_path, "--phases=fuzzing", "--max-examples=6", "--workers=2", *stage.as_admin)
    assert not found.failures, found.failures
    assert found.cases > 200
    assert stranger.undocumented(found.reached, stage.url) == []
    assert stage.failures_in_the_log() == ""


def test_heads_that_are_too_large_are_refused_and_others_are_answered(stage):
    floods = asyncio.run(hostile.Hostile(stage.url).floods())
    assert floods.keys() == {10_000, 20_000, 40_000, 300_000}
    assert set(floods.values()) <= {400, 414, 431}
    assert asyncio.run(hostile.Hostile(stage.url).slowest_answer_s(0.2)) < hostile.PATIENCE_S


def test_slow_clients_hold_nobody_up_and_their_connections_are_given_back(stage, besieged):
    found, thread = besieged
    assert asyncio.run(hostile.Hostile(stage.url).slowest_answer_s(0.5)) < hostile.PATIENCE_S
    began = time.monotonic()
    thread.join(hostile.BODY_S + 10)
    assert time.monotonic() - began < hostile.BODY_S + 10
    assert found == {"open_at_first": 2 * SLOW_CLIENTS, "open_at_last": 0}
