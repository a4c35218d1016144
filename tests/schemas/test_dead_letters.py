"""A dead letter keeps what it can of a record, and says what it cut."""

from schemas.dead_letters import MAX_KEY_BYTES, MAX_VALUE_BYTES, DeadLetter


def test_key_and_value_are_kept_as_they_are():
    letter = DeadLetter.of(b"k", b"v", "malformed", partition=2, offset=7)
    assert (letter.key, letter.value) == (b"k", b"v")
    assert letter.headers() == [("reason", b"malformed"), ("partition", b"2"), ("offset", b"7")]


def test_a_record_that_was_larger_than_a_letter_may_be_is_cut_and_the_reason_says_so():
    letter = DeadLetter.of(b"k" * 20_000, b"v" * 3_000_000, "malformed", partition=0, offset=0)
    assert (len(letter.key), len(letter.value)) == (MAX_KEY_BYTES, MAX_VALUE_BYTES)
    assert letter.reason == "malformed; value cut from 3000000 bytes; key cut from 20000 bytes"
