"""Each command is refused with the first code that applies: it breaks all its rules, and they are mended one by one."""

import json

import pytest
from test_policies import Shop

from schemas.codes import NOT_REMEMBERED, Code
from schemas.topics import DEAD_LETTERS
from tables.core import adjust, inbound, movements, reconcile, reserve, set_policy
from tests.examples import EXAMPLES, SKU_EXAMPLES, name_of
from tests.tables.partition import T0, Partition

# So little that every limit of a SKU is reached; the mend NO_LIMITS takes them away.
LIMITS = [
    (adjust, "MAX_WAREHOUSES", 2),
    (inbound, "MAX_INBOUNDS", 1),
    *((module, "MAX_BUCKET", 20) for module in (inbound, movements, reconcile)),
    (reserve, "MAX_CLASSES", 0),
    (set_policy, "MAX_POLICIES", 1),
]
NO_LIMITS = None


def web(**policy):
    return ("set_channel", {"channel": "web", "backorder_limit": 9} | policy)


RESERVATION_CODES = [
    ("unknown_reservation", {"reservation_id": "done"}),
    ("reservation_committed", {"reservation_id": "back"}),
    ("reservation_released", {"reservation_id": "late"}),
    ("reservation_expired", {"reservation_id": "r"}),
]
# The command, and then each code with what mends the rule: other fields, or another command. In the end it is accepted.
LADDERS = [
    ("amend", {"sku": "none", "reservation_id": "nobody", "quantity": 19, "wait": "any"}, [
        ("unknown_sku", {"sku": "S"}), *RESERVATION_CODES,
        ("channel_not_allowed", web(warehouses=[], max_per_reservation=18, cap=10)),
        ("channel_not_allowed", web(max_per_reservation=18, cap=10)), ("quantity_above_limit", {"quantity": 18}),
        ("channel_cap_exceeded", web()), ("limit_exceeded", {"quantity": 30}), ("insufficient_stock", {"quantity": 11}),
    ]),
    ("amend", {"reservation_id": "named", "quantity": 19}, [
        ("channel_not_allowed", web(warehouses=["leeds"], max_per_reservation=18)),
        ("channel_not_allowed", web(warehouses=["york"], max_per_reservation=18)), ("quantity_above_limit", web()),
        ("insufficient_stock", {"quantity": 3}),
    ]),
    ("amend", {"reservation_id": "named", "quantity": 1}, [
        ("quantity_exceeds_reservation", {"quantity": 2}), ("quantity_exceeds_reservation", {"quantity": 3}),
    ]),
    ("reallocate", {"sku": "none", "reservation_id": "nobody", "from": "hull", "to": "bath", "quantity": 9}, [
        ("unknown_sku", {"sku": "S"}), ("unknown_warehouse", {"from": "leeds"}), ("unknown_warehouse", {"to": "york"}),
        *RESERVATION_CODES, ("channel_not_allowed", web(warehouses=["york"])),
        ("warehouse_disabled", ("set_warehouse", {"warehouse": "york"})),
        ("quantity_exceeds_reservation", {"quantity": 4}), ("insufficient_stock", {"quantity": 3}),
    ]),
    ("expect_inbound", {"inbound_id": "open", "warehouse": "hull", "quantity": 1, "eta_at": 1}, [
        ("unknown_warehouse", {"warehouse": "york"}), ("inbound_exists", {"inbound_id": "over"}),
        ("inbound_exists", {"inbound_id": "new"}), ("limit_exceeded", NO_LIMITS),
    ]),
    *((type_, {"sku": "none", "inbound_id": "nothing"} | fields, [
        ("unknown_sku", {"sku": "S"}), ("unknown_inbound", {"inbound_id": "over"}),
        ("inbound_closed", {"inbound_id": "open"}), *more,
    ]) for type_, fields, more in [
        ("amend_inbound", {"eta_at": 1}, []), ("cancel_inbound", {}, []),
        ("receive_inbound", {"quantity": 99}, [("limit_exceeded", NO_LIMITS)]),
        ("receive_inbound", {"quantity": 0, "damaged": 99}, [("limit_exceeded", NO_LIMITS)]),
    ]),
    ("return", {"warehouse": "hull", "reservation_id": "nobody", "quantity": 99, "disposition": "restock"}, [
        ("unknown_warehouse", {"warehouse": "york"}), ("unknown_reservation", {"reservation_id": "done"}),
        ("quantity_exceeds_reservation", {"reservation_id": None}), ("limit_exceeded", NO_LIMITS),
    ]),
    ("move", {"sku": "none", "warehouse": "hull", "quantity": 99, "from": "on_hand", "to": "damaged"}, [
        ("unknown_sku", {"sku": "S"}), ("unknown_warehouse", {"warehouse": "leeds"}), ("limit_exceeded", NO_LIMITS),
        ("negative_stock", {"quantity": 9}),
    ]),
    ("transfer", {"sku": "none", "from": "hull", "to": "bath", "quantity": 18}, [
        ("unknown_sku", {"sku": "S"}), ("unknown_warehouse", {"from": "leeds"}), ("unknown_warehouse", {"to": "york"}),
        ("limit_exceeded", NO_LIMITS), ("insufficient_stock", {"quantity": 5}),
    ]),
    ("transfer", {"from": "hull", "to": "bath", "quantity": 18, "inbound_id": "over", "eta_at": 1}, [
        ("unknown_warehouse", {"from": "leeds"}), ("unknown_warehouse", {"to": "york"}),
        ("inbound_exists", {"inbound_id": "open"}), ("inbound_exists", {"inbound_id": "new"}),
        ("limit_exceeded", NO_LIMITS), ("insufficient_stock", {"quantity": 5}),
    ]),
    ("reconcile", {"warehouse": "hull", "counted_on_hand": 99, "as_of_at": T0 - 9, "tolerance": 1}, [
        ("unknown_warehouse", {"warehouse": "york"}), ("stale_count", {"as_of_at": T0}),
        ("stale_count", {"as_of_at": T0 + 1}), ("as_of_too_old", {"as_of_at": None}), ("limit_exceeded", NO_LIMITS),
        ("drift_above_tolerance", {"tolerance": 99}),
    ]),
    ("reconcile", {"warehouse": "leeds", "counted_on_hand": 0, "as_of_at": T0 + 1, "tolerance": 1}, [
        ("drift_above_tolerance", {"tolerance": 99}), ("negative_stock", {"as_of_at": None}),
    ]),
    ("settle", {"sku": "none"}, [("unknown_sku", {"sku": "S"})]),
    ("set_policy", {"channel": "vip", "cap": 1}, [("limit_exceeded", NO_LIMITS)]),
]  # fmt: skip


@pytest.fixture
def shop(monkeypatch):
    """Return a SKU in two warehouses with a reservation in every state, announced goods, and rules in the way."""
    shop = Shop()
    shop.warehouse("leeds", journal_ms=1_000)
    shop.tell("adjust", warehouse="leeds", count=12, reason="cycle_count")
    shop.tell("reconcile", warehouse="york", counted_on_hand=6)
    for name, fields in [
        ("done", {}),
        ("back", {}),
        ("late", {"ttl_ms": 1}),
        ("r", {}),
        ("named", {"warehouse": "york"}),
    ]:
        shop.reserve(
            {"r": 4, "named": 3}.get(name, 1), **{"reservation_id": name, "channel": "web", "ttl_ms": 0} | fields
        )
    shop.partition.now = T0 + 2
    shop.tell("commit", reservation_id="done")
    shop.tell("commit", reservation_id="named", quantity=2)
    shop.tell("release", reservation_id="back")
    for name in ("over", "open"):
        shop.tell("expect_inbound", inbound_id=name, warehouse="leeds", quantity=1, eta_at=T0 + 100)
    shop.tell("cancel_inbound", inbound_id="over")
    shop.policy("shop", cap=9)
    shop.warehouse("york", enabled=False)
    shop.channel("web", enabled=False, warehouses=["leeds"], max_per_reservation=18, cap=10)
    for limit in LIMITS:
        monkeypatch.setattr(*limit)
    return shop


def ladder_name(number):
    type_, command, _ = LADDERS[number]
    return f"{type_}-{command.get('sku', 'S')}-{number}"


@pytest.mark.parametrize("number", range(len(LADDERS)), ids=ladder_name)
def test_a_command_that_breaks_all_rules_is_refused_for_the_first_until_that_is_mended(shop, monkeypatch, number):
    type_, command, rungs = LADDERS[number]
    codes = [*Code]
    if type_ == "reconcile":  # a count that cannot be compared has no drift, so nothing that could be too much
        codes.remove(Code.LIMIT_EXCEEDED)
        codes.insert(codes.index(Code.DRIFT_ABOVE_TOLERANCE), Code.LIMIT_EXCEEDED)
    assert [code for code, _ in rungs] == sorted((code for code, _ in rungs), key=codes.index)
    shop.tell("extend", command_id="taken", reservation_id="x", ttl_ms=9, sku=command.get("sku", "S"))
    assert shop.tell(type_, **command | {"command_id": "taken"})["code"] == "idempotency_mismatch"
    for code, mend in rungs:
        stock = shop.tell("query")["stock"]
        refused = shop.tell(type_, **command)
        assert (refused["code"], refused["reservation"], refused["stock"]) == (code, None, [])
        assert shop.tell("query")["stock"] == stock
        if isinstance(mend, dict):
            command |= mend
        elif mend is NO_LIMITS:
            monkeypatch.undo()
        else:
            shop.tell(mend[0], **mend[1])
    assert shop.tell(type_, **command)["code"] is None


def test_every_code_of_every_rule_stands_in_a_table():
    """Those of `reserve`, `commit`, `release`, `extend`, `adjust` and `query` are in test_decide and test_policies."""
    shown = {code for _, _, rungs in LADDERS for code, _ in rungs}
    assert {*map(str, Code)} - shown - {*map(str, NOT_REMEMBERED)} == {
        "reservation_exists", "reservation_waiting", "stale_expectation",
    }  # fmt: skip


@pytest.mark.parametrize("document", EXAMPLES[:-1], ids=name_of)
def test_what_is_wrong_with_a_record_comes_before_what_is_wrong_with_its_partition(document):
    partition = Partition(partition=0, partitions=4)
    letters = partition.published[DEAD_LETTERS]
    elsewhere = document | {"sku": "T"} if "sku" in document else document
    assert partition.tell(json.dumps(elsewhere).encode()[:-1]) == []
    (spoiled,) = partition.tell(elsewhere | {"colour": "red"})
    assert (spoiled["code"], spoiled["field"], len(letters)) == ("invalid_field", "colour", 2)
    (result,) = partition.tell(elsewhere)
    assert result["code"] == ("wrong_partition" if document in SKU_EXAMPLES else None)
