"""Owns the changelogs to recover: rows in transactions like a worker's, each with the position."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator

import msgspec
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents.transactions import TransactionClient
from bench.load import sku_names, warehouse_names
from bench.topics import PARTITIONS
from schemas.commands import Reserve
from schemas.partitioner import partition_of
from schemas.topics import CHANGELOG
from tables.core.rows import (
    POSITION_KEY,
    Position,
    Reservation,
    Row,
    Seen,
    Stock,
    encode_row,
    reservation_key,
    seen_key,
    stock_key,
)
from tables.core.rules import encode_content

WAREHOUSES = 20

# About the size of a transaction of a worker under load.
_ROWS_PER_TRANSACTION = 2_000
# The rows are as of now: if one fell due, the worker would begin to write.
_NOW_MS = time.time_ns() // 1_000_000
_INCARNATION = "0" * 32
_DAY_MS = 24 * 60 * 60 * 1000
_NO_HEADERS: list[tuple[str, bytes]] = []

KeyedRow = tuple[str, bytes, Row]


def stock_rows(count: int) -> Iterator[KeyedRow]:
    """Return that many stock rows as (SKU, key, row): every SKU lies in 20 warehouses."""
    for number, sku in enumerate(sku_names(max(1, count // WAREHOUSES))):
        for warehouse in warehouse_names(WAREHOUSES):
            yield sku, stock_key(sku, warehouse), Stock(seq=WAREHOUSES, on_hand=1_000_000 + number)


def mixed_rows(count: int) -> Iterator[KeyedRow]:
    """Return that many rows of a ledger in use: 1 stock row to 4 reservations, half of them closed, and 5 commands."""
    skus = sku_names(max(1, count // 10))
    for number in range(count):
        sku = skus[number // 10 % len(skus)]
        kind = number % 10
        if kind == 0:
            yield sku, stock_key(sku, "main"), _STOCK
            continue
        command_id, reservation_id = f"m-{number:07d}", f"m-cart-{number:07d}"
        reservation = _CLOSED if kind % 2 == 0 else _HELD
        if kind <= 4:
            yield sku, reservation_key(sku, reservation_id), reservation
        else:
            command = Reserve(
                command_id=command_id, sku=sku, reservation_id=reservation_id, quantity=3, channel="web", ttl_ms=_DAY_MS
            )
            yield sku, seen_key(sku, command_id), _seen(command, number)


_STOCK = Stock(seq=20, on_hand=1_000_000, reserved=6)
_HELD = Reservation(
    state="held",
    quantity=3,
    committed=0,
    released=0,
    allocations=(("main", 3),),
    channel="web",
    order_id=None,
    expires_at=_NOW_MS + _DAY_MS,
    closed_at=None,
)
_CLOSED = msgspec.structs.replace(
    _HELD, state="committed", committed=3, allocations=(), expires_at=None, closed_at=_NOW_MS
)


def _seen(command: Reserve, offset: int) -> Seen:
    return Seen(
        content=encode_content(command),
        type="reserve",
        code=None,
        seq=_STOCK.seq,
        at=_NOW_MS,
        offset=offset,
        reservation_id=command.reservation_id,
        reservation=_HELD,
        stock=(("main", _STOCK),),
        requested=None,
        available=None,
        of_command=None,
    )


def write(bootstrap: str, rows: Iterable[KeyedRow]) -> int:
    """Write rows to the changelog, each to its SKU's partition, for a ledger whose position is the first command.

    Returns:
        How many records, positions included.
    """
    return asyncio.run(_write(bootstrap, rows))


async def _write(bootstrap: str, rows: Iterable[KeyedRow]) -> int:
    clients = [
        TransactionClient(bootstrap, f"bench-changelog-{number}", timeout_ms=10_000) for number in range(PARTITIONS)
    ]
    for client in clients:
        await client.start((CHANGELOG,))
        await client.begin()
    written = 0
    waiting: list[list[tuple[bytes, bytes]]] = [[] for _ in clients]
    try:
        for sku, key, row in rows:
            partition = partition_of(sku, PARTITIONS)
            waiting[partition].append((key, encode_row(row)))
            if len(waiting[partition]) == _ROWS_PER_TRANSACTION:
                written += await _transaction(clients[partition], partition, waiting[partition])
                waiting[partition] = []
        for partition, client in enumerate(clients):
            written += await _transaction(client, partition, waiting[partition])
    finally:
        for client in clients:
            await client.close()
    return written


async def _transaction(client: TransactionClient, partition: int, rows: list[tuple[bytes, bytes]]) -> int:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30
    )
    position = (POSITION_KEY, encode_row(Position(0, _NOW_MS, _INCARNATION)))
    for index, (key, value) in enumerate(itertools.chain(rows, [position])):
        builder.append(index, _NOW_MS, key, value, _NO_HEADERS)
    await client.produce(partition, {CHANGELOG: builder})
    await client.end()
    return len(rows) + 1
