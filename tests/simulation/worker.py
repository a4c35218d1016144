"""Owns the simulated worker: the product's transport, agent code, ticks and partitions, without Faust around them.

What is real: `BatchConsumer` (what a rebalance does), `Partitions` (which reader and which partition serve what),
`write_due_ticks` of `agents.app`, `Partition`, `CommandReader`, and all below. What stands in: Faust's streams
(a queue and a task per partition) and aiokafka's group membership (`group.py`).
"""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from faust.transport.consumer import Consumer
from faust.types import TP

from agents.app import write_due_ticks
from agents.assignment import Partitions
from agents.config import WorkerConfig
from agents.transport import BatchConsumer
from schemas.topics import COMMANDS
from tests.simulation.disks import Disk, Drive
from tests.simulation.group import Group
from tests.simulation.loop import Process, VirtualLoop

_TICK_CHECK_S = 0.2
_HEARTBEAT_S = 0.8


class _WithoutFaust(Consumer):
    """Stands between `BatchConsumer` and Faust's consumer: what Faust would do at a rebalance is the worker's here."""

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Do nothing."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Do nothing."""


class SimulatedConsumer(BatchConsumer, _WithoutFaust):
    """`BatchConsumer` with a stand-in for aiokafka's consumer: the assignment as this member knows it."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.assigned: set[TopicPartition] = set()
        self._client = SimpleNamespace(
            pause=lambda _: None, seek=lambda _place, _offset: None, assignment=lambda: self.assigned
        )

    _abstract = frozenset()
    __abstractmethods__ = frozenset()


class Worker:
    """One life of a worker: a process on a machine's disk."""

    def __init__(
        self, loop: VirtualLoop, life: str, machine: str, disk: Disk, group: Group, config: dict[str, Any]
    ) -> None:
        self.process = Process(loop, life)
        self.process.disk = disk  # type: ignore[attr-defined]
        self.machine = machine
        self.disk = disk
        self.crashed: BaseException | None = None
        self._group = group
        self._queues: dict[int, tuple[asyncio.Queue[Any], asyncio.Task[None]]] = {}
        self.app: Any = SimpleNamespace(
            worker_config=WorkerConfig(bootstrap="simulated:9092", data_dir=Path(f"/{machine}"), **config),
            ticker=None,
            crash=self._crash,
        )
        self.partitions = self.app.partitions = Partitions(self.app.worker_config, self._crash)
        self.process.start(self._run())

    async def _crash(self, error: BaseException) -> None:
        self.crashed = error

    def kill(self) -> None:
        self.process.kill()
        self.disk.let_go()

    async def _run(self) -> None:
        self.consumer = self.app.consumer = SimulatedConsumer(self.app)
        await asyncio.gather(self._keep_membership(), self._dispatch(), self._tick())

    async def _keep_membership(self) -> None:
        """Be a member of the group; whatever it says, first give all up, then take what is given."""
        generation = -1
        while True:
            if not self._group.is_current(self, generation):
                await self._give_all_up()
                assignment = await self._group.join(self)
                generation, numbers = assignment
                await self._take_on(numbers)
            await asyncio.sleep(_HEARTBEAT_S)

    async def _give_all_up(self) -> None:
        await self.consumer.on_partitions_revoked({TP(*place) for place in self.consumer.assigned})
        # Faust cancels the agents of partitions that went away, after the transport has let them go.
        for _, task in self._queues.values():
            task.cancel()
        self._queues = {}

    async def _take_on(self, numbers: list[int]) -> None:
        self.consumer.assigned = {TopicPartition(COMMANDS, number) for number in numbers}
        for number in numbers:
            queue: asyncio.Queue[Any] = asyncio.Queue()
            self._queues[number] = (queue, asyncio.create_task(self._serve(queue)))
        await self.consumer.on_partitions_assigned({TP(COMMANDS, number) for number in numbers})
        self.partitions.start_recoveries()

    async def _dispatch(self) -> None:
        while True:
            for place, batches in (await self.consumer._getmany(None, 1.0)).items():
                if place.partition in self._queues:
                    for batch in batches:
                        self._queues[place.partition][0].put_nowait(batch)

    async def _serve(self, queue: "asyncio.Queue[Any]") -> None:
        """The agent, as `build_app` makes it."""
        while True:
            fetched = await queue.get()
            await self.partitions.serve(fetched.partition)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_CHECK_S)
            self.partitions.recover_hanging()
            await write_due_ticks(self.app)

    def has_open(self, number: int) -> bool:
        """Whether this worker has a partition, and takes its commands."""
        partition = self.partitions.get(number)
        return partition is not None and partition.is_open

    def ledgers(self) -> list[Any]:
        """Return the ledgers of the partitions that are recovered."""
        partitions = [self.partitions.get(number) for number in self.partitions.numbers]
        return [it._ledger for it in partitions if it is not None and it._ledger is not None]

    def drive_of(self, number: int) -> Drive:
        """Return what this worker's disk holds of a partition."""
        return self.disk.drives[self.app.worker_config.store_path(number)]
