"""The ledger's fold and the audit's model share no rule and give equal outputs for every log.

Whatever the commands, wherever a transaction ends, and whenever the store is closed, opened or built anew from its
changelog: results, stock changes, dead letters and rows are equal.
"""

import json
import sys
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import orjson
import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import batches
from agents.batches import UnreadBatch
from agents.fold import fold
from audit.comparison.rows import LedgerSnapshot, compare_rows
from audit.model.oracle import Model
from audit.report.report import PartitionReport
from schemas.codec import Unreadable, decode_command
from schemas.codes import Problem
from schemas.dead_letters import BATCH_TOO_LARGE, DeadLetter
from schemas.topics import CHANGELOG, DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY, Position, encode_row
from tables.ledger import Ledger, load
from tables.store import MemoryStore
from tests.audit.ledger import expected_of
from tests.examples import EXAMPLES

T0 = 1_764_000_000_000
DAY_MS = 24 * 3600 * 1000
# Two warehouses for a SKU, twelve units in a bucket, two deliveries, one class that waits; a list ends after two
# reservations or two allocations.
LOW = {
    "tables.core.": {
        "MAX_WAREHOUSES": 2, "MAX_BUCKET": 12, "MAX_INBOUNDS": 2, "MAX_CLASSES": 1, "MAX_LOOKED_AT": 2,
        "MAX_SHOWN_ALLOCATIONS": 2,
        # What is kept for SKUs with many warehouses, channels or who wait is kept for all.
        "BLOCK": 1, "FEW_ROWS": 0, "_MANY_ROWS": 1, "_MANY_CHANNELS": 1, "_PIECE": 2, "_FEW": 0,
    },
    "tables.queues": {"KEPT": 11},
    "audit.model.": {
        "MAX_WAREHOUSES": 2, "MAX_UNITS": 12, "MAX_INBOUNDS": 2, "MAX_CLASSES": 1, "LOOKED_AT": 2, "ALLOCATIONS": 2,
    },
}  # fmt: skip

skus = st.sampled_from(["A", "A/B", "é"])
warehouses = st.sampled_from(["a", "b", "c"])
ids = st.sampled_from([f"i{n}" for n in range(12)])
holds = st.sampled_from(["h1", "h2", "h3"])
few = st.integers(1, 6)
ttl = st.sampled_from([0, 1, 1_000, 12_000, 60_000, 31 * DAY_MS])


def maybe(strategy):
    return st.none() | strategy


# What stands in a field, whatever the command; fields that are not here keep the example's value.
FIELDS = {
    "command_id": ids, "sku": skus, "warehouse": warehouses, "reservation_id": holds, "of_command_id": ids,
    "delta": st.integers(-4, 9).filter(bool), "count": st.integers(0, 9), "expected_on_hand": few, "quantity": few,
    "bucket": st.sampled_from(["on_hand", "damaged", "safety_stock"]), "ttl_ms": ttl,
    "version": st.integers(1, 3), "cap": st.integers(0, 9), "buffer": st.integers(0, 3), "enabled": st.booleans(),
    "split": st.booleans(), "max_per_reservation": few, "priority": st.sampled_from([0, 100, 200]),
    "strategy": st.sampled_from(["priority", "most_stock", "fewest_splits", "region"]),
    "warehouses": st.lists(warehouses, unique=True), "region": st.sampled_from(["n", "s"]), "partial": st.booleans(),
    "return_window_ms": st.sampled_from([7 * DAY_MS, 14 * DAY_MS]), "journal_ms": st.integers(0, 1),
    "channel": st.sampled_from(["web", "default"]), "after": holds, "reservations": st.integers(1, 3),
    "wait": st.sampled_from(["none", "any"]), "from": warehouses, "to": warehouses, "waiting": st.integers(0, 3),
    "backorder_limit": st.integers(0, 20),
    "channels": st.lists(st.sampled_from(["web", "default", "shop"]), min_size=1, max_size=3),
}  # fmt: skip


def is_needed(document, name):
    try:
        decode_command(json.dumps({key: value for key, value in document.items() if key != name}).encode())
    except Unreadable:
        return True
    return False


def like(document):
    """Make commands of an example's type; what the type does not need may be absent or null."""
    values = {name: FIELDS.get(name, st.just(value)) for name, value in document.items()}
    needed = {name: values[name] for name in document if is_needed(document, name)}
    optional = {name: maybe(values[name]) for name in document if name not in needed}
    sender = {"actor": st.sampled_from(["anna", "ben \u2713"]), "source": st.just("pos")}
    return st.fixed_dictionaries(needed, optional=sender | optional)


# What may stand in the place of a field's value, as JSON is written: some are right for some fields.
LITERALS = [
    "null", "true", "[]", "{}", '[{"sku":"A"}]', '""', '"w"', '"purple"', '"tick"', '"a b"',
    '"a\\u0007b"', '"a\\u0000"', '"\\ud83d"', f'"{"x" * 300}"', "0", "-0", "-1", "1.0", "1e2", "1.5",
    "1e400", "-1e400", "9" * 5_000, "-" + "9" * 5_000, "1000000000", "1000000001", "9007199254740991",
    "9007199254740992", "NaN", "01",
]  # fmt: skip
NO_OBJECTS = ["", "null", "[1]", '"adjust"', "{", "1e400", "[" * 40 + "]" * 40, '{"a":' * 40 + "1" + "}" * 40]


def written(fields):
    """Write a JSON object from pairs of a name and a literal; a name may be there twice."""
    return "{" + ",".join(f"{json.dumps(name)}:{literal}" for name, literal in fields) + "}"


def every_spoiled_field():
    """Return each example with each of its fields absent, and with each literal in its place, doubled and unknown."""
    for document in EXAMPLES:
        fields = [(name, json.dumps(value)) for name, value in document.items()]
        for place, (name, _) in enumerate(fields):
            before, after = fields[:place], fields[place + 1 :]
            yield written([*before, *after])
            for literal in LITERALS:
                yield written([*before, (name, literal), *after])
                yield written([*before, (name, literal), *fields[place:]])
                yield written([*fields, (name, literal)])
        yield from (written([*fields, ("colour", literal)]) for literal in LITERALS)


SPOILED = [*NO_OBJECTS, *every_spoiled_field()]


RESERVE = {"type": "reserve", "command_id": "c", "sku": "S", "reservation_id": "r", "quantity": 3}
commands = st.one_of(
    *map(like, EXAMPLES),
    like(RESERVE),
    st.builds(dict, like(RESERVE), ttl_ms=ttl),
    st.builds(dict, like(RESERVE), quantity=st.just(0)),
    st.just("no command"),
    st.integers(1, 4),  # a batch of so many records that are not read
)
pauses = st.sampled_from([0, 0, 0, 1, 999, 5_000, 15_000, 900_000, DAY_MS, 7 * DAY_MS])
logs = st.lists(st.tuples(commands, pauses), min_size=1, max_size=40)
# Three of four are spoiled; a union of the two would be weighed by its many branches.
mixed = st.integers(0, 3).flatmap(lambda n: commands if n == 0 else st.sampled_from(SPOILED))
spoiled_logs = st.lists(st.tuples(mixed, pauses), min_size=1, max_size=40)
# After how many records each transaction ends, and what happens to the store then.
plans = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["", "", "reopen", "rebuild"])), min_size=1, max_size=9)


def read(batch):
    """Read a record batch back, as a consumer would."""
    batch.set_producer_state(1, 0, 0)
    return list(MemoryRecords(bytes(batch.build())).next_batch())


class Recorder:
    """Runs a log through the fold as a partition does, and keeps what would have been published."""

    def __init__(self):
        self.store = MemoryStore()
        self.ledger = Ledger(self.store)
        self.ledger.position = Position(0, 0, "one life")
        self.changelog = []
        self.published = {RESULTS: [], STOCK_CHANGES: [], DEAD_LETTERS: [], REFERENCE: []}

    def run(self, records, size):
        while records:
            folded = fold(self.ledger, records[:size], partition=0, partitions=1, limit=size)
            position = Position(folded.next_offset, folded.now_ms, "one life")
            rows = [*self.ledger.pending(), (POSITION_KEY, encode_row(position))]
            written = folded.output.batches(rows, folded.now_ms)
            assert [(record.key, record.value) for record in read(written[CHANGELOG])] == rows
            for topic, batch in written.items():
                if topic != CHANGELOG:
                    self.published[topic] += read(batch)
            for key, value in rows:
                self.changelog.append((len(self.changelog), key, value))
            self.ledger.checkpoint(position, len(self.changelog) - 1)
            self.ledger.forget(1_000)
            return [record for record in records if record.offset >= folded.next_offset]
        return records

    def reopen(self):
        self.ledger = Ledger(self.store)

    def rebuild(self, chunk):
        self.store = MemoryStore()
        for start in range(0, len(self.changelog), chunk):
            load(self.store, self.changelog[start : start + chunk])
        self.reopen()


def records_of(log):
    at = T0
    offset = 0
    for document, pause in log:
        at += pause
        if isinstance(document, int):
            yield UnreadBatch(BATCH_TOO_LARGE, offset, at, 1, offset, offset + document - 1)
            offset += document
            continue
        value = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        yield SimpleNamespace(offset=offset, timestamp=at, key=b"key", value=value)
        offset += 1


def applied(model, record):
    if isinstance(record, UnreadBatch):
        return expected_of(model, record)
    return model.apply(record.offset, record.timestamp, record.key, record.value)


@settings(max_examples=400)
@given(logs, plans)
def test_the_fold_equals_the_model(log, plan):
    assert_equal(log, plan)


@settings(max_examples=400)
@given(spoiled_logs, plans)
def test_the_fold_equals_the_model_where_fields_are_malformed(log, plan):
    with low_limits():
        assert_equal(log, plan)


def test_the_fold_equals_the_model_for_every_malformed_field():
    results = assert_equal([(text, 0) for text in SPOILED], [(100, "")])
    assert {result["problem"] for result in results if "problem" in result} == set(Problem)


@pytest.mark.parametrize(("key", "value"), [(9, 1_149_991), (10, 1_149_991), (10_001, 1_140_001), (1_150_001, 0)])
def test_the_fold_equals_the_model_where_dead_letters_are_cut(key, value):
    record = SimpleNamespace(offset=0, timestamp=T0, key=b"k" * key, value=b"v" * value)
    assert_records_equal([record], [(1, "")])


@contextmanager
def low_limits():
    """Lower every limit, wherever a module of the core or of the model has it."""
    with ExitStack() as patches:
        for package, limits in LOW.items():
            modules = [module for name, module in sys.modules.items() if name.startswith(package)]
            for name, low in limits.items():
                found = [module for module in modules if hasattr(module, name)]
                assert found, f"{package} has no {name}"
                for module in found:
                    patches.enter_context(patch.object(module, name, low))
        yield


def selling(type_, **fields):
    return st.fixed_dictionaries({"type": st.just(type_)} | fields)


channels = st.sampled_from(["web", "shop"])
carts = st.sampled_from([f"cart{n}" for n in range(5)])
policy_fields = (
    "split", "buffer", "cap", "max_per_reservation", "strategy", "warehouses", "return_window_ms", "priority",
    "backorder_limit",
)  # fmt: skip
policies = {name: maybe(maybe(FIELDS[name])) for name in policy_fields} | {
    "enabled": st.sampled_from([None, None, None, True, False])
}
# One SKU and what its channels may do, in commands that each have an id of their own.
shops = st.one_of(
    selling("adjust", warehouse=warehouses, delta=st.integers(-4, 9).filter(bool), reason=st.just("receipt")),
    selling(
        "reserve",
        reservation_id=carts,
        quantity=few,
        channel=channels,
        partial=maybe(st.booleans()),
        region=maybe(FIELDS["region"]),
        warehouse=maybe(maybe(warehouses)),
        ttl_ms=ttl,
        wait=maybe(FIELDS["wait"]),
    ),
    selling(
        "amend",
        reservation_id=carts,
        quantity=st.integers(1, 12),
        wait=maybe(FIELDS["wait"]),
        partial=maybe(st.booleans()),
    ),
    st.fixed_dictionaries(
        {"type": st.just("reallocate"), "reservation_id": carts, "from": warehouses, "to": warehouses},
        optional={"quantity": maybe(few)},
    ),
    selling("settle"),
    selling("commit", reservation_id=carts, quantity=maybe(few)),
    selling("release", reservation_id=carts, quantity=maybe(few)),
    selling("query", channel=channels, reservation_id=maybe(carts), waiting=st.integers(0, 3)),
    selling("set_policy", channel=channels | st.just("*"), **policies),
    selling("set_channel", channel=channels | st.just("*"), version=st.integers(1, 9), **policies),
    selling(
        "set_warehouse",
        warehouse=warehouses,
        version=st.integers(1, 9),
        enabled=st.sampled_from([None, True, True, False]),
        priority=maybe(FIELDS["priority"]),
        region=maybe(FIELDS["region"]),
        journal_ms=st.integers(0, 1),
    ),
)
shop_logs = st.lists(st.tuples(shops, pauses), min_size=5, max_size=40)


@settings(max_examples=300)
@given(shop_logs, plans)
def test_the_fold_equals_the_model_where_channels_have_policies(log, plan):
    named = []
    first = [{"type": "adjust", "warehouse": name, "delta": 3, "reason": "receipt"} for name in "abc"]
    first.append({"type": "set_channel", "channel": "*", "version": 1, "backorder_limit": 20})
    for number, (fields, pause) in enumerate([*((command, 0) for command in first), *log]):
        sku = {} if fields["type"] in {"set_channel", "set_warehouse"} else {"sku": "A"}
        named.append((fields | sku | {"command_id": f"c{number}"}, pause))
    assert_equal(named, plan)


@settings(max_examples=200)
@given(logs, plans)
def test_the_fold_equals_the_model_where_limits_are_near(log, plan):
    with low_limits():
        assert_equal(log, plan)


def test_the_fold_equals_the_model_at_each_limit():
    adjust = {"type": "adjust", "sku": "A", "reason": "correction"}
    changes = [{"warehouse": name, "delta": 9} for name in "abc"] + [
        {"warehouse": "c", "count": 0},
        {"warehouse": "c", "count": 0, "expected_on_hand": 1},
        {"warehouse": "c", "count": 1, "expected_on_hand": 1},
        {"warehouse": "a", "delta": 3},
        {"warehouse": "a", "delta": 1, "expected_on_hand": 0},
        {"warehouse": "a", "count": 13},
        {"warehouse": "a", "bucket": "damaged", "count": 12},
        {"warehouse": "a", "bucket": "damaged", "delta": 1},
    ]
    log = [(adjust | change | {"command_id": f"c{n}"}, 0) for n, change in enumerate(changes)]
    with low_limits():
        codes = [result["code"] for result in assert_equal(log, [(4, "reopen")])]
    full, over, stale = "unknown_warehouse", "limit_exceeded", "stale_expectation"
    assert codes == [None, None, full, None, stale, full, None, over, over, None, over]


def assert_equal(log, plan):
    return assert_records_equal(list(records_of(log)), plan)


def assert_records_equal(records, plan):
    recorder = Recorder()
    remaining = records
    step = 0
    while remaining:
        size, then = plan[step % len(plan)]
        remaining = recorder.run(remaining, size)
        step += 1
        if then == "reopen":
            recorder.reopen()
        elif then == "rebuild":
            recorder.rebuild(size + 1)

    model = Model(0, 1)
    expected = [applied(model, record) for record in records]
    assert [orjson.loads(r.value) for r in recorder.published[RESULTS]] == [r for e in expected for r in e.results]
    assert [r.key.decode() for r in recorder.published[RESULTS]] == [r["sku"] for e in expected for r in e.results]
    changes = [c for e in expected for c in e.stock_changes]
    assert [orjson.loads(r.value) for r in recorder.published[STOCK_CHANGES]] == changes
    assert [r.key.decode() for r in recorder.published[STOCK_CHANGES]] == [
        f"{c['sku']}/{c['warehouse']}" for c in changes
    ]
    letters = [letter for e in expected for letter in e.dead_letters]
    assert [(r.key, r.value, list(r.headers)) for r in recorder.published[DEAD_LETTERS]] == [
        (letter["key"], letter["value"], DeadLetter(**letter).headers()) for letter in letters
    ]
    reference = [(record["key"], record["value"]) for e in expected for record in e.reference]
    assert [(r.key.decode(), r.value and orjson.loads(r.value)) for r in recorder.published[REFERENCE]] == reference
    assert_rows_equal(model, recorder)
    assert_promises_hold(changes)
    return [result for e in expected for result in e.results]


def assert_rows_equal(model, recorder):
    values = {key: value for _, key, value in recorder.changelog}
    report = PartitionReport(partition=0, log_start=0, log_end=0, position=0)
    published = LedgerSnapshot.of({key: value for key, value in values.items() if value is not None})
    compare_rows(model, published, report)
    assert report.differences == []
    for key, value in values.items():
        assert recorder.store.get(key) == value


def assert_promises_hold(changes):
    """No bucket below 0, no gap in a sequence, and no reserve that makes what is available negative."""
    last = {}
    for change in changes:
        assert change["seq"] == last.get(change["sku"], 0) + 1
        last[change["sku"]] = change["seq"]
        after = change["after"]
        assert min(after["on_hand"], after["reserved"], after["damaged"], after["safety_stock"]) >= 0
        if change["cause"]["type"] == "reserve":
            assert after["available"] >= 0


def test_a_full_transaction_stops_in_the_midst_of_expiries_and_the_next_goes_on(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 1_500)
    reserve = {"type": "reserve", "sku": "A", "quantity": 1, "ttl_ms": 10}
    log = [({"type": "adjust", "command_id": "a", "sku": "A", "warehouse": "w", "delta": 99, "reason": "receipt"}, 0)]
    log += [(reserve | {"command_id": f"c{n}", "reservation_id": f"r{n}"}, 0) for n in range(30)]
    log += [({"type": "tick"}, 1_000), ({"type": "query", "command_id": "q", "sku": "A"}, 0)]
    records = remaining = list(records_of(log))
    recorder = Recorder()
    transactions = 0
    while remaining:
        remaining = recorder.run(remaining, 100)
        recorder.reopen()
        transactions += 1
    assert transactions > 10
    model = Model(0, 1)
    expected = [applied(model, record) for record in records]
    assert [orjson.loads(r.value) for r in recorder.published[RESULTS]] == [r for e in expected for r in e.results]
    assert_rows_equal(model, recorder)
