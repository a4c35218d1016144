"""What end-to-end tests stand on: workers as processes, traffic of every kind, and the audit at the end."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.failpoints import VARIABLE
from audit.run import audit
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS, RESULTS

PARTITIONS = 4
READY_WITHIN_S = 40.0


class Worker:
    """A `holdfast worker` process. Its standard error is kept in the data directory."""

    def __init__(self, bootstrap, data_dir, *, failpoint=None, standbys=0):
        self.data_dir = Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"HOLDFAST_STANDBYS": str(standbys)}
        environment.pop(VARIABLE, None)
        if failpoint:
            environment[VARIABLE] = failpoint
        self.log_path = self.data_dir / "worker.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "worker", "--bootstrap", bootstrap, "--data-dir", str(data_dir),
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


def commands(seed, count, *, skus=40):
    """Give (SKU, partition, value bytes) of every kind of traffic, good and bad; ids are unique per seed."""
    rng = random.Random(seed)
    names = [f"SKU {seed % 7}-{number}" for number in range(skus)]
    warehouses = ["bonn", "leeds", "york"]
    earlier, holds = [], []
    for number in range(count):
        sku = rng.choice(names)
        common = {"command_id": f"{seed}-{number}", "sku": sku}
        kind = rng.random()
        if number < skus:
            command = common | {
                "sku": names[number],
                "type": "adjust",
                "warehouse": rng.choice(warehouses),
                "delta": 50,
                "reason": "receipt",
            }
        elif kind < 0.12:
            command = common | {
                "type": "adjust",
                "warehouse": rng.choice(warehouses),
                "delta": rng.choice([-3, 5, 9]),
                "reason": "correction",
            }
        elif kind < 0.55:
            hold = f"r{seed}-{number}"
            command = common | {
                "type": "reserve",
                "reservation_id": hold,
                "quantity": rng.randint(1, 8),
                "ttl_ms": rng.choice([0, 300, 1500, 60_000]),
            }
            holds.append((sku, hold))
        elif kind < 0.85 and holds:
            sku, hold = rng.choice(holds)
            command = common | {"sku": sku, "type": rng.choice(["commit", "release", "extend"]), "reservation_id": hold}
            if command["type"] == "extend":
                command["ttl_ms"] = 900
            elif rng.random() < 0.3:
                command["quantity"] = 1
        elif kind < 0.9 and earlier:
            command = rng.choice(earlier)
        elif kind < 0.93 and earlier:
            command = rng.choice(earlier) | {"actor": "again", "reservation_id": "other"}
        else:
            command = common | {"type": "query"}
        earlier.append(command)
        partition = partition_of(command["sku"], PARTITIONS)
        poison = rng.random()
        if poison < 0.01:
            yield command["sku"], partition, b"{not json" + b"x" * rng.choice([1, 200_000])
        elif poison < 0.02:
            yield command["sku"], (partition + 1) % PARTITIONS, json.dumps(command).encode()
        elif poison < 0.03:
            yield command["sku"], partition, json.dumps(command | {"unknown": 1}).encode()
        yield command["sku"], partition, json.dumps(command).encode()


async def send(bootstrap, traffic, *, pause_s=0.0):
    """Write traffic to the commands topic; every record is acknowledged before this returns."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=300_000
    ) as producer:
        pending = []
        for number, (sku, partition, value) in enumerate(traffic):
            pending.append(await producer.send(COMMANDS, value, key=sku.encode(), partition=partition))
            if pause_s and number % 10 == 0:
                await asyncio.sleep(pause_s)
        await asyncio.gather(*pending)


class CommittedReader:
    """Reads the results with read_committed, from before the faults to after them; a reader that was there all along."""

    def __init__(self, bootstrap):
        self._bootstrap = bootstrap
        self.results = {partition: [] for partition in range(PARTITIONS)}

    async def __aenter__(self):
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, isolation_level="read_committed", enable_auto_commit=False
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
        """What was read live is what the log holds now: nothing that was seen was taken back, nothing was missed."""
        late = CommittedReader(self._bootstrap)
        ends = await self._consumer.end_offsets(list(self._from))
        for tp in self._from:
            for _ in range(500):
                if await self._consumer.position(tp) >= ends[tp]:
                    break
                await asyncio.sleep(0.02)
        async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap, isolation_level="read_committed") as consumer:
            consumer.assign(list(self._from))
            for tp, offset in self._from.items():
                consumer.seek(tp, offset)
            for tp in self._from:
                while await consumer.position(tp) < ends[tp]:
                    for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                        late.results[tp.partition] += [(r.offset, r.value) for r in records if r.offset < ends[tp]]
        for tp in self._from:
            seen = [entry for entry in self.results[tp.partition] if entry[0] < ends[tp]]
            assert seen == late.results[tp.partition]


async def assert_audit_equal(bootstrap, *, wait_s=60.0):
    """Hold everything the ledger published against the independent model."""
    report = await audit(bootstrap, wait_s=wait_s)
    assert report.equal, report.differences[:5]
    assert (report.pending, report.lost, report.doubled, report.oversold) == (0, 0, 0, 0)
    assert report.complete, report.notes
    return report
