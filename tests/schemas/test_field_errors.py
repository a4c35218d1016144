"""What is wrong with a field is one of eight problems, for every field of every command."""

import json
import time
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.codec import _STRING_OR_NUMBER, Unreadable, _within_range, decode_command
from schemas.codes import Code, Problem
from schemas.commands import COMMAND_TYPES
from schemas.field_errors import problem_of

VALID = {
    "adjust": {"command_id": "c", "sku": "S", "warehouse": "leeds", "reason": "receipt", "delta": 5},
    "reserve": {"command_id": "c", "sku": "S", "reservation_id": "r", "quantity": 3},
    "amend": {"command_id": "c", "sku": "S", "reservation_id": "r", "quantity": 3},
    "reallocate": {"command_id": "c", "sku": "S", "reservation_id": "r", "from": "a", "to": "b"},
    "expect_inbound": {"command_id": "c", "sku": "S", "inbound_id": "po", "warehouse": "a", "quantity": 3, "eta_at": 9},
    "amend_inbound": {"command_id": "c", "sku": "S", "inbound_id": "po", "quantity": 3},
    "receive_inbound": {"command_id": "c", "sku": "S", "inbound_id": "po", "quantity": 3},
    "cancel_inbound": {"command_id": "c", "sku": "S", "inbound_id": "po"},
    "return": {"command_id": "c", "sku": "S", "warehouse": "a", "quantity": 1, "disposition": "restock"},
    "move": {"command_id": "c", "sku": "S", "warehouse": "a", "quantity": 1, "from": "on_hand", "to": "damaged"},
    "transfer": {"command_id": "c", "sku": "S", "from": "a", "to": "b", "quantity": 1, "inbound_id": "t", "eta_at": 9},
    "reconcile": {"command_id": "c", "sku": "S", "warehouse": "a", "counted_on_hand": 1},
    "settle": {"command_id": "c", "sku": "S"},
    "commit": {"command_id": "c", "sku": "S", "reservation_id": "r"},
    "release": {"command_id": "c", "sku": "S", "reservation_id": "r"},
    "extend": {"command_id": "c", "sku": "S", "reservation_id": "r", "ttl_ms": 5},
    "query": {"command_id": "c", "sku": "S"},
    "set_policy": {"command_id": "c", "sku": "S", "channel": "web"},
    "set_warehouse": {"command_id": "c", "warehouse": "leeds", "version": 1},
    "set_channel": {"command_id": "c", "channel": "web", "version": 1},
    "set_feed": {"command_id": "c", "feed": "wms", "version": 1, "as_of_at": 1, "interval_ms": 1},
    "tick": {},
}
HUGE = {"1e400": "too_large", "-1e400": "too_small", "7" * 5_000: "too_large", "-" + "7" * 5_000: "too_small",
        "1" + "0" * 400 + ".5": "too_large", "1e999999999999": "too_large"}  # fmt: skip


def refusal(document):
    with pytest.raises(Unreadable) as caught:
        decode_command(document if isinstance(document, bytes) else json.dumps(document).encode())
    return caught.value


def metas(hint):
    """Find the plain type of a field and its bounds, below `| None`."""
    arms = (
        [arm for arm in get_args(hint) if arm is not type(None)] if get_origin(hint) not in (Annotated, Literal) else []
    )
    if arms:
        return metas(arms[0])
    if get_origin(hint) is Annotated:
        return get_args(hint)[0], get_args(hint)[1]
    return hint, None


def wrong_values(kind, field, hint):
    """List (JSON text, problem) for one field: each way in which it may be wrong."""
    plain, meta = metas(hint)
    if get_origin(plain) is list:
        yield from ((text, "wrong_type") for text in ("true", "{}", "3.0", '"a"', *HUGE))
        if meta.min_length:
            yield "[]", "too_small"
        yield json.dumps(["x"] * (meta.max_length + 1)), "too_long"
        return
    if plain is bool:
        yield from ((text, "wrong_type") for text in ("1", "[]", "{}", "3.0", '"true"', *HUGE))
        return
    yield from ((text, "wrong_type") for text in ("true", "[]", "{}", "[1e400]", "3.0", "1e2", "0.5", "1e-400"))
    if field in {name.name for name in msgspec.structs.fields(kind) if name.required}:
        yield "null", "missing"
    if plain is int:
        yield '"3"', "wrong_type"
        yield str(meta.ge - 1), "too_small"
        yield str(meta.le + 1), "too_large"
        yield "9" * 25, "too_large"
        yield from HUGE.items()
        return
    yield from ((text, "wrong_type") for text in ("3", "9" * 25, *HUGE))
    if get_origin(plain) is Literal:
        yield from (('"else"', "not_allowed"), ('""', "not_allowed"))
        return
    yield '""', "too_small"
    yield json.dumps("x" * (meta.max_length + 1)), "too_long"
    yield '"a\\nb"', "bad_characters"


WRONG = [
    (kind.__struct_config__.tag, field.rstrip("_"), text, problem)
    for kind in COMMAND_TYPES
    for field, hint in get_type_hints(kind, include_extras=True).items()
    for text, problem in wrong_values(kind, field, hint)
]


def test_there_is_an_example_of_every_command():
    assert set(VALID) == {kind.__struct_config__.tag for kind in COMMAND_TYPES}
    for type_, fields in VALID.items():
        decode_command(json.dumps({"type": type_} | fields).encode())


@pytest.mark.parametrize("type_", VALID)
def test_every_way_in_which_a_field_may_be_wrong_has_its_problem(type_):
    for tag, field, text, problem in WRONG:
        if tag == type_:
            document = {"type": type_} | VALID[type_] | {field: "HERE"}
            found = refusal(json.dumps(document).replace('"HERE"', text).encode())
            if found.code is Code.MALFORMED:
                # A number that cannot be held, in one of the ids: nobody can be answered.
                assert (field in {"command_id", "sku"} or type_ == "tick", text in (*HUGE, "[1e400]")) == (True, True)
                continue
            assert (found.field, found.problem) == (field, Problem(problem)), text[:40]
            assert (found.command_id is None) == (field in {"command_id", "sku"} or type_ == "tick")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [("7", "wrong_type"), ("null", "missing"), ('""', "too_small"), (json.dumps("x" * 33), "too_long"),
     ('"a b"', "bad_characters")],
)  # fmt: skip
def test_a_wrong_entry_of_a_list_is_named_by_its_place(entry, problem):
    text = json.dumps({"type": "commit", "channels": ["web", "HERE"]} | VALID["commit"]).replace('"HERE"', entry)
    found = refusal(text.encode())
    assert (found.field, found.problem) == ("channels[1]", Problem(problem))


@pytest.mark.parametrize("type_", VALID)
def test_a_field_that_is_required_and_absent_is_missing_and_one_too_many_is_unknown(type_):
    for field in VALID[type_]:
        found = refusal({"type": type_} | {name: value for name, value in VALID[type_].items() if name != field})
        assert (found.field, found.problem) == (field, Problem.MISSING)
    for name, text in (("zz", "1"), ("zz - at `$.sku`", "null"), ("zz out of range", "1e400")):
        found = refusal(json.dumps({"type": type_} | VALID[type_])[:-1].encode() + f',"{name}":{text}}}'.encode())
        assert found.problem in (Problem.UNKNOWN_FIELD, None if type_ == "tick" and text == "1e400" else found.problem)


@pytest.mark.parametrize(
    ("type_", "problem"),
    [(None, "missing"), ("", "not_allowed"), ("reserved", "not_allowed"), (7, "wrong_type"), (1.5, "wrong_type"),
     ([], "wrong_type"), (True, "wrong_type"), ("is needed, got `null`", "not_allowed")],
)  # fmt: skip
def test_the_type_of_a_command_has_its_problems(type_, problem):
    found = refusal(VALID["reserve"] | {"type": type_})
    assert (found.field, found.problem, found.command_id) == ("type", Problem(problem), "c")
    found = refusal(json.dumps(VALID["reserve"])[:-1].encode() + b',"type":1e400}')
    assert (found.field, found.problem) == ("type", Problem.WRONG_TYPE)
    found = refusal(VALID["reserve"])
    assert (found.field, found.problem) == ("type", Problem.MISSING)


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"delta": 5, "count": 5}, "not_allowed"), ({"delta": 0, "count": 0}, "not_allowed"),
     ({"delta": 0}, "not_allowed"), ({"delta": None}, "missing"), ({"delta": None, "count": None}, "missing")],
)  # fmt: skip
def test_the_rules_over_delta_and_count_name_delta(change, problem):
    found = refusal({"type": "adjust"} | VALID["adjust"] | change)
    assert (found.field, found.problem) == ("delta", Problem(problem))


@pytest.mark.parametrize(
    ("type_", "change", "problem"),
    [("amend_inbound", {"quantity": None}, "missing"),
     ("receive_inbound", {"quantity": 0}, "not_allowed"),
     ("receive_inbound", {"quantity": 0, "damaged": 0, "final": False}, "not_allowed")],
)  # fmt: skip
def test_a_command_of_announced_goods_that_says_nothing_names_quantity(type_, change, problem):
    found = refusal({"type": type_} | VALID[type_] | change)
    assert (found.field, found.problem) == ("quantity", Problem(problem))


def test_nothing_that_comes_is_said_with_final():
    document = {"type": "receive_inbound"} | VALID["receive_inbound"] | {"quantity": 0, "final": True}
    assert decode_command(json.dumps(document).encode()).final


def test_words_of_the_decoder_that_are_not_known_give_no_problem():
    assert problem_of(msgspec.ValidationError("Something new - at `$.sku`"), "sku", None) is None


def test_what_is_wrong_behind_a_number_that_no_double_holds_is_still_malformed():
    head = b'{"type":"reserve","command_id":"c","sku":"S","reservation_id":"r","quantity":1e400,'
    for tail in (b'"actor":"\xff"}', b'"actor":"\\ud800"}', b'"actor":01}', b'"actor":1.5.3}', b'"actor":1.}', b'"a'):
        assert refusal(head + tail).code is Code.MALFORMED
    assert refusal(head + b'"actor":"1e400"}').command_id == "c"
    assert refusal(b'{"type":"reserve","sku":"S","reservation_id":"r","quantity":1e400}').code is Code.MALFORMED


@given(st.text('0123456789.eE+- ,[]"\\', max_size=12))
@example("1.5.3")
@example("-01")
@example('"1e400')
def test_a_number_put_in_the_place_of_another_makes_no_text_valid_or_invalid(text):
    value = f'{{"a":{text}}}'.encode()
    assert is_json(value, dict[str, msgspec.Raw]) == is_json(_STRING_OR_NUMBER.sub(_within_range, value), object)


def is_json(value, type_):
    try:
        msgspec.json.decode(value, type=type_)
    except msgspec.DecodeError:
        return False
    return True


@pytest.mark.parametrize(
    "number", [b"7" * 1_000_000, b"1e" + b"9" * 1_000_000, b"0." + b"7" * 1_000_000, b"[" + b"1," * 400_000 + b"1e400]",
               b"7" * 500_000 + b"e", b"-" * 1_000_000]
)  # fmt: skip
def test_a_megabyte_of_digits_does_not_hold_the_partition_up(number):
    started = time.perf_counter()
    refusal(b'{"type":"reserve","command_id":"c","sku":"S","reservation_id":"r","quantity":' + number + b"}")
    assert time.perf_counter() - started < 5
