"""Owns the making and checking of topics on a broker."""

import asyncio
from collections.abc import Callable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError

from schemas.kafka_connection import kafka_options
from schemas.topics import TOPICS

_AT_LEAST = ("max.message.bytes", "message.timestamp.after.max.ms")
_CHECKED = (*_AT_LEAST, "message.timestamp.type", "cleanup.policy")


async def ensure_topics(
    bootstrap: str,
    partitions: int,
    *,
    replication: int = -1,
    timeout_s: float = 15.0,
    waiting: Callable[[], None] | None = None,
) -> list[str]:
    """Make the missing topics, and check that all have the same partition count.

    Args:
        bootstrap: `HOST:PORT,...` of the brokers.
        partitions: the count for every topic.
        replication: copies of each partition; -1 takes the broker's default.
        timeout_s: how long to wait for the broker, and until it shows the topics.
        waiting: called once if no broker answers at first.

    Returns:
        The names of the topics that were made.

    Raises:
        RuntimeError: a topic has another partition count or a wrong setting; says what to do.
        aiokafka.errors.KafkaConnectionError: no broker answered in time.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
    await _connect(admin, timeout_s, waiting)
    try:
        existing = set(await admin.list_topics())
        missing = [name for name in TOPICS if name not in existing]
        if missing:
            answer = await admin.create_topics([_new_topic(name, partitions, replication) for name in missing])
            for name, code, message in (entry[:3] for entry in answer.topic_errors):
                if code and code != TopicAlreadyExistsError.errno:
                    raise RuntimeError(f"the broker refused to create topic {name}: {message or code}")
        await _await_counts(admin, partitions, timeout_s)
        await _check_configs(admin)
        return missing
    finally:
        await admin.close()


def _new_topic(name: str, partitions: int, replication: int) -> NewTopic:
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, topic_configs=TOPICS[name])
    topic.replication_factor = (
        replication  # its constructor refuses -1, which the protocol allows for the broker's default
    )
    return topic


async def _connect(admin: AIOKafkaAdminClient, timeout_s: float, waiting: Callable[[], None] | None) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            await admin.start()
        except KafkaConnectionError:
            if asyncio.get_running_loop().time() > deadline:
                await admin.close()
                raise
            if waiting is not None:
                waiting()
                waiting = None
            await asyncio.sleep(0.2)
        else:
            return


async def _await_counts(admin: AIOKafkaAdminClient, partitions: int, timeout_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        described = await admin.describe_topics(list(TOPICS))
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
        if set(counts) == set(TOPICS) and all(counts.values()):
            break
        if asyncio.get_running_loop().time() > deadline:
            raise RuntimeError(f"the broker does not show these topics: {sorted(set(TOPICS) - set(counts))}")
        await asyncio.sleep(0.05)
    for name, found in sorted(counts.items()):
        if found != partitions:
            raise RuntimeError(
                f"topic {name} has {found} partitions, not {partitions}. All topics need the same count, and it never "
                f"changes: set HOLDFAST_PARTITIONS to {found}, or use a fresh cluster."
            )


async def _check_configs(admin: AIOKafkaAdminClient) -> None:
    """Refuse topics with settings that would stop a partition, or give two replays of a log different results."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict.fromkeys(_CHECKED)) for name in TOPICS]
    for answer in await admin.describe_configs(resources):
        for _, _, _, name, entries in answer.resources:
            found = {entry[0]: entry[1] for entry in entries}
            for key in _CHECKED:
                needed = TOPICS[name].get(key)
                if needed is not None and not _suffices(key, found.get(key, needed), needed):
                    raise RuntimeError(
                        f"topic {name} has {key}={found[key]}; Holdfast needs {needed}. Change it with "
                        f"`kafka-configs.sh --alter --entity-type topics --entity-name {name} "
                        f"--add-config {key}={needed}`."
                    )


def _suffices(key: str, found: str, needed: str) -> bool:
    return found == needed or (key in _AT_LEAST and int(found) >= int(needed))
