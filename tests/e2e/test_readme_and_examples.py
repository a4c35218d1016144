"""The README's round trip prints what it says, and the examples double nothing when something is killed meanwhile.

The broker, the worker and the gateway that the examples run against are those that the README's own blocks start.
"""

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from ops.kafka.runtime import prepare
from tests.e2e.stage import Terminal, masked, round_trip
from tests.harness import assert_audit_equal

ROOT = Path(__file__).resolve().parents[2]


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
