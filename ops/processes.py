"""Owns worker and gateway as child processes: their ready line and their end; none outlives its starter."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from ops.child import die_with_parent
from ops.problems import CannotDo

_STOP_TIMEOUT_S = 8.0
_SHOWN_LINES = 15
_WATCH_S = 0.2

T = TypeVar("T")


class Service:
    """One `holdfast worker` or `holdfast gateway` as a child process.

    Start it from a thread that lives as long: Linux ends it with that thread.

    Args:
        name: its name for people; its log is `name.log`.
        arguments: the subcommand and its options.
        logs: the directory of its log.
    """

    def __init__(self, name: str, arguments: list[str], *, logs: Path) -> None:
        self.name = name
        self.log_file = logs / f"{name}.log"
        self._arguments = arguments
        self._process: Process | None = None
        self._is_to_end = False

    @property
    def pid(self) -> int | None:
        """Return the process id, None when it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, timeout_s: float) -> str:
        """Start it and wait for its ready line.

        Returns:
            What follows `ready` in that line.

        Raises:
            CannotDo: it ended, or was not ready in time; has the end of its log.
        """
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ops.cli",
                *self._arguments,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                env={"HOLDFAST_DRAIN_MS": "0", **os.environ},  # no balancer stands before its gateway
                # In a session of its own it gets no Ctrl-C: its starter stops it, in the right order.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ready_line(self._process)
        except TimeoutError:
            raise CannotDo(f"{self.name} was not ready within {timeout_s:g} s. {self.log_tail()}") from None

    async def _ready_line(self, process: Process) -> str:
        if process.stdout is None:
            raise RuntimeError("the process was started without a pipe")
        async for line in process.stdout:
            text = line.decode(errors="replace").strip()
            if text.startswith("ready"):
                return text.removeprefix("ready").strip()
        raise CannotDo(f"{self.name} ended with {await process.wait()} before it was ready. {self.log_tail()}")

    def ended_by_itself(self) -> int | None:
        """Return the exit code of a process that ended by itself; None otherwise."""
        return None if self._process is None or self._is_to_end else self._process.returncode

    def log_tail(self) -> str:
        """Return the path and the end of its log."""
        lines = self.log_file.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
        return f"The end of {self.log_file}:\n" + "\n".join(lines)

    async def stop(self) -> None:
        """Stop it with SIGTERM; kill it when that takes too long."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End it at once, like a crash (SIGKILL)."""
        await self._end(signal.SIGKILL)

    async def _end(self, sign: signal.Signals) -> None:
        self._is_to_end = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sign)
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


class Services:
    """The services of a block; none of them runs after it."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._started: list[Service] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Gateways were started last and end first, while workers can still answer.
        for service in reversed(self._started):
            await service.stop()

    def service(self, name: str, *arguments: str) -> Service:
        """Return a new service; if it is started, the end of the block stops it."""
        made = Service(name, list(arguments), logs=self._logs)
        self._started.append(made)
        return made

    async def beside(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work that needs all services.

        Raises:
            CannotDo: one of them ended meanwhile; the work was cancelled.
        """
        doing = asyncio.create_task(work)
        watching = asyncio.create_task(self._one_ended())
        try:
            await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            broken_off = watching.done() and not doing.done()
            watching.cancel()
            doing.cancel()
            await asyncio.wait({doing, watching})
        if broken_off:
            raise CannotDo(watching.result())
        return doing.result()

    async def _one_ended(self) -> str:
        while True:
            for service in self._started:
                if (code := service.ended_by_itself()) is not None:
                    return f"{service.name} ended by itself with {code}. {service.log_tail()}"
            await asyncio.sleep(_WATCH_S)
