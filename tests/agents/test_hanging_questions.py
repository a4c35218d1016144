"""Which brokers' answers the settling of hanging transactions accepts."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NotLeaderForPartitionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from agents import transactions
from agents.hanging import check_nothing_is_open, end_hanging
from agents.kafka.codes import CONCURRENT_TRANSACTIONS
from agents.kafka.wire import (
    DescribedProducer,
    DescribedTransaction,
    DescribeProducers,
    DescribeProducersResponse,
    DescribeTransactions,
    DescribeTransactionsResponse,
    PartitionProducers,
    TopicProducers,
)


class Follower:
    """Stands for a client with old metadata and the follower it asks, which tells of producers all the same."""

    cluster = SimpleNamespace(leader_for_partition=lambda _: 2)

    def __init__(self):
        self.asked_for_metadata = False

    def force_metadata_update(self):
        self.asked_for_metadata = True

    async def send(self, _node, request):
        if isinstance(request, OffsetRequest):
            return SimpleNamespace(topics=[("t", [(0, 6, -1, -1)])])
        return DescribeProducersResponse(0, [TopicProducers("t", [PartitionProducers(0, 0, None, [])])])


class Leader:
    """Stands for a leader whose followers do not have the last batch yet: it says that it is there, and gives none."""

    cluster = SimpleNamespace(leader_for_partition=lambda _: 1)

    async def send(self, _node, request):
        producer = DescribedProducer(9, 4, 0, -1, 0, open_from=7)
        answers = {
            DescribeTransactions: DescribeTransactionsResponse(
                0, [DescribedTransaction(0, "id", "Ongoing", 0, -1, 9, 4, [])]
            ),
            DescribeProducers: DescribeProducersResponse(
                0, [TopicProducers("t", [PartitionProducers(0, 0, None, [producer])])]
            ),
            OffsetRequest: SimpleNamespace(topics=[("t", [(0, 0, -1, 7)])]),
            FetchRequest: SimpleNamespace(topics=[("t", [(0, 0, 7, 7, 0, None, -1, b"")])]),
        }
        return answers[type(request)]


async def test_what_its_followers_do_not_have_yet_is_waited_for():
    assert await end_hanging(Leader(), 1, "id", [TopicPartition("t", 0)]) == CONCURRENT_TRANSACTIONS


async def test_a_follower_that_has_heard_of_no_open_transaction_is_not_believed():
    follower = Follower()
    with pytest.raises(NotLeaderForPartitionError):
        await check_nothing_is_open(follower, "id", 9, [TopicPartition("t", 0)])
    assert follower.asked_for_metadata


async def test_who_stood_still_while_looking_looks_again(monkeypatch):
    loop, looks = asyncio.get_running_loop(), []
    late = iter([6.0, 0.0])

    async def end_hanging(*_):
        looks.append(loop.time())
        now.append(now[-1] + next(late))
        return 0

    now = [100.0]
    monkeypatch.setattr(loop, "time", lambda: now[-1])
    monkeypatch.setattr(transactions.hanging, "end_hanging", end_hanging)
    client = transactions.TransactionClient("nowhere", "holdfast-0", timeout_ms=1_000)
    assert await client._settle(1, [TopicPartition("t", 0)]) == 0
    assert looks == [100.0, 106.0]
