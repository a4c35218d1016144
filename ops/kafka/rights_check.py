"""Owns the question whether this process has the rights it needs, so that it says which one is missing and not waits.

Kafka tells what the asking user may do with topics (KIP-430, in Metadata v9). For the rest a request that changes
nothing shows it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaClient
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from agents.kafka.wire import (
    I16,
    I32,
    EndTxn,
    Flag,
    KafkaRequest,
    Marker,
    ProducerResponse,
    Text,
    TextOrNone,
    TopicPartitions,
    WriteTxnMarkers,
    WriteTxnMarkersResponse,
)
from ops.kafka.acls import OPERATIONS
from ops.kafka.rights import CLUSTER, GROUPS, READ, TOPIC, TRANSACTIONAL_ID, WRITE, Right
from schemas.kafka_connection import USERNAME, kafka_options

_NOT_TOLD: Final = -(1 << 31)  # what a broker says that does not know the question
_NO_RIGHT_ON_TOPIC: Final = 29
_NOBODYS: Final = "rights-check"


class Node(NamedTuple):
    """A broker."""

    node_id: I32
    host: Text
    port: I32
    rack: TextOrNone


class PartitionPlace(NamedTuple):
    """Where a partition is."""

    error_code: I16
    partition: I32
    leader: I32
    leader_epoch: I32
    replicas: list[I32]
    in_sync: list[I32]
    offline: list[I32]


class TopicOperations(NamedTuple):
    """What the user may do with a topic, as bits."""

    error_code: I16
    name: Text
    is_internal: Flag
    partitions: list[PartitionPlace]
    operations: I32


class MetadataResponse(NamedTuple):
    """Answer of Metadata v9."""

    throttle_time_ms: I32
    brokers: list[Node]
    cluster_id: TextOrNone
    controller_id: I32
    topics: list[TopicOperations]
    operations: I32


class TopicName(NamedTuple):
    """A topic that is asked for."""

    name: Text


class Metadata(KafkaRequest, key=3, version=9, answer=MetadataResponse):
    """Metadata v9: the state of topics, and what the user may do with them and with the cluster."""

    topics: list[TopicName]
    make_topics: Flag
    with_cluster_operations: Flag
    with_topic_operations: Flag


class HeartbeatResponse(NamedTuple):
    """Answer of Heartbeat v4."""

    throttle_time_ms: I32
    error_code: I16


class Heartbeat(KafkaRequest, key=12, version=4, answer=HeartbeatResponse):
    """Heartbeat v4: says that a member of a group lives."""

    group_id: Text
    generation: I32
    member_id: Text
    instance_id: TextOrNone


async def missing_rights(bootstrap: str, rights: Sequence[Right]) -> list[Right]:
    """Return those of the rights that this process's user does not have. Nothing is changed.

    A topic that does not exist counts as one on which the user has all rights.

    Args:
        bootstrap: `HOST:PORT,...` of the brokers.
        rights: what to look for.

    Raises:
        KafkaError: no broker answers.
    """
    client = AIOKafkaClient(bootstrap_servers=bootstrap, client_id="holdfast-rights", **kafka_options())
    await client.bootstrap()
    try:
        topics = [TopicName(name) for name in dict.fromkeys(right.name for right in rights if right.kind == TOPIC)]
        request = Metadata(topics, make_topics=False, with_cluster_operations=False, with_topic_operations=True)
        told: MetadataResponse = await client.send(_any_of(client), request)
        bits = {it.name: 0 if it.error_code == _NO_RIGHT_ON_TOPIC else it.operations for it in told.topics}
        return [right for right in rights if not await _has(client, right, bits)]
    finally:
        await client.close()


def _any_of(client: AIOKafkaClient) -> Any:
    return client.get_random_node()


async def _has(client: AIOKafkaClient, right: Right, bits: Mapping[str, int]) -> bool:
    """Return whether the user has a right; `bits` are the told rights on topics.

    Brokers look at the rights before everything else, so there need be no such partition, member or id.
    """
    name = right.name.replace("*", _NOBODYS)
    if right.kind == TOPIC:
        return bits[name] == _NOT_TOLD or bool(bits[name] & 1 << OPERATIONS[right.operation])
    if right.kind == CLUSTER:
        marker = Marker(0, 0, committed=False, topics=[TopicPartitions(_NOBODYS, [0])], coordinator_epoch=0)
        marked: WriteTxnMarkersResponse = await client.send(_any_of(client), WriteTxnMarkers([marker]))
        codes = [it.error_code for written in marked.markers for topic in written.topics for it in topic.partitions]
        return ClusterAuthorizationFailedError.errno not in codes
    if (right.kind, right.operation) == (GROUPS, READ):
        beat: HeartbeatResponse = await client.send(_any_of(client), Heartbeat(name, -1, "", None))
        return bool(beat.error_code != GroupAuthorizationFailedError.errno)
    if (right.kind, right.operation) == (TRANSACTIONAL_ID, WRITE):
        ended: ProducerResponse = await client.send(_any_of(client), EndTxn(name, 0, 0, committed=False))
        return bool(ended.error_code != TransactionalIdAuthorizationFailed.errno)
    of = CoordinationType.GROUP if right.kind == GROUPS else CoordinationType.TRANSACTION
    try:
        await client.coordinator_lookup(of, name)
    except BrokerResponseError as error:  # or the coordinator is not there yet
        return not isinstance(error, GroupAuthorizationFailedError | TransactionalIdAuthorizationFailed)
    return True


def lack_of(rights: Iterable[Right]) -> str:
    """Return the sentence about rights that are missing."""
    user = os.environ.get(USERNAME)
    who = f"user {user} ({USERNAME})" if user else "this process's user"
    return (
        f"{who} lacks {', '.join(f'the right {right}' for right in rights)}. Give it with `kafka-acls.sh`: "
        "docs/how-to/secure-kafka.md has the table and the commands."
    )
