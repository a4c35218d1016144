"""One stream, from its first line to its end, over a ring that the test feeds."""

import asyncio
import json

import pytest

from gateway.config import GatewayConfig
from gateway.rules import ReferenceView
from gateway.streams import stream as module
from gateway.streams.events import change_event
from gateway.streams.followers import Followers
from gateway.streams.past import Past
from gateway.streams.ring import Ring
from gateway.streams.stream import Stream
from gateway.streams.wanted import StreamFilter, passes_for_changes

ALL = StreamFilter((0, 1))


@pytest.fixture
def ring(streaming):
    ring = Ring(change_event, passes_for_changes(ReferenceView(2)))
    streaming.take(ring, (), 0, 0)
    return ring


@pytest.fixture
async def topic(ring):
    return Topic(ring)


class Topic:
    def __init__(self, ring):
        self.ring = ring
        self.followers = Followers(ring)
        self.past = Past(GatewayConfig(), "t", ring)
        self.stopping = asyncio.Event()
        self.holds = True

    def stream(self, wanted=ALL, positions=None):
        at = dict(self.ring.positions) if positions is None else positions
        at = {partition: at[partition] for partition in wanted.partitions}
        return Stream(self.followers, self.past, wanted, at, stopping=self.stopping, may_go_on=lambda: self.holds)


def feed(ring, streaming, *records):
    ends = dict(ring.positions)
    for record in records:
        ends[record.partition] = record.offset + 1
    streaming.take(ring, records, ends[0], ends[1])


async def until(is_so):
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.001)


async def test_a_stream_begins_at_the_rings_end_and_sends_each_write_with_one_id(topic, streaming):
    feed(topic.ring, streaming, streaming.change(0, 0))
    client = streaming.Client(topic.stream())
    assert await client.event() == {b"retry": b"1000", b"id": b"0:1,1:0"}
    feed(topic.ring, streaming, streaming.change(0, 1), streaming.change(1, 0))
    assert (await client.named())["offset"] == 1
    assert client.id == b"0:1,1:0"
    assert (await client.named())["partition"] == 1
    assert client.id == b"0:2,1:1"
    await client.leave()
    assert not topic.followers.all


async def test_a_stream_of_a_sku_sleeps_until_the_sku_changes_and_is_then_at_the_end(topic, streaming):
    client = streaming.Client(topic.stream(StreamFilter((0,), frozenset({"b"}))))
    await client.event()
    for offset in range(30):
        feed(topic.ring, streaming, streaming.change(0, offset, "a"))
        await asyncio.sleep(0)
    feed(topic.ring, streaming, streaming.change(0, 30, "b"), streaming.change(1, 0, "b"), streaming.change(0, 31, "a"))
    assert await client.named() == {"sku": "b", "partition": 0, "offset": 30}
    await client.named()
    assert client.id == b"0:32"
    await client.leave()


async def test_a_stream_resumes_in_the_ring_after_what_its_client_has(topic, streaming):
    feed(topic.ring, streaming, streaming.change(0, 0), streaming.change(0, 1), streaming.change(1, 0))
    feed(topic.ring, streaming, streaming.change(0, 2), streaming.change(1, 1))
    client = streaming.Client(topic.stream(positions={0: 1, 1: 2}))
    await client.event()
    assert [(await client.named())["offset"] for _ in range(2)] == [1, 2]
    assert client.id == b"0:3,1:2"
    feed(topic.ring, streaming, streaming.change(1, 2))
    assert (await client.named())["offset"] == 2
    assert client.id == b"0:3,1:3"
    assert client.nothing_more()
    await client.leave()


async def test_a_stream_that_is_ahead_of_this_gateway_waits_for_it_and_repeats_nothing(topic, streaming):
    client = streaming.Client(topic.stream(positions={0: 2, 1: 0}))
    await client.event()
    feed(topic.ring, streaming, streaming.change(0, 0))
    feed(topic.ring, streaming, streaming.change(0, 1))
    feed(topic.ring, streaming, streaming.change(0, 2))
    assert (await client.named())["offset"] == 2
    assert client.nothing_more()
    await client.leave()


async def test_a_client_that_falls_behind_the_ring_is_told_so_and_its_stream_ends(topic, streaming):
    topic.ring._most_bytes = 4_000
    client = streaming.Client(topic.stream())
    await client.event()
    client.reads.clear()
    for offset in range(20):
        feed(topic.ring, streaming, streaming.change(0, offset))
        await asyncio.sleep(0)
    assert topic.ring.first > 1
    client.reads.set()
    seen = [await client.event()]
    while seen[-1][b"event"] != b"dropped":
        seen.append(await client.event())
    assert seen[-1][b"data"] == b'{"reason":"too_slow"}'
    offsets = [json.loads(event[b"data"])["offset"] for event in seen[:-1]]
    assert offsets == list(range(len(offsets)))
    assert len(offsets) < topic.ring.first
    await client.task
    assert client.ended
    assert topic.followers.dropped == 1


async def test_a_client_that_takes_nothing_is_dropped(topic, streaming, monkeypatch):
    monkeypatch.setattr(module, "TOO_SLOW_S", 0.05)
    client = streaming.Client(topic.stream())
    await client.event()
    client.reads.clear()
    feed(topic.ring, streaming, streaming.change(0, 0))
    await until(lambda: topic.followers.dropped)
    client.reads.set()
    assert await client.named(b"dropped") == {"reason": "too_slow"}
    await client.task
    assert client.ended


async def test_a_silent_stream_says_that_it_is_there_with_an_id_that_has_moved_on(topic, streaming):
    client = streaming.Client(topic.stream(StreamFilter((0,), frozenset({"b"}))))
    await client.event()
    feed(topic.ring, streaming, streaming.change(0, 0, "a"))
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    topic.followers.wake_silent(now + 14)
    await asyncio.sleep(0.01)
    assert client.nothing_more()
    for follower in topic.followers.all:
        follower.speaks_at = now
    topic.followers.wake_silent(now)
    assert await client.event() == {b"id": b"0:1", b"": b"still here"}
    await client.leave()


async def test_a_stream_ends_before_the_next_event_when_its_credential_holds_no_more(topic, ring, streaming):
    client = streaming.Client(topic.stream())
    await client.event()
    feed(ring, streaming, streaming.change(0, 0))
    assert b"data" in await client.event()
    topic.holds = False
    feed(ring, streaming, streaming.change(0, 1))
    topic.followers.wake_all()
    assert await client.named(b"bye") == {}
    await client.task


async def test_a_stream_says_bye_when_the_gateway_ends(topic, streaming):
    client = streaming.Client(topic.stream())
    await client.event()
    topic.stopping.set()
    topic.followers.wake_all()
    assert await client.named(b"bye") == {}
    await client.task
    assert client.ended


async def test_a_thousand_streams_of_their_own_skus_are_not_woken_for_others(topic, streaming):
    clients = [streaming.Client(topic.stream(StreamFilter((0,), frozenset({f"s{n}"})))) for n in range(1_000)]
    for client in clients:
        await client.event()
    feed(topic.ring, streaming, *(streaming.change(0, n, f"s{n}") for n in (7, 8)))
    assert len(topic.followers._due) == 2
    assert (await clients[7].named())["offset"] == 7
    assert (await clients[8].named())["offset"] == 8
    for client in clients:
        client._gone.set()
    await asyncio.gather(*(client.task for client in clients))
    assert not topic.followers._of_sku


async def test_a_stream_that_sleeps_ends_when_its_credential_does(topic, streaming):
    client = streaming.Client(topic.stream())
    await client.event()
    topic.holds = False
    topic.followers.wake_silent(asyncio.get_running_loop().time())
    assert await client.named(b"bye") == {}
    await client.task
