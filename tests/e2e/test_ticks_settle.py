"""Who waits is seen, and a queue is settled by the worker alone, through a broker, a worker and a gateway."""

import asyncio
import json
import time
import urllib.request

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.kafka_connection import kafka_options
from schemas.topics import COMMANDS
from tests.harness import assert_audit_equal

SKU = "queued"


def get(stage, path):
    with urllib.request.urlopen(f"http://{stage.gateway}{path}", timeout=30) as answer:
        return json.load(answer)


def told(stage, *commands):
    lines = "".join(json.dumps(command | {"sku": SKU}) + "\n" for command in commands)
    results = [json.loads(line) for line in stage.ask("send", "--wait", given=lines).splitlines()]
    assert {result["status"] for result in results} == {"accepted"}
    return results


def stocked(command_id, units):
    stock = {"type": "adjust", "warehouse": "leeds", "reason": "receipt"}
    return stock | {"command_id": command_id, "delta": units}


async def end_of(bootstrap, partition):
    place = TopicPartition(COMMANDS, partition)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, **kafka_options()) as consumer:
        return (await consumer.end_offsets([place]))[place]


def seen(stage):
    """Return what the view shows a channel: no command is sent for it."""
    (item,) = get(stage, f"/v1/availability?sku={SKU}&channel=online")["items"]
    return item


def until(read, wanted, within_s=20):
    deadline = time.monotonic() + within_s
    while (found := read()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


@pytest.fixture(scope="module")
def queue(stage):
    """Let 60 reservations of 2 wait for what one unit leaves them, and return the stage."""
    told(stage, {"type": "set_policy", "command_id": "p", "channel": "online", "backorder_limit": 1000})
    told(stage, stocked("in-1", 1))
    wish = {"type": "reserve", "quantity": 2, "channel": "online", "wait": "any", "ttl_ms": 0}
    told(stage, *[wish | {"command_id": f"r{n}", "reservation_id": f"r{n:02}"} for n in range(60)])
    return stage


def test_who_waits_is_the_same_over_http_and_on_the_command_line(queue):
    over_http = get(queue, f"/v1/backorders?sku={SKU}&limit=2")
    shown = json.loads(queue.ask("backorders", SKU, "--limit", "2", "--json"))
    assert [shown[name] for name in ("items", "backordered")] == [over_http[name] for name in ("items", "backordered")]
    assert [(it["reservation_id"], it["quantity"]) for it in shown["items"]] == [("r00", 1), ("r01", 2)]
    assert shown["backordered"] == 119
    until(lambda: seen(queue)["backorder_room"], 881)


def test_a_queue_of_60_is_settled_by_the_workers_ticks_when_no_command_comes(queue):
    (result,) = told(queue, stocked("in-2", 130))
    until(lambda: seen(queue)["stock"][0]["reserved"], 120)
    until(lambda: (seen(queue)["available"], seen(queue)["backorder_room"]), (11, 1000))
    end = asyncio.run(end_of(queue.bootstrap, result["partition"]))
    assert 7 <= end - result["offset"] - 1 <= 60
    # Three rounds of the worker's timer: when the queue is settled, no more ticks come.
    time.sleep(0.6)
    until(lambda: asyncio.run(end_of(queue.bootstrap, result["partition"])), end, within_s=0.1)
    assert json.loads(queue.ask("backorders", SKU, "--json"))["items"] == []


def test_settle_finds_nobody_where_nobody_waits_any_more(queue):
    told(queue, {"type": "release", "command_id": "undo", "reservation_id": "r00"})
    settled = [json.loads(line)["sku"] for line in queue.ask("settle").splitlines()]
    assert SKU not in settled


def test_the_audit_agrees_with_the_queue(queue):
    asyncio.run(assert_audit_equal(queue.bootstrap))
