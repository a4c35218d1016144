"""Owns what a worker says of its partitions in `inventory.status`: each second, and when a state changes.

It only looks at the partitions, ten times a second, and no command or transaction waits for it. Where Kafka does not
take a record, the record is dropped: the next one says more.
"""

import asyncio
import time
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from agents.assignment import Partitions
from agents.partition import Partition
from schemas.kafka_connection import kafka_options
from schemas.status import PartitionState, PartitionStatus, encode_status, key_of
from schemas.topics import STATUS

_LOOK_EVERY_S = 0.1
_SAY_EVERY_S = 1.0
_WITHIN_S = 2.0
_AGAIN_S = 1.0
# Whoever did not run for this long may have lost its partitions, and hears of it at its next heartbeat: one a second.
_SUSPENDED_S, _QUIET_S = 2.0, 2.0

log = structlog.get_logger()


class _Said(NamedTuple):
    """What was said last of a partition, about which assignment of it, and until when that is enough."""

    partition: Partition
    status: PartitionStatus
    until_s: float


class StatusWriter:
    """Writes the status of a worker's partitions, with a producer of its own and outside transactions.

    A zombie says nothing: a process that was suspended is quiet until it knows what it still owns. Should it speak
    all the same, readers ignore it by its epoch.

    Args:
        bootstrap: the brokers.
        worker: the worker's instance id.
        partitions: its partitions.
    """

    def __init__(self, bootstrap: str, worker: str, partitions: Partitions) -> None:
        self._bootstrap = bootstrap
        self._worker = worker
        self._partitions = partitions
        self._said: dict[int, _Said] = {}
        self._looked_at: float | None = None
        self._quiet_until = 0.0
        self._producer: AIOKafkaProducer | None = None
        self._logged: str | None = None

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            try:
                await self._write(self.news())
            except Exception as error:  # noqa: BLE001 - the ledger goes on, whatever happens here
                self._log_once(repr(error))
                await self._disconnect()
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def close(self) -> None:
        """Say what has stopped, and close the producer."""
        try:
            if self._logged is None:  # otherwise Kafka is away, and the worker should end soon
                await self._write(self.news())
        except Exception as error:  # noqa: BLE001 - readers see it by its age
            self._log_once(repr(error))
        await self._disconnect()

    def news(self) -> list[PartitionStatus]:
        """Return the records to write now; a look at the partitions."""
        now_s = asyncio.get_running_loop().time()
        if self._looked_at is not None and now_s - self._looked_at > _SUSPENDED_S:
            self._quiet_until = now_s + _QUIET_S
        self._looked_at = now_s
        found = [self._look(number, now_s) for number in self._partitions.numbers]
        gone = [self._said.pop(number).status for number in set(self._said) - set(self._partitions.numbers)]
        news = [status for status in found if status is not None]
        news += [replace(status, state="stopped", at=_wall_clock_ms()) for status in gone]
        return news if now_s >= self._quiet_until else []

    def _look(self, number: int, now_s: float) -> PartitionStatus | None:
        partition, said = self._partitions.get(number), self._said.get(number)
        assert partition is not None  # noqa: S101 - no await since its number was listed
        state: PartitionState = "open" if partition.is_open else "recovering"
        recovered, to_recover = partition.recovery
        if said and said.partition is partition and now_s < said.until_s:
            is_news = said.status.state != state or said.status.to_recover != to_recover
            if not is_news:
                return None
        position = partition.position.next_offset if partition.position else None
        log_end = self._partitions.log_end(number) or None
        if said is not None:  # while a partition recovers, what was known before still holds
            position = said.status.position if position is None else position
            log_end = log_end or said.status.log_end
        if partition.position:  # nothing was read yet: the reader waits at the position
            log_end = max(log_end or 0, partition.position.next_offset)
        status = PartitionStatus(
            partition=number,
            worker=self._worker,
            state=state,
            position=position,
            log_end=log_end,
            recovered=recovered,
            to_recover=to_recover,
            transaction_ms=partition.lately.times(now_s),
            epoch=partition.epoch or (said.status.epoch if said else 0),
            at=_wall_clock_ms(),
        )
        self._said[number] = _Said(partition, status, now_s + _SAY_EVERY_S - _LOOK_EVERY_S / 2)
        return status

    async def _write(self, news: list[PartitionStatus]) -> None:
        if not news:
            return
        async with asyncio.timeout(_WITHIN_S):
            producer = self._producer or await self._connect()
            sent = [
                await producer.send(STATUS, encode_status(it), key=key_of(it.partition), partition=it.partition)
                for it in news
            ]
            await asyncio.gather(*sent)
        self._logged = None

    async def _connect(self) -> AIOKafkaProducer:
        producer = self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id="holdfast-status",
            acks=1,
            request_timeout_ms=int(_WITHIN_S * 1000),
            **kafka_options(),
        )
        await producer.start()
        await producer.partitions_for(STATUS)
        return producer

    async def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        stopping = asyncio.ensure_future(producer.stop())
        # A stopping producer tries to send the rest for as long as a request may take.
        await asyncio.wait({stopping}, timeout=_WITHIN_S / 4)
        if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
            stopping.cancel()
            await producer.client.close()

    def _log_once(self, error: str) -> None:
        if error != self._logged:
            self._logged = error
            log.info("the status of the partitions cannot be written; trying again", error=error)


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
