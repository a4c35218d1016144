"""A caller's compressed batch is unpacked up to 16 MiB; of a larger batch no record is read."""

import asyncio
import gzip
import random
import struct
import zlib
from types import SimpleNamespace
from unittest.mock import ANY

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.batches import UnreadBatch
from agents.kafka import private, unpacking
from agents.kafka.private import read_records
from agents.kafka.unpacking import TooLargeError, unpack
from audit.reading import Log
from audit.unpacking import is_too_large
from schemas.dead_letters import BATCH_TOO_LARGE, BATCH_UNREADABLE
from schemas.topics import COMMANDS, MAX_UNPACKED_BYTES
from tests.audit.test_reading import FakeClient

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
HEADER_BYTES = 61
T0 = 1_764_000_000_000
READ_COMMITTED = 1
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
rng = random.Random(11)


def batch(codec, values, *, base=0, producer=-1, control=False):
    """Return the bytes of a record batch."""
    builder = DefaultRecordBatchBuilder(2, codec, int(producer >= 0), producer, 0, 0, 1 << 30)
    for delta, value in enumerate(values):
        builder.append(delta, T0 + delta, b"key", value, [("name", b"header")])
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    data[22] |= 0x20 * control
    struct.pack_into(">I", data, 17, calc_crc32c(data[21:]))
    return bytes(data)


def of_size(codec, records_bytes):
    """Return a batch whose records come to so many bytes."""
    overhead = len(batch(0, [bytes(records_bytes)])) - HEADER_BYTES - records_bytes
    data = batch(codec, [bytes(records_bytes - overhead)])
    assert len(batch(0, [bytes(records_bytes - overhead)])) == HEADER_BYTES + records_bytes
    return data


def bomb(codec, base=0):
    return batch(codec, [b"{}", bytes(100_000_000), b"{}"], base=base)


def fields(records):
    return [(it.offset, it.timestamp, it.timestamp_type, it.key, it.value, it.headers) for it in records]


def fetched(*batches, aborted=None):
    return SimpleNamespace(records=b"".join(batches), aborted=aborted)


def read(*batches, position=0, callers=True, aborted=None):
    place = TopicPartition("t", 0)
    return read_records(place, fetched(*batches, aborted=aborted), position, READ_COMMITTED, callers=callers)


@every_codec
@pytest.mark.parametrize("values", [[b"one"], [b"v" * 300, b"", None, b"z"], [b"same" * 50] * 3_000,
                                    [rng.randbytes(5_000) for _ in range(20)]])  # fmt: skip
def test_a_batch_within_the_limit_is_read_as_aiokafka_reads_it(codec, values):
    data = batch(codec, values, base=40)
    records, read_to = read(data, position=40)
    assert fields(records) == fields(DefaultRecordBatch(data)) == fields(read(data, position=40, callers=False)[0])
    assert read_to == 40 + len(values)
    assert not is_too_large(codec, data[HEADER_BYTES:])


@every_codec
def test_16_mib_are_unpacked_and_one_byte_more_is_not(codec):
    largest, larger = of_size(codec, MAX_UNPACKED_BYTES), of_size(codec, MAX_UNPACKED_BYTES + 1)
    assert len(unpack(codec, memoryview(largest))) == HEADER_BYTES + MAX_UNPACKED_BYTES
    assert fields(read(largest)[0]) == fields(DefaultRecordBatch(largest))
    with pytest.raises(TooLargeError):
        unpack(codec, memoryview(larger))
    assert not is_too_large(codec, largest[HEADER_BYTES:])
    assert is_too_large(codec, larger[HEADER_BYTES:])


class Counted:
    """Stands for cramjam's module of a codec: knows how much was unpacked, and the largest buffer it was given."""

    def __init__(self, codec):
        self.codec = codec
        self.largest = 0

    def decompress_into(self, packed, room):
        self.largest = max(self.largest, len(room))
        return self.codec.decompress_into(packed, room)

    def decompress_raw_len(self, packed):
        return self.codec.decompress_raw_len(packed)

    def decompress_raw(self, packed):
        unpacked = self.codec.decompress_raw(packed)
        self.largest += len(unpacked)
        return unpacked

    def __getattr__(self, name):
        raise AssertionError(f"{name} is not bounded")


class CountedFile(gzip.GzipFile):
    """Knows how much was unpacked of all files."""

    count = 0

    def read1(self, size=-1):
        assert size > 0  # else without a limit
        unpacked = super().read1(size)
        CountedFile.count += len(unpacked)
        return unpacked


@every_codec
def test_no_more_than_the_limit_is_unpacked_of_a_bomb(codec, monkeypatch):
    counted = {name: Counted(getattr(cramjam, name)) for name in ("snappy", "lz4", "zstd")}
    monkeypatch.setattr(unpacking, "cramjam", SimpleNamespace(DecompressionError=cramjam.DecompressionError, **counted))
    monkeypatch.setattr(gzip, "GzipFile", CountedFile)
    CountedFile.count = 0
    data = bomb(codec)
    with pytest.raises(TooLargeError):
        unpack(codec, memoryview(data))
    # Snappy says how long it is, so nothing is unpacked.
    unpacked = CountedFile.count + sum(it.largest for it in counted.values())
    assert (unpacked == 0) if codec == CODECS["snappy"] else (0 < unpacked <= MAX_UNPACKED_BYTES + 64 * 1024)
    assert is_too_large(codec, data[HEADER_BYTES:])


@every_codec
def test_a_batch_above_the_limit_stands_among_the_records_as_one(codec):
    good = batch(0, [b"a", b"b"], base=7)
    after = batch(codec, [b"c"], base=12)
    records, read_to = read(good, bomb(codec, base=9), position=7)
    assert fields(records[:2]) == fields(DefaultRecordBatch(good))
    too_large = UnreadBatch(
        BATCH_TOO_LARGE, offset=9, timestamp=T0 + 2, timestamp_type=0, first_offset=9, last_offset=11
    )
    assert (records[2:], read_to) == ([too_large], 12)
    assert fields(read(after, position=12)[0]) == fields(DefaultRecordBatch(after))


def test_a_reader_that_begins_within_a_batch_above_the_limit_still_gets_it_as_one():
    records, read_to = read(bomb(4, base=9), position=11)
    assert records == [UnreadBatch(BATCH_TOO_LARGE, 11, T0 + 2, 0, first_offset=9, last_offset=11)]
    assert read_to == 12


def test_where_a_batch_ends_stands_in_its_header_whatever_records_are_left_in_it():
    data = bytearray(bomb(4, base=9))
    struct.pack_into(">i", data, 23, 20)  # the last offset's distance from the first
    struct.pack_into(">I", data, 17, calc_crc32c(data[21:]))
    records, read_to = read(bytes(data), position=9)
    assert (records[0].last_offset, read_to) == (29, 30)


def test_of_a_topic_that_only_holdfast_writes_every_batch_is_read_whole():
    data = of_size(4, MAX_UNPACKED_BYTES + 1)
    assert fields(read(data, callers=False)[0]) == fields(DefaultRecordBatch(data))


def test_many_batches_are_not_unpacked_at_once():
    large = [of_size(4, unpacking.FETCH_UNPACKED_BYTES * 2 // 5)] * 5
    batches = [struct.pack(">q", base) + data[8:] for base, data in enumerate(large)]
    position, steps = 0, []
    while position < 5:
        records, position = read(*batches[position:], position=position)
        steps.append([record.offset for record in records])
    assert steps == [[0, 1, 2], [3, 4]]


def test_a_bomb_ends_the_fetch_so_that_others_get_their_turn():
    records, read_to = read(bomb(4), bomb(4, base=3))
    assert ([record.first_offset for record in records], read_to) == ([0], 3)


def few_records(monkeypatch):
    monkeypatch.setattr(private, "MOST_RECORDS", 2)
    monkeypatch.setattr(unpacking, "MOST_RECORDS", 2)
    for module in (private, unpacking):
        monkeypatch.setattr(module, "MOST_BEFORE_CHECK", 1)


@pytest.mark.parametrize("codec", [0, 4])
def test_a_fetch_hands_out_no_more_records_than_memory_is_meant_for(monkeypatch, codec):
    few_records(monkeypatch)
    data = batch(codec, [b"%d" % n for n in range(7)], base=10), batch(codec, [b"x"], base=17)
    position, steps = 10, []
    while position < 18:
        records, position = read(*data[position == 17 :], position=position)
        steps.append([record.offset for record in records])
    assert steps == [[10, 11, 12], [13, 14, 15], [16], [17]]


def test_what_was_aborted_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(unpacking, "unpack", None)
    data = batch(4, [bytes(1_000)], base=3, producer=5)
    assert read(data, aborted=[(5, 3)], position=3) == ([], 4)


def test_a_damaged_batch_is_refused_before_it_is_unpacked():
    data = bytearray(batch(4, [b"value"]))
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        read(bytes(data))


def test_an_unknown_codec_is_refused():
    with pytest.raises(UnsupportedCodecError):
        unpack(5, memoryview(batch(0, [b"value"])))


# What producers of other languages write, and what nobody should.


def packed_as(packed):
    return memoryview(batch(0, [b"value"])[:HEADER_BYTES] + packed)


def gzipped(data):
    stream = zlib.compressobj(wbits=31)
    return stream.compress(data) + stream.flush()


RECORDS = bytes(batch(0, [b"value" * 100])[HEADER_BYTES:])
XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)


def xerial(*blocks):
    return XERIAL + b"".join(struct.pack(">i", len(block)) + block for block in map(snapped, blocks))


def snapped(data):
    return bytes(cramjam.snappy.compress_raw(data))


WHOLE = {
    "gzip in two members": (1, gzipped(RECORDS[:50]) + gzipped(RECORDS[50:])),
    "gzip with zeros between and behind": (1, gzipped(RECORDS[:50]) + bytes(70_000) + gzipped(RECORDS[50:]) + bytes(9)),
    "gzip with empty members": (1, gzipped(b"") * 3_000 + gzipped(RECORDS)),
    "snappy in one block": (2, snapped(RECORDS)),
    "snappy in blocks of Java's": (2, xerial(RECORDS[:50], RECORDS[50:])),
    "lz4 in two frames": (3, b"".join(bytes(cramjam.lz4.compress(it)) for it in (RECORDS[:50], RECORDS[50:]))),
    "zstd in two frames": (4, b"".join(bytes(cramjam.zstd.compress(it)) for it in (RECORDS[:50], RECORDS[50:]))),
}


@pytest.mark.parametrize(("codec", "packed"), WHOLE.values(), ids=WHOLE)
def test_each_way_to_write_a_codec_is_read(codec, packed):
    assert unpack(codec, packed_as(packed))[HEADER_BYTES:] == RECORDS
    assert not is_too_large(codec, packed)


HALF = bytes(MAX_UNPACKED_BYTES // 2)
PARTS = {
    "gzip members": (1, gzipped(HALF) * 2, gzipped(b"x")),
    "snappy blocks": (2, xerial(HALF, HALF), xerial(b"x")[16:]),
    "lz4 frames": (3, bytes(cramjam.lz4.compress(HALF)) * 2, bytes(cramjam.lz4.compress(b"x"))),
    "zstd frames": (4, bytes(cramjam.zstd.compress(HALF)) * 2, bytes(cramjam.zstd.compress(b"x"))),
}


@pytest.mark.parametrize(("codec", "packed", "more"), PARTS.values(), ids=PARTS)
def test_the_limit_is_that_of_all_parts_together(codec, packed, more):
    assert len(unpack(codec, packed_as(packed))) == HEADER_BYTES + MAX_UNPACKED_BYTES
    assert not is_too_large(codec, packed)
    with pytest.raises(TooLargeError):
        unpack(codec, packed_as(packed + more))
    assert is_too_large(codec, packed + more)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_gzip_that_passes_the_limit_before_it_breaks_off_is_too_large_for_worker_and_audit(cut):
    packed = gzipped(HALF + HALF + bytes(100))[:-cut]
    with pytest.raises(TooLargeError):
        unpack(CODECS["gzip"], packed_as(packed))
    assert is_too_large(CODECS["gzip"], packed)


BROKEN = {
    "gzip that ends in its midst": (1, gzipped(RECORDS)[:-4]),
    "gzip with something behind it": (1, gzipped(RECORDS) + b"something"),
    "gzip that is none": (1, b"none"),
    "snappy that is none": (2, b"\xff" * 20),
    "snappy of a negative length": (2, XERIAL + struct.pack(">i", -5) + b"block"),
    "snappy with a second beginning": (2, xerial(RECORDS[:50]) + xerial(RECORDS[50:])),
    "snappy with something behind it": (2, xerial(RECORDS) + b"\0\0\0"),
    "lz4 that ends in its midst": (3, bytes(cramjam.lz4.compress(RECORDS))[:-9]),
    "zstd that ends in its midst": (4, bytes(cramjam.zstd.compress(RECORDS))[:-9]),
    "zstd with the beginning of another frame": (4, (bytes(cramjam.zstd.compress(RECORDS)) * 2)[:-9]),
    "zstd that is none": (4, b"none"),
    "no records": (4, bytes(cramjam.zstd.compress(b"none"))),
    "more records than are said": (4, bytes(cramjam.zstd.compress(RECORDS * 2))),
    "fewer records than are said": (4, bytes(cramjam.zstd.compress(b""))),
    "a header whose name is no text": (4, bytes(cramjam.zstd.compress(RECORDS.replace(b"name", b"\xff\xfe\xfd\xfc")))),
    "the same, not compressed": (0, RECORDS.replace(b"name", b"\xff\xfe\xfd\xfc")),
}


def written(codec, packed, base):
    """Return a batch whose header says one record, and whose checksum is right, as a producer sends it."""
    data = bytearray(batch(0, [b"value"], base=base)[:HEADER_BYTES] + packed)
    data[22] |= codec
    struct.pack_into(">i", data, 8, len(data) - 12)
    struct.pack_into(">I", data, 17, calc_crc32c(bytes(data[21:])))
    return bytes(data)


async def audited(*batches, end):
    found = []
    log = Log(FakeClient(batches, at_a_time=9), COMMANDS, 0, 0, end)
    while not log.done:
        found += await log.read()
    return found


def alike(records):
    """Return what the worker and the audit must have in common."""
    return [
        (it.reason, getattr(it, "first_offset", it.offset), it.last_offset, it.timestamp)
        if hasattr(it, "reason")
        else (it.offset, it.timestamp, it.key, it.value)
        for it in records
    ]


@pytest.mark.parametrize(("codec", "packed"), BROKEN.values(), ids=BROKEN)
async def test_a_batch_that_cannot_be_read_is_left_out_and_what_lies_around_it_is_read(codec, packed):
    batches = [batch(0, [b"a"]), written(codec, packed, 1), batch(codec, [b"b"], base=2)]
    records, read_to = read(*batches)
    assert (records[1:], read_to) == ([UnreadBatch(BATCH_UNREADABLE, 1, T0, 0, 1, 1)], 2)
    after, read_to = read(batches[2], position=2)
    assert [it.value for it in records[:1] + after] == [b"a", b"b"]
    assert alike(records + after) == alike(await audited(*batches, end=3))


@pytest.mark.parametrize("deltas", [[0, 50, 2], [0, 1, 50], [0, 0, 2], [0, 2, 1], [-1, 1, 2]])
async def test_a_batch_that_numbers_its_records_otherwise_is_left_out(deltas):
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for delta in deltas:
        builder.append(delta, T0, b"k", b"v", [])
    data = bytearray(struct.pack(">q", 4) + bytes(builder.build())[8:])
    struct.pack_into(">i", data, 23, 2)  # the last offset's distance from the first
    struct.pack_into(">I", data, 17, calc_crc32c(bytes(data[21:])))
    batches = [batch(0, [b"a"], base=3), bytes(data), batch(0, [b"b"], base=7)]
    records, read_to = read(*batches, position=3)
    assert (records[1:], read_to) == ([UnreadBatch(BATCH_UNREADABLE, 4, T0, 0, 4, 6)], 7)
    assert alike(records + read(batches[2], position=7)[0]) == alike(await audited(*batches, end=8))


def test_offsets_may_have_holes():
    gaps = bytearray(batch(0, [b"a", b"b"], base=3))
    struct.pack_into(">i", gaps, 23, 5)
    struct.pack_into(">I", gaps, 17, calc_crc32c(bytes(gaps[21:])))
    records, read_to = read(bytes(gaps), batch(0, [b"c"], base=20))
    assert ([record.offset for record in records], read_to) == ([3, 4, 20], 21)


async def test_none_of_its_records_is_handed_out_also_those_that_could_be_read(monkeypatch):
    whole = batch(0, [b"a", b"b", b"c"], base=1)
    last = bytearray(whole)
    last[whole.rindex(b"name")] = 0xFF
    struct.pack_into(">I", last, 17, calc_crc32c(bytes(last[21:])))
    unread = UnreadBatch(BATCH_UNREADABLE, 1, T0 + 2, 0, 1, 3)
    assert read(batch(0, [b"x"]), bytes(last)) == ([ANY, unread], 4)
    few_records(monkeypatch)  # so that it would not come at once
    assert read(bytes(last), position=1) == ([unread], 4)
    assert read(bytes(last), position=3) == ([unread._replace(offset=3)], 4)


def test_a_batch_that_is_damaged_on_its_way_is_an_error_and_not_left_out():
    for place in (-1, 40):
        data = bytearray(batch(4, [b"value"], base=1))
        data[place] ^= 1
        with pytest.raises(CorruptRecordException):
            read(batch(0, [b"a"]), bytes(data))


TO_SPOIL = {codec: batch(codec, [b'{"type":"tick"}', b"v" * 300, rng.randbytes(20)]) for codec in (0, *CODECS.values())}


@pytest.mark.parametrize("codec", TO_SPOIL)
@settings(max_examples=200)
@given(data=st.data())
def test_the_worker_and_the_audit_leave_out_the_same_batches(codec, data):
    spoiled = bytearray(TO_SPOIL[codec])
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(HEADER_BYTES, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    del spoiled[len(spoiled) - data.draw(st.sampled_from([0, 0, 0, 1, 9])) :]
    struct.pack_into(">i", spoiled, 8, len(spoiled) - 12)
    struct.pack_into(">I", spoiled, 17, calc_crc32c(bytes(spoiled[21:])))
    found, _ = read(bytes(spoiled))
    assert alike(found) == alike(asyncio.run(audited(bytes(spoiled), end=3)))
