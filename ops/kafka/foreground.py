"""Owns `holdfast broker`: the embedded Kafka in the foreground, until a signal or until Kafka ends."""

import signal
import time
from pathlib import Path
from types import FrameType

from ops.kafka.broker import Broker, free_port
from ops.problems import COULD_NOT, CannotDo
from ops.screen import say

_WATCH_S = 0.2


class _Stop(Exception):
    """SIGTERM or SIGINT arrived."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    # A second signal must not interrupt the clean stop that the first one began.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise _Stop


def serve_broker(*, data_dir: Path, host: str, port: int, secure: bool = False) -> int:
    """Run the broker until SIGTERM or SIGINT.

    Args:
        data_dir: the broker's directory.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        secure: whether clients need TLS, a user and its rights.

    Returns:
        The exit code: 2 when Kafka ended by itself.

    Raises:
        CannotDo: it did not start.
    """
    broker = Broker(data_dir, port=port or free_port(), host=host, say=say, secure=secure)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        broker.start()
        for user, path in (broker.security.env_files() if broker.security else {}).items():
            say(f"settings of {user}: {path}")
        print(f"ready {broker.bootstrap}", flush=True)  # noqa: T201 - the line that scripts wait for
        while broker.poll() is None:
            time.sleep(_WATCH_S)
        say(f"Kafka ended by itself; see the end of {broker.log_file}")
    except _Stop:
        return 0
    except (OSError, RuntimeError) as error:
        raise CannotDo(f"the broker did not start: {error}") from error
    else:
        return COULD_NOT
    finally:
        broker.stop()
