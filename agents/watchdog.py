"""Owns the watchdog: it ends a process whose event loop stands still, so that whoever runs it can start it again.

Where there are other workers, they take over after the session's time-out; a worker that is alone would stand for ever.
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
    """Watch the running event loop in the block: when it stands still, end the process with code 1.

    The watching is Python's own `faulthandler`, whose thread needs no lock of Python's; RocksDB is called with it held.
    It goes by the clock, so a process that was stopped (SIGSTOP) for longer than `still_for_s` ends when it wakes up.

    Args:
        said_in: a file that is made anew; it says where the loop stood. Standard error may be what it waits for.
        still_for_s: for so long the loop may not get to run anything.
        beat_every_s: how often it shows that it does.
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
