"""The last changes that a gateway holds: in order, without a gap, and it says since when nothing is missing."""

import json
import random

import pytest

from gateway.recent_changes import Read, RecentChanges


def change(sku, seq, at, *, partition=0, follows=True):
    return Read(sku, partition, seq, at, follows, b"%s%d" % (sku.encode(), seq))


def test_all_changes_of_a_sku_are_there_while_none_was_dropped():
    recent = RecentChanges(4)
    for seq in (1, 2, 3):
        recent.put(change("a", seq, 10 * seq))
    assert recent.of("a", 10, 30) == ([b"a1", b"a2", b"a3"], 0)
    assert recent.of("a", 2, 30) == ([b"a2", b"a3"], 10)
    assert recent.of("b", 2, 0) == ([], 0)


def test_what_was_dropped_is_missing_up_to_the_last_change_that_was_dropped_in_its_partition():
    recent = RecentChanges(3)
    recent.put(change("a", 1, 10))
    recent.put(change("b", 1, 90, partition=1))
    recent.put(change("c", 1, 30))
    recent.put(change("a", 2, 50))
    assert recent.of("a", 10, 50) == ([b"a2"], 10)
    recent.put(change("a", 3, 60))
    assert recent.of("a", 10, 60) == ([b"a2", b"a3"], 10)
    recent.put(change("a", 4, 70))
    assert recent.of("a", 10, 70) == ([b"a2", b"a3", b"a4"], 30)
    assert recent.of("b", 10, 90) == ([], 90)


def test_a_change_before_which_another_is_missing_ends_the_list():
    recent = RecentChanges(9)
    recent.put(change("a", 2, 10, follows=False))
    recent.put(change("a", 7, 20, follows=False))
    recent.put(change("a", 8, 30))
    assert recent.of("a", 10, 30) == ([b"a7", b"a8"], 20)


@pytest.mark.parametrize("seed", range(30))
def test_over_random_changes_nothing_after_from_at_is_missing(seed):
    chance = random.Random(seed)
    recent, all_, seqs, read, now = RecentChanges(chance.choice([1, 5, 40])), {}, {}, {}, 100
    for _ in range(120):
        sku = chance.choice("abcdef")
        seqs[sku] = seqs.get(sku, 0) + 1
        now += chance.choice([0, 0, 1, 5])
        if chance.random() < 0.1:  # removed by compaction before it was read
            all_.setdefault(sku, []).append((now, None))
            continue
        it = change(sku, seqs[sku], now, partition=ord(sku) % 2, follows=read.get(sku, 0) == seqs[sku] - 1)
        read[sku] = seqs[sku]
        recent.put(it)
        all_.setdefault(sku, []).append((now, it.value))
    for sku, history in all_.items():
        last_at = max((at for at, value in history if value is not None), default=0)
        while history and history[-1][1] is None:  # the last change of a row is never removed
            history.pop()
        for limit in (1, 3, 100):
            values, from_at = recent.of(sku, limit, last_at)
            assert values == [value for _, value in history][len(history) - len(values) :]
            assert len(values) <= limit
            assert {value for at, value in history if at > from_at} <= {*values}


async def test_the_route_answers_changes_as_they_were_published_and_books_among_them(client, gateway, helpers):
    told = [helpers.change_of("a", "leeds", seq, on_hand=seq) for seq in (1, 2)]
    book = {"backordered": 3, "promised": 0, "channels": [], "inbounds": []}
    told.append(helpers.change_of("a", "", 3, on_hand=0) | {"book": book})
    for document in (*told, helpers.change_of("b", "leeds", 1, on_hand=9)):
        gateway.view.apply_record(0, None, json.dumps(document).encode())
    shown = (await client.get("/v1/stock-changes/recent?sku=a")).json()
    assert shown == {"sku": "a", "items": told, "from_at": 0, "lag": 0, "lag_ms": 0}
    shown = (await client.get("/v1/stock-changes/recent?sku=a&limit=1")).json()
    assert (shown["items"], shown["from_at"]) == (told[2:], told[1]["at"])
    gateway.view.clear()
    assert (await client.get("/v1/stock-changes/recent?sku=a")).json()["items"] == []


@pytest.mark.parametrize(("query", "field"), [("limit=5", "sku"), ("sku=a&limit=1001", "limit"), ("sku=a%0A", "sku")])
async def test_a_request_that_is_none_is_refused(client, query, field):
    answer = await client.get(f"/v1/stock-changes/recent?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)
