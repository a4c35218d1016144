"""Requests are encoded, and answers decoded, as Kafka's message definitions say."""

import pytest
from aiokafka.protocol.api import RequestStruct

from agents.kafka.wire import (
    DescribeProducers,
    EndTxn,
    ListedTransaction,
    ListTransactions,
    ListTransactionsResponse,
    PartitionBatch,
    Produce,
    ProducerResponse,
    TopicBatches,
    TopicPartitions,
)


def test_a_produce_request_is_encoded_as_its_schema_says():
    topics = [
        TopicBatches("inventory.results", [PartitionBatch(3, bytes(range(256)) * 900)]),
        TopicBatches("inventory.dead-letters", [PartitionBatch(0, b""), PartitionBatch(1, b"x" * 127)]),
    ]
    for given in (topics, []):
        request = Produce("holdfast-3", -1, 10_000, given).prepare({0: (0, 12)})
        assert request.encode() == RequestStruct.encode(request)


def test_each_row_of_a_request_ends_with_its_tagged_fields():
    request = DescribeProducers([TopicPartitions("t", [5])]).prepare({61: (0, 0)})
    assert request.encode() == b"\x02" + b"\x02t" + b"\x02\x00\x00\x00\x05" + b"\x00" + b"\x00"


def test_a_list_of_transactions_is_asked_for_as_kafka_defines_it():
    request = ListTransactions(["Ongoing"], [9]).prepare({66: (0, 0)})
    assert request.encode() == b"\x02" + b"\x08Ongoing" + b"\x02" + bytes(7) + b"\x09" + b"\x00"
    one = b"\x02" + b"\x03id" + bytes(7) + b"\x09" + b"\x08Ongoing" + b"\x00"
    answer = ListTransactions.answer.decode(bytes(4) + bytes(2) + b"\x01" + one + b"\x00")
    assert answer == ListTransactionsResponse(0, 0, [], [ListedTransaction("id", 9, "Ongoing")])


def test_an_answer_has_the_names_of_its_fields():
    data = bytes(4) + b"\x00\x5a" + bytes(7) + b"\x09" + b"\x00\x04" + b"\x00"
    assert EndTxn.answer.decode(data) == ProducerResponse(0, error_code=90, producer_id=9, producer_epoch=4)


def test_a_request_is_not_sent_in_a_version_that_was_not_written_for_it():
    with pytest.raises(NotImplementedError):
        EndTxn("holdfast-3", 9, 4, committed=True).prepare({26: (0, 4)})
