"""Reference data is a register: what is in force does not depend on the order, and every partition says what it has."""

import itertools

import msgspec
import pytest

from schemas.topics import DEAD_LETTERS, RESULTS, STOCK_CHANGES
from tables.core import set_policy as set_policy_rule
from tests.tables.partition import T0, Partition

LEEDS = {"type": "set_warehouse", "command_id": "adm-9", "warehouse": "leeds", "version": 7}
WEB = {"type": "set_channel", "command_id": "adm-1", "channel": "web", "version": 1}
FEED = {"type": "set_feed", "command_id": "f-1", "feed": "wms", "version": 5, "as_of_at": 5, "interval_ms": 60_000}
POLICY = {"type": "set_policy", "command_id": "p-1", "sku": "S", "channel": "web"}


def test_a_warehouse_is_set_published_and_kept_in_every_field():
    partition = Partition()
    (result,) = partition.tell(
        LEEDS | {"priority": 10, "region": "north", "journal_ms": 86_400_000, "name": "Leeds", "enabled": False}
    )
    document = {
        "kind": "warehouse", "id": "leeds", "version": 7, "command_id": "adm-9", "at": T0, "enabled": False,
        "priority": 10,
        "region": "north", "journal_ms": 86_400_000, "name": "Leeds", "journal_since": T0,
    }  # fmt: skip
    assert result == {
        "command_id": "adm-9", "type": "set_warehouse", "sku": "", "status": "accepted", "code": None,
        "replayed": False, "reservation": None, "stock": [], "shortfall": False, "seq": 0, "at": T0, "partition": 0,
        "offset": 0, "reference": document,
    }  # fmt: skip
    ((key, _),) = partition.published[RESULTS]
    assert key == b""
    assert partition.reference() == [("warehouse/leeds", document)]
    assert list(partition.reference()[0][1]) == list(document)
    assert partition.rows() == {b"K\0warehouse/leeds": [1, 7, "adm-9", T0, False, 10, "north", 86_400_000, "Leeds", T0]}
    assert partition.published[STOCK_CHANGES] == []


def test_defaults_are_filled_in_but_for_policy_fields():
    partition = Partition()
    partition.tell(LEEDS, WEB | {"cap": 12, "warehouses": ["leeds"]}, FEED)
    assert partition.reference() == [
        ("warehouse/leeds", {"kind": "warehouse", "id": "leeds", "version": 7, "command_id": "adm-9", "at": T0,
                             "enabled": True, "priority": 100, "region": None, "journal_ms": 0, "name": None,
                             "journal_since": None}),
        ("channel/web", {"kind": "channel", "id": "web", "version": 1, "command_id": "adm-1", "at": T0, "name": None,
                         "warehouses": ["leeds"], "cap": 12}),
        ("feed/wms", {"kind": "feed", "id": "wms", "version": 5, "command_id": "f-1", "at": T0, "as_of_at": 5,
                      "interval_ms": 60_000, "rows": 0, "refused": 0}),
    ]  # fmt: skip
    assert partition.rows() == {
        b"K\0channel/web": [1, 1, "adm-1", T0, None, None, ["leeds"], None, None, None, 12, *[None] * 5],
        b"K\0feed/wms": [1, 5, "f-1", T0, 5, 60_000, 0, 0],
        b"K\0warehouse/leeds": [1, 7, "adm-9", T0, True, 100, None, 0, None, None],
    }


def test_a_command_sent_again_is_accepted_and_changes_and_publishes_nothing():
    partition = Partition()
    (first,) = partition.tell(LEEDS)
    partition.now += 1
    (again,) = partition.tell(LEEDS | {"actor": "anna"})
    assert again == first | {"at": T0 + 1, "offset": 1}
    assert len(partition.reference()) == 1


def test_an_old_version_that_comes_late_is_stale_and_shows_what_is_in_force():
    partition = Partition()
    partition.tell(LEEDS)
    (late,) = partition.tell(LEEDS | {"version": 6, "command_id": "adm-8"})
    assert (late["status"], late["code"], late["reference"]["version"]) == ("rejected", "stale_version", 7)
    assert len(partition.reference()) == 1


def test_a_version_alone_is_published():
    partition = Partition()
    partition.tell(LEEDS, LEEDS | {"version": 8})
    assert [document["version"] for _, document in partition.reference()] == [7, 8]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_partitions_agree_whatever_the_order_and_repetitions(order):
    commands = [
        LEEDS | {"priority": 1},
        LEEDS | {"command_id": "adm-8", "priority": 2},
        LEEDS | {"priority": 3},  # the same version and command, but another content: a sender's mistake
        LEEDS | {"version": 6, "command_id": "zzz", "priority": 4},
    ]
    partition = Partition()
    for number in (*order, *order):
        partition.tell(commands[number])
    assert partition.rows()[b"K\0warehouse/leeds"][:6] == [1, 7, "adm-9", T0, True, 3]


def test_the_journal_begins_anew_with_any_change_of_its_length_and_with_no_other_change():
    partition = Partition()

    def since(version, **fields):
        partition.now += 1_000
        (result,) = partition.tell(LEEDS | {"version": version} | fields)
        return result["reference"]["journal_since"]

    assert since(1) is None
    assert since(2, journal_ms=5_000) == T0 + 2_000
    assert since(3, journal_ms=5_000, priority=1) == T0 + 2_000
    assert since(4, journal_ms=6_000) == T0 + 4_000
    assert since(5, journal_ms=0) is None
    assert since(6, journal_ms=6_000) == T0 + 6_000


@pytest.mark.parametrize("document", [LEEDS, WEB, FEED])
def test_a_reference_command_takes_effect_in_whatever_partition_it_is(document):
    for number in range(4):
        (result,) = Partition(number, 4).tell(document)
        assert (result["status"], result["partition"]) == ("accepted", number)


@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (LEEDS | {"version": 0}, "version", "too_small"),
        (LEEDS | {"sku": "S"}, "sku", "unknown_field"),
        (LEEDS | {"warehouse": "*"}, "warehouse", "bad_characters"),
        (WEB | {"channel": "**"}, "channel", "bad_characters"),
        (WEB | {"warehouses": ["a", "b", "a"]}, "warehouses", "not_allowed"),
        (WEB | {"warehouses": ["a", "*"]}, "warehouses[1]", "bad_characters"),
        (WEB | {"return_window_ms": 604_799_999}, "return_window_ms", "too_small"),
        (FEED | {"interval_ms": 0}, "interval_ms", "too_small"),
    ],
)
def test_one_that_breaks_a_rule_is_answered_without_a_sku_and_dead_lettered(document, field, problem):
    partition = Partition()
    (result,) = partition.tell(document)
    assert (result["sku"], result["code"], result["field"], result["problem"]) == ("", "invalid_field", field, problem)
    assert result["type"] == document["type"]
    assert "reference" not in result
    assert len(partition.published[DEAD_LETTERS]) == 1
    assert partition.rows() == {}


def test_one_without_a_readable_id_is_dead_lettered_only():
    partition = Partition()
    assert partition.tell(LEEDS | {"command_id": "a b"}) == []
    assert len(partition.published[DEAD_LETTERS]) == 1


def test_every_channel_may_be_named_by_a_star():
    (result,) = Partition().tell(WEB | {"channel": "*", "buffer": 3})
    assert (result["reference"]["id"], result["reference"]["buffer"]) == ("*", 3)


def test_what_is_in_force_survives_a_recovery():
    partition = Partition()
    partition.tell(LEEDS | {"journal_ms": 5_000}, WEB | {"warehouses": ["a"]}, FEED, POLICY | {"cap": 5})
    partition.rebuild()
    stale = [LEEDS | {"version": 6}, WEB | {"command_id": "a"}, FEED | {"version": 4}]
    assert [result["code"] for result in partition.tell(*stale)] == ["stale_version"] * 3
    partition.now += 1
    (result,) = partition.tell(LEEDS | {"journal_ms": 5_000, "version": 8})
    assert result["reference"]["journal_since"] == T0
    assert partition.ledger.sku_or_book("S").policies["web"].cap == 5


# Policies of one SKU.


def test_a_policy_is_set_before_the_sku_has_stock_and_kept_beside_it():
    partition = Partition()
    (result,) = partition.tell(POLICY | {"cap": 5, "warehouses": []})
    document = {"kind": "policy", "channel": "web", "sku": "S", "at": T0, "warehouses": [], "cap": 5}
    assert (result["status"], result["seq"], result["stock"], result["reference"]) == ("accepted", 0, [], document)
    assert partition.reference() == [("policy/web/S", document)]
    assert partition.rows() == {b"KS\0web": [1, None, [], None, None, None, 5, *[None] * 5]}
    assert partition.tell({"type": "query", "command_id": "q", "sku": "S"})[0]["code"] == "unknown_sku"
    (adjusted,) = partition.tell(
        {"type": "adjust", "command_id": "a", "sku": "S", "warehouse": "w", "delta": 5, "reason": "receipt"}
    )
    assert adjusted["seq"] == 1
    (query,) = partition.tell({"type": "query", "command_id": "q", "sku": "S"})
    assert [row["warehouse"] for row in query["stock"]] == ["w"]
    book = msgspec.msgpack.decode(partition.store.get(b"SS\0"))
    assert book == [1, 0, None, False, 0, 0, 1, [], []]


def test_a_policy_is_replaced_whole_and_removed_by_one_without_fields():
    partition = Partition()
    partition.tell(POLICY | {"cap": 5}, POLICY | {"command_id": "p-2", "buffer": 1})
    assert partition.rows()[b"KS\0web"][5:7] == [1, None]
    removed, again = partition.tell(POLICY | {"command_id": "p-3"}, POLICY | {"command_id": "p-4"})
    assert [(each["status"], each["reference"]) for each in (removed, again)] == [("accepted", None)] * 2
    assert partition.reference()[2:] == [("policy/web/S", None)] * 2
    assert partition.rows() == {}
    assert msgspec.msgpack.decode(partition.store.get(b"SS\0"))[6] == 0


def test_removing_what_is_not_there_leaves_no_book():
    partition = Partition()
    partition.tell(POLICY)
    assert partition.store.get(b"SS\0") is None


def test_a_policy_that_comes_again_is_replayed_with_its_document():
    partition = Partition()
    first, again = partition.tell(POLICY | {"cap": 5}, POLICY | {"cap": 5})
    assert again == first | {"replayed": True}
    (other,) = partition.tell(POLICY | {"cap": 6})
    assert (other["code"], "reference" in other) == ("idempotency_mismatch", False)
    partition.rebuild()
    (later,) = partition.tell(POLICY | {"cap": 5})
    assert later == first | {"replayed": True}
    assert list(later)[-1] == "reference"
    assert len(partition.reference()) == 1


def test_a_sku_has_a_limited_number_of_policies(monkeypatch):
    monkeypatch.setattr(set_policy_rule, "MAX_POLICIES", 1)
    partition = Partition()
    partition.tell(POLICY | {"cap": 5})
    refused, again, other = partition.tell(
        POLICY | {"command_id": "p-2", "channel": "shop", "cap": 5},
        POLICY | {"command_id": "p-2", "channel": "shop", "cap": 5},
        POLICY | {"command_id": "p-3", "cap": 6},
    )
    assert (refused["code"], refused["reference"]) == ("limit_exceeded", None)
    assert again == refused | {"replayed": True}
    assert other["status"] == "accepted"
