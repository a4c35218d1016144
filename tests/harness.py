"""Helpers of the end-to-end tests: workers as processes, commands on the log, and the audit at the end."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.failpoints import VARIABLE
from audit.run import audit
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS, RESULTS
from tests.secure import environment_of
from tests.traffic import Traffic

PARTITIONS = 4
READY_WITHIN_S = 40.0


@contextlib.contextmanager
def worker_starter(kind=None):
    """Return a function that starts workers, as `kind` (`Worker`) does; none of them outlives the block."""
    started = []

    def start(*args, **options):
        worker = (kind or Worker)(*args, **options)
        started.append(worker)
        return worker

    try:
        yield start
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()


class Worker:
    """A `holdfast worker` process. Its standard error is kept in the data directory."""

    MODULE = "ops.cli"

    def __init__(self, bootstrap, data_dir, *, failpoint=None, standbys=0):
        self.bootstrap = bootstrap
        self.data_dir = Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        environment = environment_of("worker") | {"HOLDFAST_STANDBYS": str(standbys)}
        environment.pop(VARIABLE, None)
        if failpoint:
            environment[VARIABLE] = failpoint
        self.log_path = self.data_dir / "worker.log"
        self._log_from = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.MODULE, "worker", "--bootstrap", bootstrap, "--data-dir", str(data_dir),
                 "--partitions", str(PARTITIONS)],
                stdout=subprocess.PIPE, stderr=log, env=environment,
            )  # fmt: skip
        self._lines = []
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self.process.stdout:
            for line in self.process.stdout:
                self._lines.append(line.decode().strip())
                if line.startswith(b"ready"):
                    self._ready.set()

    async def ready(self, within_s=READY_WITHIN_S):
        """Wait until it is assigned and recovered; give the ready line."""
        for _ in range(int(within_s / 0.02)):
            if self._ready.is_set():
                return self._lines[-1]
            assert self.process.poll() is None, f"the worker ended:\n{self.log()}"
            await asyncio.sleep(0.02)
        raise AssertionError(f"the worker was not ready in {within_s} s:\n{self.log()}")

    async def passed(self, text, within_s=READY_WITHIN_S):
        """Wait until its log has a text."""
        for _ in range(int(within_s / 0.02)):
            if text.encode() in self.log_path.read_bytes()[self._log_from :]:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"the worker did not come to {text!r} in {within_s} s:\n{self.log()}")

    async def dead(self, within_s=30.0):
        """Wait until the process has ended; give its return code."""
        for _ in range(int(within_s / 0.02)):
            if self.process.poll() is not None:
                return self.process.returncode
            await asyncio.sleep(0.02)
        raise AssertionError(f"the worker lives on:\n{self.log()}")

    def signal(self, sign):
        self.process.send_signal(sign)

    async def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        await self.dead()

    async def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return await self.dead()

    def wipe(self):
        """Lose the disk: the ledgers are gone, the process is to come back as who it was."""
        shutil.rmtree(self.data_dir / "ledger", ignore_errors=True)

    def log(self):
        return self.log_path.read_text(errors="replace")[-4000:]


def wall_clock_ms():
    """Return the time of day."""
    return time.time_ns() // 1_000_000


def commands(seed, count, *, skus=40, now_ms=wall_clock_ms):
    """Yield (SKU, partition, value bytes) of `count` commands and some poison between them."""
    traffic = Traffic(seed, skus, partitions=PARTITIONS, now_ms=now_ms)
    for number in range(count):
        command = traffic.command(number)
        traffic.earlier.append(command)
        sku = command["sku"]
        partition = partition_of(sku, PARTITIONS)
        for at, value in (*traffic.poison(command, partition), *traffic.rules(number)):
            yield sku, at, value
        yield sku, partition, json.dumps(command).encode()


async def send(bootstrap, traffic, *, pause_s=0.0):
    """Write traffic to the commands topic; every record is acknowledged before this returns."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=300_000, **kafka_options()
    ) as producer:
        pending = []
        for number, (sku, partition, value) in enumerate(traffic):
            pending.append(await producer.send(COMMANDS, value, key=sku.encode(), partition=partition))
            if pause_s and number % 10 == 0:
                await asyncio.sleep(pause_s)
        await asyncio.gather(*pending)


class CommittedReader:
    """Reads the results with read_committed from before the faults until after them."""

    def __init__(self, bootstrap):
        self._bootstrap = bootstrap
        self.results = {partition: [] for partition in range(PARTITIONS)}

    async def __aenter__(self):
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            **kafka_options(),
        )
        await self._consumer.start()
        partitions = [TopicPartition(RESULTS, partition) for partition in range(PARTITIONS)]
        self._consumer.assign(partitions)
        self._from = await self._consumer.end_offsets(partitions)
        for tp, offset in self._from.items():
            self._consumer.seek(tp, offset)
        self._task = asyncio.create_task(self._read())
        return self

    async def _read(self):
        async for record in self._consumer:
            self.results[record.partition].append((record.offset, record.value))

    async def __aexit__(self, *_):
        self._task.cancel()
        await self._consumer.stop()

    async def assert_saw_what_stands(self):
        """The results that were read live equal those in the log now: none was taken back or missed."""
        seen, stands = await self.seen_and_standing()
        assert seen == stands, "what was read live is not what stands"

    async def seen_and_standing(self, *, wait_s=20.0):
        """Return, up to the log's present end, what was read live and what a reader that starts now finds.

        Both are {partition: [(offset, value), ...]}.
        """
        ends = await self._consumer.end_offsets(list(self._from))
        for tp in self._from:
            for _ in range(int(wait_s / 0.02)):
                if await self._consumer.position(tp) >= ends[tp]:
                    break
                await asyncio.sleep(0.02)
        seen = {tp.partition: [entry for entry in self.results[tp.partition] if entry[0] < ends[tp]] for tp in ends}
        stands = {tp.partition: [] for tp in ends}
        async with AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, isolation_level="read_committed", **kafka_options()
        ) as consumer:
            consumer.assign(list(self._from))
            for tp, offset in self._from.items():
                consumer.seek(tp, offset)
            for tp in self._from:
                while await consumer.position(tp) < ends[tp]:
                    for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                        stands[tp.partition] += [(r.offset, r.value) for r in records if r.offset < ends[tp]]
        return seen, stands


async def assert_audit_equal(bootstrap, *, wait_s=60.0):
    """Hold everything the ledger published against the independent model."""
    report = await audit(bootstrap, wait_s=wait_s)
    assert report.equal, report.differences[:5]
    counts = {name: getattr(report, name) for name in ("pending", "lost", "doubled", "oversold")}
    assert not any(counts.values()), counts
    assert report.complete, report.notes
    return report
