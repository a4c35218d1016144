"""Owns the soak: random faults under load for a while, then the audit.

    python -m tests.fault.soak --seed 7 --seconds 120 [--rate 200] [--json FILE]

The exit code is 0 only if nothing was lost, doubled, out of order, altered or taken back.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.batches import TransactionOutput
from agents.transactions import TransactionClient, TransactionError
from audit.run import audit
from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from schemas.topics import GROUP, RESULTS
from tests.fault.load import Load, move_group_offsets
from tests.fault.plan import SLOTS, plan
from tests.harness import PARTITIONS, CommittedReader, Worker

SETTLE_S = 120.0
_FOREIGN_VALUE = b'{"written by": "a stranger"}'
# The broker looks for transactions to abort every 10 s.
_ABORTED_WITHIN_S = 40.0
_ANSWERED_WITHIN_S = 30.0


class Verdict(msgspec.Struct, kw_only=True):
    """What a soak found. Everything from `lost` on must be 0 or empty."""

    seed: int
    seconds: float
    faults: dict[str, int]
    records: dict[str, int]
    commands_applied: int
    results_compared: int
    stock_changes_compared: int
    rows_compared: int
    read_live: int
    longest_stall_s: float
    lost: int
    duplicated: int
    out_of_order: int
    altered: int
    oversold: int
    pending: int
    acknowledged_missing: int
    missed_by_the_reader: int
    aborted_reads: int
    unexpected_exits: list[str]
    not_checked: list[str]

    @property
    def good(self):
        """Whether nothing is wrong."""
        bad = (self.lost, self.duplicated, self.out_of_order, self.altered, self.oversold, self.pending)
        seen = (self.acknowledged_missing, self.missed_by_the_reader, self.aborted_reads)
        return not any(bad + seen) and not self.unexpected_exits and not self.not_checked


class Slot:
    """A place for one worker: its disk, an earlier copy of it, and the process of the moment."""

    def __init__(self, number, home, bootstrap):
        self.busy = asyncio.Lock()
        self.unexpected_exits = []
        self._name = f"worker {number}"
        self._home = home / f"slot-{number}"
        self._bootstrap = bootstrap
        self._lives = 0
        self._worker = None
        self._disk = None

    def start(self, *, as_new=False):
        """Start a worker, on the disk of the one before or as somebody new."""
        if as_new or self._disk is None:
            self._lives += 1
            self._disk = self._home / f"life-{self._lives}"
        self._worker = Worker(self._bootstrap, self._disk, standbys=self._lives % 2)

    def signal(self, sign):
        self._look_after()
        self._worker.signal(sign)

    async def kill(self, disk="same disk"):
        """Kill the worker, and leave it the disk it had, none, or that of its last death."""
        self._look_after()
        await self._worker.kill()
        ledger, copy = self._disk / "ledger", self._disk / "earlier"
        if disk == "wiped disk":
            self._worker.wipe()
        elif disk == "stale disk" and copy.exists():
            self._worker.wipe()
            shutil.copytree(copy, ledger)
        elif ledger.exists() and not copy.exists():
            shutil.copytree(ledger, copy)

    async def leave(self):
        self._look_after()
        code = await self._worker.stop()
        if code not in (0, -signal.SIGTERM):  # the latter: it was told before it had begun
            self._complain(f"exit code {code} after SIGTERM")

    def _look_after(self):
        if (code := self._worker.process.poll()) is not None:
            self._complain(f"ended by itself with {code}")
            self.start()

    def _complain(self, what):
        self.unexpected_exits.append(f"{self._name}: {what}\n{self._worker.log()}")

    def end(self):
        if self._worker is not None and self._worker.process.poll() is None:
            self._worker.process.kill()
            self._worker.process.wait()


class Soak:
    """A broker, workers, a load and a reader, and the faults of a plan.

    Args:
        seed: of the plan and the load.
        seconds: how long the load lasts.
        home: a directory for everything.
        rate: commands a second.
        say: is told one line for each thing that happens.
    """

    def __init__(self, seed, seconds, home, *, rate, say):
        self._seed, self._seconds, self._rate, self._say = seed, seconds, rate, say
        self._home = home
        self._broker = Broker(home / "broker")
        # A broker dies with the thread that started it; this one lives as long as the soak.
        self._broker_thread = ThreadPoolExecutor(1)
        self._broker_busy = asyncio.Lock()
        self._injected = Counter()
        self._longest_stall_s = 0.0

    async def run(self):
        """Do it all; give the verdict."""
        faults = plan(self._seed, self._seconds, partitions=PARTITIONS)
        self._say(f"seed {self._seed}: {len(faults)} faults in {self._seconds:.0f} s")
        await self._in_broker_thread(self._broker.start)
        slots = []
        try:
            bootstrap = self._broker.bootstrap
            await ensure_topics(bootstrap, PARTITIONS)
            self._slots = slots = [Slot(number, self._home, bootstrap) for number in range(SLOTS)]
            for slot in slots:
                slot.start()
            async with CommittedReader(bootstrap) as reader, Load(bootstrap, self._seed, rate=self._rate) as load:
                await self._inject(faults)
                await load.stop()
                for slot in slots:
                    slot.signal(signal.SIGCONT)  # all are awake; who has died by itself is noticed here
                self._say(f"the load is over after {load.kinds['records']:,} records; now the audit")
                return await self._judge(reader, load)
        finally:
            for slot in slots:
                slot.end()
            await self._in_broker_thread(self._broker.kill)
            self._broker_thread.shutdown()

    async def _in_broker_thread(self, function):
        await asyncio.get_running_loop().run_in_executor(self._broker_thread, function)

    async def _inject(self, faults):
        started = time.monotonic()

        async def at_its_time(fault):
            await asyncio.sleep(max(0.0, started + fault.at_s - time.monotonic()))
            self._say(f"{fault.at_s:6.1f} s  {fault.kind} {fault.slot} for {fault.for_s} s {fault.detail}")
            await self._commit_fault(fault)

        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(at_its_time(fault))
            group.create_task(asyncio.sleep(self._seconds))

    async def _commit_fault(self, fault):
        match fault.kind:
            case "kill" | "stop" | "leave":
                async with self._slots[fault.slot].busy:
                    await self._worker_fault(fault, self._slots[fault.slot])
            case "kill broker" | "freeze broker":
                async with self._broker_busy:
                    await self._broker_fault(fault)
            case "reset offsets":
                await self._reset_offsets(fault)
            case "open transaction":
                await self._open_transaction(fault)
            case "fence":
                await self._fence(fault)
        self._injected[f"{fault.kind}, {fault.detail}" if fault.kind == "kill" else fault.kind] += 1

    async def _worker_fault(self, fault, slot):
        match fault.kind:
            case "kill":
                await slot.kill(fault.detail)
                await asyncio.sleep(fault.for_s)
                slot.start()
            case "stop":
                slot.signal(signal.SIGSTOP)
                await asyncio.sleep(fault.for_s)
                slot.signal(signal.SIGCONT)
            case "leave":
                await slot.leave()
                await asyncio.sleep(fault.for_s)
                slot.start(as_new=True)
                self._injected["join"] += 1

    async def _broker_fault(self, fault):
        if fault.kind == "kill broker":
            await self._in_broker_thread(self._broker.kill)
            await asyncio.sleep(fault.for_s)
            await self._in_broker_thread(self._broker.start)
        else:
            os.kill(self._broker.pid, signal.SIGSTOP)
            await asyncio.sleep(fault.for_s)
            os.kill(self._broker.pid, signal.SIGCONT)

    async def _reset_offsets(self, fault):
        """A group with members refuses; so the operator stops all workers first, as the handbooks say."""
        if await move_group_offsets(self._broker.bootstrap, GROUP, fault.detail):
            self._injected["reset offsets while workers ran"] += 1
        async with contextlib.AsyncExitStack() as stack:
            for slot in self._slots:
                await stack.enter_async_context(slot.busy)
            await asyncio.gather(*(slot.leave() for slot in self._slots))
            # A worker that could not say goodbye is a member until its session is over.
            for _ in range(40):
                if await move_group_offsets(self._broker.bootstrap, GROUP, fault.detail):
                    break
                await asyncio.sleep(0.25)
            else:
                raise AssertionError("the group's offsets could not be moved: the fault did not happen")
            for slot in self._slots:
                slot.start()

    async def _open_transaction(self, fault):
        """A stranger writes to the results and never ends its transaction: readers stall until the broker aborts it."""
        client = TransactionClient(
            self._broker.bootstrap, f"stranger-{fault.at_s}", timeout_ms=round(fault.for_s * 1000)
        )

        async def leave_open():
            output = TransactionOutput()
            output.results.add(b"stranger", _FOREIGN_VALUE, time.time_ns() // 1_000_000)
            await client.start([RESULTS])
            await client.begin()
            return await client.produce(fault.slot, {RESULTS: output.batches([], 0)[RESULTS]})

        try:
            written = await _until_answered(leave_open)
        finally:
            await client.close()
        opened = time.monotonic()
        place = TopicPartition(RESULTS, fault.slot)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._broker.bootstrap, isolation_level="read_committed")
        try:
            await _until_answered(consumer.start)
            while (await _until_answered(lambda: consumer.end_offsets([place])))[place] <= written[RESULTS]:
                assert time.monotonic() - opened < _ABORTED_WITHIN_S + fault.for_s, "the transaction stays open"
                await asyncio.sleep(0.2)
        finally:
            await consumer.stop()
        stalled_s = time.monotonic() - opened
        self._longest_stall_s = max(self._longest_stall_s, stalled_s)
        self._say(f"          readers of results {fault.slot} stood still for {stalled_s:.1f} s")

    async def _fence(self, fault):
        """Another program takes the partition's transactional id, like a second owner."""
        client = TransactionClient(self._broker.bootstrap, f"holdfast-{fault.slot}", timeout_ms=5_000)

        async def take_over():
            await client.start([RESULTS])
            await client.begin()

        try:
            await _until_answered(take_over)
        finally:
            await client.close()

    async def _judge(self, reader, load):
        report = await audit(self._broker.bootstrap, wait_s=SETTLE_S)
        seen, stands = await reader.seen_and_standing(wait_s=SETTLE_S)
        whats = Counter(difference.what for difference in report.differences)
        altered = report.difference_count - report.lost - report.doubled - report.oversold - whats["reordered"]
        return Verdict(
            seed=self._seed,
            seconds=self._seconds,
            faults=dict(sorted(self._injected.items())),
            records=dict(load.kinds) | {"acknowledged": len(load.acknowledged), "unanswered": load.unanswered},
            commands_applied=report.compared.commands,
            results_compared=report.compared.results,
            stock_changes_compared=report.compared.stock_changes,
            rows_compared=report.compared.rows,
            read_live=sum(len(entries) for entries in seen.values()),
            longest_stall_s=round(self._longest_stall_s, 1),
            lost=report.lost,
            duplicated=report.doubled,
            out_of_order=whats["reordered"] + sum(seen[number] != sorted(seen[number]) for number in seen),
            altered=altered,
            oversold=report.oversold,
            pending=report.pending,
            acknowledged_missing=await load.missing(),
            missed_by_the_reader=_more(stands, seen),
            aborted_reads=_more(seen, stands),
            unexpected_exits=[text for slot in self._slots for text in slot.unexpected_exits],
            not_checked=report.notes,
        )


async def _until_answered(ask):
    """Ask again while the broker is away: another fault may have taken it."""
    give_up_at = time.monotonic() + _ANSWERED_WITHIN_S
    while True:
        try:
            return await ask()
        except (KafkaError, TransactionError):
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.5)


def _more(one, other):
    """Count what one reader saw and the other did not, by offset and value, doublets included."""
    return sum((Counter(one[number]) - Counter(other[number])).total() for number in one)


def show(verdict):
    """Return the verdict as text."""
    lines = [f"seed {verdict.seed}, {verdict.seconds:.0f} s", "", "faults injected"]
    lines += [f"  {count:6,}  {kind}" for kind, count in verdict.faults.items()]
    lines += ["", "records written"]
    lines += [f"  {count:6,}  {kind}" for kind, count in verdict.records.items()]
    lines += ["", "found"]
    skipped = {"seed", "seconds", "faults", "records"}
    for name in Verdict.__struct_fields__:
        if name not in skipped:
            value = getattr(verdict, name)
            lines.append(f"  {len(value) if isinstance(value, list) else value:>6,}  {name.replace('_', ' ')}")
    lines += [*verdict.unexpected_exits, *verdict.not_checked]
    lines += ["", "GOOD" if verdict.good else "BAD"]
    return "\n".join(lines)


async def soak(seed, seconds, home, *, rate=200, say=lambda _line: None):
    """Run a soak; see `Soak`."""
    return await Soak(seed, seconds, Path(home), rate=rate, say=say).run()


def main():
    parser = argparse.ArgumentParser(description="Random faults under load, then the audit.")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=int, default=200, help="commands a second")
    parser.add_argument("--json", type=Path, help="write the verdict here")
    parser.add_argument("--home", type=Path, help="a new directory for broker and workers; kept, to look into it")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it reports every attempt to connect
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that broker and workers are ended

    def say(line):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="holdfast-soak-") as temporary:
        home = options.home or Path(temporary)
        verdict = asyncio.run(soak(options.seed, options.seconds, home, rate=options.rate, say=say))
    say(show(verdict))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(verdict)))
    sys.exit(0 if verdict.good else 1)


if __name__ == "__main__":
    main()
