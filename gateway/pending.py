"""Owns the requests that wait for their results, and which result answers which of them.

Several requests under one key may wait at a time, with the same content or not, and each gets the result of its own
record. A result that was decided for a record names that record's offset, so it is matched by offset once Kafka has
told ours. A replayed result names the original's offset; as results come in the order of their commands, it belongs
to the first that still waits.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from schemas.codes import Code, Problem


class Head(msgspec.Struct, gc=False):
    """As much of a result as the gateway reads; the rest is passed on as it came."""

    command_id: str | None
    status: Literal["accepted", "rejected"]
    code: Code | None
    offset: int
    replayed: bool = False
    field: str | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET
    requested: int | UnsetType = UNSET
    available: int | UnsetType = UNSET
    of_command: Raw = Raw(b"null")


class Answer(NamedTuple):
    """A result: its head, and all of its JSON."""

    head: Head
    document: bytes


class Waiter:
    """One request; `offset` is its record's, known once Kafka has acknowledged it."""

    __slots__ = ("command_id", "future", "key", "offset")

    def __init__(self, key: bytes, command_id: str, future: "asyncio.Future[Answer]") -> None:
        self.key = key
        self.command_id = command_id
        self.future = future
        self.offset: int | None = None

    def answer(self, answer: Answer) -> None:
        """Let the request go on with its result; the first one counts."""
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Let the request go on with an error, unless it has its result."""
        if not self.future.done():
            self.future.set_exception(error)
            # Marked as seen: the request may have gone away, and asyncio warns about errors that nobody read.
            self.future.exception()


class _Group:
    """The requests under one key of one SKU, in the order in which they were sent."""

    __slots__ = ("early", "waiters")

    def __init__(self) -> None:
        self.waiters: list[Waiter] = []
        # Results that were read before the broker acknowledged the command that they may answer.
        self.early: list[Answer] = []


_head_of = msgspec.json.Decoder(Head).decode


class PendingResults:
    """The waiting requests of this gateway, by SKU and key."""

    def __init__(self) -> None:
        self._by_sku: dict[bytes, dict[str, _Group]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: bytes, command_id: str) -> Waiter:
        """Let one more request wait.

        Args:
            key: the SKU as the topics' records carry it, in UTF-8.
            command_id: its idempotency key.
        """
        waiter = Waiter(key, command_id, asyncio.get_running_loop().create_future())
        groups = self._by_sku.setdefault(key, {})
        group = groups.get(command_id)
        if group is None:
            group = groups[command_id] = _Group()
        group.waiters.append(waiter)
        self._count += 1
        return waiter

    def discard(self, waiter: Waiter) -> None:
        """Forget a request, answered or not."""
        groups = self._by_sku[waiter.key]
        group = groups[waiter.command_id]
        group.waiters.remove(waiter)
        self._count -= 1
        if not group.waiters:
            del groups[waiter.command_id]
            if not groups:
                del self._by_sku[waiter.key]

    def acknowledge(self, waiter: Waiter, offset: int) -> None:
        """Note where Kafka has put a request's record."""
        waiter.offset = offset
        group = self._by_sku.get(waiter.key, {}).get(waiter.command_id)
        for answer in group.early if group else ():
            if answer.head.offset == offset:
                waiter.answer(answer)

    def match_result(self, key: bytes | None, value: bytes | None) -> None:
        """Hand a record of `inventory.results` to the request it answers; most are nobody's here."""
        if key is None or value is None:
            return
        groups = self._by_sku.get(key)
        if groups is None:
            return
        try:
            head = _head_of(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        group = groups.get(head.command_id) if head.command_id else None
        if group is not None:
            _match(group, Answer(head, value))

    def fail_unacknowledged(self, error_for: Callable[[str], Exception]) -> None:
        """Let every request go whose record Kafka has not acknowledged.

        Args:
            error_for: makes the error from the request's idempotency key.
        """
        for groups in self._by_sku.values():
            for command_id, group in groups.items():
                for waiter in group.waiters:
                    if waiter.offset is None:
                        waiter.fail(error_for(command_id))


def _match(group: _Group, answer: Answer) -> None:
    waiting = [waiter for waiter in group.waiters if not waiter.future.done()]
    if answer.head.replayed:
        if waiting:
            waiting[0].answer(answer)
        return
    for waiter in waiting:
        if waiter.offset == answer.head.offset:
            waiter.answer(answer)
            return
    if any(waiter.offset is None for waiter in waiting):
        group.early.append(answer)
