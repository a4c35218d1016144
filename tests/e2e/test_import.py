"""An import goes through, exactly once, while the worker, the broker and the import itself are killed."""

import asyncio
import contextlib
import json
import random
import sys

import pytest

from ops.importing.tally import Tally
from ops.processes import Services
from tests.harness import PARTITIONS, assert_audit_equal
from tests.secure import acting_as, make_topics, running_broker

LINES = 8_000


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with running_broker(tmp_path_factory.mktemp("broker")) as broker:
        asyncio.run(make_topics(broker.bootstrap, PARTITIONS))
        yield broker


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """Return a file of order lines as a shop has them: popular SKUs, spaces in ids, cancellations, write-offs."""
    rng = random.Random(3)
    rows = ["order_id,sku,quantity,ordered_at,country"]
    for number in range(LINES):
        sku = f"gift {int(rng.random() ** 2 * 300)}"
        kind, pieces = rng.random(), rng.randint(1, 12)
        order = f"C{number}" if kind < 0.03 else str(500_000 + number // 5)
        quantity = -pieces if kind < 0.05 else pieces
        day, hour = 1 + number * 27 // LINES, number * 24 * 27 // LINES % 24
        rows.append(f"{order},{sku},{quantity},2011-03-{day:02d} {hour:02d}:00:00,United Kingdom")
    file = tmp_path_factory.mktemp("orders") / "orders.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


class Import:
    """A `holdfast import` process."""

    def __init__(self, kafka, orders, *options):
        self._command = ["-m", "ops.cli", "import", str(orders), "--bootstrap", kafka.bootstrap, "--json", *options]

    async def __aenter__(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(sys.executable, *self._command, stdout=pipe, stderr=pipe)
        return self

    async def __aexit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def report(self):
        out, err = await asyncio.wait_for(self.process.communicate(), 120)
        assert self.process.returncode == 0, err.decode()
        return json.loads(out)


async def start_worker(services, kafka, data_dir, name):
    options = ("--bootstrap", kafka.bootstrap, "--partitions", str(PARTITIONS), "--data-dir", str(data_dir))
    worker = services.service(name, "worker", *options)
    with acting_as("worker"):
        await worker.start(60)
    return worker


async def test_an_import_survives_a_killed_worker_and_a_killed_broker(kafka, orders, tmp_path):
    async with Services(tmp_path) as services:
        first = await start_worker(services, kafka, tmp_path / "w", "worker")
        # A pace at which it takes about ten seconds, so that everything happens in the middle of it.
        options = ("--name", "faults", "--opening-stock", "60", "--replenish", "20", "--speed", str(27 * 86_400 / 10))
        async with Import(kafka, orders, *options) as running:
            await asyncio.sleep(4)
            await first.kill()
            await start_worker(services, kafka, tmp_path / "w", "worker-again")
            kafka.kill()
            kafka.start()
            report = await running.report()
        assert report["lines"] == LINES
        assert (report["missing"], report["doubled"], report["replayed"]) == (0, 0, 0)
        assert set(report["refused"]) <= {"insufficient_stock", "negative_stock", "unknown_sku"}
        assert 0 < report["units_allocated"] < report["units_asked"]
        await assert_audit_equal(kafka.bootstrap)


async def test_an_import_that_was_killed_is_finished_by_running_it_again(kafka, orders, tmp_path):
    async with Services(tmp_path) as services:
        await start_worker(services, kafka, tmp_path / "w", "worker")
        options = ("--name", "resumed", "--opening-stock", "60")
        async with Import(kafka, orders, *options, "--speed", str(27 * 86_400 / 10)) as running:
            await asyncio.sleep(5)
            running.process.kill()
        async with Import(kafka, orders, *options) as again:
            report = await again.report()
        assert 0 < report["replayed"] < report["commands"]
        assert (report["missing"], report["doubled"]) == (0, 0)
        await assert_audit_equal(kafka.bootstrap)


def test_the_count_knows_a_name_that_begins_like_another():
    tally = Tally(prefix="faults:")
    assert not tally.receive_result(b'{"command_id":"faults-2:1","status":"accepted","code":null}')
