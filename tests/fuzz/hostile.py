"""Owns the clients that mean no good: they send slowly, or too much, or only hold connections. All on loopback."""

import asyncio
import contextlib
import resource
import time
from urllib.parse import urlsplit

# What docs/contract.md promises: how long a head, a body and an idle connection may take, how many there may be.
HEAD_S, BODY_S, IDLE_S, MOST_CONNECTIONS = 5, 10, 30, 4_096
SLOW = 2_000
PATIENCE_S = 2.0
HEAD = b"POST /v1/adjustments HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\nAuthorization: %b\r\n"


def descriptors():
    """Return how many connections this process may hold: its limit of open files, raised to what it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft - 200


async def besiege(url, authorization, connections, say):
    """Let hostile clients come in numbers, and return what went wrong.

    Args:
        url: the gateway's.
        authorization: the header of a key.
        connections: how many they try to hold.
        say: is told what happens.
    """
    wrong = []
    for name, siege in (("slow heads", _slow_heads), ("slow bodies", _slow_bodies), ("idle connections", _idle)):
        hostile = Hostile(url, authorization)
        most = min(connections, descriptors())
        opened, slowest_s = await siege(hostile, most)
        left = await hostile.still_open()
        hostile.leave()
        say(f"{opened:,} {name}: a good client waited {slowest_s * 1000:.0f} ms at most; {left:,} are still open")
        if slowest_s > PATIENCE_S:
            wrong.append(f"{name} hold up a good client for {slowest_s:.1f} s")
        if left:
            wrong.append(f"{left:,} of {opened:,} {name} are still open after their time")
    floods = await Hostile(url).floods()
    say(f"heads that are too large are answered {floods}")
    wrong += [f"a head of {size:,} bytes got {status}" for size, status in floods.items() if status not in {400, 431}]
    return wrong


async def _slow_heads(hostile, most):
    await hostile.slow_heads(min(most, SLOW))
    _, slowest_s = await asyncio.gather(hostile.drip(HEAD_S + 1), hostile.slowest_answer_s(HEAD_S + 1))
    return min(most, SLOW), slowest_s


async def _slow_bodies(hostile, most):
    await hostile.slow_bodies(min(most, SLOW))
    _, slowest_s = await asyncio.gather(hostile.drip(BODY_S + 1), hostile.slowest_answer_s(BODY_S + 1))
    return min(most, SLOW), slowest_s


async def _idle(hostile, most):
    """Hold fewer than the gateway accepts, then all it does; the good client comes meanwhile, and after them."""
    opened = await hostile.connect_many(min(most, MOST_CONNECTIONS - 100))
    slowest_s = await hostile.slowest_answer_s(2)
    opened += await hostile.connect_many(most - opened)
    await asyncio.sleep(IDLE_S + 2)
    return opened, max(slowest_s, await hostile.slowest_answer_s(2))


class Hostile:
    """Clients of one gateway.

    Args:
        url: the gateway's.
        authorization: the header of a key; without one a request is refused before its body is read.
    """

    def __init__(self, url, authorization=""):
        self._address = urlsplit(url)
        self._host = self._address.netloc.encode()
        self._head = HEAD % (self._host, authorization.encode())
        self._open = []

    async def connect(self):
        """Open a connection, and keep it until `leave`."""
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        self._open.append((reader, writer))
        return reader, writer

    async def connect_many(self, count, at_a_time=200):
        """Open connections, and return how many the gateway accepted."""
        before = len(self._open)
        for first in range(0, count, at_a_time):
            calls = (self.connect() for _ in range(min(at_a_time, count - first)))
            await asyncio.gather(*calls, return_exceptions=True)
        return len(self._open) - before

    def leave(self):
        """Close all connections."""
        for _, writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def still_open(self):
        """Return how many connections the gateway has not closed."""
        count = 0
        for reader, _ in self._open:
            with contextlib.suppress(TimeoutError, OSError):
                try:
                    async with asyncio.timeout(0.002):
                        while await reader.read(65_536):
                            pass
                except TimeoutError:
                    count += 1
        return count

    async def slow_heads(self, count):
        """Begin requests whose heads never end."""
        await self.connect_many(count)
        for _, writer in self._open[-count:]:
            writer.write(self._head)

    async def slow_bodies(self, count):
        """Begin requests whose bodies never end."""
        await self.connect_many(count)
        for _, writer in self._open[-count:]:
            writer.write(self._head + b"Content-Length: 1000\r\n\r\n{")

    async def drip(self, for_s, every_s=0.5):
        """Send one byte more on every connection now and then."""
        ends_at = time.monotonic() + for_s
        while time.monotonic() < ends_at:
            await asyncio.sleep(every_s)
            for _, writer in self._open:
                if not writer.transport.is_closing():
                    writer.write(b"x")

    async def answer_to(self, request):
        """Send bytes on a connection of their own; return the answer's status, or None without one."""
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            writer.write(request)
            async with asyncio.timeout(15):
                line = await reader.readline()
            return int(line.split()[1]) if line.startswith(b"HTTP/") else None
        except OSError:
            return None
        finally:
            writer.transport.abort()

    async def floods(self):
        """Send heads that are too large; return the status of each by its size in bytes."""
        one = b"X-Flood-%d: " + b"y" * 1000 + b"\r\n"
        heads = {
            40_000: b"".join(one % number for number in range(40)),
            300_000: b"".join(one % number for number in range(300)),
            10_000: b"X: 1\r\n" * 1_666,
        }
        found = {size: await self.answer_to(self.get(head)) for size, head in heads.items()}
        return found | {20_000: await self.answer_to(self.get(path=b"/health/live?" + b"x" * 20_000))}

    def get(self, extra=b"", path=b"/health/live"):
        """Return a plain request with further header lines."""
        return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (path, self._host, extra)

    async def slowest_answer_s(self, for_s, every_s=0.05):
        """Ask again and again as a good client does, each time on a connection of its own; return the longest wait."""
        slowest, ends_at = 0.0, time.monotonic() + for_s
        while time.monotonic() < ends_at:
            began = time.monotonic()
            status = await self.answer_to(self.get())
            if status != 200:
                raise AssertionError(f"a good client got {status}")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(every_s)
        return slowest
