"""Owns the stage of the end-to-end tests: a broker, a worker and a gateway, as the README's own blocks start them."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.child import die_with_parent
from ops.kafka.broker import free_port
from schemas.kafka_connection import kafka_options
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS
from tests import secure
from tests.harness import PARTITIONS

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"\*\*Terminal (\d)\*\*|^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from one machine and one time to the next.
MASKED = [
    (re.compile(r'"(at|expires_at|partition|offset)":\d+'), r'"\1":N'),
    (re.compile(r"\bmug-\d+"), "mug-N"),
    (re.compile(r"ready worker [0-9a-f]{8} "), "ready worker ID "),
]
DONE = "-- this block is done --"
BROKER = ".holdfast/broker"  # where the README's broker keeps its data


def round_trip():
    """Return `(terminal, code, output)` of each block of the README's round trip; the first is the setting up."""
    readme = (ROOT / "README.md").read_text()
    section = readme[readme.index("## One round trip") :].partition("\n## ")[0]
    terminal, blocks = 0, []
    for number, kind, text in BLOCK.findall(section):
        if number:
            terminal = int(number)
        elif kind == "sh":
            blocks.append([terminal, text, None])
        else:
            assert blocks[-1][2] is None, "two outputs follow one block"
            blocks[-1][2] = text
    return [tuple(block) for block in blocks]


def masked(text):
    for pattern, mask in MASKED:
        text = pattern.sub(mask, text)
    return text


class Terminal:
    """A bash that runs blocks in a directory where `.venv/bin/holdfast` is, with what it prints."""

    def __init__(self, number, folder, ports):
        self._ports = ports
        self._file = folder / f"terminal-{number}.out"
        self._printed_from = 0
        bootstrap, gateway = ports["127.0.0.1:9092"], ports["127.0.0.1:8080"]
        port = {1: bootstrap, 3: gateway}.get(number, "").rpartition(":")[2]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | {
            "HOLDFAST_BOOTSTRAP": bootstrap,
            "HOLDFAST_REQUEST_TIMEOUT": "1",
            "HOLDFAST_DRAIN_MS": "0",
            "PYTHONPATH": str(ROOT),
        }
        if port:
            environment["HOLDFAST_PORT"] = port
        if secure.IS_WANTED and number == 1:
            environment["HOLDFAST_BROKER_SECURE"] = "true"
        elif secure.IS_WANTED:
            role = {2: "worker", 3: "gateway"}.get(number, "operator")
            environment |= secure.settings_in(folder / BROKER / f"{role}.env")
        with self._file.open("wb") as out:
            self.process = subprocess.Popen(
                ["bash"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                cwd=folder,
                env=environment,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks Linux to end the child with its starter
            )

    def run(self, code, until=DONE, within_s=90):
        """Run a block and return what it prints, up to the line that begins with `until`, with the README's ports."""
        for printed, real in self._ports.items():
            code = code.replace(printed, real)
        self.process.stdin.write(code + (f"echo '{DONE}'\n" if until == DONE else ""))
        self.process.stdin.flush()
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            text = self._file.read_text()[self._printed_from :]
            if re.search(rf"^{re.escape(until)}.*\n", text, re.MULTILINE):
                self._printed_from += len(text)
                for printed, real in self._ports.items():
                    text = text.replace(real, printed)
                return text.replace(f"{DONE}\n", "")
            time.sleep(0.05)
        raise AssertionError(f"no {until!r} in {within_s} s after:\n{code}\n{self._file.read_text()}")

    def end(self, sign):
        """End the shell and all that it runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, sign)
        self.process.stdin.close()
        self.process.wait(30)


class Stage:
    """The README's terminals 1 to 3, as its blocks start them, on free ports."""

    def __init__(self, folder):
        self.folder = folder
        (folder / ".venv").symlink_to(sys.prefix)
        self.ports = {f"127.0.0.1:{port}": f"127.0.0.1:{free_port()}" for port in (9092, 8080)}
        self.bootstrap, self.gateway = self.ports.values()
        self.terminals = {}

    def open(self, number):
        """Open a terminal anew, and return what its only block prints and what the README says that it prints."""
        self.terminals[number] = Terminal(number, self.folder, self.ports)
        ((code, said),) = [(code, output) for terminal, code, output in round_trip() if terminal == number]
        printed = self.terminals[number].run(code, until="ready")
        return re.sub(r"^(?:holdfast: )?settings of .*\n", "", printed, flags=re.MULTILINE), said

    def python(self, *arguments, **options):
        """Start a Python that finds the examples."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=self.folder, env=environment, text=True, **options
        )

    def sent(self, sku, command_id):
        """Return how often a command stands in the log."""
        return asyncio.run(count_of(self.bootstrap, sku, command_id))

    def ask(self, *arguments, given=None, code=0):
        """Run `holdfast` and return what it prints; it must end with `code`, whatever it is when that is None."""
        command = [sys.executable, "-m", "ops.cli", *arguments, "--bootstrap", self.bootstrap]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)
        if code not in {None, done.returncode}:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def stocked(self, sku, units):
        """Give a SKU its stock."""
        adjust = {"type": "adjust", "sku": sku, "warehouse": "leeds", "delta": units, "reason": "receipt"}
        assert '"accepted"' in self.ask("send", "--wait", given=json.dumps({"command_id": "in", **adjust}) + "\n")
        return sku

    def reserved(self, sku):
        """Return how many units of a SKU are reserved, read through the log."""
        (row,) = json.loads(self.ask("stock", sku, "--json"))["stock"]
        return row["reserved"]


async def count_of(bootstrap, sku, command_id):
    partition = TopicPartition(COMMANDS, partition_of(sku, PARTITIONS))
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, **kafka_options())
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        count = 0
        while await consumer.position(partition) < end:
            for record in (await consumer.getmany(partition, timeout_ms=200)).get(partition, []):
                count += record.key == sku.encode() and json.loads(record.value)["command_id"] == command_id
        return count
    finally:
        await consumer.stop()
