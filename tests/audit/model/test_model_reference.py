"""Reference data is a register: the greater command counts, whatever the order in which the commands come."""

from itertools import permutations
from types import SimpleNamespace

import msgspec
import pytest

from audit.model.policies import POLICY_FIELDS, WarehouseInForce
from audit.model.reference import Register

FIELDS = {
    "set_warehouse": ("warehouse", "enabled", "priority", "region", "journal_ms", "name"),
    "set_channel": ("channel", "name", *POLICY_FIELDS),
    "set_feed": ("feed", "as_of_at", "interval_ms", "rows", "refused"),
}


def put(register, type_, command_id, version, now=1_000, **fields):
    command = SimpleNamespace(command_id=command_id, version=version, **(dict.fromkeys(FIELDS[type_]) | fields))
    return register.put(type_, command, now)


LEEDS = {"warehouse": "leeds", "priority": 10, "region": "north", "journal_ms": 86_400_000}


def test_the_example_of_the_contract():
    register = Register()
    record, accepted, replaced = put(register, "set_warehouse", "adm-9", 7, **LEEDS)
    assert (accepted, replaced) == (True, True)
    assert list(record.document().items()) == [
        ("kind", "warehouse"),
        ("id", "leeds"),
        ("version", 7),
        ("command_id", "adm-9"),
        ("at", 1_000),
        ("enabled", True),
        ("priority", 10),
        ("region", "north"),
        ("journal_ms", 86_400_000),
        ("name", None),
        ("journal_since", 1_000),
    ]
    again, accepted, replaced = put(register, "set_warehouse", "adm-9", 7, now=2_000, **LEEDS)
    assert (again, accepted, replaced) == (record, True, False)
    late, accepted, replaced = put(register, "set_warehouse", "adm-8", 6, now=3_000, warehouse="leeds")
    assert (late.version, accepted, replaced) == (7, False, False)


def test_a_greater_command_replaces_the_record_whole():
    register = Register()
    put(register, "set_warehouse", "a", 1, **LEEDS)
    record, *_ = put(register, "set_warehouse", "a", 2, warehouse="leeds", enabled=False)
    assert record.values == (False, 100, None, 0, None)
    assert register.warehouses == {"leeds": WarehouseInForce(enabled=False)}


def test_equal_versions_are_told_apart_by_the_id_of_the_command_and_then_by_the_content():
    commands = [("b", 8, 1), ("a", 8, 2), ("b", 8, 2), ("c", 7, 3)]
    in_force = set()
    for order in permutations(commands):
        register = Register()
        for command_id, version, priority in order:
            put(register, "set_warehouse", command_id, version, warehouse="w", priority=priority)
        record = register.records["warehouse/w"]
        in_force.add((record.command_id, record.version, record.values))
    assert in_force == {("b", 8, (True, 2, None, 0, None))}


def test_defaults_are_content_as_if_they_were_written():
    register = Register()
    put(register, "set_warehouse", "a", 1, warehouse="w")
    written = put(register, "set_warehouse", "a", 1, warehouse="w", enabled=True, priority=100, journal_ms=0)
    assert written[1:] == (True, False)


def test_a_zero_is_given_in_a_channel_and_greater_than_nothing():
    register = Register()
    put(register, "set_channel", "a", 1, channel="web")
    assert put(register, "set_channel", "a", 1, channel="web", buffer=0)[1:] == (False, False)
    assert register.channel("web") == (None,) * 11


JOURNALS = [
    # journal_ms of the commands at 1000, 2000, ...; then journal_since after the last
    ((0,), None),
    ((5,), 1_000),
    ((5, 5), 1_000),
    ((5, 6), 2_000),
    ((5, 0), None),
    ((5, 0, 5), 3_000),
    ((0, 5, 5), 2_000),
]


@pytest.mark.parametrize(("journals", "since"), JOURNALS)
def test_a_journal_begins_anew_with_every_change_of_its_length(journals, since):
    register = Register()
    for number, journal_ms in enumerate(journals, 1):
        record, *_ = put(
            register, "set_warehouse", "a", number, now=number * 1_000, warehouse="w", journal_ms=journal_ms
        )
    assert record.journal_since == since


def test_a_channel_shows_its_name_and_the_policy_fields_that_were_given():
    record, *_ = put(Register(), "set_channel", "k", 3, channel="*", buffer=0, warehouses=[], enabled=False)
    assert record.document() == {
        "kind": "channel",
        "id": "*",
        "version": 3,
        "command_id": "k",
        "at": 1_000,
        "name": None,
        "enabled": False,
        "warehouses": [],
        "buffer": 0,
    }
    assert list(record.document())[-3:] == ["enabled", "warehouses", "buffer"]


def test_a_feed_shows_all_its_fields():
    record, *_ = put(Register(), "set_feed", "k", 3, feed="wms", as_of_at=5, interval_ms=7, refused=1)
    assert record.document() == {
        "kind": "feed",
        "id": "wms",
        "version": 3,
        "command_id": "k",
        "at": 1_000,
        "as_of_at": 5,
        "interval_ms": 7,
        "rows": 0,
        "refused": 1,
    }


ROWS = [
    ("set_warehouse", LEEDS, b"K\0warehouse/leeds", [1, 4, "k", 1_000, True, 10, "north", 86_400_000, None, 1_000]),
    (
        "set_channel",
        {"channel": "web", "cap": 3},
        b"K\0channel/web",
        [1, 4, "k", 1_000, None, *[None] * 5, 3, *[None] * 5],
    ),
    ("set_feed", {"feed": "f", "as_of_at": 5, "interval_ms": 7}, b"K\0feed/f", [1, 4, "k", 1_000, 5, 7, 0, 0]),
]


@pytest.mark.parametrize(("type_", "fields", "key", "row"), ROWS)
def test_a_record_has_a_row(type_, fields, key, row):
    record, *_ = put(Register(), type_, "k", 4, **fields)
    assert (record.row()[0], msgspec.msgpack.decode(record.row()[1])) == (key, row)
