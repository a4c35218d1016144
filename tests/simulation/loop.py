"""Owns virtual time: an asyncio event loop without a clock, sockets or threads, and processes that can die or sleep.

Everything that runs in one simulation runs in one loop. Which process a callback belongs to is kept in its context
(`contextvars`), so tasks inherit it. A callback of a dead process is dropped, as SIGKILL would; one of a sleeping
process waits until it is woken, as after SIGSTOP. Within the loop callbacks run in the order in which they were
scheduled, which is what asyncio promises; chance comes in with the delays of the network, drawn from a seed.
"""

import asyncio
import gc
import heapq
import itertools
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any


class Process:
    """A simulated operating system process."""

    current: ContextVar["Process | None"] = ContextVar("process", default=None)

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.name = name
        self.alive = True
        self.asleep = False
        self.steps = 0
        self.alarm_at = -1  # the step before which `alarm` is called
        self.alarm: Callable[[], None] = lambda: None
        self._loop = loop
        self.parked: list[events.Handle] = []
        loop.processes.append(self)
        self.context = copy_context()
        self.context.run(self.current.set, self)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine as a task of this process."""
        return self._loop.create_task(coroutine, context=self.context.copy())

    def after_steps(self, steps: int, alarm: Callable[[], None]) -> None:
        """Call `alarm` before the process runs its next callback but `steps`: between any two awaits."""
        self.alarm_at, self.alarm = self.steps + steps, alarm

    def kill(self) -> None:
        """End at once; no `finally` runs, nothing is said to anybody."""
        self.alive = False
        self._loop.dropped += self.parked
        self.parked.clear()

    def sleep(self) -> None:
        """Stand still; time passes."""
        self.asleep = True

    def wake(self) -> None:
        """Go on with what has piled up."""
        self.asleep = False
        self._loop.ready.extend(self.parked)
        self.parked.clear()


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in order, and jumps to the next timer when there is nothing to run."""

    def __init__(self) -> None:
        self.ready: deque[events.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []  # so that nothing is collected, and closed, in the midst of a run
        self.processes: list[Process] = []
        self.dropped: list[events.Handle] = []  # what dead processes would have done
        self._owners: list[Process | None] = []  # of the tasks
        self.executed = 0
        # A timer of a task, or a function and its arguments, which belong to no process.
        self._timers: list[tuple[float, int, events.TimerHandle | tuple[Callable[..., Any], tuple[Any, ...]]]] = []
        self._ids = itertools.count()
        self._now = 0.0
        self._filtering = True
        self._closed = False

    def time(self) -> float:
        return self._now

    def run(self, main: Coroutine[Any, Any, Any], *, most_steps: int) -> Any:
        """Run a coroutine to its end; whatever else was started is left where it is.

        Raises:
            RuntimeError: that took more than `most_steps` callbacks: something runs in circles.
        """
        with self._running():
            task = self.create_task(main)
            while not task.done():
                if self.executed > most_steps:
                    raise RuntimeError(f"no end after {most_steps} steps, at {self._now:.3f} s")
                self._step()
            return task.result()

    def unretrieved(self) -> list[BaseException]:
        """Return the errors that tasks ended with and nobody asked for."""
        # What a dead process has not asked for, it could not.
        living = (task for task, process in zip(self.tasks, self._owners, strict=True) if not process or process.alive)
        return [task.exception() for task in living if task.done() and task._log_traceback]  # type: ignore[misc]

    def close(self) -> None:
        """Cancel what is left and let it end in peace, so that no coroutine is torn apart by the collector."""
        self._filtering = False
        for process in self.processes:
            process.wake()
        self.ready.extend(self.dropped)
        with self._running():
            # A cancellation may be answered with another error, and the task go on; then it is cancelled again.
            while pending := [task for task in self.tasks if not task.done()]:
                for task in pending:
                    task.cancel()
                end = self._now + 3
                while self.ready or (self._timers and self._now < end and not all(task.done() for task in pending)):
                    self._step()
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()
        self._closed = True
        self.ready.clear()
        self._timers.clear()

    def _running(self) -> "_Running":
        return _Running(self)

    def _step(self) -> None:
        ready = self.ready
        if not ready:
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            if isinstance(timer, tuple):
                self.executed += 1
                timer[0](*timer[1])
            elif not timer._cancelled:
                ready.append(timer)
            return
        handle = ready.popleft()
        if handle._cancelled:
            return
        process = handle._context.get(Process.current) if self._filtering else None
        if process is not None:
            if process.steps == process.alarm_at:
                process.alarm_at = -1
                process.alarm()
            if not process.alive:
                self.dropped.append(handle)
                return
            if process.asleep:
                process.parked.append(handle)
                return
            process.steps += 1
        self.executed += 1
        handle._run()

    def outside(self, delay: float, what: Callable[..., Any], *args: Any) -> None:
        """Call something later that belongs to no process: the network, the brokers, fate."""
        if not self._closed:
            heapq.heappush(self._timers, (self._now + delay, next(self._ids), (what, args)))

    # What asyncio asks of a loop.

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        if not self._closed:
            self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> events.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> events.TimerHandle:
        timer = events.TimerHandle(when, callback, args, self, context)
        if not self._closed:
            heapq.heappush(self._timers, (when, next(self._ids), timer))
        return timer

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """Leave it in the heap; it is passed over."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> "asyncio.Task[Any]":
        task = asyncio.Task(coro, loop=self, name=name or "", context=context)
        self.tasks.append(task)
        self._owners.append((context or copy_context()).get(Process.current))
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Say nothing: `unretrieved` finds errors, and what is pending at the end was meant to be."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """See `call_exception_handler`."""


class _Running:
    """The loop while it runs: known to asyncio, closing forgotten generators, undisturbed by the cycle collector."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        self._collecting = gc.isenabled()
        gc.disable()  # when it runs depends on what ran before
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=lambda generator: self._loop.create_task(generator.aclose()) and None)
        self._outer = events._get_running_loop()
        events._set_running_loop(self._loop)

    def __exit__(self, *_: object) -> None:
        events._set_running_loop(self._outer)
        sys.set_asyncgen_hooks(*self._hooks)
        if self._collecting:
            gc.enable()
