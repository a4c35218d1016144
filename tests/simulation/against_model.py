"""Owns the comparison of the core with the audit's model over a random history: bytes published, and rows at the end.

    python -m tests.simulation.against_model --seeds 0..1000, or --seed 42

They share no rule, so where both are wrong they are not wrong alike.
"""

import argparse
import itertools
import sys
import time
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import orjson
from aiokafka.record.memory_records import MemoryRecords

from agents import batches
from agents.fold import fold
from audit.comparison.rows import LedgerSnapshot, compare_rows
from audit.model import tail
from audit.model.oracle import Model
from audit.model.parts import Outputs
from audit.report.report import PartitionReport
from schemas.dead_letters import DeadLetter
from schemas.topics import CHANGELOG, DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES
from tables.core import settling
from tables.core.rows import POSITION_KEY, Position, encode_row
from tables.ledger import Ledger, load
from tables.store import Item, MemoryStore
from tests.simulation.histories import History
from tests.simulation.many import run_many

COMMANDS = 3_000  # of a history
_SAY_EVERY_S = 5.0


class Wrong(Exception):
    """The core and the model do not publish the same."""


class Compared(NamedTuple):
    """What became of one history; `wrong` says what differs, None when nothing does."""

    seed: int
    wrong: str | None
    about: str
    commands: int
    outcomes: Counter[tuple[str, str | None]]  # (type, code) of the results


class SortedStore(MemoryStore):
    """A memory store that is quick to scan, however much it holds."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[bytes] = []

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in self._keys[bisect_left(self._keys, start) : bisect_left(self._keys, stop)]:
            yield key, self._items[key]

    def last(self, start: bytes, stop: bytes) -> tuple[bytes, bytes] | None:
        place = bisect_left(self._keys, stop)
        key = self._keys[place - 1] if place else b""
        return (key, self._items[key]) if key >= start and place else None

    def write(self, items: Iterable[Item]) -> None:
        for key, value in list(items):
            if value is None:
                if self._items.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if key not in self._items:
                    insort(self._keys, key)
                self._items[key] = value


class Core:
    """The fold over a ledger, whose store is opened anew or rebuilt now and then, and what it published, by topic."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._store = SortedStore()
        self._ledger = Ledger(self._store)
        self._ledger.position = Position(0, 0, "one life")
        self._largest = random.choice((1, 5, 40, 400))
        self.changelog: list[tuple[int, bytes, bytes | None]] = []
        self.published: dict[str, list[Any]] = {
            topic: [] for topic in (RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE)
        }

    def transact(self, records: list[Any]) -> int:
        """Fold records in one transaction; return the offset of the next one."""
        limit = self._random.randint(1, self._largest)
        folded = fold(self._ledger, records[:limit], partition=0, partitions=1, limit=limit)
        position = Position(folded.next_offset, folded.now_ms, "one life")
        rows = [*self._ledger.pending(), (POSITION_KEY, encode_row(position))]
        for topic, batch in folded.output.batches(rows, folded.now_ms).items():
            if topic != CHANGELOG:
                batch.set_producer_state(1, 0, 0)
                self.published[topic] += MemoryRecords(bytes(batch.build())).next_batch()
        self.changelog += [(len(self.changelog) + number, key, value) for number, (key, value) in enumerate(rows)]
        self._ledger.checkpoint(position, len(self.changelog) - 1)
        self._ledger.forget(1_000)
        chance = self._random.random()
        if chance < 0.002:
            self._rebuild()
        elif chance < 0.05:
            self._ledger = Ledger(self._store)
        return folded.next_offset

    def _rebuild(self) -> None:
        """Build the store anew from the changelog, which may have been compacted, a piece at a time."""
        self._store = SortedStore()
        changelog = self.changelog
        if self._random.random() < 0.5:
            last = {key: offset for offset, key, _ in changelog}
            changelog = [row for row in changelog if last[row[1]] == row[0]]
        piece = self._random.choice((1_000, 100_000))
        for start in range(0, len(changelog), piece):
            load(self._store, changelog[start : start + piece])
        self._ledger = Ledger(self._store)

    def check_rows(self, model: Model) -> None:
        """Compare all rows with the model's, and the store with the changelog.

        Raises:
            Wrong: says which rows differ.
        """
        values = {key: value for _, key, value in self.changelog}
        for key, value in values.items():
            if self._store.get(key) != value:
                raise Wrong(f"the store has not what the changelog has at {key!r}")
        report = PartitionReport(partition=0, log_start=0, log_end=0, position=0)
        rows = LedgerSnapshot.of({key: value for key, value in values.items() if value is not None})
        compare_rows(model, rows, report)
        if report.differences:
            raise Wrong(f"rows: {report.differences[:3]}")


class Streams:
    """What the model wants published, held against what the core has published so far."""

    def __init__(self, core: Core, model: Model, records: list[Any]) -> None:
        self._core = core
        self._records = records
        self._wanted = Outputs([], [], [], [])
        model.publish_to(self._wanted)

    def compare(self, *, end: bool = False) -> Iterator[bytes]:
        """Compare what both have, and drop it; yield the results. At the end neither may have more.

        Raises:
            Wrong: says what differs, and at which command.
        """
        for topic, wanted in zip((RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE), self._wanted, strict=True):
            found = self._core.published[topic]
            for record, (offset, key, document) in zip(found, wanted, strict=False):
                expected = _as_published(topic, key, document)
                if (record.key, record.value, list(record.headers)) != expected:
                    self._complain(topic, offset, expected, (record.key, record.value, list(record.headers)))
                if topic == RESULTS:
                    yield record.value
            if end and len(found) != len(wanted):
                more = "core" if len(found) > len(wanted) else "model"
                raise Wrong(f"{topic}: the {more} publishes more: {[*found, *wanted][-1]}")
            both = min(len(found), len(wanted))
            del found[:both], wanted[:both]

    def _complain(self, topic: str, offset: int, wanted: Any, found: Any) -> None:
        command = self._records[offset].value
        raise Wrong(f"{topic} of command {offset}, {command!r}: the model says\n{wanted}\nand the core\n{found}")


def _as_published(topic: str, key: bytes | None, document: Any) -> tuple[bytes | None, bytes | None, list[Any]]:
    """Return key, value and headers of the record that the model wants."""
    if topic == DEAD_LETTERS:
        return document["key"], document["value"], DeadLetter(**document).headers()
    if topic == REFERENCE:
        value = document["value"]
        return document["key"].encode(), None if value is None else orjson.dumps(value), []
    return key, document, []


def compare(seed: int, commands: int = COMMANDS) -> Compared:
    """Run the history of a seed through both."""
    random = Random(seed)
    history = History(random)
    outcomes: Counter[tuple[str, str | None]] = Counter()
    budget = random.choice((16, 16, 16, 1, 3))
    with ExitStack() as changed:
        # Smaller parts of a queue, and transactions that end in the midst of expiries.
        changed.enter_context(patch.object(settling, "BUDGET", budget))
        changed.enter_context(patch.object(tail, "WORK", budget))
        changed.enter_context(patch.object(batches, "BATCH_BYTES", random.choice((3_000, 900_000, 900_000))))
        records = list(history.records(commands))
        core, model, done = Core(random), Model(0, 1), 0
        streams = Streams(core, model, records)
        try:
            while done < len(records):
                before, done = done, core.transact(records[done : done + 400])
                for record in records[before:done]:
                    model.fold(record.offset, record.timestamp, record.key, record.value)
                for value in streams.compare(end=done == len(records)):
                    result = orjson.loads(value)
                    outcomes[result["type"], result["code"]] += 1
            core.check_rows(model)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the verdict
            return Compared(seed, f"{type(error).__name__}: {error}", history.about, done, outcomes)
    return Compared(seed, None, history.about, len(records), outcomes)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command line speaks


def main(arguments: list[str] | None = None) -> int:
    """Run seeds; 1 when one of them is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.against_model", description=__doc__)
    parser.add_argument("--seeds", default="0..100", help="FIRST..LAST, or FIRST.. to go on until --minutes are over")
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--seed", type=int, help="run one seed")
    parser.add_argument("--outcomes", action="store_true", help="count the results by type and code")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("..")
    seeds: Iterable[int] = range(int(first), int(last)) if last else itertools.count(int(first))
    if options.seed is not None:
        seeds = (options.seed,)
    started = said = time.monotonic()
    done = commands = wrong = 0
    outcomes: Counter[tuple[str, str | None]] = Counter()
    for found in run_many(seeds, compare, for_s=None if options.minutes is None else 60 * options.minutes):
        done, commands = done + 1, commands + found.commands
        outcomes.update(found.outcomes)
        if found.wrong is not None:
            wrong += 1
            again = f"python -m tests.simulation.against_model --seed {found.seed}"
            _say(f"seed {found.seed}: {found.wrong}\n    compare it again: {again}")
        now = time.monotonic()
        if now - said > _SAY_EVERY_S:
            said = now
            _say(f"{done} histories, {60 * commands / (now - started):,.0f} commands a minute, {wrong} wrong")
    seconds = time.monotonic() - started
    if options.outcomes:
        _say(
            "\n".join(
                f"{count:10,}  {type_} {code or ''}" for (type_, code), count in sorted(outcomes.items(), key=str)
            )
        )
    _say(
        f"{done} histories in {seconds:.0f} s: {commands:,} commands decided by core and model, "
        f"{60 * commands / seconds:,.0f} a minute; {wrong} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
