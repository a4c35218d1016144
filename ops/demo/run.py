"""Owns `holdfast demo`: everything on one machine, a load, a `kill -9` in the middle, an audit, and a summary."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ops.audit import audited
from ops.demo.drive import HTTP_PER_S, KAFKA_PER_S, PATIENCE_S, Drive
from ops.demo.gentle import GentleLoad
from ops.demo.http_times import HttpLoad
from ops.demo.load import DemoLoad
from ops.demo.report import DemoReport, print_report
from ops.exchange import exchange
from ops.importing.importer import BATCH_BYTES
from ops.kafka.broker import Broker
from ops.kafka.cluster import connect
from ops.kafka.topic_list import make_topics
from ops.problems import FOUND_WRONG, CannotDo
from ops.processes import Service, Services
from ops.screen import say
from schemas.kafka_connection import VARIABLES
from schemas.topics import COMMANDS, GROUP

PARTITIONS = 4
BURST_COMMANDS = 50_000
HTTP_WARM_UP_S = 2.0
ALONE_S = 4.0
CALM_S = 6.0
FAULT_S = 9.0
KILL_AFTER_S = 2.0
READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class _Running:
    """The services of the demo once they are ready; `instance` names a worker in the group."""

    services: Services
    worker: Service
    instance: str
    url: str


def run_demo(*, keep: bool, seed: int, as_json: bool) -> int:
    """Run the demo and print its summary.

    Args:
        keep: whether to leave everything running after the summary, with a gentle load, until Ctrl-C.
        seed: the seed of the load.
        as_json: whether to print the summary as JSON.

    Returns:
        The exit code: 1 when anything was lost, doubled, oversold, or different in the audit.

    Raises:
        CannotDo: something did not start or did not answer; the logs are kept.
    """
    # SIGTERM acts like Ctrl-C: both leave through the `finally` below.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name in VARIABLES:
        os.environ.pop(name, None)  # they are for another Kafka than the demo's own
    home = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    broker = Broker(home / "broker", say=say)
    logs_wanted = True
    try:
        _start(broker)
        report = asyncio.run(_Demo(broker.bootstrap, home, seed).run(keep=keep, as_json=as_json))
        logs_wanted = not report.ok
    except (KeyboardInterrupt, asyncio.CancelledError):
        logs_wanted = False
        raise KeyboardInterrupt from None
    finally:
        broker.stop()
        if logs_wanted:
            say(f"the logs are kept in {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    return 0 if report.ok else FOUND_WRONG


def _start(broker: Broker) -> None:
    began = time.monotonic()
    try:
        broker.start()
    except RuntimeError as error:
        raise CannotDo(str(error)) from error
    say(f"Kafka runs at {broker.bootstrap} ({time.monotonic() - began:.1f} s)")


class _Demo:
    """One demo on a running broker."""

    def __init__(self, bootstrap: str, home: Path, seed: int) -> None:
        self._bootstrap = bootstrap
        self._home = home
        self._seed = seed
        self._load = DemoLoad(seed)

    async def run(self, *, keep: bool, as_json: bool) -> DemoReport:
        # As Python does at Ctrl-C: an exception that is raised just anywhere leaves half made connections.
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await make_topics(self._bootstrap, PARTITIONS, timeout_s=READY_TIMEOUT_S)
        async with Services(self._home) as services:
            running = await self._start(services)
            if keep:
                say(f"watch it at {running.url}/console")
            report = await services.beside(self._drive(running))
            print_report(report, as_json=as_json)
            if keep:
                await self._keep(running)
        return report

    async def _start(self, services: Services) -> _Running:
        began = time.monotonic()
        workers = [self._worker(services, name, name) for name in ("worker-1", "worker-2")]
        gateway = services.service("gateway", "gateway", *self._cluster(), "--port", "0")
        first, _, url = await asyncio.gather(*(one.start(READY_TIMEOUT_S) for one in (*workers, gateway)))
        say(f"two workers and a gateway run ({time.monotonic() - began:.1f} s)")
        return _Running(services=services, worker=workers[0], instance=first.split()[1], url=url.split()[0])

    def _worker(self, services: Services, name: str, data_dir: str) -> Service:
        return services.service(name, "worker", *self._cluster(), "--data-dir", str(self._home / data_dir))

    def _cluster(self) -> tuple[str, ...]:
        return ("--bootstrap", self._bootstrap, "--partitions", str(PARTITIONS))

    async def _drive(self, running: _Running) -> DemoReport:
        held = await self._partitions_of(running.instance)
        http = HttpLoad(running.url, self._seed)
        async with exchange(self._bootstrap, batch_bytes=BATCH_BYTES) as link, Drive(link, self._load) as drive:
            await drive.open()
            say(f"{BURST_COMMANDS:,} commands as fast as possible")
            burst_s = await drive.burst(BURST_COMMANDS)
            say(f"{KAFKA_PER_S:,} commands/s over Kafka and {HTTP_PER_S:.0f} requests/s over HTTP")
            fault = await drive.steady(http, FAULT_S, lambda: self._kill_and_restart(running, drive, held))
            say(f"{HTTP_PER_S:.0f} requests/s over HTTP and nothing else")
            await http.run(per_second=HTTP_PER_S, seconds=HTTP_WARM_UP_S)
            alone = await http.run(per_second=HTTP_PER_S, seconds=ALONE_S)
            say(f"beside {KAFKA_PER_S:,} commands/s over Kafka, undisturbed")
            calm = await drive.steady(http, CALM_S)
        say("auditing: an independent model replays the log")
        return DemoReport(
            tally=drive.tally,
            burst_commands=BURST_COMMANDS,
            burst_s=burst_s,
            alone=alone,
            calm=calm,
            fault=fault,
            served_again_s=drive.served_again_s,
            audit=await audited(self._bootstrap, wait_s=PATIENCE_S),
        )

    async def _partitions_of(self, instance: str) -> list[int]:
        """Wait until both workers have partitions, and return those of one of them."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        async with connect(self._bootstrap) as cluster:
            while True:
                members = (await cluster.group(GROUP, COMMANDS)).members
                if len(members) > 1 and all(members.values()) and sum(map(len, members.values())) == PARTITIONS:
                    return next(held for member, held in members.items() if instance in member)
                if time.monotonic() > deadline:
                    raise CannotDo(f"the workers do not share the partitions: {members}")
                await asyncio.sleep(0.1)

    async def _kill_and_restart(self, running: _Running, drive: Drive, held: list[int]) -> None:
        await asyncio.sleep(KILL_AFTER_S)
        say(f"kill -9 of the worker that holds partitions {held}, in the middle of it")
        await running.worker.kill()
        drive.watch(held)
        # On the same disk: it gets the killed worker's partitions, and the other worker is not affected.
        again = self._worker(running.services, "worker-1-again", "worker-1")
        began = time.monotonic()
        await again.start(READY_TIMEOUT_S)
        say(f"another worker took its place ({time.monotonic() - began:.1f} s)")

    async def _keep(self, running: _Running) -> None:
        say(f"everything stays up until Ctrl-C, with a gentle load:\n  {running.url}/console\n  {running.url}/docs")
        say(f"  HOLDFAST_BOOTSTRAP={self._bootstrap} holdfast tail stock-changes\n  the logs are in {self._home}")
        gentle = GentleLoad(running.url, self._load)
        with contextlib.suppress(asyncio.CancelledError):
            async with exchange(self._bootstrap) as link:
                await gentle.prepare(link.producer, link.partitions)
            await gentle.run()
