"""Owns the topics of a benchmark: making them, emptying them, and reading their ends."""

import asyncio
from collections.abc import Sequence
from typing import Self

from aiokafka import AIOKafkaClient
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from aiokafka.protocol.offset import OffsetRequest

from ops.kafka.topics import ensure_topics
from schemas.kafka_connection import kafka_options
from schemas.topics import TOPICS

PARTITIONS = 4

_READ_COMMITTED = 1
_LATEST = -1
_PATIENCE_S = 30.0
_LOOK_S = 0.05
# Errors that a partition answers for a moment after its topic was made.
_NO_LEADER_YET = frozenset({3, 5, 6})


class LogEnds:
    """Asks one broker for the last stable offsets of topics, up to which a read_committed reader sees everything."""

    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=bootstrap, **kafka_options())

    async def __aenter__(self) -> Self:
        await self._client.bootstrap()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def of(self, topic: str) -> list[int]:
        """Return the last stable offset of each partition.

        Raises:
            KafkaError: the broker refuses.
        """
        ends = [0] * PARTITIONS
        for number, code, _timestamp, offset in await self._ask(topic):
            if code:
                raise for_code(code)(f"ListOffsets of {topic}-{number}")
            ends[number] = offset
        return ends

    async def await_leaders(self, topic: str) -> None:
        """Wait until every partition of a new topic can be used."""
        async with asyncio.timeout(_PATIENCE_S):
            while any(code in _NO_LEADER_YET for _, code, *_ in await self._ask(topic)):
                await asyncio.sleep(_LOOK_S)

    async def _ask(self, topic: str) -> list[tuple[int, int, int, int]]:
        question = OffsetRequest(-1, _READ_COMMITTED, [(topic, [(number, _LATEST) for number in range(PARTITIONS)])])
        answer = await self._client.send(self._client.get_random_node(), question)
        found: list[tuple[int, int, int, int]] = answer.topics[0][1]
        return found


async def ends_of(bootstrap: str, topic: str) -> list[int]:
    """Return the last stable offset of each partition of a topic."""
    async with LogEnds(bootstrap) as ends:
        return await ends.of(topic)


async def make_holdfast_topics(bootstrap: str) -> None:
    """Make those of Holdfast's topics that are missing, and wait until they can be used."""
    await ensure_topics(bootstrap, PARTITIONS)
    await _await_leaders(bootstrap, list(TOPICS))


async def make_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Make topics of a benchmark's own, with as many partitions as Holdfast's, and wait until they can be used."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        await _until_listed(admin, set(names), there=True)
    finally:
        await admin.close()
    await _await_leaders(bootstrap, names)


async def delete_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Delete topics and wait until they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
    await admin.start()
    try:
        await admin.delete_topics(list(names))
        await _until_listed(admin, set(names), there=False)
    finally:
        await admin.close()


async def _until_listed(admin: AIOKafkaAdminClient, names: set[str], *, there: bool) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while (names & set(await admin.list_topics())) != (names if there else set()):
            await asyncio.sleep(_LOOK_S)


async def _await_leaders(bootstrap: str, names: Sequence[str]) -> None:
    async with LogEnds(bootstrap) as ends:
        for name in names:
            await ends.await_leaders(name)
