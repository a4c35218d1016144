"""An open transaction is found with its producer; it hangs if no coordinator will end it."""

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

from agents.kafka.wire import (
    DescribedProducer,
    DescribedTransaction,
    DescribeProducersResponse,
    DescribeTransactions,
    DescribeTransactionsResponse,
    ListedTransaction,
    ListTransactions,
    ListTransactionsResponse,
    PartitionProducers,
    TopicProducers,
)
from ops.kafka.doctor import check_open_transactions
from ops.kafka.open_transactions import find_open
from schemas.topics import COMMANDS


class Asked:
    """Stands for a broker that leads the partition, and coordinates the ids it is given."""

    def __init__(self, *described, is_over=False):
        self.described, self.is_over, self.looks = described, is_over, 0
        brokers = [SimpleNamespace(nodeId=1)]
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1, brokers=lambda: brokers)

    async def send(self, _node, request):
        if isinstance(request, ListTransactions):
            listed = [ListedTransaction(it.transactional_id, it.producer_id, it.state) for it in self.described]
            return ListTransactionsResponse(0, 0, [], listed)
        if isinstance(request, DescribeTransactions):
            return DescribeTransactionsResponse(0, list(self.described))
        self.looks += 1
        open_from = -1 if self.is_over and self.looks > 1 else 7
        writer = DescribedProducer(9, 4, 0, 1_764_000_000_000, 0, open_from)
        return DescribeProducersResponse(0, [TopicProducers(COMMANDS, [PartitionProducers(3, 0, None, [writer])])])


def owner(state, epoch):
    return DescribedTransaction(0, "shop-7", state, 30_000, 1_764_000_005_000, 9, epoch, [])


@pytest.mark.parametrize(
    ("described", "hangs", "since_ms"),
    [
        ([], True, 1_764_000_000_000),
        ([owner("Ongoing", 4)], False, 1_764_000_005_000),
        ([owner("Ongoing", 5)], True, 1_764_000_000_000),
        ([owner("PrepareCommit", 5)], False, 1_764_000_005_000),
        ([owner("CompleteCommit", 5)], True, 1_764_000_000_000),
    ],
)
async def test_a_transaction_that_no_coordinator_will_end_hangs(described, hangs, since_ms):
    (found,) = await find_open(Asked(*described), [TopicPartition(COMMANDS, 3)])
    assert (found.is_hanging, found.since_ms) == (hangs, since_ms)
    check = check_open_transactions([found], now_ms=since_ms + 1)
    assert check.ok is not hangs
    command = f"abort --topic {COMMANDS} --partition 3 --start-offset 7"
    assert (command in check.to_do) is hangs


async def test_a_transaction_that_ends_while_it_is_looked_at_is_not_shown():
    assert await find_open(Asked(owner("CompleteCommit", 5), is_over=True), [TopicPartition(COMMANDS, 3)]) == []
