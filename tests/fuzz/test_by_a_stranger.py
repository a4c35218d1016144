"""A stranger with the OpenAPI document, and clients that mean no good, on a gateway with a real ledger behind it."""

from collections import Counter

import httpx
import pytest

from tests.fuzz import stranger
from tests.fuzz.stage import standing


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with standing(tmp_path_factory.mktemp("stage"), HOLDFAST_DRAIN_MS=0) as stage:
        yield stage


def test_a_stranger_finds_nothing_wrong_with_what_the_document_says(stage, tmp_path):
    found = stranger.ask(stage.url, tmp_path, "--phases=fuzzing", "--max-examples=6", "--workers=2", *stage.as_admin)
    assert not found.failures, found.failures
    assert found.cases > 200
    assert stranger.undocumented(found.reached, stage.url) == []
    assert stage.failures_in_the_log() == ""


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
