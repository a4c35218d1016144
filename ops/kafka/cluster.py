"""Owns the questions to a cluster: topics and their configuration, features, offsets, the workers' group."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError

from agents.kafka.wire import ApiVersions, finalized_features
from ops.kafka.open_transactions import OpenTransaction, find_open
from ops.problems import kafka_at
from schemas.kafka_connection import kafka_options

_COORDINATOR_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class TopicState:
    """The state of a topic; `configs` has the requested settings."""

    partitions: int
    configs: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class GroupState:
    """The workers' group: its state, the partitions of each member, and the stored positions."""

    state: str
    members: dict[str, list[int]] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)


class Cluster:
    """A connection for questions; use `connect`."""

    def __init__(self, bootstrap: str, admin: AIOKafkaAdminClient, client: AIOKafkaClient) -> None:
        self._bootstrap = bootstrap
        self._admin = admin
        self._client = client

    async def partition_counts(self) -> dict[str, int]:
        """Return the number of partitions of every topic that exists."""
        described = await self._admin.describe_topics(None)
        return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}

    async def topics(self, wanted: dict[str, dict[str, str]]) -> dict[str, TopicState]:
        """Return the state of the wanted topics that exist.

        Args:
            wanted: topic -> configuration; its setting names are looked up.
        """
        counts = await self.partition_counts()
        found = [name for name in wanted if name in counts]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict(wanted[name])) for name in found]
        configs: dict[str, dict[str, str]] = {}
        for answer in await self._admin.describe_configs(resources) if resources else []:
            for _error, _message, _type, name, entries in answer.resources:
                configs[name] = {entry[0]: entry[1] for entry in entries}
        return {name: TopicState(partitions=counts[name], configs=configs.get(name, {})) for name in found}

    async def features(self) -> dict[str, int]:
        """Return the finalized features of the cluster and their levels."""
        question = ApiVersions("holdfast", "doctor")
        return finalized_features(await self._client.send(self._client.get_random_node(), question))

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset that the next record of each partition will get."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False, **kafka_options())
        await consumer.start()
        try:
            found = await consumer.end_offsets([TopicPartition(topic, partition) for partition in partitions])
            return {place.partition: offset for place, offset in found.items()}
        finally:
            await consumer.stop()

    async def open_transactions(self, topic: str, partitions: Iterable[int]) -> list[OpenTransaction]:
        """Return the transactions that are open on partitions of a topic."""
        return await find_open(self._client, [TopicPartition(topic, partition) for partition in partitions])

    async def group(self, name: str, topic: str) -> GroupState:
        """Return the state of a consumer group for one topic."""
        coordinator = await self._coordinator(name)
        answers = await self._admin.describe_consumer_groups([name], coordinator)
        described = answers[0].groups[0]
        offsets = await self._admin.list_consumer_group_offsets(name, coordinator)
        return GroupState(
            state=described[2],
            members=dict(_member(entry, topic) for entry in described[5]),
            positions={
                place.partition: found.offset
                for place, found in offsets.items()
                if place.topic == topic and found.offset >= 0
            },
        )

    async def _coordinator(self, group: str) -> int:
        # A new cluster makes its topic of group offsets when it is first asked for a coordinator.
        deadline = time.monotonic() + _COORDINATOR_TIMEOUT_S
        while True:
            try:
                return int(await self._admin.find_coordinator(group))
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)


def _member(entry: Any, topic: str) -> tuple[str, list[int]]:
    member_id, client_id, host, _, assignment = entry[:5]
    held: list[int] = []
    if assignment:
        for name, partitions in ConsumerProtocolMemberAssignment.decode(assignment).assignment:
            if name == topic:
                held.extend(partitions)
    return f"{client_id}{host} {member_id.rsplit('-', 1)[-1][:8]}", sorted(held)


@contextlib.asynccontextmanager
async def connect(bootstrap: str) -> AsyncIterator[Cluster]:
    """Connect to a cluster during the block.

    Raises:
        CannotDo: no Kafka answers.
    """
    with kafka_at(bootstrap):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
        client = AIOKafkaClient(bootstrap_servers=bootstrap, **kafka_options())
        try:
            await admin.start()
            await client.bootstrap()
            yield Cluster(bootstrap, admin, client)
        finally:
            await admin.close()
            await client.close()
