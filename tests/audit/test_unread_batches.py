"""The audit expects one dead letter for a batch that is left out as a whole, and reads no record of it."""

import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from audit.checkpoint import fingerprint
from audit.past import AtOffset, AtTime, fold
from audit.reading import Log
from audit.unpacking import UnreadBatch
from schemas.dead_letters import BATCH_TOO_LARGE, BATCH_UNREADABLE
from schemas.topics import COMMANDS, MAX_UNPACKED_BYTES, RESULTS
from tests.audit.ledger import T0, Source
from tests.audit.test_reading import FakeClient

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4


def batch(codec, base, *sizes):
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for delta, size in enumerate(sizes):
        builder.append(delta, T0 + delta, b"k", bytes(size), [])
    return struct.pack(">q", base) + bytes(builder.build())[8:]


async def read_all(log):
    pieces = []
    while not log.done:
        pieces.append(list(await log.read()))
    return pieces


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
async def test_it_is_read_alone_and_what_lies_around_it_as_ever(codec):
    batches = [batch(codec, 0, 9, 9), batch(codec, 2, 1, MAX_UNPACKED_BYTES, 1), batch(codec, 5, 9)]
    before, alone, after = await read_all(Log(FakeClient(batches, at_a_time=3), COMMANDS, 0, 0, 6))
    assert [record.offset for record in before + after] == [0, 1, 5]
    assert alone == [UnreadBatch(BATCH_TOO_LARGE, 2, 4, T0 + 2)]


async def test_a_log_that_begins_within_it_gives_it_whole():
    client = FakeClient([batch(ZSTD, 2, 1, MAX_UNPACKED_BYTES, 1)])
    assert await read_all(Log(client, COMMANDS, 0, 4, 5)) == [[UnreadBatch(BATCH_TOO_LARGE, 2, 4, T0 + 2)]]


async def test_the_ledgers_own_topics_have_no_such_limit():
    [records] = await read_all(Log(FakeClient([batch(ZSTD, 0, MAX_UNPACKED_BYTES)]), RESULTS, 0, 0, 1))
    assert [len(record.value) for record in records] == [MAX_UNPACKED_BYTES]


@pytest.fixture
def around(log):
    """Return a log with a batch of 5 records between two commands; a reservation expires with it."""
    log.stocked(a=10)
    log.do("reserve", reservation_id="r", quantity=4, ttl_ms=100)
    expected = log.send_unread(5, at=100)
    assert [result["type"] for result in expected.results] == ["expire"]
    log.do("reserve", at=200, reservation_id="s", quantity=10)
    return log


async def test_a_ledger_that_buried_it_with_one_letter_is_equal(around, published):
    found = published(around)
    assert [dict(letter.headers)["last_offset"] for letter in found.letters] == [b"6"]
    report = await found.audit()
    assert (report.sound, report.compared.dead_letters, report.position) == (True, 1, 8)


def said(report):
    return [(it.kind, it.what, it.offset) for it in report.differences]


async def test_a_letter_that_is_missing_doubled_or_says_otherwise_is_a_difference(around, published):
    missing, doubled, other, malformed = (published(around) for _ in range(4))
    missing.letters.clear()
    doubled.letters.append(doubled.letters[0]._replace(offset=1))
    headers = dict(other.letters[0].headers)
    other.letters[0] = other.letters[0]._replace(headers=tuple((headers | {"last_offset": b"5"}).items()))
    headers = {"reason": b"malformed", "partition": b"0", "offset": b"2"}
    malformed.letters[0] = malformed.letters[0]._replace(headers=tuple(headers.items()))
    reports = [await it.audit() for it in (missing, doubled, other, malformed)]
    assert [said(report) for report in reports] == [[("dead_letter", what, 2)] for what in
                                                    ("lost", "doubled", "altered", "altered")]  # fmt: skip


async def test_the_reason_of_its_letter_is_compared(log, published):
    log.send_unread(3, reason=BATCH_UNREADABLE)
    found = published(log)
    assert (await found.audit()).sound
    headers = dict(found.letters[0].headers)
    found.letters[0] = found.letters[0]._replace(headers=tuple((headers | {"reason": b"batch_too_large"}).items()))
    assert said(await found.audit()) == [("dead_letter", "altered", 0)]


async def test_a_position_that_did_not_pass_it_is_a_difference(around, published):
    found = published(around)
    found.edit_row(b"P", 1, 3)
    assert not (await found.audit()).sound


async def test_its_letter_is_checked_where_the_log_has_lost_its_beginning(around, published):
    assert (await published(around).audit(log_start=1)).sound
    missing = published(around)
    missing.letters.clear()
    assert said(await missing.audit(log_start=1)) == [("dead_letter", "lost", 2)]


async def test_its_letter_is_left_out_where_the_log_begins_within_it(around, published):
    report = await published(around).audit(log_start=4)
    assert (report.sound, report.compared.dead_letters, report.compared.commands) == (True, 0, 2)


def test_a_checkpoint_behind_it_knows_it_again():
    batch = UnreadBatch(BATCH_TOO_LARGE, 2, 6, T0)
    assert fingerprint(batch.offset, batch.timestamp, batch.value) == fingerprint(2, T0, None)


@pytest.mark.parametrize(
    ("until", "last", "now"),
    [(AtOffset(0, 1), 1, T0), (AtOffset(0, 2), 6, T0 + 100), (AtOffset(0, 5), 6, T0 + 100), (AtTime(T0 + 99), 1, T0),
     (AtTime(T0 + 100), 6, T0 + 100), (AtOffset(0, 7), 7, T0 + 200)],
)  # fmt: skip
async def test_the_past_knows_it_too(around, new_log, until, last, now):
    model = new_log().model
    assert (await fold(model, Source(around.commands, 3), until), model.now) == (last, now)
