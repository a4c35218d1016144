"""Owns `holdfast send`: it sends JSON lines as commands, and with `--wait` prints each result as a line."""

import asyncio
import contextlib
import os
import sys
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, BinaryIO

from aiokafka.errors import MessageSizeTooLargeError

from ops.exchange import Exchange, Follower, address_of, exchange, no_answer
from ops.problems import FOUND_WRONG, no_kafka
from ops.screen import say
from schemas import codec
from schemas.commands import Command, Tick
from schemas.explain import explain
from schemas.partitioner import partition_of
from schemas.reference import ReferenceCommand, name_of
from schemas.topics import COMMANDS

# How many lines may wait for an answer: enough to keep every partition busy, in little memory.
_MAX_OPEN = 10_000
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of input to send.

    `command_id` is None when no answer can come; `wrong` says why the ledger will refuse the line, if that is known.
    A reference command has the SKU "" and a key of its own; it goes to every partition, and each one answers.
    """

    value: bytes
    sku: str | None
    command_id: str | None
    key: str | None = None
    wrong: str | None = None


class LineRefused(Exception):
    """A line is no command and is not sent; the message says why."""


def checked(value: bytes) -> Line:
    """Read a line and check it.

    Raises:
        LineRefused: it is no command of a SKU.
    """
    try:
        command = codec.decode_command(value)
    except codec.Unreadable as error:
        raise LineRefused(_reason(error, value)) from None
    if isinstance(command, Tick):
        raise LineRefused("a tick is written by the partition's owner and belongs to no SKU")
    return _line(value, command)


def unchecked(value: bytes) -> Line:
    """Read a line without a check: its readable parts determine the partition and whether an answer can come."""
    try:
        command = codec.decode_command(value)
    except codec.Unreadable as error:
        key = error.sku or None
        return Line(value=value, sku=error.sku, command_id=error.command_id, key=key, wrong=_reason(error, value))
    return _line(value, command)


def _line(value: bytes, command: Command) -> Line:
    if isinstance(command, Tick):
        return Line(value=value, sku=None, command_id=None)
    if isinstance(command, ReferenceCommand):
        return Line(value=value, sku="", command_id=command.command_id, key=name_of(command))
    return Line(value=value, sku=command.sku, command_id=command.command_id, key=command.sku)


def _reason(error: codec.Unreadable, value: bytes) -> str:
    if error.field is None:
        return str(error)
    return f"{error}: {explain(error.field, error.problem, value)} All fields: docs/contract.md"


class Answers:
    """Prints results in the order of the commands."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print = print_line
        self._order: deque[tuple[str, str]] = deque()
        self._wanted: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._come: defaultdict[tuple[str, str], deque[bytes]] = defaultdict(deque)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def next_command_id(self) -> str:
        """Return the id of the command whose result is printed next."""
        return self._order[0][0]

    def expect(self, command_id: str, sku: str) -> None:
        """Note a command before it is sent."""
        self._order.append((command_id, sku))
        self._wanted[command_id, sku] += 1

    def receive_result(self, value: bytes) -> bool:
        """Take a result and print what can be printed by now. Tells whether anything was."""
        address = address_of(value)
        key = (address.command_id or "", address.sku)
        if self._wanted.get(key, 0) == 0:
            return False
        self._wanted[key] -= 1
        self._come[key].append(value)
        return self._print_ready()

    def _print_ready(self) -> bool:
        printed = False
        while self._order and (come := self._come.get(self._order[0])):
            self._print(come.popleft().decode())
            key = self._order.popleft()
            if not come and not self._wanted[key]:
                del self._come[key], self._wanted[key]
            printed = True
        return printed


async def send(*, bootstrap: str, source: BinaryIO, read: Callable[[bytes], Line], wait: bool, timeout_s: float) -> int:
    """Send every line of the source.

    Args:
        bootstrap: `HOST:PORT,...` of the brokers.
        source: JSON lines; empty lines are skipped.
        read: reads a line: `checked` skips lines that are no command, `unchecked` does not.
        wait: whether to print each command's result, in the order of the lines.
        timeout_s: how long to wait for Kafka to accept a command, and for the next result.

    Returns:
        The exit code: 1 when a line was refused.

    Raises:
        CannotDo: Kafka is away, or a result did not come.
    """
    answers = Answers(_print_line)
    async with exchange(bootstrap) as link, Follower(link.results, answers.receive_result) as follower:
        sender = _Sender(link, follower, answers, read=read, wait=wait, timeout_s=timeout_s)
        async for number, line in numbered_lines(source):
            await sender.send(number, line)
        await sender.finish()
    say(f"{sender.sent:,} sent" + (f", {sender.refused:,} refused" if sender.refused else ""))
    return FOUND_WRONG if sender.refused else 0


class _Sender:
    def __init__(
        self,
        link: Exchange,
        follower: Follower,
        answers: Answers,
        *,
        read: Callable[[bytes], Line],
        wait: bool,
        timeout_s: float,
    ) -> None:
        self._link = link
        self._follower = follower
        self._answers = answers
        self._read = read
        self._wait = wait
        self._timeout_s = timeout_s
        self._on_the_way: deque[asyncio.Future[Any]] = deque()
        self.sent = 0
        self.refused = 0

    async def send(self, number: int, value: bytes) -> None:
        try:
            line = self._read(value)
            await self._produce(line)
        except (LineRefused, MessageSizeTooLargeError) as error:
            self.refused += 1
            say(f"line {number}: {error}")
            return
        self.sent += 1
        if line.wrong is not None:
            say(f"line {number}: sent as it is, but {line.wrong}")
        if len(self._on_the_way) > _MAX_OPEN:
            await self._in_time(self._on_the_way.popleft())
        await self._answered(_MAX_OPEN)

    async def _produce(self, line: Line) -> None:
        key = None if line.key is None else line.key.encode()
        for partition in self._partitions_for(line):
            # Noted before it is sent: the answer may come while the producer still waits for room.
            if self._wait and line.command_id is not None and line.sku is not None:
                self._answers.expect(line.command_id, line.sku)
            sending = self._link.producer.send(COMMANDS, line.value, key=key, partition=partition)
            self._on_the_way.append(await self._in_time(sending))

    def _partitions_for(self, line: Line) -> Iterable[int]:
        partitions = self._link.partitions
        if line.sku is None:
            return (0,)
        return (partition_of(line.sku, partitions),) if line.sku else range(partitions)

    async def _in_time(self, awaitable: Awaitable[Any]) -> Any:
        try:
            return await asyncio.wait_for(awaitable, self._timeout_s)
        except TimeoutError:
            raise no_kafka(self._link.bootstrap) from None

    async def _answered(self, all_but: int) -> None:
        if not await self._follower.until(lambda: len(self._answers) <= all_but, self._timeout_s):
            raise no_answer(self._answers.next_command_id, self._timeout_s)

    async def finish(self) -> None:
        while self._on_the_way:
            await self._in_time(self._on_the_way.popleft())
        await self._answered(0)


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def numbered_lines(source: BinaryIO) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the lines of a stream as they come, each with its number, without empty lines."""
    rest = b""
    number = 0
    async for chunk in _chunks(source):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield number, line.strip()
    if rest.strip():
        yield number + 1, rest.strip()


async def _chunks(source: BinaryIO) -> AsyncIterator[bytes]:
    # A thread of its own, not the loop's pool: at exit a pool would wait for the read of a terminal.
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=4)
    read = _reader_of(source)

    def feed() -> None:
        chunk = b" "
        # The loop may end before the input; then the lines are dropped.
        with contextlib.suppress(RuntimeError, CancelledError):
            while chunk:
                chunk = read()
                asyncio.run_coroutine_threadsafe(queue.put(chunk), loop).result()

    threading.Thread(target=feed, daemon=True).start()
    while chunk := await queue.get():
        yield chunk


def _reader_of(source: BinaryIO) -> Callable[[], bytes]:
    # Read the descriptor, not Python's buffer, if there is one: a waiting thread would hold its lock at exit.
    try:
        descriptor = source.fileno()
    except (OSError, AttributeError):
        return lambda: source.read(_CHUNK_BYTES)
    return lambda: os.read(descriptor, _CHUNK_BYTES)
