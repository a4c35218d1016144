"""Owns `holdfast topics`: it makes the missing topics and lists all with their configuration."""

from collections.abc import Callable, Collection
from dataclasses import asdict

from aiokafka.errors import KafkaError

from ops.kafka.cluster import connect
from ops.kafka.topics import ensure_topics
from ops.problems import CannotDo, kafka_at
from ops.screen import print_json, print_table, say
from schemas.topics import TOPICS


async def topics(*, bootstrap: str, partitions: int, replication: int, as_json: bool) -> None:
    """Make the missing topics and print all topics.

    Raises:
        CannotDo: no Kafka answers, or a topic has another partition count.
    """
    made = await make_topics(bootstrap, partitions, replication=replication)
    async with connect(bootstrap) as cluster:
        states = await cluster.topics(TOPICS)
    if as_json:
        print_json({"made": made, "topics": {name: asdict(state) for name, state in states.items()}})
        return
    rows = [
        (name, state.partitions, ", ".join(f"{key}={value}" for key, value in sorted(state.configs.items())))
        for name, state in states.items()
    ]
    print_table(("topic", "partitions", "configuration"), rows)
    say(f"made {', '.join(made)}" if made else "all were there")


async def make_topics(
    bootstrap: str,
    partitions: int,
    *,
    needed: Collection[str] = tuple(TOPICS),
    replication: int = -1,
    timeout_s: float = 3.0,
    waiting: Callable[[], None] | None = None,
) -> list[str]:
    """Make the missing topics like `ops.kafka.topics.ensure_topics`, with errors for people.

    Raises:
        CannotDo: no Kafka answers in time, or a topic has another partition count.
    """
    with kafka_at(bootstrap):
        try:
            return await ensure_topics(
                bootstrap, partitions, needed=needed, replication=replication, timeout_s=timeout_s, waiting=waiting
            )
        except KafkaError:
            raise
        except RuntimeError as error:
            raise CannotDo(str(error)) from error
