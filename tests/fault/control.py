"""Owns the control: a worker with another transaction client, to show that the fault tests can fail.

`python -m tests.fault.control worker ...` is `holdfast worker` with the client that the variable CONTROL names.
"""

import asyncio
import contextlib
import os

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.record.memory_records import MemoryRecords

import agents.partition
from agents.transactions import TransactionClient, TransactionError
from ops.cli import main
from tests.harness import Worker

VARIABLE = "CONTROL"
_REQUEST_TIMEOUT_MS = 2_000
_BATCH_BYTES = 5 << 20


class ControlWorker(Worker):
    """A worker whose transaction client is one of CLIENTS, as the variable CONTROL says."""

    MODULE = "tests.fault.control"


class RequestPerTopic(TransactionClient):
    """Holdfast's own client, with a Produce for each topic: as if each had its leader on another broker."""

    async def produce(self, partition, batches):
        """Write the batches one by one, the changelog first."""
        offsets = {}
        for topic, batch in batches.items():
            offsets |= await super().produce(partition, {topic: batch})
        return offsets


class VersionOne(TransactionClient):
    """The same batches through aiokafka's own producer: transactions version 1, and a retry after every time-out.

    It too sends a Produce for each topic.
    """

    def __init__(self, bootstrap, transactional_id, *, timeout_ms):
        super().__init__(bootstrap, transactional_id, timeout_ms=timeout_ms)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id=transactional_id,
            transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=_BATCH_BYTES,
        )

    may_hang = False

    async def begin(self, places):
        """Fence every older user of the id (InitProducerId)."""
        del places
        await self._producer.start()

    async def produce(self, partition, batches):
        """Write the batches one by one, the changelog first."""
        offsets = {}
        try:
            await self._producer.begin_transaction()
            for topic, batch in batches.items():
                sent = await self._producer.send_batch(self._copy(batch), topic, partition=partition)
                offsets[topic] = (await sent).offset
        except (KafkaError, AssertionError) as error:
            raise TransactionError(repr(error)) from error
        return offsets

    def _copy(self, batch):
        copy = self._producer.create_batch()
        for record in MemoryRecords(bytes(batch.build())).next_batch():
            copy.append(timestamp=record.timestamp, key=record.key, value=record.value, headers=record.headers)
        return copy

    async def end(self):
        """Commit."""
        try:
            await self._producer.commit_transaction()
        except (KafkaError, AssertionError) as error:
            raise TransactionError(repr(error)) from error

    async def close(self):
        """Close all connections."""
        await super().close()
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(self._producer.stop(), 1.0)


CLIENTS = {
    "as shipped": TransactionClient,
    "a request per topic": RequestPerTopic,
    "transactions version 1": VersionOne,
}

if __name__ == "__main__":
    agents.partition.TransactionClient = CLIENTS[os.environ[VARIABLE]]
    main()
