"""The README's round trip prints what it says, and the examples double nothing when something is killed meanwhile.

The broker, the worker and the gateway that the examples run against are those that the README's own blocks start.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.child import die_with_parent
from ops.kafka.broker import free_port
from ops.kafka.runtime import prepare
from schemas.partitioner import partition_of
from schemas.topics import COMMANDS
from tests.harness import PARTITIONS, assert_audit_equal

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"\*\*Terminal (\d)\*\*|^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from one machine and one time to the next.
MASKED = [
    (re.compile(r'"(at|expires_at|partition|offset)":\d+'), r'"\1":N'),
    (re.compile(r"\bmug-\d+"), "mug-N"),
    (re.compile(r"ready worker [0-9a-f]{8} "), "ready worker ID "),
]
DONE = "-- this block is done --"


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
            "PYTHONPATH": str(ROOT),
        }
        if port:
            environment["HOLDFAST_PORT"] = port
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
        return self.terminals[number].run(code, until="ready"), said

    def python(self, *arguments, **options):
        """Start a Python that finds the examples."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=self.folder, env=environment, text=True, **options
        )

    def sent(self, sku, command_id):
        """Return how often a command stands in the log."""
        return asyncio.run(count_of(self.bootstrap, sku, command_id))

    def ask(self, *arguments, given=None):
        """Run `holdfast` and return what it prints."""
        command = [sys.executable, "-m", "ops.cli", *arguments, "--bootstrap", self.bootstrap]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=60).stdout

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
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
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


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("readme"))
    try:
        stage.started = {number: stage.open(number) for number in (1, 2, 3)}
        yield stage
    finally:
        for number in sorted(stage.terminals, reverse=True):
            stage.terminals[number].end(signal.SIGTERM)


@pytest.mark.skipif(not shutil.which("curl"), reason="the round trip needs curl")
def test_every_block_of_the_readmes_round_trip_prints_what_stands_below_it(stage):
    setting_up, *blocks = round_trip()
    assert setting_up == (0, "make setup\n", None)
    for number, (printed, said) in stage.started.items():
        # Logs and the progress of the first start come before the ready line.
        assert masked(printed).splitlines()[-1:] == masked(said).splitlines(), f"terminal {number}"
    terminal = stage.terminals[4] = Terminal(4, stage.folder, stage.ports)
    mine = [(code, said) for number, code, said in blocks if number == 4]
    assert len(mine) == 7
    for code, said in mine:
        assert masked(terminal.run(code)) == masked(said), code


def test_the_outbox_sends_again_what_a_killed_sender_sent_and_the_stock_moves_once(stage):
    sku, database = stage.stocked("outbox", 10), stage.folder / "shop.db"
    example = ROOT / "examples" / "shop_over_kafka.py"
    for order, quantity in (("order-1", 3), ("order-2", 100)):
        assert stage.python(example, database, "order", order, sku, quantity).wait(30) == 0
    dies_after_sending = (
        "import os, signal; from examples.shop_over_kafka import Shop, run\n"
        "class Dying(Shop):\n"
        "    def mark_sent(self, command_id): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    def take(self, *result): pass  # A result may be there before Kafka's acknowledgement is looked at.\n"
        f"run(Dying({str(database)!r}), {stage.bootstrap!r})"
    )
    assert stage.python("-c", dies_after_sending).wait(60) == -signal.SIGKILL
    assert stage.sent(sku, "order-1:reserve:1") == 1
    assert states(database) == [("order-1", "new"), ("order-2", "new")]
    again = stage.python(example, database, "run", stage.bootstrap, stdout=subprocess.PIPE)
    out, _ = again.communicate(timeout=60)
    assert out == "order-1 reserved\norder-2 insufficient_stock\n"
    assert stage.sent(sku, "order-1:reserve:1") == 2
    assert stage.reserved(sku) == 3


def states(database):
    return sqlite3.connect(database).execute("SELECT order_id, state FROM orders ORDER BY order_id").fetchall()


def test_the_http_client_repeats_its_key_until_a_killed_worker_is_back_and_the_stock_moves_once(stage):
    sku = stage.stocked("over-http", 10)
    stage.terminals[2].end(signal.SIGKILL)
    example = ROOT / "examples" / "shop_over_http.py"
    pipe = subprocess.PIPE
    client = stage.python(example, f"http://{stage.gateway}", "order-1", sku, 3, stdout=pipe, stderr=pipe)
    for attempt in (1, 2):
        assert client.stderr.readline().startswith(f"attempt {attempt}: 504; the same key again in ")
    stage.open(2)
    out, _ = client.communicate(timeout=60)
    assert (client.returncode, out.split()[:2]) == (0, ["order-1", "reserved"])
    assert stage.sent(sku, "order-1:reserve:1") >= 2
    assert stage.reserved(sku) == 3


def test_the_http_client_asks_once_for_what_is_refused(stage):
    sku = stage.stocked("refused", 10)
    example = ROOT / "examples" / "shop_over_http.py"
    client = stage.python(example, f"http://{stage.gateway}", "order-1", sku, 11, stdout=subprocess.PIPE)
    out, _ = client.communicate(timeout=60)
    assert (client.returncode, out) == (1, "order-1 insufficient_stock: 11 requested, 10 available.\n")
    assert stage.sent(sku, "order-1:reserve:1") == 1


@pytest.mark.skipif(not shutil.which("javac"), reason="no Java compiler (javac) on this machine")
def test_the_java_client_compiles_and_reserves(stage, tmp_path):
    sku = stage.stocked("java", 10)
    runtime = prepare(lambda _line: None, lambda _runtime: None)
    source = ROOT / "examples" / "ShopOverKafka.java"
    compiler = [
        "javac",
        "--release",
        "17",
        "-Xlint:all,-path,-classfile",
        "-cp",
        runtime.class_path,
        "-d",
        tmp_path,
        source,
    ]
    compiled = subprocess.run(compiler, capture_output=True, text=True, check=False, timeout=90)
    assert compiled.returncode == 0, compiled.stderr
    java = [runtime.java, "-cp", f"{tmp_path}:{runtime.class_path}", "ShopOverKafka"]
    command = [*java, stage.bootstrap, "order-1", sku, "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["command_id"], result["status"]) == ("order-1:reserve:1", "accepted")
    assert stage.reserved(sku) == 3


def test_the_audit_agrees_with_all_that_the_readme_and_the_examples_did(stage):
    asyncio.run(assert_audit_equal(stage.bootstrap))
