"""The ring: what it holds, where positions are in it, and what filters get of it."""

import json

import pytest

from gateway.rules import ReferenceView
from gateway.streams.events import UNSOLICITED, change_event, result_event
from gateway.streams.ring import Ring
from gateway.streams.wanted import StreamFilter, passes_for_changes, passes_for_results
from schemas.codec import encode
from schemas.reference import SkuPolicy
from schemas.results import Result

ALL = StreamFilter((0, 1))
MUCH = 1 << 30


@pytest.fixture
def rules():
    return ReferenceView(2)


@pytest.fixture
def ring(rules):
    return Ring(change_event, passes_for_changes(rules))


def offsets(portion):
    return [(event.partition, event.offset) for event in portion.events]


def test_a_ring_begins_after_what_its_reader_had_first(ring, streaming):
    assert ring.positions is None
    assert ring.place_of({0: 5}) is None
    streaming.take(ring, [streaming.change(0, 4)], 5, 7)
    assert (ring.positions, ring.next) == ({0: 5, 1: 7}, 0)
    streaming.take(ring, [streaming.change(0, 5), streaming.change(0, 6), streaming.change(1, 9)], 8, 10)
    portion = ring.read(0, ALL, MUCH)
    assert (offsets(portion), portion.end) == ([(0, 5), (0, 6), (1, 9)], 1)


def test_positions_have_the_latest_place_that_is_not_beyond_any_of_them(ring, streaming):
    streaming.take(ring, (), 5, 7)
    streaming.take(ring, [streaming.change(0, 5)], 6, 7)
    streaming.take(ring, [streaming.change(1, 7)], 6, 8)
    streaming.take(ring, (), 9, 8)
    assert ring.place_of({0: 5, 1: 7}) == 0
    assert ring.place_of({0: 6, 1: 7}) == 1
    assert ring.place_of({0: 5, 1: 8}) == 0
    assert ring.place_of({0: 8, 1: 8}) == 1  # the positions after write 1 are 6 and 8, and then 9 and 8
    assert ring.place_of({0: 9, 1: 8}) == 2
    assert ring.place_of({1: 8}) == 2
    assert ring.place_of({0: 4, 1: 8}) is None


def test_a_full_ring_drops_its_oldest_writes(rules, streaming):
    ring = Ring(change_event, passes_for_changes(rules), most_bytes=5_000)
    streaming.take(ring, (), 0, 0)
    for offset in range(40):
        streaming.take(ring, [streaming.change(0, offset, sku=f"s{offset}")], offset + 1, 0)
    assert ring.size <= 5_000
    assert 0 < ring.first < 39
    assert ring.next == 40
    assert offsets(ring.read(ring.first, ALL, MUCH)) == [(0, offset) for offset in range(ring.first, 40)]
    assert ring.read(ring.first, StreamFilter((0,), frozenset({"s0"})), MUCH).events == []
    assert offsets(ring.read(ring.first, StreamFilter((0,), frozenset({"s39"})), MUCH)) == [(0, 39)]
    assert ring.place_of({0: ring.first, 1: 0}) == ring.first
    assert ring.place_of({0: ring.first - 1, 1: 0}) is None


def test_a_portion_is_cut_between_writes_and_goes_on_there(ring, streaming):
    streaming.take(ring, (), 0, 0)
    for write in range(5):
        records = [streaming.change(0, 2 * write), streaming.change(0, 2 * write + 1)]
        streaming.take(ring, records, 2 * write + 2, 0)
    for wanted in (ALL, StreamFilter((0,), frozenset({"a"}))):
        seen, place = [], 0
        while place < ring.next:
            portion = ring.read(place, wanted, 1)
            assert len(portion.events) == 2
            assert portion.data.count(b"id: ") == 1
            assert b"id: 0:%d" % (portion.events[-1].offset + 1) in portion.data
            seen += offsets(portion)
            place = portion.end
        assert seen == [(0, offset) for offset in range(10)]


def test_the_id_of_a_write_names_the_partitions_of_the_filter_only_and_stands_at_its_last_event(ring, streaming):
    streaming.take(ring, (), 0, 3)
    streaming.take(ring, [streaming.change(0, 0, "a"), streaming.change(0, 1, "b/c")], 3, 3)
    both = ring.read(0, ALL, MUCH).data.split(b"\n\n")
    assert [block.startswith(b"id: 0:3,1:3\n") for block in both[:2]] == [False, True]
    one = ring.read(0, StreamFilter((0,), frozenset({"b/c"})), MUCH).data
    assert one == b'id: 0:3\nevent: stock-change\ndata: {"sku": "b/c", "offset": 1, "partition": 0}\n\n'


def test_what_is_lost_is_forgotten_and_places_go_on(ring, streaming):
    lost = []
    ring.on_loss = lambda: lost.append(ring.next)
    ring.lose()
    assert lost == []
    streaming.take(ring, (), 0, 0)
    streaming.take(ring, [streaming.change(0, 0)], 1, 0)
    ring.lose()
    assert (lost, ring.positions, ring.size, ring.first) == ([1], None, 0, 1)
    streaming.take(ring, [streaming.change(0, 7)], 8, 0)
    streaming.take(ring, [streaming.change(0, 8)], 9, 0)
    assert offsets(ring.read(1, ALL, MUCH)) == [(0, 8)]


def test_a_channel_gets_changes_of_warehouses_that_its_policy_for_the_sku_allows_and_of_books(ring, rules, streaming):
    rules.apply(0, b"policy/web/a", encode(SkuPolicy(sku="a", at=1, channel="web", warehouses=["york"])))
    rules.apply(0, b"policy/shut/a", encode(SkuPolicy(sku="a", at=1, channel="shut", enabled=False)))
    streaming.take(ring, (), 0, 0)
    records = [
        streaming.change(0, 0, "a", "york"),
        streaming.change(0, 1, "a", "bath"),
        streaming.change(0, 2, "a", ""),
        streaming.change(0, 3, "b", "bath"),
    ]
    streaming.take(ring, records, 4, 0)

    def seen(**filters):
        return [event.offset for event in ring.read(0, ALL._replace(**filters), MUCH).events]

    assert seen(channel="web") == [0, 2, 3]
    assert seen(channel="shut") == [2, 3]
    assert seen(warehouse="bath") == [1, 2, 3]
    assert seen(warehouse="bath", channel="web") == [2, 3]
    assert seen(warehouse="york", skus=frozenset({"a"})) == [0, 2]


def test_a_caller_with_some_channels_gets_of_a_book_what_is_theirs(ring, streaming):
    book = {"backordered": 2, "channels": [{"channel": name, "held": 1, "backordered": 0} for name in ("shop", "web")]}
    value = json.dumps({"sku": "a", "warehouse": "", "book": book}).encode()
    streaming.take(ring, (), 0, 0)
    streaming.take(ring, [streaming.Record(0, 0, b"a/", value)], 1, 0)
    data = ring.read(0, ALL._replace(sees=("web",)), MUCH).data
    seen = json.loads(data.split(b"data: ")[1])
    assert seen["book"] == {"backordered": 2, "channels": [{"channel": "web", "held": 1, "backordered": 0}]}
    assert data.startswith(b"id: 0:1,1:0\nevent: stock-change\ndata: {")
    assert b"shop" in ring.read(0, ALL, MUCH).data


def result(channel, **changed):
    found = {
        "command_id": None, "type": "expire", "sku": "a", "status": "accepted", "code": None, "replayed": False,
        "reservation": {"reservation_id": "r", "channel": channel}, "stock": [], "seq": 1,
    }  # fmt: skip
    return json.dumps({**found, **changed}, separators=(",", ":")).encode()


def test_only_results_without_a_command_are_events_and_a_channel_gets_those_of_its_reservations(streaming):
    ring = Ring(result_event, passes_for_results)
    streaming.take(ring, (), 0, 0)
    values = [result("web"), result("shop"), result("web", command_id="c"), b"no json", None, UNSOLICITED + b"]"]
    values.append(result("web", reservation=None))
    streaming.take(ring, [streaming.Record(0, n, b"a", value) for n, value in enumerate(values)], 9, 0)
    assert offsets(ring.read(0, ALL, MUCH)) == [(0, 0), (0, 1), (0, 6)]
    assert offsets(ring.read(0, ALL._replace(channel="web"), MUCH)) == [(0, 0)]
    assert ring.positions == {0: 9, 1: 0}


def test_an_unsolicited_result_begins_as_streams_expect():
    nobody = Result(None, "expire", "a", "accepted", None, False, None, [], False, 1, 2, 0, 3)
    assert encode(nobody).startswith(UNSOLICITED)


@pytest.mark.parametrize("key", [None, b"", b"a", b"\xff/york"])
def test_a_record_that_no_worker_wrote_is_no_event(ring, streaming, key):
    streaming.take(ring, (), 0, 0)
    streaming.take(ring, [streaming.Record(0, 0, key, b"{}"), streaming.Record(0, 1, b"a/york", None)], 2, 0)
    assert ring.next == 0


def test_a_line_break_between_json_tokens_does_not_end_an_event(ring, streaming):
    streaming.take(ring, (), 0, 0)
    streaming.take(ring, [streaming.Record(0, 0, b"a/york", b'{\n\r\n"a":1}')], 1, 0)
    assert ring.read(0, ALL, MUCH).data == b'id: 0:1,1:0\nevent: stock-change\ndata: {   "a":1}\n\n'
