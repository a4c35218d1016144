"""A gateway that is interrupted while it starts ends: soon, with exit code 0, and without a panic or a traceback.

`make interrupts` tries it 1,000 times while other processes keep the processors busy.
"""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys

import pytest

TRIES = int(os.environ.get("HOLDFAST_TEST_INTERRUPTS", "30"))
SEED = int(os.environ.get("HOLDFAST_TEST_INTERRUPTS_SEED", "1"))
# Processes that do nothing but take processor time beside the gateways.
BUSY = int(os.environ.get("HOLDFAST_TEST_BUSY", "0"))
AT_A_TIME = 4
# The process says `go` when its modules are loaded; it serves some 100 ms later, more under load.
CODE = """
import sys
from gateway.config import GatewayConfig
from gateway.server import run
from ops.logs import log_to_stderr
log_to_stderr()
sys.stderr.write("go\\n")
sys.stderr.flush()
run(GatewayConfig(bootstrap="127.0.0.1:1", port=0, drain_ms=0))
"""
LATEST_S = 0.4 * (1 + BUSY)
# Interrupted between `go` and `run`, Python itself ends the process.
ENDED_BY_PYTHON = (-signal.SIGINT, -signal.SIGTERM)


async def interrupted(number: int, after_s: float) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CODE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert await process.stderr.readline() == b"go\n"
        await asyncio.sleep(after_s)
        process.send_signal(number)
        _, errors = await asyncio.wait_for(process.communicate(), 15)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, errors.decode()


@contextlib.contextmanager
def busy_processors():
    processes = [subprocess.Popen((sys.executable, "-c", "while True: pass")) for _ in range(BUSY)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.timeout(60 + TRIES * 5)
async def test_a_gateway_that_is_interrupted_while_it_starts_ends_cleanly():
    chance = random.Random(SEED)
    places = asyncio.Semaphore(AT_A_TIME)

    async def attempt():
        number = chance.choice((signal.SIGINT, signal.SIGTERM))
        after_s = chance.uniform(0.005, LATEST_S)
        async with places:
            return after_s, *await interrupted(number, after_s)

    with busy_processors():
        ended = await asyncio.gather(*(attempt() for _ in range(TRIES)))
    for after_s, code, errors in ended:
        told = f"after {after_s:.3f} s: exit {code}\n{errors}"
        assert "panicked" not in errors, told
        if code not in ENDED_BY_PYTHON:
            assert code == 0, told
            assert "Traceback" not in errors, told
