"""What the tests of streams share: records without Kafka, rings, and clients that speak ASGI."""

import asyncio
import json
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition

TOPIC = "t"


@pytest.fixture(scope="session")
def broker(broker_of_events):
    return broker_of_events


class Record(NamedTuple):
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def change(partition, offset, sku="a", warehouse="york"):
    """Write a record of a stock change, as far as streams look at it."""
    value = json.dumps({"sku": sku, "offset": offset, "partition": partition}).encode()
    return Record(partition, offset, f"{sku}/{warehouse}".encode(), value)


def positions(*offsets):
    """Return a reader's positions in partitions 0, 1, ..."""
    return {TopicPartition(TOPIC, number): offset for number, offset in enumerate(offsets)}


def take(ring, records, *offsets):
    """Give records to a ring as its reader does, by partition, with its offsets after them."""
    batches = {}
    for record in records:
        batches.setdefault(TopicPartition(TOPIC, record.partition), []).append(record)
    ring.take(batches, positions(*offsets))


class Client:
    """One client of a stream, spoken to in ASGI, as httpx would wait for the end. `full` holds it up from reading."""

    def __init__(self, app, path="/v1/stock-changes", query="", last_event_id=None):
        headers = [
            (b"host", b"localhost"),
            (b"accept-encoding", b"gzip"),
            *([(b"last-event-id", last_event_id)] if last_event_id else []),
        ]
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 1),
        }
        self._gone = asyncio.Event()
        self._events: asyncio.Queue[bytes] = asyncio.Queue()
        self.status, self.headers = None, []
        self.id = last_event_id
        self.reads = asyncio.Event()
        self.reads.set()
        self.buffer = b""
        self.ended = False
        self.task = asyncio.ensure_future(app(self._scope, self._receive, self._send))

    async def _receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
            return
        self.ended = not message.get("more_body")
        self.buffer += message["body"]
        *blocks, self.buffer = self.buffer.split(b"\n\n")
        for block in blocks:
            self._events.put_nowait(block)

    async def event(self, within_s=20):
        """Return the next block's fields, and keep its id."""
        block = await asyncio.wait_for(self._events.get(), within_s)
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n"))
        self.id = fields.get(b"id", self.id)
        return fields

    async def named(self, name=b"stock-change", within_s=20):
        """Return the data of the next event, which must have this name; comments are passed over."""
        while b"event" not in (fields := await self.event(within_s)):
            pass
        assert fields[b"event"] == name, fields
        return json.loads(fields[b"data"])

    def nothing_more(self):
        """Return whether nothing waits to be read."""
        return self._events.empty()

    async def leave(self):
        """Close the connection."""
        self._gone.set()
        await asyncio.wait_for(self.task, 20)


@pytest.fixture
def streaming():
    """Return what tests of streams are made of."""
    return Streaming


class Streaming:
    Client = Client
    change = staticmethod(change)
    positions = staticmethod(positions)
    take = staticmethod(take)
    Record = Record
