"""A process whose event loop stands still is ended, and says where it stood; one that was stopped goes on."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, sys, time
from agents.watchdog import watching

async def main():
    with watching(still_for_s=1.0, look_every_s=0.1):
        print("begun", flush=True)
        {body}
    print("ended", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def started():
    children = []

    def start(body):
        command = [sys.executable, "-c", SCRIPT.format(body=body)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout.readline() == "begun\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_a_loop_that_stands_still_ends_the_process_and_says_where(started):
    child = started("time.sleep(600)")
    _, said = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "has stood still" in said
    assert "in main" in said


def test_a_loop_that_is_busy_or_idle_is_left_alone(started):
    child = started("await asyncio.sleep(2)\n        for _ in range(20): time.sleep(0.1); await asyncio.sleep(0)")
    out, said = child.communicate(timeout=60)
    assert (out, said, child.returncode) == ("ended\n", "", 0)


def test_a_process_that_was_stopped_for_longer_goes_on(started):
    child = started("await asyncio.sleep(4)")
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(3)
    os.kill(child.pid, signal.SIGCONT)
    out, said = child.communicate(timeout=60)
    assert (out, said, child.returncode) == ("ended\n", "", 0)
