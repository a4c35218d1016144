"""Workers are stopped and wake up, are replaced, or lose their disk; a broker is killed: nothing is lost or doubled."""

import asyncio
import gc
import signal
from contextlib import suppress

import pytest

from agents import worker as worker_process
from agents.config import WorkerConfig
from agents.status import StatusWriter
from tests.harness import CommittedReader, assert_audit_equal, commands, send

SESSION_S = 6.0


async def test_a_worker_that_sleeps_past_its_session_wakes_up_as_a_member_not_a_danger(kafka, start_worker, tmp_path):
    one, two = start_worker(tmp_path / "one"), start_worker(tmp_path / "two")
    await asyncio.gather(one.ready(), two.ready())
    async with CommittedReader(kafka.bootstrap) as reader:
        traffic = asyncio.create_task(send(kafka.bootstrap, commands(901, 1500), pause_s=0.15))
        await asyncio.sleep(2.0)
        one.signal(signal.SIGSTOP)
        await asyncio.sleep(SESSION_S + 4.0)
        one.signal(signal.SIGCONT)
        await traffic
        await assert_audit_equal(kafka.bootstrap)
        await reader.assert_saw_what_stands()
    assert one.process.poll() is None, f"it should have rejoined:\n{one.log()}"
    await two.kill()
    await send(kafka.bootstrap, commands(902, 100))
    await assert_audit_equal(kafka.bootstrap)
    assert await one.stop() == 0


async def test_a_broker_that_is_killed_and_restarted_takes_nothing_with_it(kafka, start_worker, tmp_path):
    worker = start_worker(tmp_path / "one")
    await worker.ready()
    for round_ in range(2):
        traffic = asyncio.create_task(send(kafka.bootstrap, commands(910 + round_, 600), pause_s=0.05))
        await asyncio.sleep(1.0)
        kafka.kill()
        await asyncio.sleep(1.0)
        kafka.start()
        await traffic
        await assert_audit_equal(kafka.bootstrap)
    assert worker.process.poll() is None, f"it should have waited for the broker:\n{worker.log()}"
    assert await worker.stop() == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_broker_that_dies_while_a_worker_starts_is_waited_for(kafka, tmp_path, monkeypatch):
    waits = []

    async def broker_dies_after_the_first_look(_config):
        waits.append(kafka.kill() if not waits else kafka.start())

    async def started_and_stopped(config):
        app = await asyncio.wait_for(worker_process._start(config), 60)
        assert (len(waits), app.started) == (2, True)
        await asyncio.wait_for(worker_process._announce(app, config), 60)
        status = StatusWriter(config.bootstrap, "one", app.partitions)
        saying = asyncio.create_task(status.run())
        with suppress(TimeoutError):
            await asyncio.wait_for(worker_process._stop(app, status, saying), 10)

    monkeypatch.setattr(worker_process, "_await_cluster", broker_dies_after_the_first_look)
    asyncio.run(started_and_stopped(WorkerConfig(bootstrap=kafka.bootstrap, data_dir=tmp_path / "one")))
    # Stopped in the midst of RECOVER, aiokafka leaves connections open that it is just making.
    gc.collect()


async def test_a_worker_ends_when_it_is_told_to_although_its_broker_is_away(kafka, start_worker, tmp_path):
    workers = [start_worker(tmp_path / "one", standbys=1), start_worker(tmp_path / "two", standbys=1)]
    for worker in workers:
        await worker.ready()
    await send(kafka.bootstrap, commands(915, 300))
    await assert_audit_equal(kafka.bootstrap)
    kafka.kill()
    await asyncio.sleep(1.0)
    for worker in workers:
        assert await worker.stop() == 0
    kafka.start()


async def test_workers_that_come_and_go_hand_their_partitions_over(kafka, start_worker, tmp_path):
    one = start_worker(tmp_path / "one", standbys=1)
    await one.ready()
    traffic = asyncio.create_task(send(kafka.bootstrap, commands(920, 1500), pause_s=0.1))
    two = start_worker(tmp_path / "two", standbys=1)
    await two.ready()
    await asyncio.sleep(2.0)
    assert await one.stop() == 0
    one = start_worker(tmp_path / "one", standbys=1)
    await one.ready()
    await two.kill()
    await traffic
    await assert_audit_equal(kafka.bootstrap)
    assert await one.stop() == 0


async def test_a_new_worker_on_an_empty_disk_rebuilds_everything_from_the_changelog(kafka, start_worker, tmp_path):
    await send(kafka.bootstrap, commands(930, 300))
    first = start_worker(tmp_path / "first")
    await first.ready()
    await assert_audit_equal(kafka.bootstrap)
    assert await first.stop() == 0
    second = start_worker(tmp_path / "second")
    await second.ready()
    await send(kafka.bootstrap, commands(930, 300))
    await assert_audit_equal(kafka.bootstrap)
    assert await second.stop() == 0
