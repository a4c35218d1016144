"""Owns the making and removing of rights (ACLs, KIP-11 and KIP-140) over Kafka's protocol, and which of them are there.

aiokafka 0.14 has these requests, but their arguments are those of a query.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import for_code

from agents.kafka.wire import I8, I16, I32, KafkaRequest, Text, TextOrNone
from ops.kafka.rights import CLUSTER, GROUPS, TOPIC, TRANSACTIONAL_ID, Right

KINDS: Final = {TOPIC: 2, GROUPS: 3, CLUSTER: 4, TRANSACTIONAL_ID: 5}
OPERATIONS: Final = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "ClusterAction": 9,
    "DescribeConfigs": 10,
}
_LITERAL, _PREFIXED = 3, 4
_ALLOW = 3
_ANY = 1
_EVERY_HOST = "*"
_IN_FORCE_WITHIN_S = 10.0


class Creation(NamedTuple):
    """A right to give to a principal."""

    resource_type: I8
    resource_name: Text
    pattern_type: I8
    principal: Text
    host: Text
    operation: I8
    permission_type: I8


class Created(NamedTuple):
    """How one creation went."""

    error_code: I16
    error_message: TextOrNone


class CreateAclsResponse(NamedTuple):
    """Answer of CreateAcls v3."""

    throttle_time_ms: I32
    results: list[Created]


class CreateAcls(KafkaRequest, key=30, version=3, answer=CreateAclsResponse):
    """CreateAcls v3: gives rights; one that is there already is no error."""

    creations: list[Creation]


class Filter(NamedTuple):
    """Which rights to remove."""

    resource_type: I8
    resource_name: TextOrNone
    pattern_type: I8
    principal: TextOrNone
    host: TextOrNone
    operation: I8
    permission_type: I8


class Matching(NamedTuple):
    """A right that was removed."""

    error_code: I16
    error_message: TextOrNone
    resource_type: I8
    resource_name: Text
    pattern_type: I8
    principal: Text
    host: Text
    operation: I8
    permission_type: I8


class Filtered(NamedTuple):
    """How the removal by one filter went."""

    error_code: I16
    error_message: TextOrNone
    matching: list[Matching]


class DeleteAclsResponse(NamedTuple):
    """Answer of DeleteAcls v3."""

    throttle_time_ms: I32
    results: list[Filtered]


class DeleteAcls(KafkaRequest, key=31, version=3, answer=DeleteAclsResponse):
    """DeleteAcls v3: takes rights away."""

    filters: list[Filter]


class DescribedAcl(NamedTuple):
    """Who may do what."""

    principal: Text
    host: Text
    operation: I8
    permission_type: I8


class DescribedResource(NamedTuple):
    """The rights on one resource."""

    resource_type: I8
    resource_name: Text
    pattern_type: I8
    acls: list[DescribedAcl]


class DescribeAclsResponse(NamedTuple):
    """Answer of DescribeAcls v3."""

    throttle_time_ms: I32
    error_code: I16
    error_message: TextOrNone
    resources: list[DescribedResource]


class DescribeAcls(KafkaRequest, key=29, version=3, answer=DescribeAclsResponse):
    """DescribeAcls v3: which rights there are."""

    resource_type: I8
    resource_name: TextOrNone
    pattern_type: I8
    principal: TextOrNone
    host: TextOrNone
    operation: I8
    permission_type: I8


class Acl(NamedTuple):
    """A right of a user."""

    user: str
    right: Right

    def on_the_wire(self) -> tuple[int, str, int, str, str, int, int]:
        """Return its fields in the order of the protocol."""
        operation, kind, name = self.right
        pattern = _PREFIXED if name.endswith("*") else _LITERAL
        named = name.removesuffix("*")
        return KINDS[kind], named, pattern, f"User:{self.user}", _EVERY_HOST, OPERATIONS[operation], _ALLOW


async def allow(connection: AIOKafkaConnection, acls: Iterable[Acl]) -> None:
    """Give rights, and wait until the broker goes by them.

    Args:
        connection: to a broker, of a user who may.
        acls: the rights.

    Raises:
        KafkaError: a broker refuses, or cannot be reached.
    """
    wanted = {acl.on_the_wire() for acl in acls}
    request = CreateAcls([Creation(*fields) for fields in sorted(wanted)])
    answer: CreateAclsResponse = await connection.send(request)
    for result in answer.results:
        _check(result.error_code, result.error_message)
    await _until(connection, lambda there: wanted <= there)


async def disallow(connection: AIOKafkaConnection, acls: Iterable[Acl]) -> None:
    """Take rights away, and wait until the broker goes by it. The same arguments and errors as `allow`."""
    gone = {acl.on_the_wire() for acl in acls}
    answer: DeleteAclsResponse = await connection.send(DeleteAcls([Filter(*fields) for fields in sorted(gone)]))
    for result in answer.results:
        _check(result.error_code, result.error_message)
    await _until(connection, lambda there: not gone & there)


async def _until(connection: AIOKafkaConnection, is_so: Any) -> None:
    deadline = time.monotonic() + _IN_FORCE_WITHIN_S
    while not is_so(await _there(connection)):
        if time.monotonic() > deadline:
            raise TimeoutError("the broker does not go by the new rights")
        await asyncio.sleep(0.01)


async def _there(connection: AIOKafkaConnection) -> set[tuple[int, str, int, str, str, int, int]]:
    request = DescribeAcls(_ANY, None, _ANY, None, None, _ANY, _ANY)
    answer: DescribeAclsResponse = await connection.send(request)
    _check(answer.error_code, answer.error_message)
    return {(*it[:3], *acl) for it in answer.resources for acl in it.acls}


def _check(code: int, message: str | None) -> None:
    if code:
        raise for_code(code)(message or "")
