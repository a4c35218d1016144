"""A command more touches the files that ADR 0009 lists, and no other; then it works from HTTP to the audit.

The command is written into a copy of the repository, from one declaration, and runs there on a real broker.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from contextlib import ExitStack

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.child import die_with_parent
from ops.kafka.broker import Broker
from ops.kafka.topics import ensure_topics
from schemas.partitioner import partition_of
from schemas.topics import STOCK_CHANGES
from tests.harness import PARTITIONS
from tests.tidy.repository import PACKAGES, ROOT, text_of

TAG, TYPE, SKU = "write_off", "WriteOff", "mug"
BY_HAND_AT_MOST = 11
GENERATED = ("docs/contract.md", f"schemas/avro/{TAG}.avsc")

CLASS = f'''
class {TYPE}(CommandOfSku, tag="{TAG}"):
    """Write damaged goods off."""

    warehouse: Annotated[Place, Meta(description="Whose damaged goods are written off.")]
    quantity: Annotated[Quantity, Meta(description="How many units.")]
    reason: Annotated[Text, Meta(description="Why.")] | None = None


class Query('''

CORE = f'''"""Owns the rule for `{TAG}`."""

from schemas.codes import Code
from schemas.commands import {TYPE}
from tables.core.decision import Outcome, Refusal, Rows, Sku
from tables.core.rows import Stock
from tables.core.rule import Rule


def {TAG}(_rows: Rows, sku: Sku | None, command: {TYPE}, _now_ms: int) -> Outcome | Refusal:
    """Take units out of the damaged ones."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    row = sku.stock.get(command.warehouse)
    if row is None:
        return Refusal(Code.UNKNOWN_WAREHOUSE)
    left = row.damaged - command.quantity
    if left < 0:
        return Refusal(Code.NEGATIVE_STOCK)
    after = Stock(sku.seq + 1, row.on_hand, row.reserved, left, row.safety_stock, row.inbound)
    return Outcome(((command.warehouse, after),), ({{"damaged": -command.quantity}},))


RULE = Rule({TYPE}, {TAG}, content=lambda c: ("{TAG}", c.warehouse, c.quantity, c.reason), cause=("reason",))
'''

MODEL = f'''"""Owns the model's rule for `{TAG}`."""

from audit.model.documents import cause_of
from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import {TYPE}


def {TAG}(state: PartitionState, command: {TYPE}) -> Effect:
    """Take units out of the damaged ones."""
    item = state.items.get(command.sku)
    if item is None:
        raise CommandRefused(Code.UNKNOWN_SKU)
    row = item.rows.get(command.warehouse)
    if row is None:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)
    if row.damaged < command.quantity:
        raise CommandRefused(Code.NEGATIVE_STOCK)
    row.damaged -= command.quantity
    cause = cause_of(command, "{TAG}", command.reason)
    state.change(command.sku, item, command.warehouse, row, cause, {{"damaged": -command.quantity}})
    return None, [(command.warehouse, row)]


RULE = Rule({TYPE}, {TAG}, lambda c: (c.warehouse, c.quantity, c.reason))
'''

ROUTE = f"""_SINGLE_ROUTES = (
    _command(
        {TYPE},
        "/v1/write-offs",
        "Write damaged goods off",
        (Code.UNKNOWN_SKU, Code.UNKNOWN_WAREHOUSE, Code.NEGATIVE_STOCK),
        scope=ADJUST,
        example={{"sku": "85123A", "warehouse": "leeds", "quantity": 2, "reason": "broken"}},
    ),
"""

EXAMPLE = f"""EXAMPLES = [
    {{"type": "{TAG}", "command_id": "c", "sku": "S", "warehouse": "w", "quantity": 2, "reason": "broken"}},
"""

STOCKED = "count=4, bucket='damaged', reason='damage'"
CORE_TEST = f"""

def test_a_write_off_takes_from_the_damaged_units():
    story = Story()
    story.tell("adjust", warehouse="w", {STOCKED})
    assert story.tell("{TAG}", warehouse="w", quantity=3)["stock"][0]["damaged"] == 1
    assert story.tell("{TAG}", warehouse="w", quantity=3)["code"] == "negative_stock"
"""
MODEL_TEST = f"""

def test_a_write_off_takes_from_the_damaged_units(new_log):
    log = new_log(0, 1)
    log.do("adjust", sku="S", warehouse="w", {STOCKED})
    assert log.do("{TAG}", sku="S", warehouse="w", quantity=3).results[0]["stock"][0]["damaged"] == 1
    assert log.do("{TAG}", sku="S", warehouse="w", quantity=3).results[0]["code"] == "negative_stock"
"""

NEW_FILES = {
    f"tables/core/{TAG}.py": CORE,
    f"audit/model/{TAG}.py": MODEL,
}
CHANGES = {
    "schemas/commands.py": [
        ("\nclass Query(", CLASS),
        ("SkuCommand = (\n    Adjust", f"SkuCommand = (\n    {TYPE}\n    | Adjust"),
    ],
    "tables/core/rules.py": [
        ("    adjust,", f"    {TAG},\n    adjust,"),
        ("        adjust.RULE,", f"        {TAG}.RULE,\n        adjust.RULE,"),
    ],
    "audit/model/rules.py": [
        ("    adjust,", f"    {TAG},\n    adjust,"),
        ("    adjust.RULE,", f"    {TAG}.RULE,\n    adjust.RULE,"),
    ],
    "gateway/routes/commands.py": [
        ("_SINGLE_ROUTES = (\n", ROUTE),
        ("from schemas.commands import (\n", f"from schemas.commands import (\n    {TYPE},\n"),
    ],
    "tests/examples.py": [("EXAMPLES = [\n", EXAMPLE)],
}
APPENDED = {
    "docs/how-to/who-may.md": "\n| `POST /v1/write-offs` | `adjust` |\n",
    "docs/semantics.md": f"\n`{TAG}`: `unknown_sku`, `unknown_warehouse`, `negative_stock`.\n",
    "tests/tables/core/test_decide.py": CORE_TEST,
    "tests/audit/test_model.py": MODEL_TEST,
}
# What holds of every command is tested by these, with the examples; none of them knows a command by its name alone.
TESTS = (
    "tests/schemas/test_avro_schemas.py",
    "tests/schemas/test_codec.py",
    "tests/tables/core/test_decide.py",
    "tests/audit/test_model.py",
    "tests/agents/test_fold_equals_model.py",
    "tests/gateway/test_command_routes.py",
    "tests/gateway/test_openapi.py",
    "tests/tidy/test_contract.py",
    "tests/tidy/test_routes_by_channel.py",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the repository that has the command."""
    copy = tmp_path_factory.mktemp("copy") / "repository"
    copy.mkdir()
    for name in (*PACKAGES, "tests", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    for name, text in NEW_FILES.items():
        (copy / name).write_text(text)
    for name, changes in CHANGES.items():
        text = text_of(ROOT / name)
        for before, after in changes:
            assert text.count(before) == 1, f"{name}: {before!r} should stand there once"
            text = text.replace(before, after)
        (copy / name).write_text(text)
    for name, text in APPENDED.items():
        (copy / name).write_text(text_of(ROOT / name) + text)
    run(copy, "-m", "tests.tidy.contract")
    return copy


def environment(copy):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return kept | {"PYTHONPATH": str(copy), "HOLDFAST_DRAIN_MS": "0"}


def run(copy, *arguments, given=None):
    """Run a Python in the copy to its end and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env=environment(copy),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_a_command_touches_eleven_files_by_hand_and_the_generated_ones():
    by_hand = {*NEW_FILES, *CHANGES, *APPENDED}
    assert len(by_hand) <= BY_HAND_AT_MOST
    listed = text_of(ROOT / "docs/adr/0009-one-declaration.md")
    for name in (*by_hand, *GENERATED):
        assert name.replace(TAG, "NAME") in listed, f"ADR 0009 does not list {name}"


def test_what_is_tested_of_every_command_holds_of_one_more(copy):
    assert "[100%]" in run(copy, "-m", "pytest", "-x", "-p", "no:cacheprovider", *TESTS)


def test_one_more_command_goes_from_http_to_the_audit(copy, tmp_path):
    with ExitStack() as ends:
        broker = Broker(tmp_path / "broker")
        broker.start()
        ends.callback(broker.stop)
        asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS))
        cluster = ("--bootstrap", broker.bootstrap, "--partitions", str(PARTITIONS))
        started(ends, copy, tmp_path, "worker", *cluster, "--data-dir", str(tmp_path / "worker"))
        url = started(ends, copy, tmp_path, "gateway", *cluster, "--port", "0")
        stock = {"sku": SKU, "warehouse": "leeds", "count": 4, "bucket": "damaged", "reason": "damage"}
        assert post(url, "/v1/adjustments", "in", stock)["status"] == "accepted"
        body = {"sku": SKU, "warehouse": "leeds", "quantity": 3, "reason": "broken"}
        first, again = post(url, "/v1/write-offs", "out", body), post(url, "/v1/write-offs", "out", body)
        assert (first["type"], first["status"], first["stock"][0]["damaged"]) == (TAG, "accepted", 1)
        assert (again["replayed"], again["seq"]) == (True, first["seq"])
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as answer:  # noqa: S310 - as below
            assert "/v1/write-offs" in json.load(answer)["paths"]
        line = json.dumps({"type": TAG, "command_id": "more", "sku": SKU, "warehouse": "leeds", "quantity": 9})
        assert "negative_stock" in run(copy, "-m", "ops.cli", "send", "--wait", *cluster[:2], given=f"{line}\n")
        change = asyncio.run(last_change(broker.bootstrap))
        assert (change["cause"]["type"], change["cause"]["reason"], change["delta"]) == (TAG, "broken", {"damaged": -3})
        report = json.loads(run(copy, "-m", "ops.cli", "audit", "--json", *cluster[:2]))
        assert report["equal"], report


def started(ends, copy, folder, service, *settings):
    """Start a service of the copy and return the last word of its ready line."""
    log = ends.enter_context((folder / f"{service}.log").open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", service, *settings],
        cwd=copy,
        env=environment(copy),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks Linux to end the child with its starter
    )
    ends.callback(process.wait, 30)
    ends.callback(process.terminate)
    ends.callback(process.stdout.close)
    ready = process.stdout.readline()
    assert ready.startswith("ready"), (folder / f"{service}.log").read_text()[-3000:]
    return ready.split()[1]


def post(url, path, key, body):
    """Send a command over HTTP and return its result."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), headers, method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the gateway of this test
        return json.load(answer)


async def last_change(bootstrap):
    """Return the last stock change of the SKU."""
    partition = TopicPartition(STOCK_CHANGES, partition_of(SKU, PARTITIONS))
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        changes = []
        while len(changes) < 2:
            changes += (await consumer.getmany(partition, timeout_ms=1_000)).get(partition, [])
        return json.loads(changes[-1].value)
    finally:
        await consumer.stop()
