"""Whatever bytes a client writes: the decoder gives a command or its refusal, the fold a result or a dead letter."""

import json
import re
from types import SimpleNamespace

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.fold import fold
from schemas.codec import Unreadable, decode_command, result_decoder
from schemas.codes import Code
from schemas.commands import Tick
from schemas.dead_letters import MAX_KEY_BYTES, MAX_VALUE_BYTES
from schemas.fields import IDENTIFIER_PATTERN, SKU_PATTERN
from schemas.topics import DEAD_LETTERS, RESULTS
from tables.core.rows import Position
from tables.ledger import Ledger
from tables.store import MemoryStore
from tests.examples import EXAMPLES

FIELDS = sorted({name for document in EXAMPLES for name in document} | {"field", "code", "", "$", "layout", "Type"})

# JSON texts, and what some take for JSON.
NUMBERS = ["0", "-0", "-1", "1.0", "1e0", "1e999", "-1e999", "1E+2", "0.1", "01", "+1", "1_0", "0x1", ".5", "5.",
           str(2**53), str(2**63), str(-(2**63) - 1), str(2**64), "9" * 5_000, "1e" + "9" * 300,
           "NaN", "Infinity", "-Infinity", "nan"]  # fmt: skip
STRINGS = [r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\udce6"', r'"\u0000"', r'"\u0085"', r'"\x41"', '"\t"', '"', '""',
           '"' + "x" * 300 + '"', '"' + "é" * 64 + '"', '"\U0001f4e6"', r'"\""', r'"\\"', "'c'"]  # fmt: skip
OTHERS = ["null", "true", "false", "None", "[]", "{}", "[[]]", '{"a":1}', "undefined", "", " ", "//", "/**/1"]
DEEP = [
    text
    for depth in (31, 32, 33, 5_000)
    for text in (
        "[" * depth + "]" * depth,
        '{"a":' * depth + "1" + "}" * depth,
        "[" * depth,
        "]" * depth,
        '[{"a":' * depth,
    )
]
# Invalid UTF-8: a stray continuation, an overlong slash, a surrogate, beyond the last code point, cut short.
NO_UTF8 = [b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff\xfe", b"\xef\xbb\xbf"]

texts = st.sampled_from(NUMBERS + STRINGS + OTHERS + DEEP) | st.text(max_size=9).map(json.dumps)


@st.composite
def documents(draw):
    """Write a valid command out, with some fields changed, doubled, added or missing."""
    base = draw(st.sampled_from(EXAMPLES))
    members = [(name, json.dumps(value)) for name, value in base.items()]
    for name, text in draw(st.lists(st.tuples(st.sampled_from([*base, *FIELDS]), texts), max_size=3)):
        match draw(st.sampled_from(["replace", "double", "add", "drop"])):
            case "replace":
                members = [(n, text if n == name else t) for n, t in members]
            case "double":
                members += [member for member in members if member[0] == name]
            case "add":
                members.insert(draw(st.integers(0, len(members))), (name, text))
            case "drop":
                members = [member for member in members if member[0] != name]
    space = draw(st.sampled_from(["", " ", "\n\t", "\x0b"]))
    return "{" + ",".join(f"{space}{json.dumps(name)}:{text}" for name, text in members) + "}"


@st.composite
def mutilated(draw):
    """Damage the bytes of a document: cut, overwrite, insert, double."""
    value = bytearray(draw(documents()).encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(value)))
        match draw(st.sampled_from(["cut", "overwrite", "insert", "bad text", "double"])):
            case "cut":
                del value[at : at + draw(st.integers(1, 9))]
            case "overwrite":
                value[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                value[at:at] = draw(st.binary(max_size=5))
            case "bad text":
                value[at:at] = draw(st.sampled_from(NO_UTF8))
            case "double":
                value += value[at:]
    return bytes(value)


values = st.none() | st.binary(max_size=60) | documents().map(str.encode) | mutilated() | texts.map(str.encode)
keys = st.none() | st.binary(max_size=20) | st.sampled_from([b"S", b"", b"\xff"])


@settings(max_examples=1_000)
@given(values)
@example(b'{"type":"tick","type":"tick"}')
@example(b'{"type":"tick","type":"query","command_id":"c","sku":"S"}')
def test_the_decoder_gives_a_command_or_the_documented_refusal(value):
    try:
        command = decode_command(value)
    except Unreadable as refused:
        assert refused.code in (Code.MALFORMED, Code.INVALID_FIELD)
        assert (refused.command_id is None) == (refused.sku is None)
        if refused.command_id is not None:
            assert re.fullmatch(IDENTIFIER_PATTERN, refused.command_id)
            assert not refused.sku or re.fullmatch(SKU_PATTERN, refused.sku)
        assert (refused.field is None) == (refused.code is Code.MALFORMED)
        for word in (refused.field, refused.type, refused.command_id, refused.sku):
            assert word is None or len(word.encode()) <= 4 * 64
    else:
        # What was read can be written again: no lone surrogate, no number beyond JSON.
        for word in (getattr(command, name) for name in command.__struct_fields__):
            assert word is None or isinstance(word, str | int | list)
            assert not isinstance(word, str) or word.encode().decode() == word


def read(batch):
    batch.set_producer_state(1, 0, 0)
    return list(MemoryRecords(bytes(batch.build())).next_batch())


def outcomes(record, *, partitions=1):
    """Fold one record over a ledger with stock and a hold; give its results and its dead letters."""
    ledger = Ledger(MemoryStore())
    ledger.position = Position(0, 0, "one life")
    before = [EXAMPLES[0] | {"command_id": "a"}, EXAMPLES[2] | {"command_id": "b", "ttl_ms": 0}]
    records = [
        SimpleNamespace(offset=offset, timestamp=1, key=b"S", value=json.dumps(document).encode())
        for offset, document in enumerate(before)
    ]
    folded = fold(ledger, [*records, record], partition=0, partitions=partitions, limit=9)
    assert (folded.next_offset, folded.commands) == (3, 3)
    written = folded.output.batches(ledger.pending(), folded.now_ms)
    results, letters = (read(written[topic]) if topic in written else [] for topic in (RESULTS, DEAD_LETTERS))
    return [result_decoder.decode(result.value) for result in results[2:]], letters


@settings(max_examples=1_000)
@given(keys, values, st.integers(0, 10**15))
def test_every_record_ends_in_one_result_or_one_dead_letter_or_both(key, value, timestamp):
    results, letters = outcomes(SimpleNamespace(offset=2, timestamp=timestamp, key=key, value=value))
    try:
        command = decode_command(value)
    except Unreadable as refused:
        [letter] = letters
        assert (letter.key, letter.value) == (key, value)
        assert dict(letter.headers)["reason"].decode().startswith(refused.code.value)
        assert [(r.command_id, r.code) for r in results] == [(refused.command_id, refused.code)] * (
            refused.command_id is not None
        )
    else:
        assert letters == []
        expected = [] if isinstance(command, Tick) else [command.command_id]
        assert [result.command_id for result in results] == expected


@pytest.mark.parametrize("beyond", [0, 1])
def test_what_is_too_large_for_a_dead_letter_is_cut_and_says_so(beyond):
    key, value = b"k" * MAX_KEY_BYTES, b"\xff" * (MAX_VALUE_BYTES + beyond)
    results, [letter] = outcomes(SimpleNamespace(offset=2, timestamp=1, key=key, value=value))
    assert results == []
    assert (letter.key, letter.value) == (key, value[:MAX_VALUE_BYTES])
    headers = dict(letter.headers)
    assert headers["reason"] == b"malformed"
    assert headers.get("cut_value") == (b"%d" % len(value) if beyond else None)


ENDLESS = [
    b'"' + b'\\"' * 500_000,
    b'{"sku":"' + b'\\"' * 500_000,
    b'"' * 1_000_001,
    b"\\" * 1_000_000,
    b'["\\' * 300_000,
]


@pytest.mark.timeout(50)
@pytest.mark.parametrize("value", ENDLESS, ids=lambda value: repr(value[:12]))
def test_a_megabyte_of_strings_without_an_end_does_not_hold_the_partition_up(value):
    # Looked at from each quote to the end, as it once was, this takes an hour and more.
    with pytest.raises(Unreadable) as refused:
        decode_command(value)
    assert refused.value.code is Code.MALFORMED


@given(st.sampled_from(EXAMPLES), st.data())
def test_of_a_field_that_comes_twice_the_last_one_counts_for_command_and_refusal_alike(document, data):
    name = data.draw(st.sampled_from(sorted(document.keys() - {"type"})))
    other = data.draw(texts)
    doubled = json.dumps(document)[:-1] + f", {json.dumps(name)}: {other}}}"
    members = {n: json.dumps(value) for n, value in document.items()} | {name: other}
    single = "{" + ", ".join(f"{json.dumps(n)}: {text}" for n, text in members.items()) + "}"
    assert meaning(doubled.encode()) == meaning(single.encode())


@pytest.mark.parametrize("document", EXAMPLES, ids=lambda document: document["type"])
def test_a_command_that_says_two_types_is_none(document):
    other = "query" if document["type"] != "query" else "tick"
    doubled = json.dumps(document)[:-1] + f', "type": "{other}"}}'
    # The last type counts: a query or a tick, which has no answer without a SKU.
    sku = document.get("sku")
    command_id = document["command_id"] if sku else None
    assert meaning(doubled.encode()) == (Code.INVALID_FIELD, "type", command_id, sku)


def meaning(value):
    try:
        return decode_command(value)
    except Unreadable as refused:
        return refused.code, refused.field, refused.command_id, refused.sku
