"""Owns the benchmark of the gateway's view: how fast a million stock rows are read anew, and how much memory they take.

The order in which a SKU's rows come, and how many it has, must make no great difference.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from agents.transactions import TransactionClient
from bench.harness import Stage
from bench.load import sku_names, warehouse_names
from bench.report import Document, Options, Table, Watcher, median
from bench.topics import PARTITIONS
from schemas.codec import encode
from schemas.partitioner import partition_of
from schemas.stock_changes import Cause, Quantities, StockChange
from schemas.topics import STOCK_CHANGES

NAME = "view"

LIMIT_MB = 512
AIM_ROWS_PER_S = 200_000

_ROWS, _QUICK_ROWS = 1_000_000, 4_000
_PER_TRANSACTION = 2_000
_NOW_MS = time.time_ns() // 1_000_000
_NO_HEADERS: list[tuple[str, bytes]] = []


class Spread(NamedTuple):
    """How the rows lie: so many warehouses a SKU, and whether rows come one SKU after the other or in any order."""

    warehouses: int
    shuffled: bool

    def __str__(self) -> str:
        """Return it in words."""
        where = "one warehouse" if self.warehouses == 1 else f"{self.warehouses} warehouses"
        return f"{where} a SKU, {'in random order' if self.shuffled else 'SKU by SKU'}"


SPREADS = (Spread(10, shuffled=False), Spread(10, shuffled=True), Spread(1, shuffled=True))


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Write rows of each shape, start a gateway on them, and measure its reading and its memory."""
    rows = _QUICK_ROWS if options.quick else _ROWS
    watcher.steps(2 * len(SPREADS) * options.runs)
    shapes = {}
    for shape in SPREADS:
        watcher.step(f"writing {rows:,} rows: {shape}")
        stage.renew_all_topics()
        asyncio.run(_write(stage.bootstrap, changes(rows, shape)))
        runs = []
        for number in range(1, options.runs + 1):
            watcher.step(f"run {number} of {options.runs}: a gateway reads them")
            runs.append(_run(stage, rows))
        shapes[str(shape)] = {
            "medians": {name: median([run[name] for run in runs], 1) for name in runs[0]},
            "runs": runs,
        }
    return {
        "quick": options.quick,
        "unit": "rows/s of the reading alone; MB (10^6 bytes) of the whole gateway; processor s since its start",
        "stock_rows": rows,
        "aim_rows_per_s": AIM_ROWS_PER_S,
        "limit_mb": LIMIT_MB,
        "shapes": shapes,
    }


def changes(count: int, shape: Spread) -> Iterator[StockChange]:
    """Return the stock changes of so many rows, one each."""
    chance = random.Random(count)
    skus = sku_names(max(1, count // shape.warehouses))
    rows = [(number, place) for number in range(len(skus)) for place in range(shape.warehouses)]
    if shape.shuffled:
        chance.shuffle(rows)
    names = warehouse_names(shape.warehouses)
    seqs = [0] * len(skus)
    for number, place in rows:
        seqs[number] += 1
        yield StockChange(
            sku=skus[number],
            warehouse=names[place],
            seq=seqs[number],
            at=_NOW_MS,
            cause=Cause("adjust", command_id=f"delivery-{number}:{place}", reason="receipt", source="key/erp"),
            delta={"on_hand": 4_000},
            after=Quantities(4_000, 12, 0, 5, 0, 3_983),
            shortfall=False,
        )


async def _write(bootstrap: str, records: Iterator[StockChange]) -> None:
    clients = [TransactionClient(bootstrap, f"bench-view-{number}", timeout_ms=10_000) for number in range(PARTITIONS)]
    waiting: list[list[StockChange]] = [[] for _ in clients]
    try:
        for client in clients:
            await client.start((STOCK_CHANGES,))
            await client.begin()
        for change in records:
            partition = partition_of(change.sku, PARTITIONS)
            waiting[partition].append(change)
            if len(waiting[partition]) == _PER_TRANSACTION:
                await _transaction(clients[partition], partition, waiting[partition])
                waiting[partition] = []
        for partition, client in enumerate(clients):
            await _transaction(client, partition, waiting[partition])
    finally:
        for client in clients:
            await client.close()


async def _transaction(client: TransactionClient, partition: int, written: list[StockChange]) -> None:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=1, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30
    )
    for index, change in enumerate(written):
        key = f"{change.sku}/{change.warehouse}".encode()
        builder.append(index, _NOW_MS, key, encode(change), _NO_HEADERS)
    if written:
        await client.produce(partition, {STOCK_CHANGES: builder})
    await client.end()


def _run(stage: Stage, rows: int) -> dict[str, Any]:
    with stage.running(stage.gateway()) as gateway:
        seconds = float(gateway.logged(r"a topic was read.* records='?stock changes'?.* seconds=([\d.]+)"))
        return {
            "rows_per_s": round(rows / seconds, 0),
            "cpu_s": round(gateway.cpu_s, 2),
            "memory_mb": round(gateway.memory_mb("VmRSS"), 1),
            "peak_mb": round(gateway.memory_mb("VmHWM"), 1),
        }


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    rows = [
        (shape, f"{found['medians']['rows_per_s']:,.0f}", found["medians"]["memory_mb"], found["medians"]["peak_mb"])
        for shape, found in document["shapes"].items()
    ]
    title = (
        f"The gateway's view of {document['stock_rows']:,} stock rows "
        f"(median; aim {document['aim_rows_per_s']:,} rows/s; limit {document['limit_mb']} MB)"
    )
    return [Table(title=title, columns=("rows lie", "read, rows/s", "resident MB", "peak MB"), rows=rows)]
