"""Child services print when they are ready, explain why they are not, and end with their starter."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ops.problems import CannotDo
from ops.processes import Services


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, within_s=15.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


async def test_a_service_is_ready_when_it_says_so_and_is_stopped_with_its_block(tmp_path):
    async with Services(tmp_path) as services:
        broker = services.service("broker", "broker", "--port", "0", "--data-dir", str(tmp_path / "data"))
        address = await broker.start(60)
        pid = broker.pid
        assert address.startswith("127.0.0.1:")
        assert is_running(pid)
    assert not is_running(pid)


async def test_a_service_that_ends_before_it_is_ready_shows_its_log(tmp_path):
    async with Services(tmp_path) as services:
        worker = services.service("worker", "worker", "--no-such-option")
        with pytest.raises(CannotDo, match="worker ended with 2 before it was ready") as raised:
            await worker.start(30)
    assert "no-such-option" in str(raised.value)


async def test_a_service_that_is_not_ready_in_time_is_ended(tmp_path, nowhere):
    async with Services(tmp_path) as services:
        worker = services.service("worker", "worker", "--bootstrap", nowhere, "--data-dir", str(tmp_path / "w"))
        with pytest.raises(CannotDo, match="was not ready within 2 s"):
            await worker.start(2)
        pid = worker.pid
    assert not is_running(pid)


def test_a_service_dies_with_the_process_that_started_it(tmp_path, nowhere):
    code = f"""
        import asyncio, sys
        from pathlib import Path
        from ops.processes import Services

        async def main():
            async with Services(Path({str(tmp_path)!r})) as services:
                worker = services.service("w", "worker", "--bootstrap", {nowhere!r}, "--data-dir", {str(tmp_path)!r})
                starting = asyncio.create_task(worker.start(60))
                while worker.pid is None:
                    await asyncio.sleep(0.01)
                print(worker.pid, flush=True)
                await starting

        asyncio.run(main())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    assert is_running(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_running(child))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_broker_command_says_ready_and_stops_on_a_signal(tmp_path, sign):
    command = [sys.executable, "-m", "ops.cli", "broker", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as broker:
        assert broker.stdout.readline().startswith("ready 127.0.0.1:")
        broker.send_signal(sign)
        assert broker.wait(30) == 0
        assert "Traceback" not in broker.stderr.read()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("service", ["worker", "gateway"])
def test_a_service_that_waits_for_kafka_ends_on_a_signal_with_0(tmp_path, nowhere, service, sign):
    command = [sys.executable, "-m", "ops.cli", service, "--bootstrap", nowhere]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as waiting:
        assert f"no Kafka answers at {nowhere} yet" in waiting.stderr.readline()
        waiting.send_signal(sign)
        assert waiting.wait(10) == 0
        assert waiting.stderr.read() == ""


def test_the_broker_command_says_when_kafka_ends_by_itself(tmp_path):
    command = [sys.executable, "-m", "ops.cli", "broker", "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as broker:
        assert broker.stdout.readline().startswith("ready")
        (java,) = Path(f"/proc/{broker.pid}/task/{broker.pid}/children").read_text().split()
        os.kill(int(java), signal.SIGKILL)
        assert broker.wait(30) == 2
        assert "Kafka ended by itself" in broker.stderr.read()
