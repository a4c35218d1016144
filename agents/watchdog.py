"""Owns the watchdog: it ends a process whose event loop stands still, so that whoever runs it can start it again.

Where there are other workers, they take over after the session's time-out; a worker that is alone would stand for ever.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Ten sessions, six transactions: nothing that goes on in the loop takes as long, a slow disk included.
STILL_FOR_S = 60.0
_LOOK_EVERY_S = 1.0


@contextmanager
def watching(still_for_s: float = STILL_FOR_S, look_every_s: float = _LOOK_EVERY_S) -> Iterator[None]:
    """Watch the running event loop in the block: when it stands still, say where, and end the process with code 1.

    Time is counted in looks of the watching thread, not by a clock: a process that was stopped (SIGSTOP) and goes on
    was not standing still.

    Args:
        still_for_s: for so long the loop may not get to run anything.
        look_every_s: how often to look.
    """
    loop = asyncio.get_running_loop()
    over = threading.Event()
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    def watch() -> None:
        seen, looks = -1, 0
        while not over.wait(look_every_s):
            looks = 0 if beats != seen else looks + 1
            if looks * look_every_s >= still_for_s:
                print(f"the event loop has stood still for {still_for_s:.0f} s; ending", file=sys.stderr)  # noqa: T201
                faulthandler.dump_traceback(sys.stderr)
                os._exit(1)
            if looks == 0:
                seen = beats
                loop.call_soon_threadsafe(beat)

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
