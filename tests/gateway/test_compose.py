"""Commands from requests: the fields of body, route and header, and what is refused."""

import json
import uuid

import pytest

from gateway import compose as made
from gateway.access.credential import OPEN
from gateway.compose import idempotency_key, new_command_id
from gateway.problems import RequestRefused
from schemas.codes import Code

IN_PATH = {"reservation_id": "r"}


def compose(type_, body, **given):
    return made.compose(type_, body, OPEN, **given)


def compose_query(sku, **given):
    return made.compose_query(sku, OPEN, **given)


def body(**fields):
    return json.dumps(fields).encode()


def test_the_header_is_the_command_id():
    command = compose("adjust", body(sku="a", warehouse="w", delta=1, reason="receipt"), key="k-1")
    assert command.command_id == "k-1"
    assert json.loads(command.value)["command_id"] == "k-1"


def test_without_a_header_the_bodys_command_id_counts():
    command = compose("reserve", body(sku="a", quantity=1, reservation_id="r", command_id="mine"), key=None)
    assert command.command_id == "mine"


def test_without_any_id_one_is_made():
    first = compose("commit", body(sku="a"), key=None, in_path=IN_PATH)
    second = compose("commit", body(sku="a", command_id=None), key=None, in_path=IN_PATH)
    assert first.command_id != second.command_id


def test_a_made_id_is_a_uuid_of_version_7():
    made = uuid.UUID(new_command_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_a_reservation_without_an_id_is_named_by_its_key_so_that_a_retry_is_the_same_command():
    first = compose("reserve", body(sku="a", quantity=2), key="k")
    again = compose("reserve", body(sku="a", quantity=2), key="k")
    assert first == again
    assert json.loads(first.value)["reservation_id"] == "k"


def test_the_route_gives_type_and_reservation():
    command = compose(
        "release", body(sku="a", quantity=2, reason="changed his mind"), key="k", in_path={"reservation_id": "r:1"}
    )
    assert json.loads(command.value) == {
        "type": "release",
        "sku": "a",
        "quantity": 2,
        "reason": "changed his mind",
        "command_id": "k",
        "reservation_id": "r:1",
    }


def test_ids_in_the_body_may_repeat_the_requests_own():
    command = compose("extend", body(sku="a", ttl_ms=0, command_id="k", reservation_id="r"), key="k", in_path=IN_PATH)
    assert command.command_id == "k"


REFUSED = [
    ("an id that is not the header's", "commit", {"sku": "a", "command_id": "other"}, "command_id"),
    ("a reservation that is not the path's", "commit", {"sku": "a", "reservation_id": "other"}, "reservation_id"),
    ("a type", "commit", {"sku": "a", "type": "commit"}, "type"),
    ("no sku", "commit", {}, "sku"),
    ("a sku with a control character", "commit", {"sku": "a\n"}, "sku"),
    ("a sku of 65 characters", "commit", {"sku": "a" * 65}, "sku"),
    ("a float", "commit", {"sku": "a", "quantity": 3.0}, "quantity"),
    ("a quantity of 0", "commit", {"sku": "a", "quantity": 0}, "quantity"),
    ("a number beyond 64 bits", "commit", {"sku": "a", "quantity": 1 << 70}, "quantity"),
    ("an unknown field", "commit", {"sku": "a", "colour": "red"}, "colour"),
    ("neither delta nor count", "adjust", {"sku": "a", "warehouse": "w", "reason": "receipt"}, "delta"),
    ("an unknown reason", "adjust", {"sku": "a", "warehouse": "w", "delta": 1, "reason": "whim"}, "reason"),
]


@pytest.mark.parametrize(("type_", "fields", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_the_ledger_would_refuse_is_refused_with_the_field(type_, fields, field):
    with pytest.raises(RequestRefused) as refused:
        compose(type_, body(**fields), key="k", in_path={} if type_ == "adjust" else IN_PATH)
    assert (refused.value.code, refused.value.field, refused.value.command_id) == (Code.INVALID_FIELD, field, "k")


@pytest.mark.parametrize("garbage", [b"", b"[]", b"3", b"{", b'{"sku":"\xff"}', b"null", b'{"sku":}'])
def test_what_is_no_json_object_is_malformed(garbage):
    with pytest.raises(RequestRefused) as refused:
        compose("commit", garbage, key="k", in_path=IN_PATH)
    assert refused.value.code is Code.MALFORMED


@pytest.mark.parametrize("header", [b"", b"a b", b"k" * 65, "ä".encode(), b"k\n"])
def test_a_header_that_is_no_identifier_is_refused(header):
    with pytest.raises(RequestRefused) as refused:
        idempotency_key(header)
    assert (refused.value.code, refused.value.field) == (Code.INVALID_FIELD, "command_id")


def test_queries_have_an_id_of_their_own_each_time():
    first, second = compose_query("a b/c", of_command_id="k"), compose_query("a b/c", of_command_id="k")
    assert first.command_id != second.command_id
    assert json.loads(first.value) == {
        "type": "query",
        "command_id": first.command_id,
        "sku": "a b/c",
        "of_command_id": "k",
    }
