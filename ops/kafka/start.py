"""Owns what a service checks before it starts: Kafka is there, has its topics, and lets it do what it must do."""

from collections.abc import Callable
from typing import Final, Literal

from ops.kafka.rights import ROLES
from ops.kafka.rights_check import lack_of, missing_rights
from ops.kafka.topic_list import make_topics
from ops.problems import CannotDo, kafka_at
from schemas.kafka_connection import security_protocol
from schemas.topics import TOPICS

PATIENCE_S: Final = 30.0
"""A service may be started together with Kafka, so it waits this long for Kafka."""


async def prepare_cluster(
    bootstrap: str,
    partitions: int,
    role: Literal["worker", "gateway", "webhooks"],
    *,
    timeout_s: float = PATIENCE_S,
    waiting: Callable[[], None] | None = None,
) -> None:
    """Wait for Kafka, make topics that are missing, and check the rights of this process.

    Args:
        bootstrap: `HOST:PORT,...` of the brokers.
        partitions: the count for every topic.
        role: what this process is.
        timeout_s: how long to wait for Kafka.
        waiting: called once if no broker answers at first.

    Raises:
        CannotDo: no Kafka answers in time, or waiting cannot help: says which variable, topic or right is wrong.
    """
    needed = [name for name in ROLES[role].topics if name in TOPICS]
    await make_topics(bootstrap, partitions, needed=needed, timeout_s=timeout_s, waiting=waiting)
    if security_protocol() == "PLAINTEXT":
        return  # then there is no user who could have rights
    with kafka_at(bootstrap):
        missing = await missing_rights(bootstrap, ROLES[role].rights)
    if missing:
        raise CannotDo(lack_of(missing))
