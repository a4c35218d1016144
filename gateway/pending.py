"""Owns the requests that wait for results, and the choice of the request that a result answers.

Several requests with one key may wait at the same time, with equal content or not. Each gets the result of its own
record. A first result has its record's offset, so it is matched by offset once Kafka has told us ours. A replayed
result has the first record's offset; results come in the order of their commands, so it belongs to the first request
that still waits.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.problems import RequestRefused
from schemas.codes import Code, Problem


class Head(msgspec.Struct, gc=False):
    """The fields of a result that the gateway reads; the rest is passed on unchanged."""

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
    """One waiting request; `offset` is that of its record, None until Kafka has acknowledged it."""

    __slots__ = ("command_id", "future", "key", "offset", "partition")

    def __init__(self, key: bytes, command_id: str, future: "asyncio.Future[Answer]", partition: int) -> None:
        self.key = key
        self.partition = partition
        self.command_id = command_id
        self.future = future
        self.offset: int | None = None

    def answer(self, answer: Answer) -> None:
        """Answer the request with a result; only the first counts."""
        if not self.future.done():
            self.future.set_result(answer)

    def outcome(self) -> Answer | RequestRefused:
        """Return the result, or why there is none; the future must be done."""
        error = self.future.exception()
        if error is None:
            return self.future.result()
        if isinstance(error, RequestRefused):
            return error
        raise error

    def fail(self, error: Exception) -> None:
        """Answer the request with an error, unless it has a result."""
        if not self.future.done():
            self.future.set_exception(error)
            # Read it once: the request may be gone, and asyncio warns about errors that nobody reads.
            self.future.exception()


class _Group:
    """The requests with one key of one SKU, in the order in which they were sent, and who watches for any result."""

    __slots__ = ("early", "replays", "waiters", "watchers")

    def __init__(self) -> None:
        self.waiters: list[Waiter] = []
        # Results that were read before the broker acknowledged the command.
        self.early: list[Answer] = []
        # Repetitions that were read after such a result.
        self.replays: list[Answer] = []
        self.watchers: list[asyncio.Event] = []


_head_of = msgspec.json.Decoder(Head).decode


class PendingResults:
    """The waiting requests of this gateway, by SKU and idempotency key."""

    def __init__(self) -> None:
        self._by_sku: dict[bytes, dict[str, _Group]] = {}
        self._count = 0
        self.watching = 0
        """How many watch for a result of a command that they did not send."""

    def __len__(self) -> int:
        return self._count

    def add(self, key: bytes, command_id: str, partition: int = 0) -> Waiter:
        """Add a request that waits, and return it.

        Args:
            key: the record's key: the SKU in UTF-8.
            command_id: its idempotency key.
            partition: where its record goes.
        """
        waiter = Waiter(key, command_id, asyncio.get_running_loop().create_future(), partition)
        self._group(key, command_id).waiters.append(waiter)
        self._count += 1
        return waiter

    def _group(self, key: bytes, command_id: str) -> _Group:
        groups = self._by_sku.setdefault(key, {})
        group = groups.get(command_id)
        if group is None:
            group = groups[command_id] = _Group()
        return group

    def discard(self, waiter: Waiter) -> None:
        """Remove a request, answered or not."""
        self._by_sku[waiter.key][waiter.command_id].waiters.remove(waiter)
        self._count -= 1
        self._drop_if_empty(waiter.key, waiter.command_id)

    def _drop_if_empty(self, key: bytes, command_id: str) -> None:
        groups = self._by_sku[key]
        group = groups[command_id]
        if not group.waiters and not group.watchers:
            del groups[command_id]
            if not groups:
                del self._by_sku[key]

    @contextlib.contextmanager
    def watch(self, key: bytes, command_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set when any result with this idempotency key is read during the block.

        Args:
            key: the record's key: the SKU in UTF-8.
            command_id: the idempotency key.
        """
        seen = asyncio.Event()
        self._group(key, command_id).watchers.append(seen)
        self.watching += 1
        try:
            yield seen
        finally:
            self.watching -= 1
            self._by_sku[key][command_id].watchers.remove(seen)
            self._drop_if_empty(key, command_id)

    def acknowledge(self, waiter: Waiter, offset: int) -> None:
        """Note the offset of a request's record."""
        waiter.offset = offset
        group = self._by_sku.get(waiter.key, {}).get(waiter.command_id)
        if group is None or not group.early:
            return
        for answer in group.early:
            if answer.head.offset == offset:
                waiter.answer(answer)
        if all(each.offset is not None for each in group.waiters):
            group.early.clear()  # nobody else can have one of them
            replays, group.replays = group.replays, []
            for answer in replays:
                _match(group, answer)

    def match_result(self, key: bytes | None, value: bytes | None) -> None:
        """Answer the request to which a record of `inventory.results` belongs; most belong to none here."""
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
            for seen in group.watchers:
                seen.set()
            _match(group, Answer(head, value))

    def fail_unacknowledged(self, error_for: Callable[[str], Exception]) -> None:
        """Fail every request whose record Kafka has not acknowledged.

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
        if group.early and any(waiter.offset is None for waiter in waiting):
            group.replays.append(answer)  # whose it is shows when it is known whose the early result is
        elif waiting:
            waiting[0].answer(answer)
        return
    for waiter in waiting:
        if waiter.offset == answer.head.offset:
            waiter.answer(answer)
            return
    if any(waiter.offset is None for waiter in waiting):
        group.early.append(answer)
