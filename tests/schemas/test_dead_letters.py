"""A dead letter keeps a record whole where that fits its topic; else it says what was cut."""

import pytest
from aiokafka.record.memory_records import MemoryRecords

from agents import batches
from agents.batches import TransactionOutput
from schemas.dead_letters import MAX_KEY_BYTES, MAX_VALUE_BYTES, MAX_WHOLE_BYTES, DeadLetter
from schemas.topics import BATCH_BYTES, DEAD_LETTERS, MAX_COMMAND_BYTES, TOPICS

ORIGIN = [("reason", b"malformed"), ("partition", b"2"), ("offset", b"7")]


def letter_of(key, value):
    return DeadLetter.of(key, value, "malformed", partition=2, offset=7)


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"k", b"v"), (None, None), (b"", None), (b"k" * 20_000, b"v" * 1_000_001), (b"k" * MAX_COMMAND_BYTES, b""),
     (None, b"v" * MAX_WHOLE_BYTES), (b"k", b"v" * (MAX_WHOLE_BYTES - 1))],
)  # fmt: skip
def test_key_and_value_are_kept_as_they_are(key, value):
    letter = letter_of(key, value)
    assert (letter.key, letter.value, letter.headers()) == (key, value, ORIGIN)


@pytest.mark.parametrize(
    ("key_bytes", "value_bytes", "cut"),
    [
        (20_000, 3_000_000, [("cut_key", b"20000"), ("cut_value", b"3000000")]),
        (10_000, 1_140_001, [("cut_value", b"1140001")]),
        (1, 1_150_000, [("cut_value", b"1150000")]),
        (10_001, 1_140_000, [("cut_key", b"10001")]),
        (1_200_000, 200_000, [("cut_key", b"1200000")]),
    ],
)
def test_a_record_that_is_larger_than_a_letter_may_be_is_cut_and_headers_say_how_long_it_was(
    key_bytes, value_bytes, cut
):
    letter = letter_of(b"k" * key_bytes, b"v" * value_bytes)
    assert len(letter.key) == min(key_bytes, MAX_KEY_BYTES if cut[0][0] == "cut_key" else key_bytes)
    assert len(letter.value) == min(value_bytes, MAX_VALUE_BYTES)
    assert letter.headers() == [*ORIGIN, *cut]


def test_a_value_without_a_key_is_cut_too():
    letter = letter_of(None, b"v" * (MAX_WHOLE_BYTES + 1))
    assert (letter.key, len(letter.value), letter.cut_key, letter.cut_value) == (None, 1_140_000, None, 1_150_001)


@pytest.mark.parametrize("value_bytes", [0, 1_000])
def test_the_largest_letter_fits_its_topic_behind_as_many_others_as_there_may_be(value_bytes):
    output = TransactionOutput()
    reason = "invalid_field:" + "\N{PACKAGE}" * 64
    number = (1 << 63) - 1

    def add(key, value):
        letter = DeadLetter.of(key, value, reason, partition=number, offset=number)
        output.dead_letters.add_dead_letter(letter, number)

    while output.dead_letters.size < BATCH_BYTES - value_bytes - 1_000:
        add(None, b"x" * value_bytes)
    assert not output.is_full()
    add(b"k" * 20_000, b"v" * 3_000_000)
    assert output.is_full()
    batch = output.batches([], 0)[DEAD_LETTERS]
    batch.set_producer_state(1, 0, 0)
    written = bytes(batch.build())
    assert len(written) <= output.dead_letters.size + 61
    assert len(written) + 1_000 + value_bytes < int(TOPICS[DEAD_LETTERS]["max.message.bytes"])
    assert sum(1 for _ in MemoryRecords(written).next_batch()) == output.dead_letters.count
    assert batches.BATCH_BYTES == BATCH_BYTES
