"""The sentences about a field that is wrong: which problem, what was given, what is allowed."""

import json

import msgspec
import pytest

from schemas.commands import COMMAND_TYPES, tag_of
from schemas.explain import explain

RESERVE = {"type": "reserve", "command_id": "c", "sku": "a", "reservation_id": "r", "quantity": 1}
ADJUST = {"type": "adjust", "command_id": "c", "sku": "a", "warehouse": "york", "reason": "receipt", "delta": 1}
PLACE = "a string of 1 to 32 characters (letters (a-z, A-Z), digits and . _ -)"
UNITS = "an integer from 1 to 1,000,000,000"
SKU = "a string of 1 to 64 characters (anything but control characters)"
REASONS = "receipt, cycle_count, damage, shrinkage, return, correction, erp_sync"

SENTENCES = [
    ({**RESERVE, "quantity": None}, "quantity", "missing", f"quantity is missing; it must be {UNITS}."),
    ({**RESERVE, "quantity": 0}, "quantity", "too_small", f"quantity must be {UNITS}: 0 is too small."),
    ({**RESERVE, "quantity": 10**10}, "quantity", "too_large", f"quantity must be {UNITS}: 10000000000 is too large."),
    ({**RESERVE, "quantity": "3"}, "quantity", "wrong_type", f'quantity must be {UNITS}: "3" is of another type.'),
    ({**RESERVE, "sku": ""}, "sku", "too_small", f'sku must be {SKU}: "" is too short.'),
    (
        {**RESERVE, "sku": "s" * 65},
        "sku",
        "too_long",
        f'sku must be {SKU}: "{"s" * 39}... (67 characters) is too long.',
    ),
    (
        {**RESERVE, "channel": "a b"},
        "channel",
        "bad_characters",
        f'channel must be {PLACE}: "a b" has characters that are not allowed.',
    ),
    (
        {**ADJUST, "reason": "theft"},
        "reason",
        "not_allowed",
        f'reason must be one of {REASONS}: "theft" is not allowed.',
    ),
    ({**ADJUST, "delta": 0}, "delta", "not_allowed", "delta must not be 0."),
    ({**ADJUST, "delta": None}, "delta", "missing", "delta or count is needed, one of the two."),
    (
        {**RESERVE, "type": "steal"},
        "type",
        "not_allowed",
        (
            "type must be one of adjust, reserve, amend, reallocate, commit, release, extend, query, expect_inbound, "
            "amend_inbound, receive_inbound, cancel_inbound, return, move, transfer, reconcile, settle, "
            "set_policy, set_warehouse, set_channel, "
            'set_feed, tick: "steal" is not allowed.'
        ),
    ),
    (
        {**RESERVE, "type": "extend", "colour": 1},
        "colour",
        "unknown_field",
        (
            "extend has no field colour; its fields are reservation_id, ttl_ms, channels, command_id, sku, issued_at, "
            "actor, source."
        ),
    ),
    (
        {"type": "commit", "channels": ["a", "b c"]},
        "channels[1]",
        "bad_characters",
        (
            "channels[1] must be a string of 1 to 32 characters (letters (a-z, A-Z), digits and . _ -): "
            '"b c" has characters that are not allowed.'
        ),
    ),
    ({**ADJUST, "delta": 0}, "delta", None, "delta must not be 0."),
    (ADJUST, "quantity", None, "quantity is missing."),
    ({**RESERVE, "quantity": 0}, "quantity", None, f"quantity must be {UNITS}: 0 is not."),
]


@pytest.mark.parametrize(("record", "field", "problem", "sentence"), SENTENCES)
def test_the_sentence_says_what_is_wrong_and_what_is_allowed(record, field, problem, sentence):
    assert explain(field, problem, json.dumps(record).encode()) == sentence


def test_a_number_that_no_decoder_can_hold_is_repeated_shortened():
    record = json.dumps(RESERVE).replace("1}", "1" * 5000 + "}").encode()
    sentence = explain("quantity", "too_large", record)
    assert sentence == f"quantity must be {UNITS}: {'1' * 40}... (5,000 characters) is too large."


def test_what_would_write_on_a_terminal_is_not_repeated():
    assert "\x9b" not in explain("sku", "bad_characters", '{"type":"query","sku":"\x9b"}'.encode())


@pytest.mark.parametrize("record", [b"", b"[1]", b'{"type":', b"\xff", b'{"type": 3}', b"[" * 100_000])
def test_a_record_that_is_no_command_gets_a_sentence_all_the_same(record):
    assert explain("sku", "missing", record) == "sku is missing."


@pytest.mark.parametrize("kind", COMMAND_TYPES, ids=tag_of)
def test_every_field_of_every_command_says_what_it_allows(kind):
    record = json.dumps({"type": tag_of(kind)}).encode()
    for field in msgspec.structs.fields(kind):
        assert "; it must be " in explain(field.name, "missing", record, kind=kind)


def test_a_path_with_a_number_that_python_does_not_read_gets_a_sentence_all_the_same():
    path = f"a[{'9' * 5_000}]"
    assert explain(path, "wrong_type", b'{"a":[1]}')
