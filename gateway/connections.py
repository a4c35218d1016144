"""Owns the limits of connections: how many there are, and for how long each may keep silent or leave an answer unread.

Granian parses HTTP in Rust (hyper), which has its own limits:

- one clock for the time that a request's head takes and for the time that a connection may be idle;
- `431` without a problem document for more than 100 headers, and for a head that does not fit into its buffer;
- of a `Content-Length` beside a `Transfer-Encoding` only the latter counts (RFC 9112, 6.3) and is shown to us.
"""

import os
import resource
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from granian.http import HTTP1Settings

from gateway.incoming import MOST_HEADER_BYTES

# Further connections wait in the backlog. This does not limit requests; their limit answers 429.
MOST_CONNECTIONS = 4_096
_HEAD_WITHIN_MS = 5_000
_UNREAD_WITHIN_MS = 30_000
_FILES = 2 * MOST_CONNECTIONS  # connections, and what else is open


def http1_settings() -> HTTP1Settings:
    """Return the limits of a request's head."""
    return HTTP1Settings(header_read_timeout=_HEAD_WITHIN_MS, max_buffer_size=MOST_HEADER_BYTES)


def allow_open_files() -> None:
    """Let the process have as many open files as it needs for its connections, where the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit_unread_answers(port: int) -> None:
    """Close connections on which the other side takes nothing of an answer for 30 s.

    Granian makes the listening socket itself and has no such limit, but the kernel has, and new connections inherit it
    from the listening socket (TCP_USER_TIMEOUT; a window that stays closed counts too).

    Args:
        port: that of the listening socket.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        return
    for number in _sockets():
        with socket.socket(fileno=os.dup(number)) as found:
            is_ours = found.family in {socket.AF_INET, socket.AF_INET6} and found.getsockname()[1] == port
            if is_ours and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_WITHIN_MS)


def _sockets() -> Iterator[int]:
    for name in list(Path("/proc/self/fd").iterdir()):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(int(name.name)).st_mode)
        except OSError:  # closed meanwhile, as the one that listed them
            continue
        if is_socket:
            yield int(name.name)
