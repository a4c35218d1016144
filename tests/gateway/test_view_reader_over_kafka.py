"""The reader of a view sees every committed record once and in order, however much it takes at a time."""

import asyncio
import contextlib
import uuid

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gateway import view_reader
from gateway.config import GatewayConfig
from gateway.reader import read_slice
from gateway.view_reader import ViewReader

PARTITIONS = 3


@pytest.fixture
async def topic(broker):
    name = f"view-{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    await admin.close()
    return name


@contextlib.asynccontextmanager
async def writing(broker):
    """Give a function that writes values to a partition in one transaction, which may be aborted."""
    name = f"writer-{uuid.uuid4().hex}"
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=name, max_batch_size=1_000)

    async def write(topic, partition, values, *, abort=False):
        await producer.begin_transaction()
        for value in values:
            await producer.send(topic, value, b"k", partition=partition)
        await producer.flush()
        await (producer.abort_transaction() if abort else producer.commit_transaction())

    await producer.start()
    try:
        yield write
    finally:
        await producer.stop()


@pytest.mark.parametrize("slice_", [1_000, 7])
async def test_what_was_committed_is_applied_once_and_in_order(broker, topic, monkeypatch, slice_):
    monkeypatch.setattr(view_reader, "_SLICE", slice_)
    expected = {partition: [] for partition in range(PARTITIONS)}
    async with writing(broker) as write:
        for number in range(9):
            partition, values = number % 2, [b"%d-%d" % (number, it) for it in range(20)]  # nothing is in the last one
            await write(topic, partition, values, abort=number % 4 == 3)
            expected[partition] += [] if number % 4 == 3 else values
        found, left = {partition: [] for partition in range(PARTITIONS)}, []

        def apply_many(partition, records, to_end):
            found[partition] += [record.value for record in records]
            left.append(to_end)

        config = GatewayConfig(bootstrap=broker.bootstrap, partitions=PARTITIONS)
        reader = ViewReader(config, topic, "records", print, found.clear, apply_many=apply_many)
        task = asyncio.ensure_future(reader.run())
        try:
            await asyncio.wait_for(reader.complete.wait(), 20)
            assert found == expected
            assert reader.read == sum(map(len, expected.values()))
            assert (max(left) > 0, min(left) >= 0) == (True, True)
            await write(topic, 2, [b"later"])
            async with asyncio.timeout(20):
                while found[2] != [b"later"] or reader.lag:
                    await asyncio.sleep(0.01)
            assert reader.lag_ms == 0
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_records_that_were_fetched_already_come_as_they_were_decoded(broker, topic):
    async with writing(broker) as write:
        await write(topic, 0, [b"%d" % number for number in range(50)])
    config = GatewayConfig(bootstrap=broker.bootstrap, partitions=PARTITIONS)
    consumer = await view_reader.open_reader(config, topic, "beginning")
    try:
        found = []
        async with asyncio.timeout(20):
            while len(found) < 50:
                for records in (await read_slice(consumer, 500, 10)).values():
                    found += records
    finally:
        await view_reader.close_reader(consumer)
    assert [record.value for record in found] == [b"%d" % number for number in range(50)]
    assert [record.offset for record in found] == [*range(50)]
    assert {record.key for record in found} == {b"k"}
    assert not hasattr(found[-1], "serialized_value_size")
