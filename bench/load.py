"""Owns the commands of the benchmarks: made from a seed, so always the same, and sent in whole batches."""

import asyncio
import itertools
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from bench.topics import PARTITIONS
from ops.bulk import BulkSender
from schemas.codec import encode
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS

_SEED = 20_260_101
_BATCH_BYTES = 64 * 1024
_PATIENCE_S = 60.0
# Longer than any benchmark: an expiry would add results to the counted ones.
_TTL_MS = 6 * 60 * 60 * 1000
# Enough for every reservation: 10^6 units a row, and 3 units a reservation at most.
_ON_HAND = 1_000_000
_RESERVE_SHARE, _COMMIT_SHARE = 0.6, 0.3


class Request(NamedTuple):
    """One command as its JSON fields."""

    sku: str
    fields: dict[str, object]

    @property
    def value(self) -> bytes:
        """Return the record's value."""
        return encode(self.fields)


def sku_names(count: int) -> list[str]:
    """Return the names of that many SKUs."""
    return [f"SKU-{number:05d}" for number in range(count)]


def warehouse_names(count: int) -> list[str]:
    """Return the names of that many warehouses."""
    return [f"wh-{number:02d}" for number in range(count)]


def adjusts(skus: Iterable[str], warehouses: Iterable[str], *, prefix: str = "a") -> Iterator[Request]:
    """Return the commands that put stock into every warehouse of every SKU."""
    warehouses = list(warehouses)
    number = 0
    for warehouse in warehouses:
        for sku in skus:
            fields = {"command_id": f"{prefix}-{number:07d}", "type": "adjust", "sku": sku}
            yield Request(sku, {**fields, "warehouse": warehouse, "delta": _ON_HAND, "reason": "receipt"})
            number += 1


def mix(skus: list[str], count: int, *, prefix: str = "m", maturity: int = 0) -> Iterator[Request]:
    """Return 60 % reserve, 30 % commit, 10 % release; each commit or release ends one of the reservations.

    Args:
        skus: the SKUs to reserve, chosen at random.
        count: how many commands.
        prefix: the begin of every id; loads on one ledger need different ones.
        maturity: the least number of commands between a reserve and its commit or release.
    """
    rand = random.Random(_SEED)
    held: list[tuple[str, str]] = []
    young: list[tuple[int, str, str]] = []
    matured = 0
    for number in range(count):
        while matured < len(young) and young[matured][0] + maturity <= number:
            held.append(young[matured][1:])
            matured += 1
        command_id = f"{prefix}-{number:07d}"
        kind = rand.random()
        if kind < _RESERVE_SHARE or not held:
            sku = skus[int(rand.random() * len(skus))]
            reservation_id = f"{prefix}-cart-{number:07d}"
            young.append((number, sku, reservation_id))
            yield Request(sku, _reserve(command_id, sku, reservation_id, 1 + number % 3))
            continue
        place = int(rand.random() * len(held))
        held[place], held[-1] = held[-1], held[place]
        sku, reservation_id = held.pop()
        type_ = "commit" if kind < _RESERVE_SHARE + _COMMIT_SHARE else "release"
        yield Request(sku, {"command_id": command_id, "type": type_, "sku": sku, "reservation_id": reservation_id})


def _reserve(command_id: str, sku: str, reservation_id: str, quantity: int) -> dict[str, object]:
    return {
        "command_id": command_id,
        "type": "reserve",
        "sku": sku,
        "reservation_id": reservation_id,
        "quantity": quantity,
        "channel": "web",
        "ttl_ms": _TTL_MS,
    }


def produce(bootstrap: str, requests: Iterable[Request], *, topic: str = COMMANDS) -> int:
    """Write commands to a topic, each to its SKU's partition.

    Returns:
        How many.
    """
    records = ((partition_of(item.sku, PARTITIONS), item.sku.encode(), item.value) for item in requests)
    return send(bootstrap, topic, records)


def produce_mix(bootstrap: str, skus: int, commands: int, *, topic: str = COMMANDS) -> int:
    """Write so many commands: first an adjust for each SKU, which makes its row, then the mix.

    Returns:
        How many.
    """
    names = sku_names(skus)
    return produce(bootstrap, itertools.chain(adjusts(names, ["main"]), mix(names, commands - skus)), topic=topic)


def send(bootstrap: str, topic: str, records: Iterable[tuple[int, bytes, bytes]]) -> int:
    """Write records, given as (partition, key, value).

    Returns:
        How many.
    """
    return asyncio.run(_send(bootstrap, topic, records))


async def _send(bootstrap: str, topic: str, records: Iterable[tuple[int, bytes, bytes]]) -> int:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_batch_size=_BATCH_BYTES, acks="all", enable_idempotence=True, **kafka_options()
    )
    await producer.start()
    count = 0
    try:
        sender = BulkSender(producer, topic, PARTITIONS, patience_s=_PATIENCE_S)
        for partition, key, value in records:
            while not sender.offer(partition, key, value):
                await sender.ship(partition)
            count += 1
        await sender.flush()
    finally:
        await producer.stop()
    return count
