"""The rival does the same job: it publishes the same results and stock changes as Holdfast."""

import asyncio
import itertools
import json

import pytest

from bench import kafka_streams, load, logs
from bench.harness import Stage
from bench.rival_topics import topic_names
from schemas.topics import COMMANDS, RESULTS, STOCK_CHANGES


def requests():
    skus = load.sku_names(40)
    yield from load.adjusts(skus, ["main"])
    yield from itertools.islice(load.mix(skus, 700), 600)
    # Repeated, unknown, not there, taken twice, too much, below zero.
    yield from itertools.islice(load.mix(skus, 700), 300, 320)
    for number, (kind, fields) in enumerate(
        [
            ("reserve", {"reservation_id": "r", "quantity": 2}),
            ("reserve", {"reservation_id": "r", "quantity": 2}),
            ("commit", {"reservation_id": "never"}),
            ("commit", {"reservation_id": "r"}),
            ("release", {"reservation_id": "r"}),
            ("reserve", {"reservation_id": "much", "quantity": 1_000_000_000}),
            ("adjust", {"warehouse": "main", "delta": -1_000_000_000, "reason": "shrinkage"}),
        ]
    ):
        for sku in (skus[0], "no-such-sku") if kind != "adjust" else skus[:1]:
            yield load.Request(sku, {"command_id": f"x-{number}", "type": kind, "sku": sku, **fields})


async def read_all(bootstrap, topic):
    return [(r.partition, r.key, json.loads(r.value)) async for chunk in logs.read(bootstrap, topic) for r in chunk]


def without_replayed(document):
    # The rival stores and repeats an answer as it is.
    return {name: value for name, value in document.items() if name not in ("replayed", "requested", "available")}


def by(found, group):
    groups = {}
    for partition, key, document in found:
        groups.setdefault(group(partition, key), []).append((key, without_replayed(document)))
    return groups


@pytest.mark.timeout(400)
def test_it_answers_and_publishes_what_holdfast_does(tmp_path):
    with Stage() as stage:
        count = load.produce(stage.bootstrap, requests(), topic=COMMANDS)
        with stage.running(stage.worker(tmp_path / "worker")) as worker:
            asyncio.run(logs.watch(stage.bootstrap, RESULTS, [0] * 4, count, worker))
        _, results, changes = topic_names("rival")
        stage.make_topics(results, changes)
        command = kafka_streams.command(
            stage.bootstrap, "rival", (COMMANDS, results, changes), tmp_path / "state", threads=1
        )
        asyncio.run(logs.watch(stage.bootstrap, results, [0] * 4, count, stage.run("rival", command)))
        ours, theirs = (asyncio.run(read_all(stage.bootstrap, topic)) for topic in (RESULTS, results))
        our_changes, their_changes = (
            asyncio.run(read_all(stage.bootstrap, topic)) for topic in (STOCK_CHANGES, changes)
        )
    assert len(ours) == count
    assert {document["code"] for _, _, document in ours} > {None, "unknown_sku", "insufficient_stock"}
    assert by(ours, lambda partition, _: partition) == by(theirs, lambda partition, _: partition)
    # Its stock changes lie where their own keys belong, each row's in order.
    assert by(our_changes, lambda _, key: key) == by(their_changes, lambda _, key: key)
