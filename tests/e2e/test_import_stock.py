"""Counted stock goes into real workers, exactly once, although the import is killed in the middle."""

import asyncio
import contextlib
import json
import signal
import sys

import pytest

from ops.processes import Services
from tests.harness import PARTITIONS, assert_audit_equal
from tests.secure import acting_as, make_topics, running_broker

LINES = 60_000


@pytest.fixture
def kafka(tmp_path):
    with running_broker(tmp_path / "broker") as broker:
        asyncio.run(make_topics(broker.bootstrap, PARTITIONS))
        yield broker


@pytest.fixture
def counted(tmp_path):
    """Return a file that counts 20,000 SKUs in three warehouses."""
    rows = [f"gift {number // 3},w{number % 3},{number},{number % 5}" for number in range(LINES)]
    file = tmp_path / "stock.csv"
    file.write_text("sku,warehouse,on_hand,damaged\n" + "\n".join(rows) + "\n")
    return file


async def start_import(kafka, file):
    pipe = asyncio.subprocess.PIPE
    command = ("-m", "ops.cli", "import-stock", str(file), "--bootstrap", kafka.bootstrap, "--json")
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=pipe, stderr=pipe)


async def first_result(kafka):
    """Wait until a result of the import is published; the import is in the middle of its file then."""
    command = ("-m", "ops.cli", "tail", "results", "--from-beginning", "--sku", "gift 1", "--limit", "1")
    tail = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--bootstrap", kafka.bootstrap, stdout=asyncio.subprocess.DEVNULL
    )
    assert await asyncio.wait_for(tail.wait(), 60) == 0


async def test_an_import_of_stock_that_was_killed_is_finished_by_running_it_again(kafka, counted, tmp_path):
    async with Services(tmp_path) as services:
        options = ("--bootstrap", kafka.bootstrap, "--partitions", str(PARTITIONS), "--data-dir", str(tmp_path / "w"))
        with acting_as("worker"):
            await services.service("worker", "worker", *options).start(60)
        running = await start_import(kafka, counted)
        await first_result(kafka)
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        assert await running.wait() == -signal.SIGKILL, "it was done before it could be killed"
        out, err = await asyncio.wait_for((await start_import(kafka, counted)).communicate(), 120)
        report = json.loads(out)
        assert report["ok"], err.decode()
        assert (report["lines"], report["commands"], report["accepted"]) == (LINES, 2 * LINES, 2 * LINES)
        assert 0 < report["replayed"] < 2 * LINES
        assert report["units"] == {"on_hand": LINES * (LINES - 1) // 2, "damaged": 2 * LINES}
        await assert_audit_equal(kafka.bootstrap)
