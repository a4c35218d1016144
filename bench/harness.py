"""Owns the setting of a benchmark: its own Kafka in a temporary directory, and the measured processes."""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.topics import PARTITIONS, delete_topics, make_holdfast_topics, make_topics
from ops.child import die_with_parent
from ops.kafka.broker import Broker
from schemas.topics import TOPICS

_ROOT = Path(__file__).resolve().parent.parent
_POLL_S = 0.01
_STOP_S = 10.0
_LAST_LINES = 15


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Child:
    """A measured process; its output goes to files, and it ends with this process.

    Args:
        name: its name in errors and of its files.
        folder: where its output goes.
        command: its command line.
    """

    def __init__(self, name: str, folder: Path, command: Sequence[str]) -> None:
        self.name = name
        self._out = folder / f"{name}.out"
        self._err = folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=_ROOT,
                env={"HOLDFAST_DRAIN_MS": "0", **os.environ},  # no balancer stands before a gateway
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of libc, no Python state
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def line(self, start: str) -> str | None:
        """Return the first complete line of its output that begins with a text; None when there is none yet."""
        lines = self._out.read_text().splitlines(keepends=True)
        return next((line.strip() for line in lines if line.startswith(start) and line.endswith("\n")), None)

    def await_line(self, start: str, timeout_s: float = 60.0) -> str:
        """Wait for a line of its output that begins with a text.

        Raises:
            RuntimeError: it ended, or the time is over; has the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while (line := self.line(start)) is None:
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not print {start!r} within {timeout_s:.0f} s. {self._tail()}")
            time.sleep(_POLL_S)
        return line

    def logged(self, pattern: str) -> str:
        """Return the first group of a pattern in its log.

        Raises:
            RuntimeError: the log has nothing like it.
        """
        found = re.search(pattern, self._err.read_text(errors="replace"))
        if found is None:
            raise RuntimeError(f"{self.name} did not log {pattern!r}. {self._tail()}")
        return found[1]

    def check(self) -> None:
        """Check that it runs.

        Raises:
            RuntimeError: it ended.
        """
        code = self._process.poll()
        if code is not None and self.line("ready") is None and self.line("{") is None:
            raise RuntimeError(f"{self.name} ended with code {code}. {self._tail()}")
        if code:
            raise RuntimeError(f"{self.name} failed with code {code}. {self._tail()}")

    def _tail(self) -> str:
        lines = self._err.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "The end of its log:\n" + "\n".join(lines)

    def stop(self) -> None:
        """End it with SIGTERM; with SIGKILL when that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        self.kill_at_once()
        self._process.wait()

    def kill_at_once(self) -> None:
        """Send SIGKILL, without waiting for its end."""
        self._process.kill()

    @property
    def cpu_s(self) -> float:
        """Return the processor time that it has used, in seconds; a busy machine changes it least."""
        return _cpu_s(self.pid)

    def memory_mb(self, field: str) -> float:
        """Return a size from its `/proc/PID/status`, in MB (10^6 bytes): `VmRSS` is current, `VmHWM` the peak."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError(f"{self.name}: /proc has no {field}; the memory is measured on Linux only")


class ChildGroup:
    """Processes that do one job together and are measured as one.

    Args:
        name: names them in errors.
        children: the processes.
    """

    def __init__(self, name: str, children: Sequence[Child]) -> None:
        self.name = name
        self._children = children

    def check(self) -> None:
        """Check that all of them run.

        Raises:
            RuntimeError: one ended.
        """
        for child in self._children:
            child.check()

    def stop(self) -> None:
        """End them one after the other with SIGTERM."""
        for child in self._children:
            child.stop()

    def kill(self) -> None:
        """End them with SIGKILL."""
        for child in self._children:
            child.kill()

    @property
    def cpu_s(self) -> float:
        """Return the processor time that they have used together, in seconds."""
        return sum(child.cpu_s for child in self._children)


class Stage:
    """A broker with Holdfast's topics and the processes on it; the end of the block stops and removes everything."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
        # Both of Java's compilers, as on a broker that runs for long: what is measured here is warmed up first.
        self._broker = Broker(self._folder / "broker", java_flags=())
        self._children: list[Child] = []
        self._names = 0

    def __enter__(self) -> Self:
        try:
            self._broker.start()
            asyncio.run(make_holdfast_topics(self.bootstrap))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
        self._broker.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def bootstrap(self) -> str:
        """Return the broker's address."""
        return self._broker.bootstrap

    @property
    def broker_cpu_s(self) -> float:
        """Return the processor time that the broker has used, in seconds.

        Raises:
            RuntimeError: it does not run.
        """
        if self._broker.pid is None:
            raise RuntimeError("the broker ended")
        return _cpu_s(self._broker.pid)

    def new_folder(self, name: str) -> Path:
        """Make an empty directory: the data directory of a process."""
        self._names += 1
        folder = self._folder / f"{name}-{self._names}"
        folder.mkdir()
        return folder

    def spawn(self, name: str, module: str, *arguments: str) -> Child:
        """Start `python -m MODULE --bootstrap ... ARGUMENTS` without waiting for anything."""
        return self.run(name, [sys.executable, "-m", module, "--bootstrap", self.bootstrap, *arguments])

    def run(self, name: str, command: Sequence[str]) -> Child:
        """Start any command without waiting for anything."""
        self._names += 1
        child = Child(f"{name}-{self._names}", self._folder, command)
        self._children.append(child)
        return child

    def worker(self, data_dir: Path) -> Child:
        """Start `holdfast worker` as a user would, without waiting until it is ready."""
        return self._service("worker", "--data-dir", str(data_dir))

    def gateway(self) -> Child:
        """Start `holdfast gateway` on a free port, without waiting until it is ready."""
        return self._service("gateway", "--port", "0")

    def _service(self, command: str, *arguments: str) -> Child:
        settings = ["--bootstrap", self.bootstrap, "--partitions", str(PARTITIONS)]
        return self.run(command, [sys.executable, "-m", "ops.cli", command, *settings, *arguments])

    @contextlib.contextmanager
    def running(self, child: Child, *, ready: str = "ready") -> Iterator[Child]:
        """Wait until a child is ready, and end it with SIGTERM after the block."""
        try:
            child.await_line(ready)
            yield child
        finally:
            child.stop()

    def renew_all_topics(self) -> None:
        """Empty all of Holdfast's topics of earlier benchmarks' records."""
        self.renew_topics(*TOPICS)

    def renew_topics(self, *names: str) -> None:
        """Delete some of Holdfast's topics and make them again, empty."""
        asyncio.run(self._renew(names))

    async def _renew(self, names: Sequence[str]) -> None:
        await delete_topics(self.bootstrap, names)
        await make_holdfast_topics(self.bootstrap)

    def make_topics(self, *names: str) -> None:
        """Make topics of a benchmark's own."""
        asyncio.run(make_topics(self.bootstrap, names))
