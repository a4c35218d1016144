"""Owns what goes wrong in a simulation, and when: drawn from the world's seed, one thing after the other."""

import asyncio
from typing import TYPE_CHECKING, Any

from agents.kafka.wire import DescribeProducers, EndTxn, InitProducerId, Produce, WriteTxnMarkers
from schemas.topics import COMMANDS
from tests.simulation.disks import Drive
from tests.simulation.leaders import NODES
from tests.simulation.network import Weather

if TYPE_CHECKING:
    from tests.simulation.world import World

_FAILPOINTS = [f"commit.{n}" for n in (*range(1, 6), "done")] + [f"recover.{n}" for n in (*range(1, 10), "done")]
_DAY_MS = 24 * 3600 * 1000


class Faults:
    """Makes things go wrong until it is told to stop."""

    def __init__(self, world: "World") -> None:
        self.count = 0
        self._world = world
        self._random = world.random
        self._pause_s = world.random.choice((0.2, 0.5, 1.0, 2.0))
        self._callers = 0
        kinds: list[tuple[int, Any]] = [
            (4, self._change_weather),
            (5, self._kill),
            (5, self._put_to_sleep),
            (2, self._cut_off),
            (5, self._cut_from_group),
            (2, self._shake),
            (1, self._stop_node),
            (2, self._move_leader),
            (4, self._lie_in_ambush),
            (3, self._arm_failpoint),
            (2, self._foreign_transaction),
            (4, self._strike_in_a_queue),
            (1, self._move_clock),
        ]
        # Each seed has its own mixture: some faults show only where others are rare.
        self._kinds = [kind for _, kind in kinds if self._random.random() < 0.7] or [self._kill]
        self._weights = [weight for weight, kind in kinds if kind in self._kinds]

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._pause_s))
            (fault,) = self._random.choices(self._kinds, self._weights)
            self.count += 1
            fault()

    def heal(self) -> None:
        """End all that lasts, and start what is dead."""
        world = self._world
        self._note("faults are over")
        world.network.weather = Weather()
        world.network.down.clear()
        world.network.cut.clear()
        world.cut_from_group.clear()
        world.armed = world.network.ambush = world.when_settling = None
        for machine, worker in list(world.workers.items()):
            worker.process.alarm_at = -1
            if not worker.process.alive:
                world.start_worker(machine)
            elif worker.process.asleep:
                worker.process.wake()

    def _note(self, what: str) -> None:
        if self._world.note:
            self._world.note("fault", what)

    def _later(self, after: float, what: Any, *args: Any) -> None:
        self._world.cluster.later(after, what, *args)

    def _worker(self) -> Any:
        return self._random.choice(list(self._world.workers.values()))

    def _steps(self) -> int:
        """Between any two of the next callbacks of a process: soon, or in the midst of what it does next."""
        return self._random.choice((0, self._random.randrange(30), self._random.randrange(300)))

    def _change_weather(self) -> None:
        def chance() -> float:
            return self._random.choice((0.0, 0.0, 0.03, 0.12))

        self._world.network.weather = Weather(*(chance() for _ in range(6)))
        self._note(str(self._world.network.weather))

    def _lie_in_ambush(self) -> None:
        """Strike when a process sends a request of the protocol, which arrives, arrives late, or does not."""
        kind = self._random.choice((EndTxn, EndTxn, Produce, InitProducerId, DescribeProducers, WriteTxnMarkers))
        strike = self._random.choice((self._kill, self._put_to_sleep, self._move_leader))
        fate = self._random.choice(("", "lost", "late"))

        def spring(process: Any) -> str:
            worker = next((w for w in self._world.workers.values() if w.process is process), None)
            if worker is not None:
                strike(worker, steps=0)
            return fate

        self._world.network.ambush = kind, spring

    def _strike_in_a_queue(self) -> None:
        """Let a crowd come, and strike the owner when a transaction has settled a part of the queue."""
        strike = self._random.choice((self._kill, self._kill, self._put_to_sleep))
        steps = self._random.choice((0, self._random.randrange(30)))
        self._world.send_crowd(self._random.randrange(2))
        self._world.when_settling = lambda worker: strike(worker, steps=steps)

    def _kill(self, worker: Any = None, steps: int | None = None) -> None:
        world, worker = self._world, worker or self._worker()
        down_s = self._random.choice((0.01, 0.5, 4.0))

        def die() -> None:
            if worker.process.alive:
                world.note_kill(worker)
                worker.kill()
                self._note(f"{worker.process.name} is killed")
                self._harm_disk(worker.machine)
                self._later(down_s, self._restart, worker)

        worker.process.after_steps(self._steps() if steps is None else steps, die)

    def _restart(self, worker: Any) -> None:
        if self._world.workers[worker.machine] is worker:
            self._world.start_worker(worker.machine)
            self._note(f"{worker.machine} starts again")

    def _harm_disk(self, machine: str) -> None:
        drives = self._world.disks[machine].drives
        harm = self._random.choices(("none", "lost writes", "wiped", "old copy", "foreign"), (8, 3, 3, 2, 3))[0]
        for path in list(drives):
            writes = drives[path].writes
            if harm == "lost writes":
                drives[path] = Drive(writes[: max(0, len(writes) - self._random.randrange(4))])
            elif harm == "old copy":
                drives[path] = Drive(writes[: self._random.randrange(len(writes) + 1)])
            elif harm == "wiped":
                del drives[path]
            elif harm == "foreign":
                others = [
                    d for disk in self._world.disks.values() for p, d in disk.drives.items() if p.name != path.name
                ]
                if others:
                    drives[path] = Drive(self._random.choice(others).writes)
        if harm != "none":
            self._note(f"the disk of {machine}: {harm}")

    def _put_to_sleep(self, worker: Any = None, steps: int | None = None) -> None:
        worker = worker or self._worker()
        for_s = self._random.choice((0.05, 0.8, 5.0, 12.0))

        def fall_asleep() -> None:
            if worker.process.alive and not worker.process.asleep:
                worker.process.sleep()
                self._note(f"{worker.process.name} sleeps for {for_s} s")
                self._later(for_s, wake)

        def wake() -> None:
            if worker.process.alive and worker.process.asleep:
                self._note(f"{worker.process.name} wakes up")
                worker.process.wake()

        worker.process.after_steps(self._steps() if steps is None else steps, fall_asleep)

    def _cut_off(self) -> None:
        self._cut(self._world.network.cut, "everything", self._random.choice((0.1, 1.0, 6.0)))

    def _cut_from_group(self) -> None:
        self._cut(self._world.cut_from_group, "the group", 6.0)

    def _cut(self, members: set[str], what: str, for_s: float) -> None:
        name = self._worker().process.name
        members.add(name)
        self._note(f"{name} is cut off from {what}")
        self._later(for_s, members.discard, name)

    def _shake(self) -> None:
        self._note("the group rebalances")
        self._world.group.shake()

    def _stop_node(self) -> None:
        nodes = self._random.choice([{1}, {2}, set(NODES)])
        self._note(f"nodes {nodes} are down")
        self._world.network.take_down(nodes)
        self._later(self._random.choice((0.05, 1.0, 3.0)), self._world.network.down.difference_update, nodes)

    def _move_leader(self, _worker: Any = None, steps: int = 0) -> None:
        """Have a partition led by the other node; nobody's connections end."""
        del steps  # it is the cluster's doing, whatever the worker does
        place = self._random.choice(list(self._world.cluster.logs))
        gap_s = self._random.choice((0.0, 0.02, 0.5))
        if self._world.cluster.move_leader(place, gap_s):
            self._note(f"{place} moves to another node, and is led by none for {gap_s} s")

    def _arm_failpoint(self) -> None:
        self._world.armed = self._random.choice(_FAILPOINTS)

    def _foreign_transaction(self) -> None:
        """A caller sends commands in a transaction of its own, which leaves a marker in the log, or commits nothing."""
        self._callers += 1
        number, producer = self._random.randrange(2), (self._callers, 0)
        commit = self._random.random() < 0.5
        self._world.send(number, self._random.randrange(1, 4), producer)
        self._note(f"those are in a transaction that will be {'committed' if commit else 'aborted'}")
        self._later(self._random.choice((0.001, 0.5)), self._mark, number, producer, commit)

    def _mark(self, number: int, producer: tuple[int, int], commit: bool) -> None:
        log = self._world.cluster.logs[COMMANDS, number]
        log.mark(*producer, commit=commit, timestamp=self._world.wall_ms())

    def _move_clock(self) -> None:
        self._world.clock_offset_ms += self._random.choice((-2_000, 60_000, _DAY_MS + 60_000))
        self._note(f"the clocks are moved to {self._world.clock_offset_ms} ms")
