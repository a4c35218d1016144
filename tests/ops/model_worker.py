"""Owns a worker for the tests of the command line: the audit's model on a thread, with mischief on demand.

It is no Holdfast worker: it forgets everything when it ends and knows nothing of transactions. It answers correctly,
and where a test says so it loses a result or publishes it twice.
"""

import asyncio
import threading
from collections.abc import Callable

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from audit.model.oracle import Model
from schemas.topics import COMMANDS, RESULTS, STOCK_CHANGES


class ModelWorker:
    """Answers the commands of a cluster while the block runs.

    Args:
        bootstrap: the cluster.
        partitions: the count of every topic.
        copies: tells of each result how often it is published; once when absent.
    """

    def __init__(self, bootstrap: str, partitions: int, copies: Callable[[dict], int] = lambda _: 1) -> None:
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._copies = copies
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20), "the model worker did not start"
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(20)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._run())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.close()

    async def _run(self) -> None:
        models = [Model(partition, self._partitions) for partition in range(self._partitions)]
        places = [TopicPartition(COMMANDS, partition) for partition in range(self._partitions)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, auto_offset_reset="none", fetch_max_wait_ms=20)
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap)
        await consumer.start()
        await producer.start()
        try:
            consumer.assign(places)
            # What was there before is learnt, not answered again.
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, 0)
            self._ready.set()
            while True:
                for place, records in (await consumer.getmany(timeout_ms=1000)).items():
                    for record in records:
                        silent = record.offset < ends[place]
                        await self._answer(producer, models[place.partition], record, silent=silent)
        finally:
            await consumer.stop()
            await producer.stop()

    async def _answer(self, producer, model, record, *, silent: bool) -> None:
        expected = model.apply(record.offset, record.timestamp, record.key, record.value)
        if silent:
            return
        for result in expected.results:
            for _ in range(self._copies(result)):
                await producer.send(
                    RESULTS, orjson.dumps(result), key=result["sku"].encode(), partition=record.partition
                )
        for change in expected.stock_changes:
            key = f"{change['sku']}/{change['warehouse']}".encode()
            await producer.send(
                STOCK_CHANGES, orjson.dumps(change), key=key, partition=record.partition, timestamp_ms=change["at"]
            )
