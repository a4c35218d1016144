"""Many commands in whole batches: what goes out in which order, and what a failure does to what follows."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import NotLeaderForPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder

from gateway.compose import Composed
from gateway.shipping import ship
from schemas.partitioner import partition_of

PARTITIONS = 4
ANYWHERE = [f"sku-{number}" for number in range(20)]
TOGETHER = [sku for sku in ANYWHERE if partition_of(sku, PARTITIONS) == 0]


class Producer:
    """Takes batches of a few bytes; the numbers in `failing` are those of batches that Kafka refuses."""

    def __init__(self, batch_bytes=1_000, failing=()):
        self._batch_bytes = batch_bytes
        self.batches = []
        self.most_at_a_time = 0
        self._open = {}
        self._failing = failing

    def create_batch(self):
        return BatchBuilder(self._batch_bytes, 0, is_transactional=False, key_serializer=None, value_serializer=None)

    async def send_batch(self, batch, _topic, *, partition):
        number = len(self.batches)
        self.batches.append((partition, batch.record_count()))
        self._open[partition] = self._open.get(partition, 0) + 1
        self.most_at_a_time = max(self.most_at_a_time, *self._open.values())
        return asyncio.ensure_future(self._delivered(number, partition, 100 * number))

    async def _delivered(self, number, partition, offset):
        await asyncio.sleep(0.001)
        self._open[partition] -= 1
        if number in self._failing:
            raise NotLeaderForPartitionError
        return SimpleNamespace(offset=offset)


async def shipped(producer, skus):
    commands = [Composed(f"c{i}", sku, b"x" * 100, sku, "adjust") for i, sku in enumerate(skus)]
    delivered, failed = {}, {}
    await ship(producer, commands, PARTITIONS, delivered.__setitem__, failed.__setitem__)
    return delivered, failed


async def test_every_command_learns_the_offset_of_its_own_record_in_the_batch_of_its_partition():
    producer = Producer(10_000)
    delivered, failed = await shipped(producer, ANYWHERE)
    assert (len(delivered), failed) == (20, {})
    for number, (partition, count) in enumerate(producer.batches):
        here = [i for i, sku in enumerate(ANYWHERE) if partition_of(sku, PARTITIONS) == partition]
        assert count == len(here)
        assert [delivered[i] for i in here] == [100 * number + place for place in range(len(here))]


async def test_a_partitions_next_batch_goes_out_only_when_kafka_has_the_one_before():
    producer = Producer()
    delivered, _ = await shipped(producer, TOGETHER[:1] * 40)
    assert len(producer.batches) > 3
    assert (producer.most_at_a_time, len(delivered)) == (1, 40)
    assert list(delivered) == list(range(40))


@pytest.mark.parametrize("bad", [0, 1, 2])
async def test_a_batch_that_fails_fails_what_follows_it_unsent(bad):
    producer = Producer(failing={bad})
    delivered, failed = await shipped(producer, TOGETHER[:1] * 40)
    assert len(producer.batches) == bad + 1
    sent_well = sum(count for _, count in producer.batches[:bad])
    assert list(delivered) == list(range(sent_well))
    assert list(failed) == list(range(sent_well, 40))
