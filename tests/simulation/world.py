"""Owns one simulation: a cluster, machines, a group, traffic and faults, all drawn from one seed; and its verdict."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from agents import batches, changelog, reading
from agents.failpoints import FailpointError
from schemas.topics import CHANGELOG, COMMANDS, DEAD_LETTERS, REFERENCE, RESULTS, STOCK_CHANGES
from tables.core.rows import POSITION_KEY
from tables.ledger import _CHECKPOINT_KEY, _decode_checkpoint
from tables.store import Item
from tests.simulation import oracle
from tests.simulation.cluster import Cluster, Delays
from tests.simulation.disks import Disk, DiskStore, Drive
from tests.simulation.faults import Faults
from tests.simulation.group import Group
from tests.simulation.installed import Seams
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Network, Weather, record_batch
from tests.simulation.oracle import Wrong
from tests.simulation.traffic import Traffic, skus_of
from tests.simulation.worker import Worker

PARTITIONS = 2
_T0_MS = 1_764_000_000_000
_SETTLE_S = 90.0
_POLL_S = 0.3
_MOST_STEPS = 400_000


class _DrawnDelays(Delays):
    def __init__(self, random: Random) -> None:
        self._random = random
        self._marker_s = random.choice((0.002, 0.02, 0.1))
        self._impatience = random.choice((0.0, 0.0, 0.3))
        self._forgetfulness = random.choice((0.0, 0.5, 1.0))
        self._append_s = random.choice((0.0, 0.0, 0.003))
        # As Kafka 4.0.0 does; it does not forget markers.
        self._fences_early = random.random() < 0.3
        if self._fences_early:
            self._forgetfulness = 0.0
        self._fence_failures = random.choice((0.0, 0.0, 0.3))

    def marker(self) -> float:
        return self._random.uniform(0.0001, self._marker_s)

    def append(self) -> float:
        return self._random.uniform(0, self._append_s) if self._append_s else 0.0

    def fence(self) -> float:
        return self._random.uniform(0.0001, self._marker_s)

    def fences_early(self) -> bool:
        return self._fences_early

    def fence_fails(self) -> bool:
        return self._random.random() < self._fence_failures

    def impatient(self) -> bool:
        return self._random.random() < self._impatience

    def forgets(self) -> bool:
        return self._random.random() < self._forgetfulness


@dataclasses.dataclass
class Settling:
    """How often a fault met a SKU whose queue was settled in part: an owner was killed, or a ledger was recovered."""

    killed: int = 0
    recovered: int = 0


@dataclasses.dataclass
class SeedResult:
    """What came of a seed; `wrong` is None when every promise was kept."""

    seed: int
    wrong: BaseException | None
    commands: int
    steps: int
    virtual_s: float
    faults: int
    settling: "Settling"
    trace: list[str]


class World:
    """One simulation."""

    def __init__(self, seed: int, *, traced: bool = False) -> None:
        self.seed = seed
        self.random = random = Random(seed)
        self.loop = VirtualLoop()
        self.trace: list[str] = []
        self.clock_offset_ms = 0
        self.wrong: BaseException | None = None
        self.note: Callable[[str, str], None] | None = self._note if traced else None
        self.cluster = Cluster(self.loop, _DrawnDelays(random), self.wall_ms)
        self.network = Network(self.loop, self.cluster, random)
        self.loop.network = self.network  # type: ignore[attr-defined]
        self.cut_from_group: set[str] = set()
        self.group = Group(PARTITIONS, random, self._reaches_group)
        if traced:
            self.network.note = self.group.note = self._note
            self.cluster.on_event = lambda event: self._note("coordinator", event)
        if random.random() < 0.5:
            self.group.on_assigned = self._rush
        for topic in (COMMANDS, CHANGELOG, RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE):
            self.cluster.create_topic(topic, PARTITIONS)
        self.disks = {f"m{number}": self._new_disk() for number in range(random.choice((2, 2, 3)))}
        self.workers: dict[str, Worker] = {}
        self.config = {
            "partitions": PARTITIONS,
            "batch_commands": random.choice((2, 5, 2_000)),
            "transaction_timeout_ms": random.choice((1_000, 10_000)),
        }
        self.armed: str | None = None  # the failpoint that raises when it is passed next
        self.settling = Settling()
        self.when_settling: Callable[[Worker], Any] | None = None  # is told of the next that leaves a queue unfinished
        self._recovered: list[Any] = []  # ledgers
        self._traffic = Traffic(random)
        self._crowds = random.choice((0.0, 0.04, 0.12))
        self._lives = 0
        self._skus = [skus_of(partition, PARTITIONS) for partition in range(PARTITIONS)]

    def _note(self, who: str, what: str) -> None:
        self.trace.append(f"{self.loop.time():10.4f}  {who:<34} {what}")

    def wall_ms(self) -> int:
        """Return the time of day of all machines, brokers included."""
        return _T0_MS + self.clock_offset_ms + int(self.loop.time() * 1000)

    def _reaches_group(self, process: Process) -> bool:
        return self.network.reaches(process) and process.alive and process.name not in self.cut_from_group

    def _new_disk(self) -> Disk:
        disk = Disk()
        disk.on_write = self._check_write
        return disk

    def _check_write(self, path: Path, items: list[Item]) -> None:
        """A store is never ahead of what its changelog has committed."""
        written = dict(items)
        if _CHECKPOINT_KEY not in written or POSITION_KEY not in written:
            return
        offset = _decode_checkpoint(written[_CHECKPOINT_KEY]).position_offset
        number = int(path.name)
        outcome = self.cluster.logs[CHANGELOG, number].outcome_of(offset)
        transaction = self.cluster.transactions[f"holdfast-{number}"]
        # Decided, while the marker is still to come: from the coordinator, or from whoever settles what hangs.
        decided = transaction.decided and not transaction.ongoing
        if not (outcome or (outcome is None and decided)):
            self.fail(Wrong(f"the store {path} is ahead of its changelog: offset {offset} is not committed"))

    def fail(self, error: BaseException) -> None:
        self.wrong = self.wrong or error

    # Machines

    def start_worker(self, machine: str) -> Worker:
        self._lives += 1
        life = f"{machine}#{self._lives}"
        worker = Worker(self.loop, life, machine, self.disks[machine], self.group, self.config)
        self.workers[machine] = worker
        return worker

    def owner_of(self, number: int) -> Worker | None:
        """Return the only live worker that has the partition open; None when there is none, or more."""
        owners = [w for w in self.workers.values() if w.process.alive and w.has_open(number)]
        return owners[0] if len(owners) == 1 else None

    def note_kill(self, worker: Worker) -> None:
        """Count it when a worker is killed whose last transaction has left a queue settled in part."""
        self.settling.killed += any(ledger.pending_since for ledger in worker.ledgers())

    def _look_at_queues(self, step: str) -> None:
        """Count it when a ledger was recovered with a queue settled in part; strike if that is to be done."""
        process = Process.current.get()
        worker = next((worker for worker in self.workers.values() if worker.process is process), None)
        ledgers = [] if worker is None else worker.ledgers()
        if step == "recover.done":
            new = [ledger for ledger in ledgers if ledger not in self._recovered]
            self._recovered += new
            self.settling.recovered += sum(bool(ledger.pending_since) for ledger in new)
        elif worker is not None and self.when_settling is not None and any(it.pending_since for it in ledgers):
            strike, self.when_settling = self.when_settling, None
            strike(worker)

    # Running

    def run(self) -> SeedResult:
        Seams.note = self._log if self.note else None
        Seams.wall_ms = self.wall_ms
        Seams.new_id = lambda: f"{self.random.getrandbits(128):032x}"
        Seams.hit = self._pass_failpoint
        DiskStore.disk_of_this_process = staticmethod(lambda: Process.current.get().disk)  # type: ignore[union-attr]
        compared = 0
        faults = Faults(self)
        choice = self.random.choice
        with (
            patch.object(batches, "BATCH_BYTES", choice((2_500, 900_000))),
            # One batch at a time, some, or all that there is: a large fetch reads past the end that was asked for.
            patch.object(changelog, "_FETCH_BYTES", choice((1, 1_500, 1 << 20))),
            patch.object(reading, "_COMMAND_BYTES", choice((1, 3_000))),
        ):
            try:
                compared = self.loop.run(self._run(faults), most_steps=_MOST_STEPS)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the verdict
                self.fail(error)
            for error in self.loop.unretrieved():
                self.fail(error)
            steps, virtual_s = self.loop.executed, self.loop.time()
            Seams.note, Seams.hit = None, lambda _: None
            for disk in self.disks.values():
                disk.on_write = lambda *_: None
            self.network.note = self.group.note = self.network.ambush = None
            self.network.weather = Weather()
            self.network.down.clear()
            self.network.cut.clear()
            self.loop.close()
        return SeedResult(self.seed, self.wrong, compared, steps, virtual_s, faults.count, self.settling, self.trace)

    def _log(self, event: str, fields: dict[str, Any]) -> None:
        process = Process.current.get()
        self._note(process.name if process else "nobody", f"log: {event} {fields}")

    def _pass_failpoint(self, name: str) -> None:
        if name in {"recover.done", "commit.done"}:
            self._look_at_queues(name)
        if self.armed == name:
            self.armed = None
            if self.note:
                self.note("fault", f"failpoint {name} raises")
            raise FailpointError(name)

    async def _run(self, faults: Faults) -> int:
        for machine in self.disks:
            self.start_worker(machine)
        background = [asyncio.create_task(self.group.run()), asyncio.create_task(faults.run())]
        await self._send_traffic(self.random.uniform(1.5, 6.0))
        background[1].cancel()
        faults.heal()
        await self._settle()
        background[0].cancel()
        compared = 0
        for number in range(PARTITIONS):
            owner = self.owner_of(number)
            stores: list[Drive] = [owner.drive_of(number)] if owner else []
            compared += oracle.check_partition(self.cluster, number, PARTITIONS, stores)
        return compared

    async def _send_traffic(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        pause = self.random.choice((0.1, 0.2, 0.4))
        while loop.time() < end and self.wrong is None:
            await asyncio.sleep(self.random.expovariate(1 / pause))
            number = self.random.randrange(PARTITIONS)
            if self.random.random() < self._crowds:
                self.send_crowd(number)
            else:
                self.send(number, self.random.choice((1, 1, 2, 6)))

    def _rush(self) -> None:
        """Send commands in the moments in which a new owner takes over, when the old one may not know yet."""
        for _ in range(8):
            after = self.random.uniform(0, 0.03)
            self.cluster.later(after, lambda: self.wrong or self.send(self.random.randrange(PARTITIONS), 1))

    def send(self, number: int, count: int, producer: tuple[int, int] | None = None) -> None:
        """Append commands to a partition, in a transaction of a caller's own if a producer is given."""
        records = [self._traffic.command(self._skus[number], self.wall_ms()) for _ in range(count)]
        self._append(number, records, producer)

    def send_crowd(self, number: int) -> None:
        """Append the commands of a crowd to a partition."""
        self._append(number, self._traffic.crowd(self._skus[number], self.wall_ms()))

    def _append(self, number: int, records: list[tuple[bytes, bytes]], producer: tuple[int, int] | None = None) -> None:
        timestamp = self.wall_ms() + self.random.choice((0, 0, 0, -700))  # brokers' clocks differ
        code, offset = self.cluster.logs[COMMANDS, number].append(record_batch(records, timestamp, producer))
        assert code == 0
        if self.note:
            self.note("traffic", f"{len(records)} commands at {number}/{offset}")

    async def _settle(self) -> None:
        """Wait until all is processed.

        Raises:
            Wrong: it is not, although nothing has gone wrong for a long time; or a worker gave up.
        """
        give_up_at = self.loop.time() + _SETTLE_S
        while self.wrong is None:
            waiting = [number for number in range(PARTITIONS) if not self._is_settled(number)]
            if crashed := [w for w in self.workers.values() if w.crashed]:
                raise Wrong(f"{crashed[0].process.name} crashed: {crashed[0].crashed!r}") from crashed[0].crashed
            if not waiting:
                return
            if self.loop.time() > give_up_at:
                raise Wrong(f"partitions {waiting} are not processed {_SETTLE_S} s after the last fault")
            await asyncio.sleep(_POLL_S)

    def _is_settled(self, number: int) -> bool:
        owner = self.owner_of(number)
        if owner is None:
            return False
        at = owner.partitions.positions().get(number)
        log = self.cluster.logs[COMMANDS, number]
        if at is None or log.stable < log.end or at <= (last := log.last_committed()):
            return False
        topics = (CHANGELOG, RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE)
        outputs = [self.cluster.logs[topic, number] for topic in topics]
        if any(log.stable < log.end for log in outputs):
            return False
        return last < 0 or oracle.position(self.cluster, number) == at


def simulate(seed: int, *, traced: bool = False) -> SeedResult:
    """Run one seed; within `installed()`."""
    return World(seed, traced=traced).run()
