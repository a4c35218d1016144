"""Owns the smallest request to a starting Kafka: which cluster answers at an address."""

import contextlib
import socket
import struct
from io import BytesIO

# Metadata v2, correlation id 1, client "probe", no topics: the smallest request whose answer names the cluster.
_QUESTION = struct.pack(">hhih5si", 3, 2, 1, 5, b"probe", 0)
_CONNECT_TIMEOUT_S = 0.5
_ANSWER_TIMEOUT_S = 2.0
_LONGEST_ANSWER = 1 << 20
_CORRELATION_BYTES = 4


def cluster_at(host: str, port: int) -> str | None:
    """Return the id of the cluster whose broker answers at an address.

    Args:
        host: the address.
        port: the port.

    Returns:
        The id, empty when the broker does not know it yet; None when no Kafka answers.
    """
    # Incomplete answers, and answers of other programs, raise one of these.
    with contextlib.suppress(OSError, EOFError, struct.error, UnicodeDecodeError):
        return _cluster_in(_ask(host, port))
    return None


def _ask(host: str, port: int) -> BytesIO:
    with socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S) as link, link.makefile("rb") as answer:
        link.settimeout(_ANSWER_TIMEOUT_S)
        link.sendall(struct.pack(">i", len(_QUESTION)) + _QUESTION)
        size, correlation = struct.unpack(">ii", answer.read(8))
        if correlation != 1 or not _CORRELATION_BYTES <= size <= _LONGEST_ANSWER:
            raise EOFError
        return BytesIO(answer.read(size - _CORRELATION_BYTES))


def _cluster_in(answer: BytesIO) -> str:
    (brokers,) = struct.unpack(">i", _exactly(answer, 4))
    for _ in range(brokers):
        _exactly(answer, 4)  # the node's id
        _text(answer)
        _exactly(answer, 4)  # its port
        _text(answer)
    return _text(answer)


def _text(answer: BytesIO) -> str:
    (length,) = struct.unpack(">h", _exactly(answer, 2))
    return _exactly(answer, max(length, 0)).decode()  # -1 is null


def _exactly(answer: BytesIO, count: int) -> bytes:
    found = answer.read(count)
    if len(found) < count:
        raise EOFError
    return found
