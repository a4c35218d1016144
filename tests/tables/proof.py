"""Owns the proof of the domain: random histories of all commands, and everything that must hold after each record.

`python -m tests.tables.proof --seeds 0.. --minutes 5` runs histories, and `--seed 42` shows the shortest part of one
that fails.
"""

import argparse
import itertools
import json
import os
import random
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from unittest.mock import patch

import msgspec

from audit.comparison.rows import LedgerSnapshot, compare_rows
from audit.model import tail
from audit.model.oracle import Model
from audit.report.report import PartitionReport
from schemas.topics import REFERENCE, RESULTS, STOCK_CHANGES
from tables.core import settling
from tables.core.rows import full
from tests.tables.aimed import aim
from tests.tables.histories import CHANNELS, SKUS, WAREHOUSES, Told, write_history
from tests.tables.invariants import State
from tests.tables.partition import Partition
from tests.tables.published import Reader

BUDGETS = (1, 2, 5, 16)
COUNT = 60  # records of a history, beside those that are aimed at what is there
MANY_TICKS = 2_000
AT_A_TIME = 16  # so many seeds are run before the clock is looked at
TICK = b'{"type":"tick"}'
REFERENCE_TYPES = {"set_warehouse", "set_channel", "set_feed"}


class Proof:
    """A partition that is told a history record by record.

    Args:
        chance: decides where the history forks: what would have been answered to somebody else.
        budget: units of work of a tail.
        buffers: whether policies of the history may have one.
    """

    def __init__(self, chance, budget, *, buffers):
        self.chance, self.budget, self.buffers = chance, budget, buffers
        self.partition, self.reader = Partition(), Reader()
        self.state = State(self.partition.store, self.partition.now)
        self.rules_changed = set()
        self.first, self.history = {}, []

    def tell(self, told):
        """Tell the next record, and check all that must hold after it."""
        self.history.append(told)
        partition, before = self.partition, self.state
        marks = {topic: len(records) for topic, records in partition.published.items()}
        partition.now = max(partition.now, told.at)
        results = partition.tell(told.value)
        changes, reference = (
            [json.loads(value or b"{}") for _, value in partition.published[topic][marks[topic] :]]
            for topic in (STOCK_CHANGES, REFERENCE)
        )
        self.state = State(partition.store, partition.now)
        document = told.document
        self.check_answers(document, results)
        self.note_rules(before, results, changes, reference)
        work = self.reader.read(document, results, changes, before, self.state)
        assert sum(work[:-1]) < self.budget, ("too much work", work)
        self.state.check(self.rules_changed)
        self.check_ranks(before, results)

    def check_answers(self, document, results):
        """Check that a command is answered once, and as the first time if it comes again."""
        own = [it for it in results if it["command_id"] is not None]
        if "command_id" not in document:
            assert own == []
            return
        (answer,) = own
        key = document.get("sku"), document["command_id"]
        if document["type"] in REFERENCE_TYPES | {"query"}:
            assert answer["replayed"] is False
        elif (known := self.first.get(key)) is not None and answer["at"] < known[1]["at"] + 24 * 3_600_000:
            again = known[1] | {"replayed": True}
            assert answer == again if known[0] == document else answer["code"] == "idempotency_mismatch", answer
        else:
            self.first[key] = document, answer

    def note_rules(self, before, results, changes, reference):
        """Note whose queue nobody has looked at since the rules changed."""
        changed = {change["sku"] for change in changes}
        looked_at = {
            result["sku"]
            for result in results
            if result["type"] == "settle" and result["status"] == "accepted" and not result["replayed"]
        }
        if any(document.get("kind") in {"warehouse", "channel"} for document in reference):
            self.rules_changed |= {sku for sku in SKUS if not before.is_pending(sku)}
        changed |= {sku for sku, _ in before.policies.items() ^ self.state.policies.items() for sku in [sku[0]]}
        self.rules_changed -= changed | looked_at

    def check_ranks(self, before, results):
        """Check that a rank never changes (7)."""
        made = {
            (it["sku"], it["reservation"]["reservation_id"])
            for it in results
            if it["type"] == "reserve" and it["reservation"]
        }
        for key, row in before.holds.items():
            was, now = full(row), self.state.holds.get(key)
            if was.priority is not None and key not in made and now is not None:
                assert (full(now).priority, full(now).placed) == (was.priority, was.placed), (key, was, now)

    # What would have been answered to somebody else.

    def fork(self):
        """Check, beside the history, what a query, a reserve, or a newcomer would get now."""
        pending = [sku for sku in SKUS if self.state.is_pending(sku)]
        sku, channel = self.chance.choice(pending or SKUS), self.chance.choice([*CHANNELS, "default"])
        self.check_reads(sku, channel)
        if not self.buffers and sku not in self.rules_changed:
            for _ in range(3 if pending else 1):
                self.check_newcomer(sku, channel)

    def ask(self, type_, **fields):
        """Return the answer to a command that is no part of the history, and the partition after it."""
        other = self.partition.fork()
        command = {"type": type_, "command_id": "asked"} | fields
        return next(it for it in other.tell(command) if it["command_id"] == "asked"), other

    def check_reads(self, sku, channel):
        """Check that reads equal decisions (11)."""
        found = self.ask("query", sku=sku, channel=channel)[0]
        wish = {"sku": sku, "channel": channel, "reservation_id": "asked", "ttl_ms": 0}
        if found["code"] is not None:
            return
        shown, policy = found["availability"], self.state.policy(sku, channel)
        assert shown == self.state.availability(sku, channel), (shown, self.state.availability(sku, channel))
        most = shown["most_per_reservation"]
        assert self.ask("reserve", quantity=most + 1, **wish)[0]["code"] is not None, (most, "and one more")
        if most:
            assert self.ask("reserve", quantity=most, **wish)[0]["code"] is None, (most, shown)
        if not policy.split or policy.max_per_reservation is not None:
            return
        for promise in shown["promises"]:
            by = {"wait": "inbound", "promise_by": promise["at"]}
            units = promise["available_to_promise"]
            if units:
                given = self.ask("reserve", quantity=units, **wish, **by)[0]
                assert given["code"] is None, (promise, given)
                assert (given["reservation"].get("promised_at") or 0) <= promise["at"], (promise, given)
            assert self.ask("reserve", quantity=units + 1, **wish, **by)[0]["code"] is not None, (promise, "and more")
        if policy.cap is None:
            dated = [it["available_to_promise"] for it in shown["promises"]]
            units = max([shown["available"], *dated]) + shown["backorder_room"]
            asked = self.ask("reserve", quantity=500, wait="any", partial=True, **wish)[0]
            assert (asked["reservation"] or {"quantity": 0})["quantity"] == units, (asked, shown)

    def check_newcomer(self, sku, channel):
        """Check that a newcomer who is given no claim takes nothing from those who wait (6)."""
        fields = {"quantity": self.chance.randint(1, 6), "partial": self.chance.choice([True, False])}
        fields |= {"wait": self.chance.choice(["none", "inbound", "any"]), "ttl_ms": 0, "channel": channel}
        warehouse = self.chance.choice([None, None, *WAREHOUSES])
        fields |= {} if warehouse is None else {"warehouse": warehouse}
        answer, among = self.ask("reserve", sku=sku, reservation_id="asked", **fields)
        if answer["code"] is not None or answer["reservation"].get("claims"):
            return
        alone = self.partition.fork()
        alone.tell(TICK)
        assert settled(among) == settled(alone), (fields, answer)


def settled(partition):
    """Settle everything, and return what each reservation has left and waits for, but for the newcomer's."""
    settle(partition)
    holds = State(partition.store, partition.now).holds.items()
    return {key: (row.left, full(row).claims) for key, row in holds if row.state == "held" and key[1] != "asked"}


def settle(partition):
    """Write ticks until no SKU is pending."""
    for _ in range(MANY_TICKS):
        if not partition.ledger.pending_since:
            return
        partition.tell(TICK)
    raise AssertionError("settling does not end")


def prove(seed, *, history=None, log=None):
    """Run one history and check everything.

    Args:
        seed: of the history and of all that is chosen beside it.
        history: these records, and no others.
        log: a list that gets the records as they were told.
    """
    chance = random.Random(seed)
    budget, buffers = chance.choice(BUDGETS), chance.random() < 0.5
    with ExitStack() as stack:
        stack.enter_context(patch.object(settling, "BUDGET", budget))
        stack.enter_context(patch.object(tail, "WORK", budget))
        proof = Proof(chance, budget, buffers=buffers)
        proof.history = [] if log is None else log
        for told in history or write_history(seed, COUNT, buffers=buffers):
            is_pending = bool(proof.partition.ledger.pending_since)
            if proof.state.rows and chance.random() < (0.3 if is_pending else 0.08):
                proof.fork()
            if history is None and chance.random() < (0.5 if is_pending else 0.2):
                aimed = aim(chance, proof.state, len(proof.history), proof.rules_changed)
                if aimed is not None:
                    proof.tell(aimed)
            proof.tell(told)
        proof.fork()
        while proof.partition.ledger.pending_since:
            proof.tell(Told(proof.partition.now, TICK))
            assert len(proof.history) < MANY_TICKS, "settling does not end"
        check_model(proof.history, proof.partition)
        check_transactions(proof.history, proof.partition, chance)
        check_reference(proof.history, proof.state, chance)
    return proof


def check_model(history, partition):
    """Check that the audit's model says the same, and has the same rows."""
    model = Model(0, 1)
    expected = [model.apply(number, told.at, b"k", told.value) for number, told in enumerate(history)]
    rows = {key: value for key, value in dict(partition.changelog).items() if value is not None}
    report = PartitionReport(partition=0, log_start=0, log_end=0, position=0)
    compare_rows(model, LedgerSnapshot.of(rows), report)
    assert report.differences == []
    for topic, wanted in (
        (RESULTS, [it for each in expected for it in each.results]),
        (STOCK_CHANGES, [it for each in expected for it in each.stock_changes]),
    ):
        for mine, theirs in itertools.zip_longest(values(partition, topic), wanted):
            assert mine == theirs, (mine, theirs)


def values(partition, topic):
    """Yield what was published as documents."""
    for _, value in partition.published[topic]:
        yield json.loads(value)


def check_transactions(history, partition, chance):
    """Check that transactions may end anywhere, and a recovery may come at any time (8, 12)."""
    other = Partition()
    read_through(other, history, chance, most=9, recoveries=0.2)
    assert other.published == partition.published, "where transactions end matters"
    mine, theirs = (dict(it.changelog) for it in (other, partition))
    assert {key: mine[key] for key in mine if mine[key] is not None} == {
        key: value for key, value in theirs.items() if mine[key] is not None
    }, "rows differ"


def read_through(partition, history, chance, *, most, recoveries):
    """Let a partition take a whole history, in transactions of any size.

    Args:
        partition: it.
        history: the records.
        chance: decides where transactions end, and what happens then.
        most: records of a transaction.
        recoveries: after which share of the transactions the ledger is opened or built anew.
    """
    left = [(number, *told) for number, told in enumerate(history)]
    while left:
        size = chance.randint(1, most)
        left = partition.take(left[:size], size) + left[size:]
        if chance.random() < recoveries:
            chance.choice([partition.rebuild, partition.reopen])()
        elif chance.random() < 0.1:
            partition.ledger.forget(1_000)


def check_reference(history, state, chance):
    """Check that partitions agree on the rules, in whatever order these come and however often (10)."""
    documents = [it for told in history if (it := told.document).get("type") in REFERENCE_TYPES]
    # The same version and id with another content: it is a mistake, and must not make partitions differ.
    others = [it | {"priority": 7} for it in documents if it["type"] == "set_warehouse"]
    assert in_force(chance, documents) == without_times(state.in_force)
    assert in_force(chance, documents + others) == in_force(chance, documents + others)


def in_force(chance, documents):
    """Return what is in force after commands in any order, some of which come twice."""
    partition = Partition()
    documents = chance.sample(documents, len(documents)) + chance.choices(documents, k=3)
    partition.tell(*documents)
    return without_times(State(partition.store, partition.now).in_force)


def without_times(rows):
    """Return rows without what may differ between partitions."""
    fields = ((name, msgspec.structs.asdict(row)) for name, row in rows.items())
    return {name: {key: it for key, it in row.items() if key not in {"at", "journal_since"}} for name, row in fields}


def where(failed):
    """Return in which line a check failed; None when none did."""
    return None if failed is None else traceback.extract_tb(failed.__traceback__)[-1].lineno


def failure(seed, *, history=None, log=None):
    """Return why a history fails; None when everything holds."""
    try:
        prove(seed, history=history, log=log)
    except Exception as failed:  # noqa: BLE001 - whatever the core raises is a failure
        return failed
    return None


def shortest(seed, history):
    """Return the shortest part of a history that still fails: records are left out one by one."""
    number, wanted = len(history), where(failure(seed, history=history))
    while wanted is not None and number:
        number -= 1
        fewer = history[:number] + history[number + 1 :]
        if fewer and where(failure(seed, history=fewer)) == wanted:
            history = fewer
    return history


def _say(text):
    print(text, flush=True)  # noqa: T201 - a command line speaks


def show(seed):
    """Say what the shortest part of a seed's history is that fails."""
    log = []
    failed = failure(seed, log=log)
    if failed is None:
        _say(f"seed {seed}: everything holds")
        return
    history = shortest(seed, log)
    for told in history:
        _say(f"{told.at} {told.value.decode()}")
    traceback.print_exception(failure(seed, history=history) or failed)


def run(seed):
    """Run one history; return the seed, how many records, and what is wrong."""
    log = []
    failed = failure(seed, log=log)
    return seed, len(log), None if failed is None else repr(failed)


def main(arguments=None):
    """Run histories; 1 when one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.tables.proof", description=__doc__)
    parser.add_argument("--seeds", default="0..100", help="FIRST..LAST, or FIRST.. to go on until --minutes are over")
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--seed", type=int, help="show the shortest part of one history that fails")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        show(options.seed)
        return 0
    first, _, last = options.seeds.partition("..")
    seeds = iter(range(int(first), int(last)) if last else itertools.count(int(first)))
    started, done, told, wrong = time.monotonic(), 0, 0, 0
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        while batch := list(itertools.islice(seeds, AT_A_TIME)):
            for seed, records, failed in pool.map(run, batch):
                done, told, wrong = done + 1, told + records, wrong + (failed is not None)
                if failed is not None:
                    _say(f"seed {seed}: {failed}"[:600])
            if options.minutes is not None and time.monotonic() - started > 60 * options.minutes:
                break
    seconds = time.monotonic() - started
    _say(f"{done} seeds in {seconds:.0f} s: {told:,} records, all invariants after each; {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
