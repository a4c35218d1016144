"""Owns a TCP proxy that understands Kafka's framing: by rule it makes requests and answers wait, vanish or come twice.

It stands between a client and one broker. A broker tells its clients where to connect (Metadata, FindCoordinator), so
a `ProxiedBroker` has a second listener that advertises the proxy.
"""

import asyncio
import contextlib
import re
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from pathlib import Path
from typing import Self

from ops.kafka.broker import Broker, free_port

_HOST = "127.0.0.1"
_LINGER_S = 5.0
_SIZE = struct.Struct(">i")
_REQUEST_HEADER = struct.Struct(">hhih")  # api key, api version, correlation id, length of the client id


class Api(IntEnum):
    """The requests that rules are made for."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    FIND_COORDINATOR = 10
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


class Action(Enum):
    """What happens to a frame that a rule hits."""

    # It goes on when the rule's `until` is over, and so does all behind it. A request still reaches the broker when its
    # client has gone meanwhile; the waiting of an answer ends with its client.
    WAIT = "wait"
    DROP = "drop"  # it is lost, and its connection is silent in this direction from then on
    CUT = "cut"  # it is lost, and the client's connection is closed
    DOUBLE = "double"  # a request reaches the broker twice, the second right behind the first
    COPY = "copy"  # it goes on, and whoever made the rule delivers its copy later


REQUEST, ANSWER = "request", "answer"


@dataclass
class Exchange:
    """A request, as bytes without their length, and its answer once there is one."""

    api: int
    version: int
    correlation_id: int
    client: str
    request: bytes
    answer: bytes | None = None

    @classmethod
    def of(cls, request: bytes) -> "Exchange":
        """Read a request's header."""
        api, version, correlation_id, length = _REQUEST_HEADER.unpack_from(request)
        client = request[_REQUEST_HEADER.size : _REQUEST_HEADER.size + max(0, length)].decode()
        return cls(api, version, correlation_id, client, request)

    @property
    def end_txn_error(self) -> int:
        """Return the error code in the answer to an EndTxn."""
        assert self.api == Api.END_TXN
        assert self.answer is not None
        # Correlation id, from v3 on tagged fields of the header (none: one byte), throttle time, error code.
        (code,) = struct.unpack_from(">h", self.answer, 9 if self.version >= 3 else 8)
        return code


@dataclass
class Rule:
    """Hits frames of one kind, counted from the moment it is added.

    Args:
        api: the request's.
        action: what happens to a frame that is hit.
        of: REQUEST or ANSWER.
        client: a pattern for the whole client id.
        holding: what the request holds somewhere, the name of a topic for example.
        nth: the first frame to hit, from 1.
        every: how far the hits lie apart.
        times: how many frames are hit.
        until: what a frame waits for; it is given the exchange.
        then: a rule that comes into force with this one's last hit.
    """

    api: Api
    action: Action
    of: str = REQUEST
    client: str = ".*"
    holding: bytes = b""
    nth: int = 1
    every: int = 1
    times: int = 1
    until: Callable[[Exchange], Awaitable[object]] | None = None
    then: "Rule | None" = None
    hits: list[Exchange] = field(default_factory=list)
    seen: int = 0

    def takes(self, of: str, exchange: Exchange) -> bool:
        """Count a frame; say whether it is hit."""
        if self.api != exchange.api or self.of != of or self.holding not in exchange.request:
            return False
        if not re.fullmatch(self.client, exchange.client):
            return False
        self.seen += 1
        if len(self.hits) >= self.times or self.seen < self.nth or (self.seen - self.nth) % self.every:
            return False
        self.hits.append(exchange)
        return True

    async def done(self, within_s: float = 60.0) -> None:
        """Wait until it has hit as often as it should."""
        for _ in range(int(within_s / 0.01)):
            if len(self.hits) >= self.times:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"hit {len(self.hits)} of {self.times}, saw {self.seen}: {self.api.name} {self.action}")


class Proxy:
    """Relays between the clients of one port and a broker's port.

    Args:
        port: where clients connect.
        broker_port: the listener behind.
    """

    def __init__(self, port: int, broker_port: int) -> None:
        self.port = port
        self._broker_port = broker_port
        self._rules: list[Rule] = []
        self._links: set[asyncio.Task[None]] = set()

    @property
    def bootstrap(self) -> str:
        """Return `HOST:PORT` for clients."""
        return f"{_HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        """Start to listen."""
        self._server = await asyncio.start_server(self._serve, _HOST, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def add(self, rule: Rule) -> Rule:
        """Put a rule into force; of several that fit, the first decides."""
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Take all rules away."""
        self._rules.clear()

    def rule_for(self, of: str, exchange: Exchange) -> Rule | None:
        """Return the rule that hits a frame."""
        hit = next((rule for rule in self._rules if rule.takes(of, exchange)), None)
        if hit is not None and hit.then is not None and len(hit.hits) == hit.times:
            self.add(hit.then)
        return hit

    async def deliver(self, exchange: Exchange) -> Exchange:
        """Send a request that was dropped, or its copy, over a connection of its own; give it with its answer."""
        reader, writer = await asyncio.open_connection(_HOST, self._broker_port)
        late = Exchange.of(exchange.request)
        try:
            _write(writer, late.request)
            late.answer = await _read(reader)
        finally:
            writer.close()
        return late

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            broker_reader, broker_writer = await asyncio.open_connection(_HOST, self._broker_port)
            try:
                await _Link(self, reader, writer, broker_reader, broker_writer).relay()
            finally:
                broker_writer.close()
        except (OSError, asyncio.CancelledError):
            pass  # the broker is away, or the proxy ends
        finally:
            writer.close()
            self._links.discard(task)


class _CutError(Exception):
    """The client's connection is to be closed."""


class _Link:
    """One client's connection and the one to the broker behind it."""

    def __init__(
        self,
        proxy: Proxy,
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
        broker_reader: asyncio.StreamReader,
        broker_writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client = client_reader, client_writer
        self._broker = broker_reader, broker_writer
        self._unanswered: deque[tuple[Exchange, bool]] = deque()  # with whether the client waits for the answer

    async def relay(self) -> None:
        """Relay until either side closes, or a rule cuts."""
        directions = {asyncio.create_task(self._requests()), asyncio.create_task(self._answers())}
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in directions:
                task.cancel()
                with contextlib.suppress(_CutError, asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                    await task

    async def _requests(self) -> None:
        reader, writer = self._client[0], self._broker[1]
        while True:
            try:
                exchange = Exchange.of(await _read(reader))
            except asyncio.IncompleteReadError:
                # The client has gone. What it sent is on its way, and the broker is given the time to take it.
                async with asyncio.timeout(_LINGER_S):
                    while self._unanswered:
                        await asyncio.sleep(0.01)
                raise
            rule = self._proxy.rule_for(REQUEST, exchange)
            await self._obey(rule, exchange)
            self._unanswered.append((exchange, True))
            _write(writer, exchange.request)
            if rule is not None and rule.action is Action.DOUBLE:
                self._unanswered.append((Exchange.of(exchange.request), False))
                _write(writer, exchange.request)
            await writer.drain()

    async def _answers(self) -> None:
        reader, writer = self._broker[0], self._client[1]
        while True:
            answer = await _read(reader)
            exchange, awaited = self._unanswered.popleft()
            assert exchange.correlation_id == _SIZE.unpack_from(answer)[0]
            exchange.answer = answer
            if awaited:
                await self._obey(self._proxy.rule_for(ANSWER, exchange), exchange)
                _write(writer, answer)
                await writer.drain()

    async def _obey(self, rule: Rule | None, exchange: Exchange) -> None:
        match rule and rule.action:
            case Action.WAIT:
                assert rule is not None
                assert rule.until is not None
                await rule.until(exchange)
            case Action.DROP:
                await asyncio.Event().wait()
            case Action.CUT:
                raise _CutError


async def _read(reader: asyncio.StreamReader) -> bytes:
    (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
    return await reader.readexactly(size)


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(_SIZE.pack(len(frame)) + frame)


class ProxiedBroker(Broker):
    """A broker with a second listener, whose clients are sent to a proxy (and never past it)."""

    def __init__(self, data_dir: Path) -> None:
        self._proxied_port, self._proxy_port = free_port(), free_port()
        listener = f"PROXIED://{_HOST}"
        super().__init__(
            data_dir,
            properties={
                "listeners": "PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port},"
                f"{listener}:{self._proxied_port}",
                "advertised.listeners": f"PLAINTEXT://{{host}}:{{port}},{listener}:{self._proxy_port}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
            },
        )

    def proxy(self) -> Proxy:
        """Return a proxy before it; one at a time may listen."""
        return Proxy(self._proxy_port, self._proxied_port)
