"""Records sent in bulk arrive once and in order, whatever the size of the batches."""

import asyncio
import uuid

import pytest

from ops.bulk import BulkSender
from ops.exchange import exchange, reading
from schemas.topics import COMMANDS


async def test_records_arrive_once_and_in_order(bootstrap):
    mark = uuid.uuid4().hex
    values = [b'{"type":"tick","source":"%s-%d"}' % (mark.encode(), number) for number in range(2000)]
    async with reading(bootstrap, COMMANDS, [0]) as reader:
        async with exchange(bootstrap, batch_bytes=4096) as link:
            sender = BulkSender(link.producer, COMMANDS, link.partitions, patience_s=10)
            for value in values:
                if not sender.offer(0, b"k", value):
                    await sender.ship(0)
                    assert sender.offer(0, b"k", value)
            await sender.flush()
        found = []
        async with asyncio.timeout(20):
            while len(found) < len(values):
                found.extend(
                    record.value for batch in (await reader.getmany(timeout_ms=500)).values() for record in batch
                )
    assert found == values


async def test_a_batch_that_kafka_refuses_is_an_error(bootstrap):
    async with exchange(bootstrap, batch_bytes=2_000_000) as link:
        sender = BulkSender(link.producer, COMMANDS, link.partitions, patience_s=10)
        assert sender.offer(0, b"k", b"x" * 1_500_000)
        with pytest.raises(Exception, match=r"(?i)message.*large"):
            await sender.flush()
