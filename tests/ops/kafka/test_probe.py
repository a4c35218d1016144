"""The probe tells which cluster answers at an address; what is no Kafka has none."""

import socket
import threading

import pytest

from ops.kafka.probe import cluster_at


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x08\0\0\0\x02\0\0\0\0",  # an answer to somebody else's question
        b"\0\0\0\x01\0\0\0\x01",  # shorter than its own header
        b"\0\0\0\x0c\0\0\0\x01\0\0\0\x01\0\0",  # it ends in the midst
        b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\x03",
    ],
)
def test_what_is_no_kafka_has_no_cluster(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            link, _ = server.accept()
            with link:
                link.recv(100)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert cluster_at(*server.getsockname()) is None
        thread.join()


def test_a_broker_tells_its_cluster(broker):
    host, _, port = broker.bootstrap.rpartition(":")
    assert len(cluster_at(host, int(port))) == 22
