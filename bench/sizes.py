"""Owns the measurement of sizes: what a row, a record and a cached row take, over the commands of a shop.

`python -m bench.sizes` prints the figures of `docs/how-to/sizing.md`: bytes, which do not depend on the speed of the
machine. `--days N` then folds N days into a ledger that forgets, and compares its disk with the formula.
"""

import random
import subprocess
import sys
import tempfile
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from agents.batches import TransactionOutput
from agents.fold import fold
from bench.shop import WAREHOUSES, Sent, Shop
from gateway.availability import AvailabilityView, Change
from ops.screen import print_table
from schemas.topics import CHANGELOG, COMMANDS, RESULTS, STOCK_CHANGES
from tables.core.rows import KINDS, POSITION_KEY, RESERVATION, SEEN, STOCK, Position, encode_row, stock_key
from tables.ledger import Ledger, load
from tables.store import MemoryStore, RocksStore

START_MS = 1_800_000_000_000
BATCH_HEADER_BYTES = 61
"""What Kafka writes before the records of a batch."""
TRANSACTION_BYTES = BATCH_HEADER_BYTES + 78
"""What a transaction takes in each partition beside its records: the header of its batch, and its marker."""

_STOCK, _OPEN, _CLOSED, _SEEN = "stock row", "open reservation", "closed reservation", "seen command"
ROWS = (_STOCK, _OPEN, _CLOSED, _SEEN)
"""The rows of the formula."""

_BATCH = 20  # commands a transaction, as at some hundred commands/s
_DAY_MS = 24 * 60 * 60 * 1000
_COMMANDS_A_DAY = 250_000

StoredRow = tuple[bytes, bytes]
A = TypeVar("A")
B = TypeVar("B")


class Written:
    """What transactions wrote: records and their bytes by topic, without what each transaction adds."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def add(self, output: TransactionOutput, rows: Sequence[tuple[bytes, bytes | None]], now_ms: int) -> None:
        """Add one transaction."""
        for topic, builder in output.batches(rows, now_ms).items():
            self.bytes[topic] += len(builder.build()) - BATCH_HEADER_BYTES
        self.records[RESULTS] += output.results.count
        self.records[STOCK_CHANGES] += output.stock_changes.count
        self.records[CHANGELOG] += len(rows)

    def mean(self, topic: str) -> float:
        """Return the bytes of a record of a topic."""
        return self.bytes[topic] / self.records[topic]


def write(ledger: Ledger, commands: Iterable[Sent]) -> Written:
    """Let a ledger decide commands in transactions, as a worker does, and return what it would write to Kafka."""
    written = Written()
    if ledger.position is None:
        ledger.position = Position(0, 0, "0" * 32)
    commands = iter(commands)
    left: list[Sent] = []
    while left := left or list(islice(commands, _BATCH)):
        ledger.forget(1_000)
        folded = fold(ledger, left, partition=0, partitions=1, limit=_BATCH)
        position = Position(folded.next_offset, folded.now_ms, ledger.position.incarnation)
        rows = [*ledger.pending(), (POSITION_KEY, encode_row(position))]
        written.add(folded.output, rows, folded.now_ms)
        ledger.checkpoint(position, written.records[CHANGELOG] - 1)
        left = [sent for sent in left if sent.offset >= folded.next_offset]
    return written


def kind_of(key: bytes, value: bytes) -> str | None:
    """Return which of `ROWS` a stored row is; None for the rows that are not in the formula."""
    kind = KINDS.get(key[0])
    if kind is RESERVATION:
        return _OPEN if kind.decode(value).closed_at is None else _CLOSED
    return {STOCK.letter: _STOCK, SEEN.letter: _SEEN}.get(chr(key[0]))


def rows_of(store: RocksStore) -> dict[str, list[StoredRow]]:
    """Return the rows of a ledger by `ROWS`, shuffled: they come in no order of keys."""
    found = defaultdict(list)
    for key, value in store.scan(b"", b"\xff"):
        kind = kind_of(key, value)
        if kind is not None:
            found[kind].append((key, value))
    for rows in found.values():
        random.Random(1).shuffle(rows)
    return found


def in_batches(rows: Sequence[StoredRow]) -> Iterator[Sequence[StoredRow]]:
    """Yield rows by as many as a transaction writes of one kind."""
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def changelog_bytes(rows: Sequence[StoredRow]) -> float:
    """Return the bytes of a row in the changelog, uncompressed as workers write it."""
    total = 0
    for batch in in_batches(rows):
        total += len(TransactionOutput().batches(batch, START_MS)[CHANGELOG].build()) - BATCH_HEADER_BYTES
    return total / len(rows)


def tables_bytes(folder: Path) -> int:
    """Return the bytes of a closed store's tables, which RocksDB compresses."""
    return sum(path.stat().st_size for path in folder.glob("*.sst"))


def rocksdb_bytes(folder: Path, rows: Sequence[StoredRow]) -> float:
    """Return the bytes of a row in RocksDB, with its due time: it is loaded as RECOVER loads it."""
    store = RocksStore(folder)
    for number, batch in enumerate(in_batches(rows)):
        load(store, [(number * _BATCH + at, *row) for at, row in enumerate(batch)])
    store.close()
    return tables_bytes(folder) / len(rows)


def due_time_bytes(folder: Path, open_rows: Sequence[StoredRow]) -> float:
    """Return the bytes of the time at which a reservation would expire; it stays when the reservation ends before."""
    times = MemoryStore()
    for number, batch in enumerate(in_batches(open_rows)):
        load(times, [(number * _BATCH + at, *row) for at, row in enumerate(batch)])
    store = RocksStore(folder)
    store.write(list(times.scan(b"D", b"E")))
    store.close()
    return tables_bytes(folder) / len(open_rows)


def measure_disk(folder: Path, commands: int) -> tuple[dict[str, float], float]:
    """Return bytes by what takes them, and what the formula gives for the measured ledger divided by its true size."""
    store = RocksStore(folder / "ledger")
    shop = Shop(commands // 40, START_MS, 1_000)
    sent = list(shop.records(commands))
    written = write(Ledger(store), sent)
    rows = rows_of(store)
    left_behind = sum(1 for _, value in store.scan(b"DE", b"DF") for _ in msgspec.msgpack.decode(value)) - len(
        rows[_OPEN]
    )
    store.close()

    sizes: dict[str, float] = {}
    for kind in ROWS:
        sizes[f"changelog, {kind}"] = changelog_bytes(rows[kind])
        sizes[f"RocksDB, {kind}"] = rocksdb_bytes(folder / kind, rows[kind])
    sizes["RocksDB, due time left behind"] = due_time_bytes(folder / "due", rows[_OPEN])
    batch = TransactionOutput()
    for record in sent:
        batch.results.add(record.key, record.value, record.timestamp)
    sizes[COMMANDS] = len(batch.results.builder.build()) / len(sent)
    sizes[RESULTS] = written.mean(RESULTS)
    sizes[STOCK_CHANGES] = written.mean(STOCK_CHANGES)
    sizes["changelog, written per command"] = written.bytes[CHANGELOG] / commands
    sizes["transaction, in each topic"] = TRANSACTION_BYTES

    formula = rocksdb_of(sizes, {kind: len(rows[kind]) for kind in ROWS})
    formula += left_behind * sizes["RocksDB, due time left behind"]
    return sizes, formula / tables_bytes(folder / "ledger")


def rocksdb_of(sizes: dict[str, float], counts: dict[str, int]) -> float:
    """Return the bytes that the formula gives for a store with so many rows of each of `ROWS`."""
    return sum(sizes[f"RocksDB, {kind}"] * count for kind, count in counts.items())


def memory_of(make: Callable[[A, B], object], first: A, second: B) -> int:
    """Return the bytes that what a function makes of two values has in memory."""
    tracemalloc.start()
    kept = make(first, second)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return taken


def measure_memory(folder: Path, skus: int) -> dict[str, float]:
    """Return bytes in the memory of a worker and of a gateway, by what takes them."""
    store = RocksStore(folder / "cached")
    ledger = Ledger(store)
    shop = Shop(skus, START_MS, 1_000)
    write(ledger, shop.records(skus * len(WAREHOUSES) * 2))
    one_row = [sku + "-1" for sku in shop.skus]
    stock = store.get(stock_key(shop.skus[0], WAREHOUSES[0]))
    store.write([(stock_key(sku, WAREHOUSES[0]), stock) for sku in one_row])
    reservations = [key for key, _ in store.scan(b"R", b"S")]

    one, all_rows = (memory_of(_read_skus, store, names) / skus for names in (one_row, shop.skus))
    row = (all_rows - one) / (len(WAREHOUSES) - 1)
    sizes = {
        "worker, cached SKU": one - row,
        "worker, cached stock row": row,
        "worker, cached reservation": memory_of(_read_reservations, store, reservations) / len(reservations),
    }
    store.close()
    one, all_rows = (memory_of(_view, shop.skus, names) / skus for names in (WAREHOUSES[:1], WAREHOUSES))
    row = (all_rows - one) / (len(WAREHOUSES) - 1)
    return sizes | {"gateway, SKU": one - row, "gateway, stock row": row}


def _read_skus(store: RocksStore, names: Sequence[str]) -> Ledger:
    reading = Ledger(store)
    for sku in names:
        reading.sku("".join(list(sku)))  # a copy, as a command brings it
    return reading


def _read_reservations(store: RocksStore, keys: Sequence[bytes]) -> Ledger:
    reading = Ledger(store)
    for key in keys:
        reading.row(RESERVATION, bytes(bytearray(key)))
    return reading


def _view(skus: Sequence[str], warehouses: Sequence[str]) -> AvailabilityView:
    view = AvailabilityView()
    decode = msgspec.json.Decoder(Change).decode
    after = {"on_hand": 40_000, "reserved": 12, "damaged": 0, "safety_stock": 0, "inbound": 0, "available": 39_988}
    for sku in skus:
        for warehouse in warehouses:
            change = {"sku": sku, "warehouse": warehouse, "seq": 1_000, "at": START_MS, "after": after}
            view.apply(decode(msgspec.json.encode(change)))
    return view


def base_mb(module: str) -> float:
    """Return the resident memory (MB) of a process that has loaded a module and done nothing yet; Linux only."""
    code = f"import {module}; print(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024 / 1e6


def measure(folder: Path, commands: int = 20_000) -> tuple[dict[str, float], float]:
    """Return bytes by what takes them, and the formula's size of a store divided by its true size.

    Args:
        folder: an empty directory.
        commands: how many commands to measure over.
    """
    sizes, ratio = measure_disk(folder, commands)
    return sizes | measure_memory(folder, commands // 8), ratio


def disk_over_days(folder: Path, days: int) -> Iterator[tuple[float, float, float]]:
    """Yield, eight times a day, the MB of a store by the formula, its tables' MB, and those of its whole directory."""
    sizes, _ = measure_disk(folder / "sizes", 20_000)
    store = RocksStore(folder / "days")
    ledger = Ledger(store)
    shop = Shop(20_000, START_MS, _DAY_MS / _COMMANDS_A_DAY)
    for _ in range(8 * days):
        write(ledger, shop.records(_COMMANDS_A_DAY // 8))
        formula = rocksdb_of(sizes, {kind: len(rows) for kind, rows in rows_of(store).items()})
        everything = sum(path.stat().st_size for path in (folder / "days").iterdir())
        yield formula / 1e6, tables_bytes(folder / "days") / 1e6, everything / 1e6


def main(
    days: Annotated[int, typer.Option(min=0, help="So many days of commands, to see RocksDB before compaction.")] = 0,
) -> None:
    """Print what rows, records and cached rows take, in bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes, ratio = measure(folder / "measured")
        print_table(("what", "bytes"), [(what, round(size)) for what, size in sizes.items()])
        print(f"\nThe formula gives {ratio:.2f} of the size of the store that was measured.")
        for module in ("agents.worker", "gateway.server"):
            print(f"A process that has loaded {module}: {base_mb(module):.0f} MB.")
        for eighth, sizes_mb in enumerate(disk_over_days(folder, days), start=1):
            formula, tables, everything = (round(size, 1) for size in sizes_mb)
            print(f"day {eighth / 8:.3f}: formula {formula} MB, tables {tables} MB, directory {everything} MB")


if __name__ == "__main__":
    typer.run(main)
