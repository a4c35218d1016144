"""How the transaction client handles a broker's answers; this fake broker keeps only epochs and ends."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords

from agents import transactions
from agents.batches import TransactionOutput
from agents.kafka.wire import (
    DescribedProducer,
    DescribedTransaction,
    DescribeProducers,
    DescribeProducersResponse,
    DescribeTransactions,
    DescribeTransactionsResponse,
    EndTxn,
    InitProducerId,
    PartitionProducers,
    Produce,
    ProducedPartition,
    ProducedTopic,
    ProduceResponse,
    ProducerResponse,
    TopicProducers,
)
from agents.transactions import FencedError, TooLargeError, TransactionClient, TransactionError, UnknownOutcomeError
from schemas.topics import CHANGELOG, RESULTS

READ_UNCOMMITTED = 0
HIGH_WATERMARK = 2_000


class Connection:
    """Stands for one connection to the broker."""

    def __init__(self, broker):
        self.is_up = True
        self.ends_unseen = False  # right after it was looked at
        self._broker = broker

    def connected(self):
        return self.is_up

    async def send(self, request):
        if self.ends_unseen:
            raise KafkaConnectionError("it has ended")
        return await self._broker.send(1, request)


class Broker:
    """Stands for `AIOKafkaClient` and the broker behind it, which moves the epoch on with each EndTxn (KIP-890)."""

    def __init__(self):
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1)
        self._conns = {(1, 0): Connection(self)}
        self.epoch = 4
        self.coordinator = 1
        self.requests = []
        self.asked_nodes = []
        self.produce_codes = {}  # by topic; what is not here is appended
        self.silent_about = set()
        self.lose_answers = False
        self.open_epochs = []  # of transactions that wait for their end
        self.stable_end = 1_000
        self.told = (0, "Empty")  # the coordinator's epoch and word

    async def coordinator_lookup(self, *_):
        return self.coordinator

    async def close(self):
        pass

    def force_metadata_update(self):
        pass

    async def ready(self, node):
        if not self._conns[node, 0].connected():
            self._conns[node, 0] = Connection(self)
        return True

    async def send(self, node, request):
        self.asked_nodes.append(node)
        self.requests.append(type(request))
        answer = {
            InitProducerId: self.init,
            Produce: self.produce,
            EndTxn: self.end,
            OffsetRequest: self.list_offsets,
            DescribeProducers: self.describe_producers,
            DescribeTransactions: self.describe_transactions,
        }
        answered = answer[type(request)](request)
        if self.lose_answers:
            raise KafkaConnectionError("connection lost")
        return answered

    def init(self, _request):
        self.epoch += 1
        return ProducerResponse(0, 0, 9, self.epoch)

    def produce(self, request):
        answers = []
        for topic, [(partition, records)] in request.topics:
            batch = MemoryRecords(bytes(records)).next_batch()
            code = self.produce_codes.get(topic, 0) if batch.producer_epoch == self.epoch else 47
            if topic not in self.silent_about:
                answers.append(ProducedTopic(topic, [ProducedPartition(partition, code, 100)]))
        return ProduceResponse(answers)

    def end(self, request):
        assert request.committed
        if request.producer_epoch != self.epoch:
            return ProducerResponse(0, 90, -1, -1)
        self.epoch += 1
        return ProducerResponse(0, 0, 9, self.epoch)

    def describe_producers(self, request):
        producers = [DescribedProducer(9, epoch, 0, -1, 0, 100) for epoch in self.open_epochs]
        topics = [
            TopicProducers(topic, [PartitionProducers(number, 0, None, producers) for number in numbers])
            for topic, numbers in request.topics
        ]
        return DescribeProducersResponse(0, topics)

    def describe_transactions(self, request):
        epoch, word = self.told
        described = [DescribedTransaction(0, name, word, 0, -1, 9, epoch, []) for name in request.transactional_ids]
        return DescribeTransactionsResponse(0, described)

    def list_offsets(self, request):
        end = HIGH_WATERMARK if request._isolation_level == READ_UNCOMMITTED else self.stable_end
        topics = [
            (topic, [(number, 0, -1, 0 if timestamp == -2 else end) for number, timestamp in asked])
            for topic, asked in request._topics
            if topic not in self.silent_about
        ]
        return SimpleNamespace(topics=topics)


@pytest.fixture
def broker_of_answers(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(transactions, "AIOKafkaClient", lambda **_: broker)
    return broker


@pytest.fixture
async def client(broker_of_answers):
    del broker_of_answers
    client = TransactionClient("nowhere", "holdfast-0", timeout_ms=1_000)
    await client.begin()
    return client


def batches(*topics):
    return {topic: TransactionOutput().batches([(b"k", b"v")], 1)[CHANGELOG] for topic in topics}


async def test_each_transaction_takes_the_epoch_that_the_end_of_the_one_before_gave(broker_of_answers, client):
    for _ in range(3):
        await client.produce(0, batches(CHANGELOG))
        await client.end()
    assert broker_of_answers.requests == [InitProducerId, *[Produce, EndTxn] * 3]


@pytest.mark.parametrize("refused", [CHANGELOG, RESULTS])
@pytest.mark.parametrize(("code", "error"), [(47, FencedError), (10, TooLargeError), (6, TransactionError)])
async def test_an_error_in_any_partitions_answer_ends_the_attempt(broker_of_answers, client, refused, code, error):
    broker_of_answers.produce_codes[refused] = code
    with pytest.raises(error, match=refused):
        await client.produce(0, batches(CHANGELOG, RESULTS))


async def test_a_partition_that_is_not_in_the_answer_ends_the_attempt(broker_of_answers, client):
    broker_of_answers.silent_about.add(RESULTS)
    with pytest.raises(TransactionError, match=RESULTS):
        await client.produce(0, batches(CHANGELOG, RESULTS))


@pytest.mark.parametrize("what", ["its connection ends", "another connection", "another leader"])
async def test_nothing_is_written_where_a_broker_was_away(broker_of_answers, client, what):
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    if what == "its connection ends":
        broker_of_answers._conns[1, 0].is_up = False
    elif what == "another connection":
        broker_of_answers._conns[1, 0] = Connection(broker_of_answers)
    else:
        broker_of_answers.cluster.leader_for_partition = lambda _: 2
    with pytest.raises(TransactionError, match="was away"):
        await client.produce(0, batches(CHANGELOG))
    assert broker_of_answers.requests.count(Produce) == 1


async def test_nothing_is_written_to_a_new_leader_although_it_leads_another_place_as_before(broker_of_answers, client):
    leaders = {CHANGELOG: 1, RESULTS: 2}
    broker_of_answers.cluster.leader_for_partition = lambda place: leaders[place.topic]
    broker_of_answers._conns[2, 0] = Connection(broker_of_answers)
    await client.produce(0, batches(CHANGELOG, RESULTS))
    await client.end()
    leaders[CHANGELOG] = 2
    with pytest.raises(TransactionError, match=f"{CHANGELOG}-0 was away"):
        await client.produce(0, batches(CHANGELOG, RESULTS))


async def test_nothing_is_written_over_a_connection_made_after_the_one_that_was_looked_at(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    broker_of_answers._conns[1, 0].ends_unseen = True
    with pytest.raises(KafkaConnectionError):
        await client.produce(0, batches(CHANGELOG))
    assert broker_of_answers.requests.count(Produce) == 1


async def test_when_all_has_ended_any_connection_will_do(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    assert not await client.hangs()
    broker_of_answers._conns[1, 0] = Connection(broker_of_answers)
    await client.produce(0, batches(CHANGELOG))
    assert broker_of_answers.requests.count(Produce) == 2


async def test_what_is_open_under_its_epoch_or_an_earlier_one_hangs(broker_of_answers, client):
    epoch = client._epoch
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    broker_of_answers.stable_end = 100
    broker_of_answers.told = (client._epoch, "Ongoing")
    for still_open in (epoch - 1, epoch):
        broker_of_answers.open_epochs = [still_open]
        assert await client.hangs()
        assert client.may_hang
    # What holds readers back now is the next one, or somebody else's.
    for still_open in ([epoch + 1], []):
        broker_of_answers.open_epochs = still_open
        assert not await client.hangs()
        assert not client.may_hang


async def test_what_is_committed_while_it_is_asked_is_asked_for_next(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    answer = broker_of_answers.list_offsets

    async def answer_late(_node, request):
        await asyncio.sleep(0.01)
        return answer(request)

    broker_of_answers.send, send = answer_late, broker_of_answers.send
    asking = asyncio.create_task(client.hangs())
    await asyncio.sleep(0)
    broker_of_answers.send = send
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    assert not await asking
    assert client.may_hang


async def test_only_what_has_not_been_seen_to_end_is_asked_for(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG, RESULTS))
    await client.end()
    assert not await client.hangs()
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    broker_of_answers.silent_about = {RESULTS}
    assert not await client.hangs()


async def test_a_coordinator_that_has_moved_is_looked_for(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    broker_of_answers.stable_end, broker_of_answers.coordinator = 100, 2
    assert not await client.hangs()
    assert 2 in broker_of_answers.asked_nodes


async def test_what_its_coordinator_still_writes_the_end_of_does_not_hang(broker_of_answers, client):
    epoch = client._epoch
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    broker_of_answers.stable_end, broker_of_answers.open_epochs = 100, [epoch]
    broker_of_answers.told = (epoch + 1, "PrepareCommit")
    assert not await client.hangs()
    assert client.may_hang
    broker_of_answers.told = (epoch + 2, "PrepareCommit")  # of the next one
    assert await client.hangs()


async def test_a_leader_that_is_not_asked_for_long_is_connected_to_when_it_is_needed(broker_of_answers, client):
    leaders = {CHANGELOG: 1, RESULTS: 2}
    broker_of_answers.cluster.leader_for_partition = lambda place: leaders[place.topic]
    broker_of_answers._conns[2, 0] = Connection(broker_of_answers)
    broker_of_answers._conns[2, 0].is_up = False  # closed as idle
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    await client.produce(0, batches(CHANGELOG, RESULTS))
    assert broker_of_answers.requests.count(Produce) == 3


async def test_who_closes_the_client_ends_the_asking(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG))
    await client.end()
    never = asyncio.Event()
    broker_of_answers.send = lambda *_: never.wait()
    asking = asyncio.create_task(client.hangs())
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_end_whose_answer_is_lost_is_unknown_and_never_sent_again(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG))
    broker_of_answers.lose_answers = True
    with pytest.raises(UnknownOutcomeError):
        await client.end()
    # The broker has committed and moved on: with the old epoch, a second EndTxn could only be misread.
    assert broker_of_answers.requests.count(EndTxn) == 1


async def test_a_fenced_client_hears_so_at_its_end(broker_of_answers, client):
    await client.produce(0, batches(CHANGELOG))
    broker_of_answers.epoch += 1
    with pytest.raises(FencedError):
        await client.end()


async def test_the_end_of_a_log_is_its_high_watermark_not_its_last_stable_offset(client):
    assert await client.log_range(CHANGELOG, 0) == (0, HIGH_WATERMARK)
