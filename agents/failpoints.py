"""Owns the failpoints: named steps at which a worker under test fails.

`HOLDFAST_FAILPOINT=NAME:ACTION[:N]` arms one in a process; it acts the N-th time it is passed (the first by default).
`commit.1` to `commit.5`, `recover.1` to `recover.9` and `revoke.1` to `revoke.3` are right before the step of that
number, `commit.done` and `recover.done` after the last step. Actions: `kill` (SIGKILL), `stop` (SIGSTOP), `raise`,
`hang`. An unarmed failpoint is a call of an empty function.
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
