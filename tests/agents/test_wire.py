"""Requests are encoded as Kafka's message definitions say."""

from aiokafka.protocol.api import RequestStruct

from agents.wire import Produce, ProduceStruct


def test_a_produce_request_is_encoded_as_its_schema_says():
    topics = [
        ("inventory.results", [(3, bytes(range(256)) * 900, {})], {}),
        ("inventory.dead-letters", [(0, b"", {}), (1, b"x" * 127, {})], {}),
    ]
    for given in (topics, []):
        request = Produce("holdfast-3", -1, 10_000, given).build(ProduceStruct)
        assert request.encode() == RequestStruct.encode(request)
