"""Owns the verdict: what was published equals an independent fold of the command log, and so does every store."""

from collections.abc import Iterator
from typing import Any

import orjson
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords

from audit.comparison.rows import LedgerSnapshot, compare_rows
from audit.model.oracle import Model
from audit.report.report import PartitionReport
from schemas.topics import CHANGELOG, COMMANDS, DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES
from tests.simulation.cluster import Cluster
from tests.simulation.disks import Drive
from tests.simulation.logs import Log


class Wrong(Exception):
    """The product broke a promise."""


def committed(log: Log) -> list[Any]:
    """Read all that a read_committed consumer sees, with aiokafka's own parsing."""
    found = log.fetch(0, committed=True, max_bytes=1 << 40)
    data = MemoryRecords(found.data)
    return list(PartitionRecords(TopicPartition("log", 0), data, found.aborted, 0, None, None, True, READ_COMMITTED))


def last_rows(cluster: Cluster, partition: int) -> dict[bytes, bytes]:
    """Return the last value of every key of a changelog."""
    values: dict[bytes, bytes | None] = {}
    for record in committed(cluster.logs[CHANGELOG, partition]):
        values[record.key] = record.value
    return {key: value for key, value in values.items() if value is not None}


def position(cluster: Cluster, partition: int) -> int | None:
    """Return the next command's offset, as the changelog has it."""
    return LedgerSnapshot.of(last_rows(cluster, partition)).next_offset


def check_partition(cluster: Cluster, partition: int, partitions: int, stores: list[Drive]) -> int:
    """Compare one partition with the model.

    Args:
        stores: of the partition's owner, brought up to the end of the changelog.

    Returns:
        How many commands were compared.

    Raises:
        Wrong: says what differs, and where first.
    """
    model = Model(partition, partitions)
    commands = committed(cluster.logs[COMMANDS, partition])
    expected = [model.apply(c.offset, c.timestamp, c.key, c.value) for c in commands]
    results = [result for e in expected for result in e.results]
    changes = [change for e in expected for change in e.stock_changes]
    letters = [letter for e in expected for letter in e.dead_letters]

    def read(topic: str) -> Iterator[Any]:
        return iter(committed(cluster.logs[topic, partition]))

    found_letters = [(r.key, r.value, dict(r.headers)["reason"].decode()) for r in read(DEAD_LETTERS)]
    _compare(f"results of {partition}", [(r["sku"], r) for r in results],
             [(r.key.decode(), orjson.loads(r.value)) for r in read(RESULTS)])  # fmt: skip
    _compare(f"stock changes of {partition}", [(f"{c['sku']}/{c['warehouse']}", c) for c in changes],
             [(r.key.decode(), orjson.loads(r.value)) for r in read(STOCK_CHANGES)])  # fmt: skip
    reference = [(entry["key"], entry["value"]) for e in expected for entry in e.reference]
    _compare(f"reference records of {partition}", reference,
             [(r.key.decode(), r.value and orjson.loads(r.value)) for r in read(REFERENCE)])  # fmt: skip
    _compare(f"dead letters of {partition}", [(x["key"], x["value"], x["reason"]) for x in letters], found_letters)
    rows = last_rows(cluster, partition)
    for store in stores:
        _compare_store(partition, rows, store)
    report = PartitionReport(partition=partition, log_start=0, log_end=0, position=0)
    compare_rows(model, LedgerSnapshot.of(rows), report)
    if report.differences:
        raise Wrong(f"rows of partition {partition}: {report.differences[0]}")
    return len(commands)


def _compare(what: str, expected: list[Any], found: list[Any]) -> None:
    if expected == found:
        return
    at = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
    if at is None:
        at = min(len(expected), len(found))
    there = found[at] if at < len(found) else "nothing"
    wanted = expected[at] if at < len(expected) else "nothing"
    raise Wrong(f"{what}: {len(expected)} expected, {len(found)} found; number {at} should be {wanted}, is {there}")


def _compare_store(partition: int, rows: dict[bytes, bytes], store: Drive) -> None:
    # D.. and L are the store's own: due times and the checkpoint.
    held = {key: value for key, value in store.items.items() if key[:1] not in (b"D", b"L")}
    if held != rows:
        keys = sorted(key for key in held.keys() | rows.keys() if held.get(key) != rows.get(key))
        raise Wrong(f"the store of partition {partition} is not what its changelog says, at {keys[:5]}")
