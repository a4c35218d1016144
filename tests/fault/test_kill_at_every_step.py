"""A worker is killed (SIGKILL) right before each numbered step of COMMIT and RECOVER; nothing is lost or doubled."""

import itertools

import pytest

from tests.harness import CommittedReader, assert_audit_equal, commands, send

COMMIT = ["commit.1", "commit.2", "commit.3", "commit.4", "commit.5", "commit.done"]
RECOVER = [f"recover.{step}" for step in range(1, 10)] + ["recover.done"]

_seeds = itertools.count(1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """One worker's disk over all tests of the module: each finds what the ones before have left."""
    return tmp_path_factory.mktemp("worker")


@pytest.mark.parametrize("disk", ["same disk", "wiped disk"])
@pytest.mark.parametrize("step", COMMIT + RECOVER)
async def test_a_worker_killed_before_a_step_loses_nothing_and_doubles_nothing(
    kafka, start_worker, data_dir, step, disk
):
    seed = next(_seeds)
    async with CommittedReader(kafka.bootstrap) as reader:
        # The third pass of a COMMIT step, so that there is something before it; the second partition's RECOVER.
        victim = start_worker(data_dir, failpoint=f"{step}:kill:{3 if step in COMMIT else 2}")
        await send(kafka.bootstrap, commands(seed, 250), pause_s=0.002)
        assert await victim.dead() == -9
        if disk == "wiped disk":
            victim.wipe()
        successor = start_worker(data_dir)
        await send(kafka.bootstrap, commands(seed + 10_000, 60))
        await successor.ready()
        await assert_audit_equal(kafka.bootstrap)
        await reader.assert_saw_what_stands()
    assert await successor.stop() == 0
