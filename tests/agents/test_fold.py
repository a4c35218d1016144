"""The fold applies each record once, in order. A record that comes twice or too early is a bug and raises."""

from types import SimpleNamespace

import orjson
import pytest
from aiokafka.record.memory_records import MemoryRecords

from agents.batches import UnreadBatch
from agents.fold import fold
from schemas.dead_letters import BATCH_TOO_LARGE
from schemas.topics import BATCH_BYTES, DEAD_LETTERS, RESULTS, STOCK_CHANGES, TOPICS
from tables.core.rows import Position
from tables.ledger import Ledger
from tables.store import MemoryStore


def tick(offset):
    return SimpleNamespace(offset=offset, timestamp=1, key=None, value=b'{"type":"tick"}')


@pytest.mark.parametrize("offsets", [(5, 6, 5, 6), (5, 5), (6, 5)])
def test_a_record_that_comes_again_is_not_applied_again(offsets):
    ledger = Ledger(MemoryStore())
    ledger.position = Position(5, 0, "a life")
    with pytest.raises(RuntimeError, match="comes after"):
        fold(ledger, [tick(offset) for offset in offsets], partition=0, partitions=1, limit=10)


def test_offsets_may_have_holes():
    ledger = Ledger(MemoryStore())
    ledger.position = Position(5, 0, "a life")
    assert fold(ledger, [tick(5), tick(9)], partition=0, partitions=1, limit=10).next_offset == 10


@pytest.mark.parametrize(
    ("number", "problem"),
    [("1e400", "too_large"), ("7" * 5_000, "too_large"), ("-1e400", "too_small"), ("3.0", "wrong_type")],
)
def test_a_number_that_no_field_can_hold_is_answered_and_dead_lettered(number, problem):
    ledger = Ledger(MemoryStore())
    ledger.position = Position(0, 0, "a life")
    value = '{"type":"reserve","command_id":"c","sku":"S","reservation_id":"r","quantity":%s}' % number  # noqa: UP031
    record = SimpleNamespace(offset=0, timestamp=1, key=b"S", value=value.encode())
    folded = fold(ledger, [record], partition=0, partitions=1, limit=1)
    written = folded.output.batches([], folded.now_ms)
    [result], [letter] = (read(written[topic]) for topic in (RESULTS, DEAD_LETTERS))
    assert b'"offset":0,"field":"quantity","problem":"%s"}' % problem.encode() in result.value
    assert letter.value == value.encode()
    assert letter.headers == [("reason", b"invalid_field:quantity"), ("partition", b"0"), ("offset", b"0")]


RESERVE = b'{"type":"reserve","command_id":"r","sku":"S","reservation_id":"r","quantity":1,"ttl_ms":10}'
ADJUST = b'{"type":"adjust","command_id":"a","sku":"S","warehouse":"w","delta":1,"reason":"receipt"}'


def test_a_batch_that_is_too_large_is_one_dead_letter_moves_the_clock_and_is_passed_over():
    ledger = Ledger(MemoryStore())
    ledger.position = Position(0, 0, "a life")
    first = [SimpleNamespace(offset=n, timestamp=1, key=b"S", value=it) for n, it in enumerate([ADJUST, RESERVE])]
    batch = UnreadBatch(BATCH_TOO_LARGE, 2, 11, 1, first_offset=2, last_offset=499)
    folded = fold(ledger, [*first, batch, tick(500)], partition=0, partitions=1, limit=9)
    assert (folded.next_offset, folded.now_ms, folded.commands) == (501, 11, 4)
    written = folded.output.batches([], folded.now_ms)
    [letter] = read(written[DEAD_LETTERS])
    assert (letter.key, letter.value) == (None, None)
    assert letter.headers == [
        ("reason", b"batch_too_large"), ("partition", b"0"), ("offset", b"2"), ("last_offset", b"499"),
    ]  # fmt: skip
    expired = read(written[RESULTS])[2]
    assert b'"type":"expire"' in expired.value
    assert b'"offset":2}' in expired.value


@pytest.mark.parametrize("offset", [499, 7])
def test_a_record_from_within_a_batch_that_was_passed_over_is_not_applied(offset):
    ledger = Ledger(MemoryStore())
    ledger.position = Position(2, 0, "a life")
    with pytest.raises(RuntimeError, match="comes after record 499"):
        fold(ledger, [UnreadBatch(BATCH_TOO_LARGE, 2, 1, 1, 2, 499), tick(offset)], partition=0, partitions=1, limit=9)


def test_a_position_within_a_batch_that_is_too_large_gives_the_letter_of_the_whole_batch():
    ledger = Ledger(MemoryStore())
    ledger.position = Position(40, 0, "a life")
    folded = fold(
        ledger,
        [UnreadBatch(BATCH_TOO_LARGE, 40, 1, 1, first_offset=2, last_offset=499)],
        partition=0,
        partitions=1,
        limit=9,
    )
    [letter] = read(folded.output.batches([], 1)[DEAD_LETTERS])
    assert dict(letter.headers)["offset"] == b"2"
    assert folded.next_offset == 500


def read(batch):
    batch.set_producer_state(1, 0, 0)
    return list(MemoryRecords(bytes(batch.build())).next_batch())


def test_a_record_that_fills_with_what_it_released_fits_into_a_transaction_with_others():
    """All texts are the longest, in characters of 4 bytes; the queue takes what the release gives, in its tail."""
    ledger, sku, text = Ledger(MemoryStore()), "\N{PACKAGE}" * 64, "\N{PACKAGE}" * 256
    of_sku = {"sku": sku, "actor": text, "source": text}
    hold = {"type": "reserve", **of_sku, "quantity": 1_000, "ttl_ms": 0, "wait": "any"}
    commands = [
        *({"type": "adjust", **of_sku, "warehouse": f"{n:032}", "delta": 1, "reason": "receipt"} for n in range(1_000)),
        {"type": "set_policy", **of_sku, "channel": "default", "backorder_limit": 1_000},
        {**hold, "reservation_id": "1" * 64},
        {**hold, "reservation_id": "2" * 64},
        {"type": "release", **of_sku, "reservation_id": "1" * 64, "reason": text},
    ]
    ledger.position = Position(0, 0, "a life")
    for offset, command in enumerate(commands):
        value = orjson.dumps({"command_id": f"{offset:064}", **command})
        record = SimpleNamespace(offset=offset, timestamp=1, key=sku.encode(), value=value)
        folded = fold(ledger, [record], partition=0, partitions=1, limit=1)
        ledger.position = Position(offset + 1, 1, "a life")
    output = folded.output
    assert [orjson.loads(result.value)["type"] for result in read(output.results.builder)] == ["release", "fill"]
    assert output.stock_changes.count == 2 * 1_000 + 2
    for topic, size in ((STOCK_CHANGES, output.stock_changes.size), (RESULTS, output.results.size + BATCH_BYTES)):
        assert BATCH_BYTES + size < int(TOPICS[topic]["max.message.bytes"])
