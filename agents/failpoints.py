"""Owns the failpoints: named places at which a worker under test is made to fail.

`HOLDFAST_FAILPOINT=NAME:ACTION[:N]` arms one in a process, for the N-th time the place is passed (the first by
default). Names are those of the numbered steps: `commit.1` to `commit.5`, `recover.1` to `recover.9`, `revoke.1` to
`revoke.3`; each stands right before its step, `commit.done` and `recover.done` after the last. Actions: `kill`
(SIGKILL), `stop` (SIGSTOP), `raise`, `hang`. Unarmed, a failpoint is the call of an empty function.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

VARIABLE = "HOLDFAST_FAILPOINT"


class FailpointError(Exception):
    """Raised by a failpoint whose action is `raise`."""


def _pass(_name: str) -> None:
    return


def _armed(spec: str) -> Callable[[str], None]:
    armed_name, action, *rest = spec.split(":")
    remaining = int(rest[0]) if rest else 1

    def fail(name: str) -> None:
        nonlocal remaining
        if name != armed_name or remaining == 0:
            return
        remaining -= 1
        if remaining:
            return
        print(f"failpoint {name}: {action}", file=sys.stderr, flush=True)  # noqa: T201 - the test reads it
        match action:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "raise":
                raise FailpointError(name)
            case "hang":
                time.sleep(3600)
            case _:
                raise ValueError(f"{VARIABLE}={spec}: no action {action!r}; use kill, stop, raise or hang")

    return fail


hit: Callable[[str], None] = _armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _pass
