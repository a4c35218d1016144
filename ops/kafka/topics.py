"""Owns the making and checking of topics on a broker."""

import asyncio
from collections.abc import Callable, Collection

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from ops.kafka.trouble import connection_trouble
from schemas.kafka_connection import kafka_options
from schemas.topics import TOPICS

_AT_LEAST = ("max.message.bytes", "message.timestamp.after.max.ms")
_NO_RIGHTS = {TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno}
_CHECKED = (*_AT_LEAST, "message.timestamp.type", "cleanup.policy")


async def ensure_topics(
    bootstrap: str,
    partitions: int,
    *,
    needed: Collection[str] = tuple(TOPICS),
    replication: int = -1,
    timeout_s: float = 15.0,
    waiting: Callable[[], None] | None = None,
) -> list[str]:
    """Make the missing topics if one that is needed is missing, and check that all have the same partition count.

    Args:
        bootstrap: `HOST:PORT,...` of the brokers.
        partitions: the count for every topic.
        needed: the topics that the caller has to have, and may see.
        replication: copies of each partition; -1 takes the broker's default.
        timeout_s: how long to wait for the broker, and until it shows the topics.
        waiting: called once if no broker answers at first.

    Returns:
        The names of the topics that were made.

    Raises:
        RuntimeError: a topic has another partition count or a wrong setting, or may not be made; or the brokers are
            there but do not talk with this process. Says what to do.
        aiokafka.errors.KafkaConnectionError: no broker answered in time.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **kafka_options())
    await _connect(admin, bootstrap, timeout_s, waiting)
    try:
        existing = set(await admin.list_topics())
        made = [] if existing.issuperset(needed) else await _make(admin, partitions, replication, existing, needed)
        there = [name for name in TOPICS if name in existing or name in needed or name in made]
        await _await_counts(admin, there, partitions, timeout_s)
        await _check_configs(admin, there)
        return made
    finally:
        await admin.close()


async def _make(
    admin: AIOKafkaAdminClient, partitions: int, replication: int, existing: Collection[str], needed: Collection[str]
) -> list[str]:
    missing = [name for name in TOPICS if name not in existing]
    answer = await admin.create_topics([_new_topic(name, partitions, replication) for name in missing])
    refused = set()
    for name, code, message in (entry[:3] for entry in answer.topic_errors):
        if code in _NO_RIGHTS:
            refused.add(name)
        elif code and code != TopicAlreadyExistsError.errno:
            raise RuntimeError(f"the broker refused to create topic {name}: {message or code}")
    if refused.intersection(needed):
        raise RuntimeError(
            f"this process sees no topic {', '.join(sorted(refused.intersection(needed)))} and may make none. Make the "
            "topics with `holdfast topics` as a user with the right Create, or give this one the rights on them: "
            "docs/how-to/secure-kafka.md."
        )
    return [name for name in missing if name not in refused]


def _new_topic(name: str, partitions: int, replication: int) -> NewTopic:
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, topic_configs=TOPICS[name])
    topic.replication_factor = (
        replication  # its constructor refuses -1, which the protocol allows for the broker's default
    )
    return topic


async def _connect(
    admin: AIOKafkaAdminClient, bootstrap: str, timeout_s: float, waiting: Callable[[], None] | None
) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            await admin.start()
        except KafkaConnectionError:
            is_late = asyncio.get_running_loop().time() > deadline
            trouble = await connection_trouble(bootstrap)
            if trouble is not None and (trouble.is_certain or is_late):
                await admin.close()
                raise RuntimeError(trouble.sentence) from None
            if is_late:
                await admin.close()
                raise
            if waiting is not None:
                waiting()
                waiting = None
            await asyncio.sleep(0.2)
        else:
            return


async def _await_counts(admin: AIOKafkaAdminClient, names: Collection[str], partitions: int, timeout_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        described = await admin.describe_topics(list(names))
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
        if set(counts) == set(names) and all(counts.values()):
            break
        if asyncio.get_running_loop().time() > deadline:
            raise RuntimeError(f"the broker does not show these topics: {sorted(set(names) - set(counts))}")
        await asyncio.sleep(0.05)
    for name, found in sorted(counts.items()):
        if found != partitions:
            raise RuntimeError(
                f"topic {name} has {found} partitions, not {partitions}. All topics need the same count, and it never "
                f"changes: set HOLDFAST_PARTITIONS to {found}, or use a fresh cluster."
            )


async def _check_configs(admin: AIOKafkaAdminClient, names: Collection[str]) -> None:
    """Refuse topics with settings that would stop a partition, or give two replays of a log different results.

    Who may not see the settings does not check them: the user of `holdfast topics` and of `holdfast doctor` may.
    """
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict.fromkeys(_CHECKED)) for name in names]
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
