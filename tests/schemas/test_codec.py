"""Commands are decoded strictly: a wrong field is named by its path, and a record with ids gets an answer."""

import contextlib
import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.characters import PLAIN
from schemas.codec import Unreadable, decode_command, encode, json_object_of
from schemas.codes import Code
from schemas.commands import COMMAND_TYPES, Reserve, Tick, tag_of
from schemas.fields import IDENTIFIER_PATTERN, PLACE_PATTERN
from tests.examples import EXAMPLES, SKU_EXAMPLES, name_of, write

RESERVE = {"type": "reserve", "command_id": "c-1", "sku": "85123A", "reservation_id": "r-1", "quantity": 3}
ADJUST = {"type": "adjust", "command_id": "c-1", "sku": "S", "warehouse": "leeds", "delta": 5, "reason": "receipt"}


def refusal(document):
    with pytest.raises(Unreadable) as caught:
        decode_command(document if isinstance(document, bytes | None) else json.dumps(document).encode())
    return caught.value


def test_a_command_is_read_with_its_optional_fields_absent():
    command = decode_command(json.dumps(RESERVE).encode())
    assert command == Reserve(command_id="c-1", sku="85123A", reservation_id="r-1", quantity=3)


@pytest.mark.parametrize("document", EXAMPLES, ids=name_of)
def test_every_type_of_command_is_read(document):
    command = decode_command(write(document))
    assert type(command) in COMMAND_TYPES
    assert tag_of(type(command)) == document["type"]
    assert msgspec.to_builtins(command) | document == msgspec.to_builtins(command)


@pytest.mark.parametrize("document", EXAMPLES, ids=name_of)
def test_the_strings_of_every_type_of_command_are_checked_when_one_is_not_plain(document):
    assert decode_command(write(document, actor="shop:1, Ä")).actor == "shop:1, Ä"
    assert refusal(write(document, actor="line\nbreak")).field == "actor"


@pytest.mark.parametrize("document", SKU_EXAMPLES, ids=name_of)
def test_what_a_command_is_written_as_is_read_as_the_same_command(document):
    command = decode_command(write(document))
    assert decode_command(encode(json_object_of(command))) == command


def test_null_is_the_same_as_absent():
    assert decode_command(json.dumps(RESERVE | {"channel": None, "ttl_ms": None}).encode()).channel is None


def test_a_tick_needs_nothing_but_its_type():
    assert isinstance(decode_command(b'{"type":"tick"}'), Tick)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"12", b'"x"', b"\xff\xfe", b'{"type":"reserve"', b"null"])
def test_what_is_no_json_object_is_malformed_and_answers_nobody(value):
    found = refusal(value)
    assert (found.code, found.command_id, found.sku) == (Code.MALFORMED, None, None)


@pytest.mark.parametrize("deep", [33, 2_000, 100_000])
def test_json_that_nests_deeply_is_malformed_whatever_the_stack(deep):
    assert refusal(b'{"command_id":"c","sku":"S","x":' + b"[" * deep + b"]" * deep + b"}").code is Code.MALFORMED
    assert refusal(b'{"x":' + b"[" * deep + b"]" * deep + b',"type":"reserve"}').code is Code.MALFORMED


def test_brackets_in_strings_do_not_nest():
    assert decode_command(json.dumps(RESERVE | {"sku": "[" * 60}).encode()).sku == "[" * 60


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (RESERVE | {"quantity": 0}, "quantity"),
        (RESERVE | {"quantity": 1_000_000_001}, "quantity"),
        (RESERVE | {"quantity": "3"}, "quantity"),
        (RESERVE | {"quantity": 3.5}, "quantity"),
        (RESERVE | {"quantity": True}, "quantity"),
        (RESERVE | {"quantity": None}, "quantity"),
        (RESERVE | {"ttl_ms": 2_678_400_001}, "ttl_ms"),
        (RESERVE | {"ttl_ms": -1}, "ttl_ms"),
        (RESERVE | {"surprise": 1}, "surprise"),
        (RESERVE | {"warehouse": "no blanks"}, "warehouse"),
        (RESERVE | {"warehouse": "w" * 33}, "warehouse"),
        (RESERVE | {"channel": "a:b"}, "channel"),
        (RESERVE | {"order_id": "a/b"}, "order_id"),
        (RESERVE | {"reservation_id": "r" * 65}, "reservation_id"),
        (RESERVE | {"reservation_id": "ends\n"}, "reservation_id"),
        (RESERVE | {"actor": "line\nbreak"}, "actor"),
        (RESERVE | {"issued_at": -1}, "issued_at"),
        (RESERVE | {"type": "reserved"}, "type"),
        ({k: v for k, v in RESERVE.items() if k != "quantity"}, "quantity"),
        ({k: v for k, v in RESERVE.items() if k != "type"}, "type"),
        (ADJUST | {"delta": 0}, "delta"),
        (ADJUST | {"count": 5}, "delta"),
        ({k: v for k, v in ADJUST.items() if k != "delta"}, "delta"),
        (ADJUST | {"bucket": "reserved"}, "bucket"),
        (ADJUST | {"reason": "because"}, "reason"),
        (ADJUST | {"expected_on_hand": -1}, "expected_on_hand"),
    ],
)
def test_an_invalid_field_is_named_and_the_caller_can_be_answered(document, field):
    found = refusal(document)
    assert (found.code, found.field) == (Code.INVALID_FIELD, field)
    assert (found.command_id, found.sku) == ("c-1", document["sku"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"command_id": "no blanks"}, "command_id"),
        ({"command_id": ""}, "command_id"),
        ({"command_id": 7}, "command_id"),
        ({"sku": ""}, "sku"),
        ({"sku": "s" * 65}, "sku"),
        ({"sku": "tab\there"}, "sku"),
        ({"sku": "\x85"}, "sku"),
    ],
)
def test_without_a_usable_command_id_and_sku_nobody_is_answered(change, field):
    found = refusal(RESERVE | change)
    assert (found.code, found.field, found.command_id, found.sku) == (Code.INVALID_FIELD, field, None, None)


@pytest.mark.parametrize("sku", ["DCGS0076", "gift 0001", "æøå/№ 5", "a\u00a0b", "x" * 64, "📦" * 64, '"', "\\"])
def test_a_sku_may_hold_any_printable_character(sku):
    assert decode_command(json.dumps(RESERVE | {"sku": sku}).encode()).sku == sku


@pytest.mark.parametrize(
    "reservation_id",
    [r"\u0061b", r"a\nb", "a:b", "a,b", '","a":"', "a{b", "a b", "ä", r"\ud800", r"\\"],
)
def test_a_string_is_checked_although_its_record_looks_like_one_before_it(reservation_id):
    template = '{"command_id":"c-1","type":"commit","sku":"S","reservation_id":"%s"}'
    # What is decoded first must not vouch for the others; of a key that is there twice, the last counts.
    for first in ("r", r"\u0061", "a:b", f'{reservation_id}","reservation_id":"r'):
        with contextlib.suppress(Unreadable):
            decode_command((template % first).encode())
    value = (template % reservation_id).encode()
    try:
        decoded = json.loads(value)["reservation_id"]
    except ValueError:
        decoded = ""
    if re.fullmatch(IDENTIFIER_PATTERN, decoded):
        assert decode_command(value).reservation_id == decoded
    else:
        with pytest.raises(Unreadable):
            decode_command(value)


def test_a_key_that_is_there_twice_does_not_vouch_for_the_value_it_hides():
    hides = (
        b'{"warehouse":"a b","warehouse":"ab","command_id":"c1","type":"adjust","sku":"S","reason":"receipt","delta":5}'
    )
    shows = b'{"warehouse":"a b","command_id":"c2","type":"adjust","sku":"S","reason":"receipt","actor":"x","delta":5}'
    assert len(hides.translate(None, PLAIN)) == len(shows.translate(None, PLAIN))
    assert decode_command(hides).warehouse == "ab"
    assert refusal(shows).field == "warehouse"


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), st.booleans())
def test_no_record_vouches_for_the_characters_of_another(first, second, escaped):
    for text in (first, second):
        value = json.dumps(
            {"command_id": "c", "type": "adjust", "sku": text, "warehouse": text, "reason": "receipt", "delta": 1},
            ensure_ascii=escaped,
        ).encode(errors="surrogatepass")
        if re.fullmatch(PLACE_PATTERN, text):
            assert decode_command(value).warehouse == text
        else:
            with pytest.raises(Unreadable):
                decode_command(value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_the_documented_refusal(value):
    refusal_or_command(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from([*RESERVE, *ADJUST, "ttl_ms", "channel", "order_id", "actor", "bucket", "count", "zzz"])
documents = st.builds(
    lambda base, change: base | change,
    st.sampled_from([RESERVE, ADJUST, {}]),
    st.dictionaries(fields, json_values, max_size=4),
)


@given(documents)
def test_no_document_raises_anything_but_the_documented_refusal(document):
    refusal_or_command(json.dumps(document).encode())


def refusal_or_command(value):
    try:
        command = decode_command(value)
    except Unreadable as refused:
        assert refused.code in (Code.MALFORMED, Code.INVALID_FIELD)
        assert (refused.command_id is None) == (refused.sku is None)
    else:
        if not isinstance(command, Tick):
            command.sku.encode()
