"""The demo shows that nothing is lost, doubled or oversold, and leaves nothing behind, however it ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

PIPE = asyncio.subprocess.PIPE


class Demo:
    """A `holdfast demo` process whose files all lie under one directory."""

    def __init__(self, folder, *options):
        self._folder = folder
        self._options = options

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ops.cli",
            "demo",
            *self._options,
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ | {"TMPDIR": str(self._folder)},
        )
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def told(self, what, within_s=90):
        """Wait until it says something on standard error."""
        async with asyncio.timeout(within_s):
            async for line in self.process.stderr:
                if what in line.decode():
                    return
        raise AssertionError(f"it ended without saying {what!r}")

    def processes(self):
        """List the processes that it started: their command lines name the directory."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self._folder).encode() in entry.read_bytes():
                    found.append(int(entry.parent.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found


@pytest.mark.timeout(300)
async def test_the_demo_loses_nothing_and_leaves_nothing(tmp_path):
    async with Demo(tmp_path, "--json", "--seed", "7") as demo:
        out, err = await demo.process.communicate()
    assert demo.process.returncode == 0, err.decode()
    summary = json.loads(out)
    assert summary["ok"]
    assert summary["commands"] > 50_000
    assert summary["http_requests"] > 500
    assert summary["audited_commands"] > summary["commands"]
    assert (summary["kills"], summary["lost"], summary["doubled"], summary["oversold"]) == (1, 0, 0, 0)
    assert summary["audit_equal"]
    assert demo.processes() == []
    assert list(tmp_path.glob("holdfast-demo-*")) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_a_demo_that_is_broken_off_leaves_nothing(tmp_path, sign):
    async with Demo(tmp_path) as demo:
        await demo.told("two workers and a gateway run")
        assert len(demo.processes()) >= 3
        demo.process.send_signal(sign)
        _, err = await asyncio.wait_for(demo.process.communicate(), 60)
    assert demo.process.returncode == 130, err.decode()
    assert "Traceback" not in err.decode()
    assert demo.processes() == []
    assert list(tmp_path.glob("holdfast-demo-*")) == []


async def test_a_demo_that_fails_keeps_its_logs_and_nothing_else(tmp_path):
    async with Demo(tmp_path) as demo:
        await demo.told("Kafka runs at")
        await demo.told("two workers and a gateway run")
        (gateway,) = (pid for pid in gateways() if pid in children_of(demo.process.pid))
        os.kill(gateway, signal.SIGKILL)
        _, err = await asyncio.wait_for(demo.process.communicate(), 60)
    assert demo.process.returncode == 2
    assert "gateway ended by itself with -9" in err.decode()
    assert demo.processes() == []
    (kept,) = tmp_path.glob("holdfast-demo-*")
    assert (kept / "gateway.log").exists()
    assert f"the logs are kept in {kept}" in err.decode()


def gateways():
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"\0gateway\0" in entry.read_bytes():
                yield int(entry.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue


def children_of(pid):
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
