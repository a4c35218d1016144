"""Owns the data of the audit's tests: a log of commands, and the records that a correct ledger publishes for it."""

import json
from typing import NamedTuple

import msgspec

from audit.checkpoint import Mark, State, Writer, read_state
from audit.comparison.compare import OUTPUTS, ModelComparison, compare_partition
from audit.comparison.digest import Digest
from audit.comparison.rows import LedgerSnapshot
from audit.comparison.trimmed import TrimmedComparison
from audit.model.oracle import Model
from audit.model.parts import Expected, Outputs
from audit.report.report import PartitionReport
from audit.unpacking import UnreadBatch
from schemas.codec import encode
from schemas.dead_letters import BATCH_TOO_LARGE, DeadLetter
from schemas.results import Result
from schemas.stock_changes import StockChange
from schemas.topics import DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES

T0 = 1_764_000_000_000


class Record(NamedTuple):
    """A record as the audit sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple = ()


class Log:
    """A partition's commands; `do` appends one and applies it to the model."""

    def __init__(self, partition=0, partitions=1):
        self.model = Model(partition, partitions)
        self.commands = []
        self.expected = []

    def do(self, type_, at=0, **fields):
        """Append a command at T0 + `at` ms; its id is `c` and its offset unless given; fields of None are left out."""
        ids = {"command_id": f"c{self.next_offset}", "sku": "S"} if type_ != "tick" else {}
        fields = {"type": type_} | ids | fields
        return self.send(json.dumps({k: v for k, v in fields.items() if v is not None}).encode(), at)

    def send(self, value, at=0, key=b"S"):
        record = Record(self.next_offset, T0 + at, key, value)
        self.commands.append(record)
        self.expected.append(self.model.apply(record.offset, record.timestamp, record.key, record.value))
        return self.expected[-1]

    def send_unread(self, count, at=0, reason=BATCH_TOO_LARGE):
        """Append a batch of so many records that are not read."""
        batch = UnreadBatch(reason, self.next_offset, self.next_offset + count - 1, T0 + at)
        self.commands.append(batch)
        self.expected.append(expected_of(self.model, batch))
        return self.expected[-1]

    @property
    def next_offset(self):
        """Return the offset behind the last record."""
        return next_offset_of(self.commands)

    def stocked(self, **on_hand):
        """Receive goods in some warehouses, in that order."""
        for warehouse, quantity in on_hand.items():
            self.do("adjust", warehouse=warehouse, delta=quantity, reason="receipt")
        return self

    def result(self, *args, **fields):
        """Do a command that has exactly one result, and give that."""
        (result,) = self.do(*args, **fields).results
        return result


def next_offset_of(commands):
    """Return the offset behind the last of a log's records."""
    last = commands[-1] if commands else None
    return 0 if last is None else getattr(last, "last_offset", last.offset) + 1


def expected_of(model, batch):
    """Apply a batch that is too large; return what must be published for it."""
    kept, out = model.out, Outputs([], [], [], [])
    model.publish_to(out)
    model.bury_batch(batch.reason, batch.offset, batch.last_offset, batch.timestamp)
    model.publish_to(kept)
    results, changes = ([json.loads(text) for _, _, text in it] for it in out[:2])
    return Expected(results, changes, [letter for _, _, letter in out.dead_letters], [])


def _record(records, key, value, headers=()):
    records.append(Record(len(records), T0, key, value, headers))


class Published:
    """The records that a correct ledger publishes for a log; a test may then spoil them."""

    def __init__(self, log):
        self.commands = list(log.commands)
        self.outputs = {topic: [] for topic in OUTPUTS}
        for expected in log.expected:
            for result in expected.results:
                self._add(RESULTS, result["sku"], msgspec.convert(result, Result))
            for change in expected.stock_changes:
                key = f"{change['sku']}/{change['warehouse']}"
                self._add(STOCK_CHANGES, key, msgspec.convert(change, StockChange))
            for document in expected.reference:
                value = None if document["value"] is None else encode(document["value"])
                _record(self.outputs[REFERENCE], document["key"].encode(), value)
            for letter in expected.dead_letters:
                headers = DeadLetter(**letter).headers()
                _record(self.outputs[DEAD_LETTERS], letter["key"], letter["value"], tuple(headers))
        self.rows = dict(log.model.rows())
        self.rows[b"P"] = msgspec.msgpack.encode([1, log.next_offset, log.model.now, 3])
        self.partitions = log.model.partitions
        self.heads_missing = []
        self.now_ms = T0 + 1000

    def _add(self, topic, key, document):
        _record(self.outputs[topic], key.encode(), encode(document))

    @property
    def results(self):
        return self.outputs[RESULTS]

    @property
    def changes(self):
        return self.outputs[STOCK_CHANGES]

    @property
    def letters(self):
        return self.outputs[DEAD_LETTERS]

    def edit(self, records, index, **fields):
        """Change fields of one published document."""
        document = json.loads(records[index].value) | fields
        records[index] = records[index]._replace(value=json.dumps(document).encode())

    def edit_row(self, key, index, value):
        """Change one place of one row."""
        row = msgspec.msgpack.decode(self.rows[key])
        row[index] = value
        self.rows[key] = msgspec.msgpack.encode(row)

    async def audit(self, *, piece=7, log_start=0, at_position=None):
        """Compare, reading all logs in pieces; the report."""
        ledger = LedgerSnapshot.of(dict(self.rows))
        report = PartitionReport(
            partition=0, log_start=log_start, log_end=next_offset_of(self.commands), position=ledger.next_offset or 0
        )
        if log_start:
            comparison = TrimmedComparison(report, ledger, heads_missing=self.heads_missing, now_ms=self.now_ms)
        else:
            state = State(Model(0, self.partitions), Digest(), Digest())
            comparison = ModelComparison(
                report,
                state,
                ledger,
                heads_missing=self.heads_missing,
                now_ms=self.now_ms,
                at_position=at_position,
            )
        outputs = {topic: Source(records, piece) for topic, records in self.outputs.items()}
        commands = [record for record in self.commands if next_offset_of([record]) > log_start]
        await compare_partition(comparison, Source(commands, piece), outputs)
        return report


class Source:
    """A reader of a list of records, which it hands out in pieces."""

    def __init__(self, records, piece):
        self._records = list(records)
        self._piece = piece
        self.done = not records

    async def read(self):
        got = self._records[: self._piece]
        alone = next((place for place, it in enumerate(got) if isinstance(it, UnreadBatch)), None)
        if alone is not None:  # as `audit.reading.Log` gives it
            got = got[: alone or 1]
        self._records = self._records[len(got) :]
        self.done = not self._records
        return got


def through_a_checkpoint(directory, log):
    """Return the model that a later audit begins with."""
    writer = Writer(directory, 0)
    writer.write_model(log.model)
    name, digest = writer.finish(Digest(), Digest(), log.next_offset)
    numbers = {"partition": 0, "next_offset": log.next_offset, "at": log.model.now, "changelog": 0}
    mark = Mark(file=name, sha256=digest, incarnation=None, last_command=None, outputs={}, **numbers)
    return read_state(directory, mark).model
