"""Owns the watchdog: it ends a process whose event loop is blocked, so that it can be started again.

Other workers would take over after the session's time-out; a single worker would stay blocked for ever.
"""

import asyncio
import contextlib
import faulthandler
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

# Twenty session time-outs, twelve transaction time-outs: nothing that the loop runs takes that long, even on a slow
# disk.
STILL_FOR_S = 120.0
_BEAT_EVERY_S = 5.0


@asynccontextmanager
async def watching(
    said_in: Path, still_for_s: float = STILL_FOR_S, beat_every_s: float = _BEAT_EVERY_S
) -> AsyncIterator[None]:
    """Watch the running event loop during the block; when it is blocked for too long, end the process with code 1.

    It uses Python's `faulthandler`, whose thread does not need the GIL: calls of RocksDB hold it. It measures real
    time, so a process that was stopped (SIGSTOP) for longer than `still_for_s` ends when it wakes up.

    Args:
        said_in: a new file for the stack of the blocked loop. Not standard error: the loop may be blocked by writing to
            it.
        still_for_s: how long the loop may be blocked.
        beat_every_s: how often the loop shows that it runs.
    """
    with said_in.open("w") as file:

        async def beat() -> None:
            while True:
                faulthandler.dump_traceback_later(still_for_s, exit=True, file=file)
                await asyncio.sleep(beat_every_s)

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating
            faulthandler.cancel_dump_traceback_later()
