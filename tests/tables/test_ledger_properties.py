"""What holds of a ledger after every command, whatever was asked of it and when; and that a log decides everything.

The machine sends commands one by one, each as a transaction, looks at the rows that are on disk then, and in the end
replays its log: bytes are compared, not meanings.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agents.fold import fold
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.topics import CHANGELOG, DEAD_LETTERS, RESULTS, STOCK_CHANGES
from tables.core.rows import (
    POSITION_KEY,
    RESERVATION,
    STOCK,
    Position,
    encode_row,
    seen_key,
)
from tables.ledger import CACHED_ROWS, Ledger, load
from tables.store import MemoryStore
from tests.harness import commands

ROOT = Path(__file__).parents[2]
T0 = 1_764_000_000_000
HOUR_MS = 3_600_000
# The contract's words, not the code's constants.
REMEMBERED_MS = 24 * HOUR_MS
CLOSED_KNOWN_MS = 7 * 24 * HOUR_MS
PUBLISHED = (RESULTS, STOCK_CHANGES, DEAD_LETTERS)


def read(batch):
    """Read the bytes of a record batch back, as a consumer would."""
    return list(MemoryRecords(batch).next_batch())


class Life:
    """A partition's ledger over a log, run as `Partition` runs it; `written` holds each transaction's bytes."""

    def __init__(self, *, partition=0, partitions=1, cached_rows=CACHED_ROWS):
        self.place = {"partition": partition, "partitions": partitions}
        self.cached_rows = cached_rows
        self.store = MemoryStore()
        self.ledger = Ledger(self.store, cached_rows=cached_rows)
        self.ledger.position = Position(0, 0, "one life")
        self.changelog = []
        self.written = []

    def transact(self, records, limit=1):
        """Decide records in one transaction; give what is left of them, and the bytes for each topic."""
        self.ledger.forget(1_000)
        folded = fold(self.ledger, records, **self.place, limit=limit)
        position = Position(folded.next_offset, folded.now_ms, "one life")
        rows = [*self.ledger.pending(), (POSITION_KEY, encode_row(position))]
        batches = folded.output.batches(rows, folded.now_ms)
        for batch in batches.values():
            batch.set_producer_state(1, 0, 0)
        written = {topic: bytes(batch.build()) for topic, batch in batches.items()}
        self.written.append(written)
        self.changelog += [(len(self.changelog) + number, key, value) for number, (key, value) in enumerate(rows)]
        self.ledger.checkpoint(position, len(self.changelog) - 1)
        return [record for record in records if record.offset >= folded.next_offset], written

    def run(self, records, limit):
        while records:
            records, _ = self.transact(records, limit)
        return self

    def reopen(self):
        self.ledger = Ledger(self.store, cached_rows=self.cached_rows)

    def rebuild(self, chunk):
        self.store = MemoryStore()
        for start in range(0, len(self.changelog), chunk):
            load(self.store, self.changelog[start : start + chunk])
        self.reopen()

    def published(self):
        """Return key and value of all that was published, topic by topic, wherever the transactions ended."""
        return {
            topic: [(r.key, r.value) for written in self.written if topic in written for r in read(written[topic])]
            for topic in PUBLISHED
        }

    def rows(self):
        """Return the ledger's rows as they stand: the changelog after compaction, without the tombstones."""
        return {key: value for key, value in {k: v for _, k, v in self.changelog}.items() if value is not None}


def record(offset, timestamp, document):
    value = document if isinstance(document, bytes | None) else json.dumps(document).encode()
    return SimpleNamespace(offset=offset, timestamp=timestamp, key=b"key", value=value)


skus = st.sampled_from(["A", "A", "A", "A/B", "é"])
warehouses = st.sampled_from(["bonn", "leeds", "york"])
holds = st.sampled_from(["h1", "h2", "h3", "h4"])
few = st.integers(1, 7)
maybe_few = st.none() | few
ttls = st.sampled_from([0, 1, 1_000, 12_000, HOUR_MS, 31 * 24 * HOUR_MS])
# Mostly no time passes. Below zero the record is late: stamped before the one in front of it.
rests = [1, 999, 12_000, 61_000, HOUR_MS, REMEMBERED_MS - 1, REMEMBERED_MS, CLOSED_KNOWN_MS, -1, -HOUR_MS]
pauses = st.sampled_from([0] * 15 + [1, 999, 999, 12_000, 12_000] + rests)
buckets = st.sampled_from(["on_hand", "on_hand", "damaged", "safety_stock"])


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        # So few rows in memory that most are looked up on disk.
        self.life = Life(cached_rows=3)
        self.log = []
        self.now = 0
        self.sent = []
        self.first = {}
        self.closed = {}
        self.rebuilt = False
        self.seqs = defaultdict(int)

    @initialize()
    def stock_up(self):
        for warehouse, count in [("bonn", 5), ("leeds", 7)]:
            self.count(0, "A", warehouse, count, None)

    # What is asked.

    def send(self, pause, type_, sku, **fields):
        document = {"type": type_, "command_id": f"c{len(self.log)}", "sku": sku}
        document |= {name: value for name, value in fields.items() if value is not None}
        self.sent.append(document)
        self.judge(document, *self.append(pause, document))

    def append(self, pause, document):
        """Write one record to the log, and decide it; give its results and stock changes."""
        at = (self.now or T0) + pause
        self.now = max(self.now, at)
        self.log.append(record(len(self.log), at, document))
        left, written = self.life.transact(self.log[-1:])
        assert left == []
        results, changes = (
            [json.loads(r.value) for r in read(written[t])] if t in written else [] for t in PUBLISHED[:2]
        )
        for result in results:
            self.note_result(result)
        for change in changes:
            self.note_change(change)
        return results, changes

    @rule(pause=pauses, sku=skus, warehouse=warehouses, delta=st.integers(-4, 9).filter(bool), bucket=buckets)
    def adjust(self, pause, sku, warehouse, delta, bucket):
        self.send(pause, "adjust", sku, warehouse=warehouse, delta=delta, bucket=bucket, reason="correction")

    @rule(pause=pauses, sku=skus, warehouse=warehouses, count=st.integers(0, 9), expected=st.none() | st.integers(0, 9))
    def count(self, pause, sku, warehouse, count, expected):
        self.send(pause, "adjust", sku, warehouse=warehouse, count=count, reason="cycle_count",
                  expected_on_hand=expected)  # fmt: skip

    @rule(pause=pauses, sku=skus, hold=holds, quantity=few, ttl_ms=ttls, warehouse=st.none() | warehouses)
    def reserve(self, pause, sku, hold, quantity, ttl_ms, warehouse):
        self.send(pause, "reserve", sku, reservation_id=hold, quantity=quantity, ttl_ms=ttl_ms, warehouse=warehouse)

    @rule(pause=pauses, sku=skus, hold=holds, quantity=maybe_few, type_=st.sampled_from(["commit", "release"]))
    def commit_or_release(self, pause, sku, hold, quantity, type_):
        self.send(pause, type_, sku, reservation_id=hold, quantity=quantity)

    @rule(pause=pauses, sku=skus, hold=holds, ttl_ms=ttls)
    def extend(self, pause, sku, hold, ttl_ms):
        self.send(pause, "extend", sku, reservation_id=hold, ttl_ms=ttl_ms)

    @precondition(lambda self: self.held())
    @rule(pause=pauses, pick=st.integers(0, 9), type_=st.sampled_from(["commit", "release"]), quantity=maybe_few)
    def use_what_is_held(self, pause, pick, type_, quantity):
        sku, hold = self.held()[pick % len(self.held())]
        self.send(pause, type_, sku, reservation_id=hold, quantity=quantity)

    @precondition(lambda self: self.held())
    @rule(pause=pauses, pick=st.integers(0, 9), ttl_ms=ttls)
    def extend_what_is_held(self, pause, pick, ttl_ms):
        sku, hold = self.held()[pick % len(self.held())]
        self.send(pause, "extend", sku, reservation_id=hold, ttl_ms=ttl_ms)

    def held(self):
        found = (key.decode().split("\0") for key, row in self.reservations().items() if row.state == "held")
        return sorted((sku, hold) for sku, hold in found)

    @rule(pause=pauses, sku=skus, hold=st.none() | holds)
    def query(self, pause, sku, hold):
        self.send(pause, "query", sku, reservation_id=hold)

    @rule(pause=pauses, value=st.sampled_from([b'{"type":"tick"}', None, b"{", b"\xff"]))
    def tick_or_nonsense(self, pause, value):
        results, _ = self.append(pause, value)
        assert {result["type"] for result in results} <= {"expire"}

    @precondition(lambda self: self.sent)
    @rule(pause=pauses, back=st.integers(0, 20))
    def duplicate(self, pause, back):
        document = self.sent[-1 - back % len(self.sent)]
        # Who repeats it and when is not part of what was asked.
        self.judge(document, *self.append(pause, document | {"actor": "again", "issued_at": 7}))

    @precondition(lambda self: self.sent)
    @rule(pause=pauses, back=st.integers(0, 20))
    def conflicting_duplicate(self, pause, back):
        document = self.sent[-1 - back % len(self.sent)]
        other = {"type": "extend", "sku": document["sku"], "command_id": document["command_id"]}
        other |= {"reservation_id": "another", "ttl_ms": 77}
        self.judge(other, *self.append(pause, other))

    # What may happen to the process meanwhile. The replay, to which it does not happen, must not tell.

    @precondition(lambda self: self.log)
    @rule()
    def reopen(self):
        self.life.reopen()

    @precondition(lambda self: self.log)
    @rule(chunk=st.integers(1, 9))
    def rebuild(self, chunk):
        self.life.rebuild(chunk)
        self.rebuilt = True

    # What is promised of each answer.

    def judge(self, document, results, changes):
        key = document["sku"], document["command_id"]
        *expiries, result = results
        assert {expiry["type"] for expiry in expiries} <= {"expire"}
        assert (result["sku"], result["command_id"], result["type"]) == (*key, document["type"])
        if document["type"] == "query":
            assert (result["replayed"], result["offset"]) == (False, self.log[-1].offset)
        elif key in self.first and self.now < self.first[key][1]["at"] + REMEMBERED_MS:
            first, answer = self.first[key]
            if document == first:
                assert result == answer | {"replayed": True}
            else:
                assert (result["code"], result["replayed"]) == ("idempotency_mismatch", False)
            assert all(change["cause"]["type"] == "expire" for change in changes), "asked twice, done once"
        else:
            assert not result["replayed"]
            assert result["code"] != "idempotency_mismatch"
            assert (result["at"], result["offset"]) == (self.now, self.log[-1].offset)
            self.first[key] = document, result
        if result["status"] == "rejected":
            assert all(change["cause"]["type"] == "expire" for change in changes), "refused, so nothing changes"

    def note_result(self, result):
        for row in result["stock"]:
            assert row["available"] == row["on_hand"] - row["reserved"] - row["safety_stock"]
        assert result["shortfall"] == any(row["reserved"] > row["on_hand"] for row in result["stock"])
        reservation = result["reservation"]
        if reservation is None:
            return
        left = sum(allocation["quantity"] for allocation in reservation["allocations"])
        assert reservation["committed"] + reservation["released"] + left == reservation["quantity"]
        assert (reservation["state"] == "held") == (left > 0)
        if result["type"] == "expire":
            assert reservation["expires_at"] <= self.now
        if result["type"] != "query" and left == 0 and not result["replayed"]:
            self.closed[result["sku"], reservation["reservation_id"]] = self.now
        elif result["type"] == "reserve" and not result["replayed"]:
            self.closed.pop((result["sku"], reservation["reservation_id"]), None)

    def note_change(self, change):
        after = change["after"]
        self.seqs[change["sku"]] += 1
        assert (change["seq"], change["at"]) == (self.seqs[change["sku"]], self.now)
        assert after["available"] == after["on_hand"] - after["reserved"] - after["safety_stock"]
        assert change["shortfall"] == (after["reserved"] > after["on_hand"])
        if change["cause"]["type"] == "reserve":
            assert after["available"] >= 0
        if change["shortfall"]:
            assert change["cause"]["type"] != "reserve"

    # What is promised of the rows, whatever was answered.

    def stock(self):
        return {key[1:]: STOCK.decode(value) for key, value in self.life.store.scan(b"S", b"T")}

    def reservations(self):
        return {key[1:]: RESERVATION.decode(value) for key, value in self.life.store.scan(b"R", b"S")}

    @invariant()
    def no_quantity_is_negative(self):
        for key, row in self.stock().items():
            assert min(row.on_hand, row.reserved, row.damaged, row.safety_stock, row.inbound) >= 0, key

    @invariant()
    def reserved_is_the_sum_of_what_reservations_hold(self):
        held = defaultdict(int)
        for key, reservation in self.reservations().items():
            sku, _, _ = key.partition(b"\0")
            for warehouse, quantity in reservation.allocations:
                held[sku + b"\0" + warehouse.encode()] += quantity
        reserved = {key: row.reserved for key, row in self.stock().items() if row.reserved}
        assert reserved == held

    @invariant()
    def the_ledger_reads_what_is_on_disk(self):
        on_disk = defaultdict(dict)
        for key, row in self.stock().items():
            sku, _, warehouse = key.partition(b"\0")
            on_disk[sku.decode()][warehouse.decode()] = row
        for sku, rows in on_disk.items():
            found = self.life.ledger.sku(sku)
            assert (found.seq, list(found.stock.items())) == (self.seqs[sku], list(rows.items()))

    @invariant()
    def nothing_is_held_beyond_its_time(self):
        for key, reservation in self.reservations().items():
            if reservation.state == "held" and reservation.expires_at is not None:
                assert reservation.expires_at > self.now, key

    @invariant()
    def nothing_is_forgotten_too_early(self):
        for (sku, command_id), (_, result) in self.first.items():
            if self.now < result["at"] + REMEMBERED_MS:
                assert self.life.store.get(seen_key(sku, command_id)) is not None
        for (sku, hold), at in self.closed.items():
            if self.now < at + CLOSED_KNOWN_MS:
                assert self.life.store.get(f"R{sku}\0{hold}".encode()) is not None

    # The log decides everything.

    def teardown(self):
        if not self.log or len(self.life.written) < len(self.log):
            return  # it failed before
        again = Life().run(self.log, 1)
        if self.rebuilt:
            # A store built anew may drop a row whose time is over a minute before or after. All else is the same.
            assert [rows_of(w) for w in again.written] == [rows_of(w) for w in self.life.written]
            assert again.published() == self.life.published()
        else:
            assert again.written == self.life.written
        longer = Life().run(self.log, 7)
        assert longer.published() == again.published()
        rows, rows_of_longer = again.rows(), longer.rows()
        assert {key[:1] for key in rows.keys() ^ rows_of_longer.keys()} <= {b"C", b"R"}
        assert all(rows_of_longer[key] == rows[key] for key in rows.keys() & rows_of_longer.keys())


def rows_of(written):
    """Return the rows that a transaction wrote to the changelog, without its tombstones."""
    return [(row.key, row.value) for row in read(written[CHANGELOG]) if row.value is not None]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=200, stateful_step_count=50)


def log_of_a_partition(count):
    """Return records of partition 0 of 4, with all that careless clients do, and time that jumps and goes back."""
    steps = [0, 0, 0, 3, 250, 20, -70]
    at, found = T0, []

    def now_ms():
        return at

    for _, partition, value in commands(17, 4 * count, skus=12, now_ms=now_ms):
        if partition == 0:
            at += steps[len(value) % len(steps)] + (HOUR_MS if len(found) % 100 == 99 else 0)
            found.append(record(len(found), at, value))
    return found


def digest(count):
    """Return a hash of every byte that a log makes a partition write."""
    life = Life(partitions=4, cached_rows=50).run(log_of_a_partition(count), 100)
    found = hashlib.sha256()
    for written in life.written:
        for topic, batch in sorted(written.items()):
            found.update(topic.encode() + batch)
    return found.hexdigest()


@pytest.fixture(scope="module")
def digest_here():
    return digest(3_000)


@pytest.mark.parametrize("seed", ["0", "1", "271828"])
def test_the_same_log_makes_the_same_bytes_in_every_process(seed, digest_here):
    program = "from tests.tables.test_ledger_properties import digest; print(digest(3_000))"
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest_here


def test_the_log_of_that_test_is_not_an_idle_one():
    log = log_of_a_partition(3_000)
    published = Life(partitions=4).run(log, 100).published()
    results = [json.loads(value) for _, value in published[RESULTS]]
    assert len(log) > 2_000
    assert {"expire", *map(tag_of, SKU_COMMAND_TYPES)} <= {r["type"] for r in results}
    assert sum(result["replayed"] for result in results) > 50
    assert {"wrong_partition", "idempotency_mismatch", "insufficient_stock"} <= {r["code"] for r in results}
    assert published[DEAD_LETTERS]


def extend(life, offset, at, command_id, **fields):
    document = {"type": "extend", "command_id": command_id, "sku": "S", "reservation_id": "r", "ttl_ms": 1} | fields
    _, written = life.transact([record(offset, at, document)])
    return json.loads(read(written[RESULTS])[-1].value)


def test_a_command_is_remembered_for_24_hours_and_no_longer():
    life = Life()
    extend(life, 0, T0, "c")
    assert extend(life, 1, T0 + REMEMBERED_MS - 1, "c")["replayed"]
    assert extend(life, 2, T0 + REMEMBERED_MS - 1, "c", ttl_ms=2)["code"] == "idempotency_mismatch"
    assert not extend(life, 3, T0 + REMEMBERED_MS, "c", ttl_ms=2)["replayed"]


def test_an_id_that_is_used_again_is_remembered_from_then_on():
    life = Life()
    extend(life, 0, T0, "c")
    again = T0 + REMEMBERED_MS
    extend(life, 1, again, "c")
    # The minute in which the first use was over passes, and whatever is due is dropped.
    for offset in range(2, 5):
        extend(life, offset, again + 60_000 * offset, f"other{offset}")
    assert extend(life, 5, again + REMEMBERED_MS - 1, "c")["replayed"]
