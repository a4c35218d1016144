"""A process whose event loop is blocked is ended, and says where it was blocked."""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, ctypes, pathlib, sys, time
from agents.watchdog import watching

async def main():
    async with watching(pathlib.Path(sys.argv[1]), still_for_s=2.0, beat_every_s=0.1):
        await asyncio.sleep(0)
        print("begun", flush=True)
        {body}
    print("ended", flush=True)
    time.sleep(3)  # nobody watches any more

asyncio.run(main())
"""


@pytest.fixture
def start(tmp_path):
    children = []

    def start_one(body):
        command = [sys.executable, "-c", SCRIPT.format(body=body), str(tmp_path / "said")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout.readline() == "begun\n"
        return child

    yield start_one
    for child in children:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(600)",
        "ctypes.PyDLL(None).sleep(600)",  # with Python's lock held, as RocksDB is called
        "while True: sys.stderr.write('x' * 4096)",  # a pipe that nobody reads
    ],
)
def test_a_loop_that_stands_still_ends_the_process_and_says_where(start, tmp_path, body):
    assert start(body).wait(60) == 1
    assert "in main" in (tmp_path / "said").read_text()


def test_a_loop_that_is_busy_or_idle_is_left_alone(start, tmp_path):
    child = start("await asyncio.sleep(3)\n        for _ in range(30): time.sleep(0.1); await asyncio.sleep(0)")
    out, said = child.communicate(timeout=60)
    assert (out, said, child.returncode) == ("ended\n", "", 0)
    assert (tmp_path / "said").read_text() == ""


def test_a_process_that_was_stopped_for_a_shorter_time_goes_on(start):
    child = start("await asyncio.sleep(3)")
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    os.kill(child.pid, signal.SIGCONT)
    out, said = child.communicate(timeout=60)
    assert (out, said, child.returncode) == ("ended\n", "", 0)
