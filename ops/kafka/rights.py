"""Owns the rights on the cluster that each process needs, and no more; `docs/how-to/secure-kafka.md` has the table."""

from typing import Final, NamedTuple

from schemas.topics import (
    CHANGELOG,
    COMMANDS,
    DEAD_LETTERS,
    GROUP,
    REFERENCE,
    RESULTS,
    STATUS,
    STOCK_CHANGES,
    TOPICS,
    WEBHOOK_DEAD_LETTERS,
)

TOPIC: Final = "topic"
GROUPS: Final = "group"
TRANSACTIONAL_ID: Final = "transactional-id"
CLUSTER: Final = "cluster"
THE_CLUSTER: Final = "kafka-cluster"

READ: Final = "Read"
WRITE: Final = "Write"
CREATE: Final = "Create"
DESCRIBE: Final = "Describe"
CLUSTER_ACTION: Final = "ClusterAction"
DESCRIBE_CONFIGS: Final = "DescribeConfigs"

TRANSACTIONAL_IDS: Final = "holdfast-*"
WEBHOOK_GROUPS: Final = "holdfast-webhooks-*"


class Right(NamedTuple):
    """An operation on a resource.

    Args:
        operation: as Kafka's own tools write it. `Read` and `Write` include `Describe`.
        kind: the kind of resource.
        name: its name; with `*` at the end all whose names begin so.
    """

    operation: str
    kind: str
    name: str

    def __str__(self) -> str:
        """Return the right as a sentence names it."""
        return f"{self.operation} on {'the' if self.kind == CLUSTER else self.kind} {self.name}".replace(
            THE_CLUSTER, "cluster"
        )


class Role(NamedTuple):
    """A user's role: which processes connect as it, what for, and its rights."""

    who: str
    rights: tuple[Right, ...]

    @property
    def topics(self) -> list[str]:
        """Return the topics that it needs."""
        return list(dict.fromkeys(right.name for right in self.rights if right.kind == TOPIC))


def _on(topics: list[str], *operations: str) -> tuple[Right, ...]:
    return tuple(Right(operation, TOPIC, name) for name in topics for operation in operations)


_OUTPUTS = [CHANGELOG, RESULTS, STOCK_CHANGES, DEAD_LETTERS, REFERENCE]
_CALLER = (*_on([COMMANDS], WRITE), *_on([RESULTS, STOCK_CHANGES, REFERENCE], READ))
_AUDITOR = (
    *_on(list(TOPICS), READ, DESCRIBE_CONFIGS),
    Right(DESCRIBE, GROUPS, GROUP),
    Right(DESCRIBE, TRANSACTIONAL_ID, TRANSACTIONAL_IDS),
)

ROLES: Final[dict[str, Role]] = {
    "topics": Role("`holdfast topics`", _on(list(TOPICS), CREATE, DESCRIBE, DESCRIBE_CONFIGS)),
    "worker": Role(
        "`holdfast worker`",
        (
            *_on([COMMANDS, *_OUTPUTS], READ, WRITE),
            *_on([STATUS], WRITE),
            Right(WRITE, TRANSACTIONAL_ID, TRANSACTIONAL_IDS),
            Right(READ, GROUPS, GROUP),
            Right(CLUSTER_ACTION, CLUSTER, THE_CLUSTER),
        ),
    ),
    "gateway": Role(
        "`holdfast gateway`",
        (
            *_on([COMMANDS], WRITE),
            *_on([RESULTS, STOCK_CHANGES, REFERENCE, DEAD_LETTERS, STATUS], READ),
            Right(DESCRIBE, GROUPS, GROUP),
        ),
    ),
    "webhooks": Role(
        "`holdfast webhooks`",
        (
            *_on([STOCK_CHANGES, RESULTS, REFERENCE], READ),  # the policies, where an endpoint names channels
            *_on([WEBHOOK_DEAD_LETTERS], WRITE),
            Right(READ, GROUPS, WEBHOOK_GROUPS),
        ),
    ),
    "caller": Role("programs that send commands, `send`, `import` and all other commands that ask a worker", _CALLER),
    "auditor": Role("`audit`, `doctor`, `tail`, `stock --at`", _AUDITOR),
    "operator": Role(
        "a person with all these commands: caller and auditor", tuple(dict.fromkeys((*_CALLER, *_AUDITOR)))
    ),
}
