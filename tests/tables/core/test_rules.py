"""Every type of command has one rule, and what the rules declare holds of each type alike."""

import json
from dataclasses import replace

import msgspec
import pytest

from schemas.codec import decode_command, encode
from schemas.codes import Code
from schemas.commands import SKU_COMMAND_TYPES, Extend, Query, Release, Tick
from schemas.stock_changes import Cause
from tables.core.decide import decide
from tables.core.decision import Record
from tables.core.rule import Rule
from tables.core.rules import RULES, collect, encode_content
from tables.ledger import Ledger
from tables.store import MemoryStore
from tests.examples import SKU_EXAMPLES, name_of, write

OTHERS = {
    "damaged": "on_hand",
    "damage": "return",
    "region": "priority",
    "inbound": "any",
    "inspect": "restock",
    "on_hand": "damaged",
    "quarantine": "damaged",
}
NOT_CONTENT = {"type", "command_id", "sku", "issued_at", "actor", "source", "channels"}
REMEMBERED = [document for document in SKU_EXAMPLES if document["type"] != "query"]


class Desk:
    """A ledger that has what most examples ask for, and is told one command after the other."""

    def __init__(self):
        self.ledger = Ledger(MemoryStore())
        self.offset = 0
        stock = {"type": "adjust", "sku": "S", "warehouse": "w", "delta": 50, "reason": "receipt"}
        self.tell(write(stock, command_id="stock", bucket="damaged"))
        self.tell(write(stock, command_id="more"))

    def tell(self, value):
        self.offset += 1
        decision = decide(self.ledger, decode_command(value), Record(0, 1, self.offset, 1_000))
        self.ledger.apply(decision)
        self.changes = [json.loads(encode(change)) for change in decision.stock_changes]
        return decision.result

    def hold(self):
        return self.tell(
            write({"type": "reserve", "sku": "S", "reservation_id": "r", "quantity": 3}, command_id="hold")
        )


def changed(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return value[:-1]
    return OTHERS.get(value, "cycle_count")


@pytest.mark.parametrize("document", REMEMBERED, ids=name_of)
def test_a_command_that_comes_again_is_answered_as_the_first_time_whoever_sends_it(document):
    desk = Desk()
    first = desk.tell(write(document))
    again = desk.tell(write(document, actor="anna", source="pos", issued_at=7))
    assert encode(again) == encode(msgspec.structs.replace(first, replayed=True))


@pytest.mark.parametrize("document", REMEMBERED, ids=name_of)
def test_a_command_that_comes_again_with_any_field_changed_is_refused(document):
    for name in {*document} - NOT_CONTENT:
        desk = Desk()
        desk.tell(write(document))
        other = {key: value for key, value in document.items() if (name, key) != ("wait", "promise_by")}
        assert desk.tell(write(other, **{name: changed(document[name])})).code is Code.IDEMPOTENCY_MISMATCH


@pytest.mark.parametrize("document", SKU_EXAMPLES, ids=name_of)
def test_content_is_the_type_and_then_fields(document):
    type_, *fields = msgspec.msgpack.decode(encode_content(decode_command(write(document))))
    assert type_ == document["type"]
    assert {name: document[name] for name in {*document} - NOT_CONTENT if document[name] not in fields} == {}


@pytest.mark.parametrize("document", SKU_EXAMPLES, ids=name_of)
def test_a_stock_change_carries_the_causes_that_the_rule_declares(document):
    desk = Desk()
    if document["type"] != "reserve":
        desk.hold()
    desk.tell(write(document | {"expected_on_hand": 50} if "expected_on_hand" in document else document))
    rule = RULES[type(decode_command(write(document)))]
    for change in desk.changes:
        declared = {name: document[its_field] for name, its_field in rule.caused_by if its_field in document}
        assert {name: change["cause"].get(name) for name in declared} == declared
        assert {*change["cause"]} <= {"type", "command_id", "reservation_id", *(name for name, _ in rule.caused_by)}


def test_every_type_of_command_has_its_rule():
    assert tuple(RULES) == SKU_COMMAND_TYPES


def test_a_type_without_a_rule_is_named():
    rules = [rule for kind, rule in RULES.items() if kind is not Extend]
    with pytest.raises(TypeError, match=r"no rule in tables/core/rules\.py decides Extend"):
        collect(rules)


def test_a_rule_without_a_command_is_named():
    class Tock(Tick, tag="tock"):
        """No member of the union."""

    rule = Rule(Tock, RULES[Query].decide, content=lambda _: ("tock",))
    with pytest.raises(TypeError, match="SkuCommand lacks Tock"):
        collect([*RULES.values(), rule])


def test_two_rules_for_one_command_are_refused():
    with pytest.raises(TypeError, match="Query has two rules"):
        collect([*RULES.values(), RULES[Query]])


def test_a_field_that_is_forgotten_in_the_content_is_named():
    with pytest.raises(TypeError, match=r"content of Extend must be .*ttl_ms"):
        replace(RULES[Extend], content=lambda c: ("extend", c.reservation_id))


def test_a_content_of_another_type_is_refused():
    with pytest.raises(TypeError, match="content of Extend"):
        replace(RULES[Extend], content=lambda c: ("extent", c.reservation_id, c.ttl_ms))


@pytest.mark.parametrize("cause", ["quantity", "order_id"])
def test_a_cause_that_is_no_field_of_both_is_refused(cause):
    assert cause not in Cause.__struct_fields__
    with pytest.raises(TypeError, match=cause):
        replace(RULES[Release], cause=(cause,))
