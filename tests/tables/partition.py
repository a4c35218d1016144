"""Owns one partition's ledger for tests: commands go through the fold, and everything published is kept."""

import json
from itertools import pairwise
from types import SimpleNamespace

import msgspec

from agents.fold import fold
from schemas.topics import CHANGELOG, DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY, Position, encode_row
from tables.ledger import Ledger, load
from tables.store import MemoryStore
from tests.agents.recorded_release import read

T0 = 1_764_000_000_000


class Partition:
    """One partition's ledger and everything it published, a transaction for each call."""

    def __init__(self, partition=0, partitions=1, store=None):
        self.store = MemoryStore() if store is None else store
        self.ledger = Ledger(self.store)
        self.ledger.position = Position(0, 0, "one life")
        self.partition, self.partitions = partition, partitions
        self.changelog = []
        self.published = {topic: [] for topic in (RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE)}
        self.now = T0

    def tell(self, *documents):
        """Fold the commands in one transaction and return the results."""
        first = self.ledger.position.next_offset
        values = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents]
        before = len(self.published[RESULTS])
        self.take([(first + number, self.now, value) for number, value in enumerate(values)], len(values))
        return [json.loads(value) for _, value in self.published[RESULTS][before:]]

    def take(self, log, limit):
        """Fold the first records of a log of (offset, time, value) in one transaction; return those that are left."""
        records = [SimpleNamespace(offset=offset, timestamp=at, key=b"k", value=value) for offset, at, value in log]
        folded = fold(self.ledger, records, partition=self.partition, partitions=self.partitions, limit=limit)
        position = Position(folded.next_offset, folded.now_ms, "one life")
        rows = [*self.ledger.pending(), (POSITION_KEY, encode_row(position))]
        for topic, batch in folded.output.batches(rows, folded.now_ms).items():
            if topic != CHANGELOG:
                self.published[topic] += read(batch)
        self.changelog += rows
        self.ledger.checkpoint(position, len(self.changelog) - 1)
        return [record for record in log if record[0] >= folded.next_offset]

    def forget(self):
        """Drop what is over, in a transaction of its own."""
        self.ledger.forget(1_000)
        self.tell({"type": "tick"})

    def reopen(self):
        """Open the ledger anew from its store."""
        self.ledger = Ledger(self.store)

    def fork(self):
        """Return another partition with the same rows: what is told to it, this one does not know."""
        other = Partition(self.partition, self.partitions)
        other.store.write(self.store.scan(b"", b"\xff"))
        other.reopen()
        other.now = self.now
        return other

    def rebuild(self, *cuts):
        """Build the ledger anew from the changelog, as a recovery does; `cuts` are where its chunks end."""
        self.store = MemoryStore()
        records = [(offset, key, value) for offset, (key, value) in enumerate(self.changelog)]
        for start, end in pairwise([0, *cuts, len(records)]):
            load(self.store, records[start:end])
        self.ledger = Ledger(self.store)

    def reference(self):
        return [
            (key.decode(), None if value is None else json.loads(value)) for key, value in self.published[REFERENCE]
        ]

    def rows(self):
        return {key: msgspec.msgpack.decode(value) for key, value in self.store.scan(b"K", b"L")}
