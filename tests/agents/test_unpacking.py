"""What a caller compressed is unpacked up to 16 MiB; a larger batch is never read and stands for its records."""

import random
import struct
import zlib
from types import SimpleNamespace

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from agents.batches import TooLargeBatch
from agents.kafka import private, unpacking
from agents.kafka.private import read_records
from agents.kafka.unpacking import TooLargeError, unpack
from audit.unpacking import is_too_large
from schemas.topics import MAX_UNPACKED_BYTES

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


class CountedZlib:
    """Stands for zlib."""

    def __init__(self):
        self.largest = 0

    def decompressobj(self, wbits):
        stream, counted = zlib.decompressobj(wbits), self

        class Stream:
            def decompress(self, packed, at_most):
                assert at_most > 0  # 0 is without a limit
                unpacked = stream.decompress(packed, at_most)
                counted.largest += len(unpacked)
                return unpacked

            def __getattr__(self, name):
                return getattr(stream, name)

        return Stream()


@every_codec
def test_no_more_than_the_limit_is_unpacked_of_a_bomb(codec, monkeypatch):
    counted = {name: Counted(getattr(cramjam, name)) for name in ("snappy", "lz4", "zstd")}
    monkeypatch.setattr(unpacking, "cramjam", SimpleNamespace(DecompressionError=cramjam.DecompressionError, **counted))
    monkeypatch.setattr(unpacking, "zlib", gzip := CountedZlib())
    data = bomb(codec)
    with pytest.raises(TooLargeError):
        unpack(codec, memoryview(data))
    # Snappy says how long it is, so nothing is unpacked.
    unpacked = gzip.largest + sum(it.largest for it in counted.values())
    assert (unpacked == 0) if codec == CODECS["snappy"] else (0 < unpacked <= MAX_UNPACKED_BYTES + 1)
    assert is_too_large(codec, data[HEADER_BYTES:])


@every_codec
def test_a_batch_above_the_limit_stands_among_the_records_as_one(codec):
    good = batch(0, [b"a", b"b"], base=7)
    after = batch(codec, [b"c"], base=12)
    records, read_to = read(good, bomb(codec, base=9), position=7)
    assert fields(records[:2]) == fields(DefaultRecordBatch(good))
    too_large = TooLargeBatch(offset=9, timestamp=T0 + 2, timestamp_type=0, first_offset=9, last_offset=11)
    assert (records[2:], read_to) == ([too_large], 12)
    assert fields(read(after, position=12)[0]) == fields(DefaultRecordBatch(after))


def test_a_reader_that_begins_within_a_batch_above_the_limit_still_gets_it_as_one():
    records, read_to = read(bomb(4, base=9), position=11)
    assert records == [TooLargeBatch(11, T0 + 2, 0, first_offset=9, last_offset=11)]
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
    large = [of_size(4, MAX_UNPACKED_BYTES * 2 // 5)] * 5
    batches = [struct.pack(">q", base) + data[8:] for base, data in enumerate(large)]
    position, steps = 0, []
    while position < 5:
        records, position = read(*batches[position:], position=position)
        steps.append([record.offset for record in records])
    assert steps == [[0, 1, 2], [3, 4]]


def test_a_bomb_ends_the_fetch_so_that_others_get_their_turn():
    records, read_to = read(bomb(4), bomb(4, base=3))
    assert ([record.first_offset for record in records], read_to) == ([0], 3)


def test_a_fetch_hands_out_no_more_records_than_memory_is_meant_for(monkeypatch):
    monkeypatch.setattr(private, "_MOST_RECORDS", 3)
    data = batch(4, [b"%d" % n for n in range(7)], base=10)
    position, steps = 10, []
    while position < 17:
        records, position = read(data, position=position)
        steps.append([record.offset for record in records])
    assert steps == [[10, 11, 12], [13, 14, 15], [16]]


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


BROKEN = {
    "gzip that ends in its midst": (1, gzipped(RECORDS)[:-4]),
    "gzip that is none": (1, b"none"),
    "snappy that is none": (2, b"\xff" * 20),
    "snappy of a negative length": (2, XERIAL + struct.pack(">i", -5) + b"block"),
    "lz4 that ends in its midst": (3, bytes(cramjam.lz4.compress(RECORDS))[:-9]),
    "zstd that ends in its midst": (4, bytes(cramjam.zstd.compress(RECORDS))[:-9]),
    "zstd that is none": (4, b"none"),
}


@pytest.mark.parametrize(("codec", "packed"), BROKEN.values(), ids=BROKEN)
def test_what_no_codec_writes_is_an_error_and_not_a_large_batch(codec, packed):
    with pytest.raises((CorruptRecordException, cramjam.DecompressionError, zlib.error)):
        unpack(codec, packed_as(packed))
