"""Owns the recording of a release's outputs for a log: `python -m tests.agents.recorded_release FILE` writes one.

A recording is made once, by the release it is named after, and never made anew: later releases have to agree with it.
"""

import base64
import gzip
import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

from aiokafka.record.memory_records import MemoryRecords

from agents.fold import fold
from schemas.topics import CHANGELOG, DEAD_LETTERS, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY, Position, encode_row
from tables.ledger import Ledger
from tables.store import MemoryStore, Store

T0 = 1_764_000_000_000
COMMANDS = 4_000
TRANSACTION = 37
SEED = 10
OUTPUTS = (RESULTS, STOCK_CHANGES, DEAD_LETTERS)
_SENT_AGAIN_WITHIN = 40  # how far back a command may be sent again
_SKUS = ("A", "A/B", "é", "shop:1")
_DAY_MS = 24 * 3600 * 1000
_PAUSES = [0] * 40 + [1, 999, 5_000, 15_000, 60_000, 900_000] + [_DAY_MS // 2]


def write_log(seed: int = SEED, count: int = COMMANDS) -> list[tuple[int, str]]:
    """Return (timestamp in ms, value) of each record: every command, ids used twice, lines that are no commands."""
    chance = random.Random(seed)
    log, at = [], T0
    for number in range(count):
        at += chance.choice(_PAUSES)
        if number > _SENT_AGAIN_WITHIN and chance.random() < 0.04:
            log.append((at, log[number - chance.randrange(1, _SENT_AGAIN_WITHIN)][1]))
            continue
        # A SKU comes every fourth time, so that the ids of commands and reservations of one are near each other.
        command_id = f"c{number - 4 * (chance.random() < 0.03)}"
        document = {"command_id": command_id, "sku": _SKUS[number % len(_SKUS)]}
        document |= chance.choice(_KINDS)(chance, number)
        if chance.random() < 0.2:
            document |= {"actor": "anna", "source": "pos ✓"}
        value = json.dumps(document) if number % 97 else f"line {number} is no command"
        log.append((at, value))
    return log


def _adjust(chance, _number):
    change = {"delta": chance.randrange(1, 40)} if chance.random() < 0.8 else {"count": chance.randrange(30)}
    optional = {"reference": "po-7"} if chance.random() < 0.3 else {}
    bucket = {"bucket": chance.choice(["on_hand", "damaged", "safety_stock"])} if chance.random() < 0.3 else {}
    expected = {"expected_on_hand": chance.randrange(9)} if chance.random() < 0.1 else {}
    warehouse = chance.choice(["leeds", "york", "bath"])
    return {"type": "adjust", "warehouse": warehouse, "reason": "receipt"} | change | optional | bucket | expected


def _reserve(chance, number):
    reservation = f"r{number - 4 * chance.randrange(3)}"
    document = {"type": "reserve", "reservation_id": reservation, "quantity": chance.randrange(1, 9)}
    optional = {"channel": "web", "warehouse": "york", "ttl_ms": chance.choice([0, 1, 60_000, 3_600_000]),
                "order_id": "o-1"}  # fmt: skip
    return document | {name: value for name, value in optional.items() if chance.random() < 0.4}


def _hold(type_, **optional):
    def make(chance, number):
        document = {"type": type_, "reservation_id": _recent(chance, number)}
        return document | {name: choose(chance) for name, choose in optional.items() if chance.random() < 0.5}

    return make


def _extend(chance, number):
    return {"type": "extend", "reservation_id": _recent(chance, number), "ttl_ms": chance.choice([0, 1_000, _DAY_MS])}


def _query(chance, number):
    optional = {"reservation_id": _recent(chance, number), "of_command_id": f"c{number - 4 * chance.randrange(9)}"}
    return {"type": "query"} | {name: value for name, value in optional.items() if chance.random() < 0.5}


def _quantity(chance):
    return chance.randrange(1, 5)


def _wrong(chance, number):
    if chance.random() < 0.8:
        return _query(chance, number)
    return {"type": "reserve", "reservation_id": "r", "quantity": 0}


def _recent(chance, number):
    return f"r{number - 4 * chance.randrange(9)}"


_KINDS = (
    [_adjust] * 3 + [_reserve] * 6 + [_hold("commit", quantity=_quantity)] * 3 + [_extend, _query]
    + [_hold("release", quantity=_quantity, reason=lambda _: "changed my mind")] * 2
    + [_wrong]
)  # fmt: skip


class Folding:
    """Folds a log in transactions of `TRANSACTION` records, and keeps what each would have published."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or MemoryStore()
        self.ledger = Ledger(self.store)
        if self.ledger.position is None:
            self.ledger.position = Position(0, 0, "one life")
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.published: dict[str, list[tuple[bytes, bytes]]] = {topic: [] for topic in OUTPUTS}

    def run(self, log, first=0):
        """Fold the records of the log from the offset `first` on."""
        records = [
            SimpleNamespace(offset=offset, timestamp=at, key=b"key", value=value.encode())
            for offset, (at, value) in enumerate(log)
            if offset >= first
        ]
        while records:
            self.ledger.forget(1_000)
            folded = fold(self.ledger, records[:TRANSACTION], partition=0, partitions=1, limit=TRANSACTION)
            position = Position(folded.next_offset, folded.now_ms, "one life")
            rows = [*self.ledger.pending(), (POSITION_KEY, encode_row(position))]
            for topic, batch in folded.output.batches(rows, folded.now_ms).items():
                if topic != CHANGELOG:
                    self.published[topic] += read(batch)
            self.changelog += rows
            self.ledger.checkpoint(position, len(self.changelog) - 1)
            records = [record for record in records if record.offset >= folded.next_offset]


def read(batch):
    """Read a record batch back: (key, value) of each record."""
    batch.set_producer_state(1, 0, 0)
    return [(record.key, record.value) for record in MemoryRecords(bytes(batch.build())).next_batch()]


def load_recording(path):
    """Return the recording: `log`, `published` and `changelog`, as `Folding` has them."""
    document = json.loads(gzip.decompress(path.read_bytes()))
    pairs = lambda rows: [tuple(None if it is None else base64.b85decode(it) for it in row) for row in rows]  # noqa: E731
    published = {topic: pairs(rows) for topic, rows in document["published"].items()}
    return SimpleNamespace(log=document["log"], published=published, changelog=pairs(document["changelog"]))


def _write(path):
    folding = Folding()
    log = write_log()
    folding.run(log)
    pairs = lambda rows: [[None if it is None else base64.b85encode(it).decode() for it in row] for row in rows]  # noqa: E731
    document = {
        "log": log,
        "published": {topic: pairs(rows) for topic, rows in folding.published.items()},
        "changelog": pairs(folding.changelog),
    }
    path.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
    codes = [json.loads(value)["code"] for _, value in folding.published[RESULTS]]
    print({code: codes.count(code) for code in set(codes)}, path.stat().st_size, "bytes")  # noqa: T201


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
