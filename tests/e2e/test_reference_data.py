"""Channels and warehouses are ruled over HTTP and the command line, through a broker, a worker and a kill."""

import asyncio
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from aiokafka import AIOKafkaProducer

from ops.kafka.doctor import check_reference
from ops.reference import read_view
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS
from tests.harness import PARTITIONS, assert_audit_equal

SKU = "ruled"


@pytest.fixture
def call(stage):
    """Return a function that sends a request to the gateway and returns its status and document."""

    def send(method, path, body=None, key=None):
        request = urllib.request.Request(f"http://{stage.gateway}{path}", method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        if key is not None:
            request.add_header("idempotency-key", key)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    return send


def until(read, wanted, within_s=20):
    """Wait until what is read is what is wanted: a view follows the log."""
    deadline = time.monotonic() + within_s
    while (found := read()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


async def send_to_one(bootstrap, partition, command):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, **kafka_options()) as producer:
        await producer.send_and_wait(COMMANDS, json.dumps(command).encode(), key=b"channel/web", partition=partition)


def test_a_channel_is_ruled_through_every_layer_and_a_kill(stage, call):
    status, answer = call("PUT", "/v1/channels/web", {"version": 1, "cap": 5, "buffer": 2}, key="rule-1")
    assert (status, [result["partition"] for result in answer["results"]]) == (200, list(range(PARTITIONS)))
    assert {result["status"] for result in answer["results"]} == {"accepted"}
    assert call("PUT", "/v1/warehouses/york", {"version": 1, "enabled": False})[0] == 200
    assert call("PUT", "/v1/policies", {"sku": SKU, "channel": "*", "max_per_reservation": 3})[0] == 200
    for warehouse in ("leeds", "york"):
        stock = {"sku": SKU, "warehouse": warehouse, "delta": 10, "reason": "receipt"}
        assert call("POST", "/v1/adjustments", stock)[0] == 200

    def may_have():
        _, answer = call("GET", f"/v1/availability?sku={SKU}&channel=web")
        return [(item["available"], item["most_per_reservation"]) for item in answer["items"]]

    until(may_have, [(5, 3)])
    hold = {"sku": SKU, "channel": "web", "quantity": 3, "ttl_ms": 0}
    assert call("POST", "/v1/reservations", hold, key="hold-1")[1]["reservation"]["allocations"] == [
        {"warehouse": "leeds", "quantity": 3}
    ]
    assert call("POST", "/v1/reservations", hold)[1]["code"] == "channel_cap_exceeded"
    assert call("POST", "/v1/reservations", hold | {"quantity": 4})[1]["code"] == "quantity_above_limit"
    until(may_have, [(2, 2)])

    stage.terminals[2].end(signal.SIGKILL)
    stage.open(2)
    assert call("POST", "/v1/reservations", hold, key="hold-1")[1]["replayed"]
    status, told = call("POST", "/v1/reservations", hold, key="hold-2")
    assert (status, told["result"]["available"]) == (409, 2)
    assert call("PUT", "/v1/channels/web", {"version": 1, "cap": 5, "buffer": 2}, key="rule-1")[0] == 200
    status, stale = call("PUT", "/v1/channels/web", {"version": 1, "cap": 9}, key="a-late-one")
    assert (status, stale["code"], stale["result"]["reference"]["cap"]) == (409, "stale_version", 5)
    until(lambda: call("GET", "/v1/channels/web")[1].get("buffer"), 2)

    table = stage.ask("policy", SKU, "--channel", "web")
    assert [line.split() for line in table.splitlines() if "channel/web" in line] == [
        ["buffer", "2", "channel/web"], ["cap", "5", "channel/web"],
    ]  # fmt: skip
    shown = json.loads(stage.ask("policy", SKU, "--channel", "web", "--json"))
    assert shown["resolved"]["max_per_reservation"] == {"value": 3, "given_by": f"policy/*/{SKU}"}


def test_what_a_sender_that_died_left_behind_is_named_and_sent_again(stage, call):
    one = partition_of(SKU, PARTITIONS)
    newer = {"type": "set_channel", "command_id": "half", "channel": "web", "version": 7, "cap": 100}
    asyncio.run(send_to_one(stage.bootstrap, one, newer))
    others = [partition for partition in range(PARTITIONS) if partition != one]

    def behind():
        shown = stage.ask("reference", "list", "--json", code=None).splitlines()
        return {it["key"]: it["behind"] for it in map(json.loads, shown)}["channel/web"]

    until(behind, others)
    with pytest.raises(subprocess.CalledProcessError):
        stage.ask("reference", "list")
    check = check_reference([*asyncio.run(read_view(stage.bootstrap)).all()])
    assert (check.ok, check.data) == (False, {"behind": {"channel/web": others}})
    stage.ask("reference", "resend")
    until(behind, [])
    assert "cap 100" in stage.ask("reference", "list")
    lines = json.dumps(
        {"type": "set_feed", "command_id": "f", "feed": "wms", "version": 1, "as_of_at": 1, "interval_ms": 9}
    )
    results = [json.loads(line) for line in stage.ask("reference", "set", "-", given=f"{lines}\n").splitlines()]
    assert sorted(result["partition"] for result in results) == list(range(PARTITIONS))
    assert stage.ask("reference", "set", "-", given='{"type":"tick"}\n', code=1) == ""
    until(lambda: [it["id"] for it in call("GET", "/v1/feeds")[1]["items"]], ["wms"])


def test_the_audit_agrees_with_all_of_it(stage):
    report = asyncio.run(assert_audit_equal(stage.bootstrap))
    assert report.compared.reference > PARTITIONS
