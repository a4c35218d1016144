"""What a connection may do, over the real server with shorter clocks: nothing holds one for long."""

import contextlib
import json
import resource
import select
import socket
import time

import pytest

from gateway.connections import MOST_CONNECTIONS, http1_settings
from tests.gateway.alone import gateway_alone

QUICK = """
import resource
from gateway import body_clock, connections
connections._HEAD_WITHIN_MS, body_clock.BODY_WITHIN_S, connections._UNREAD_WITHIN_MS = 500, 1.0, 1_500
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
"""
GET = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /v1/adjustments HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BODY = b'{"sku":"A","warehouse":"w","delta":5,"reason":"receipt"}'
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.fixture(scope="module")
def port():
    with gateway_alone(first=QUICK) as port:
        yield port


def answer_to(port, *pieces, pause=0.0):
    """Send pieces of a request, and return all that comes until the gateway closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                answer += piece
        return answer


def document_of(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_the_limits_are_those_of_the_contract():
    settings = http1_settings()
    assert (settings.header_read_timeout, settings.max_buffer_size, MOST_CONNECTIONS) == (5_000, 32 * 1024, 4_096)


@pytest.mark.parametrize("sent", [b"", GET, GET + b"x-slow: "], ids=["nothing", "half a head", "half a header"])
def test_a_connection_without_a_whole_head_is_closed(port, sent):
    began = time.monotonic()
    assert answer_to(port, sent) == b""
    assert time.monotonic() - began < 5


def test_a_head_that_comes_byte_by_byte_has_no_more_time_than_any_other(port):
    began = time.monotonic()
    assert answer_to(port, *[b"x"] * 40, pause=0.05) == b""
    assert time.monotonic() - began < 5


def test_a_connection_that_is_idle_after_its_answer_is_closed(port):
    began = time.monotonic()
    assert answer_to(port, GET + b"\r\n").startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "rest", [b"content-length: 60\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"], ids=["length", "chunked"]
)
def test_a_body_that_does_not_end_is_answered_408_and_the_connection_closed(port, rest):
    began = time.monotonic()
    answer = answer_to(port, POST + rest)
    assert answer.startswith(b"HTTP/1.1 408")
    assert document_of(answer)["code"] == "request_timeout"
    assert time.monotonic() - began < 5


def test_a_body_that_comes_byte_by_byte_has_no_more_time_than_any_other(port):
    answer = answer_to(port, POST + b"content-length: 600\r\n\r\n", *[b" "] * 30, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408")


def test_an_answer_that_is_not_taken_is_given_up(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        page = answer_to(port, b"GET /docs HTTP/1.1\r\nhost: localhost\r\n\r\n").decode()
        (script,) = [part for part in page.split('"') if part.endswith("swagger-ui-bundle.js")]
        connection.sendall(f"GET {script} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() * 8)
        waiting = select.poll()
        waiting.register(connection, select.POLLERR | select.POLLHUP)
        assert waiting.poll(8_000) != []


def test_headers_of_300_kb_and_more_than_a_hundred_of_them_are_refused(port):
    assert answer_to(port, GET + b"x-much: " + b"a" * 300_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert answer_to(port, GET + b"".join(b"x-%d: 1\r\n" % i for i in range(150)) + b"\r\n").startswith(b"HTTP/1.1 431")
    assert answer_to(port, GET + b"x-much: " + b"a" * 20_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    answer = answer_to(port, GET + b"x-much: " + b"a" * 33_000 + b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


def test_a_length_beside_chunks_neither_counts_nor_begins_another_request(port):
    for headers in (
        b"content-length: 3\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked\r\ncontent-length: 3\r\n",
    ):
        answer = answer_to(port, POST + headers + b"\r\n" + CHUNKED)
        assert answer.count(b"HTTP/1.1") == 1
        assert answer.startswith(b"HTTP/1.1 200")
    two = b"content-length: 3\r\ncontent-length: 4\r\n\r\n{}  "
    assert answer_to(port, POST + two).startswith(b"HTTP/1.1 400")
    assert answer_to(port, POST + b"transfer-encoding: gzip\r\n\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("id_", ["..", "%2e%2E", "."])
def test_dots_in_a_path_are_an_id_like_any_other(port, id_):
    head = f"POST /v1/reservations/{id_}/release HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    answer = answer_to(port, head.encode() + b'content-length: 11\r\n\r\n{"sku":"A"}')
    assert answer.startswith(b"HTTP/1.1 200")
    assert document_of(answer)["sent"]["reservation_id"] == id_.replace("%2e%2E", "..")


def test_head_and_options_have_no_body_over_the_wire(port):
    head = answer_to(port, b"HEAD /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert b"content-length: 0" not in head
    assert answer_to(port, b"OPTIONS /v1/availability HTTP/1.1\r\nhost: localhost\r\n\r\n").endswith(b"\r\n\r\n")
    events = b"host: localhost\r\naccept: text/event-stream\r\n\r\n"
    stream = answer_to(port, b"HEAD /v1/status HTTP/1.1\r\n" + events)
    assert (stream.startswith(b"HTTP/1.1 200"), stream.endswith(b"\r\n\r\n")) == (True, True)
    assert answer_to(port, b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n").startswith(b"HTTP/1.1 404")


def test_many_connections_are_kept_and_one_more_is_still_answered(port):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1_000:
        pytest.skip("the system allows fewer open files than this needs")
    with contextlib.ExitStack() as open_ones:
        for _ in range(400):  # more than the process's soft limit, which it raises itself
            open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert answer_to(port, GET + b"\r\n").startswith(b"HTTP/1.1 200")
