"""What the view answers is what the ledger decides, over random histories, once the view has caught up."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.availability import AvailabilityView, Wanted
from gateway.rules import ReferenceView
from schemas.codec import encode
from schemas.topics import REFERENCE, STOCK_CHANGES
from tables.core import settling
from tables.core.book import owed_to_queue
from tests.tables.partition import T0, Partition

SKUS, CHANNELS, WAREHOUSES = ("a", "b"), ("web", "shop"), ("leeds", "york", "bath")
few = st.integers(1, 6)
policy = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(), "split": st.booleans(), "buffer": st.integers(0, 5), "cap": st.integers(0, 20),
        "max_per_reservation": few, "warehouses": st.lists(st.sampled_from(WAREHOUSES), unique=True),
        "backorder_limit": st.integers(0, 15), "priority": st.integers(0, 2),
        "presell_horizon_ms": st.integers(0, 9),
    },
)  # fmt: skip
dates = st.integers(T0 - 1, T0 + 9)
inbound = {"sku": st.sampled_from(SKUS), "inbound_id": st.sampled_from(["i1", "i2", "i3"])}
holds = st.sampled_from(["r1", "r2", "r3", "r4"])
commands = st.one_of(
    st.builds(dict, st.just({"type": "adjust", "reason": "correction"}), sku=st.sampled_from(SKUS),
              warehouse=st.sampled_from(WAREHOUSES), count=st.integers(0, 12)),
    st.builds(dict, st.just({"type": "adjust", "reason": "correction", "bucket": "safety_stock"}),
              sku=st.sampled_from(SKUS), warehouse=st.sampled_from(WAREHOUSES), count=st.integers(0, 3)),
    st.builds(dict, st.just({"type": "reserve"}), sku=st.sampled_from(SKUS), channel=st.sampled_from(CHANNELS),
              reservation_id=holds, quantity=few, partial=st.booleans(),
              wait=st.sampled_from(["none", "inbound", "any"])),
    st.builds(dict, st.just({"type": "amend", "wait": "any"}), sku=st.sampled_from(SKUS), reservation_id=holds,
              quantity=few, partial=st.booleans()),
    st.builds(dict, st.just({"type": "expect_inbound"}), **inbound, warehouse=st.sampled_from(WAREHOUSES),
              quantity=few, eta_at=dates),
    st.builds(dict, st.just({"type": "amend_inbound"}), **inbound, quantity=few, eta_at=dates),
    st.builds(dict, st.just({"type": "receive_inbound"}), **inbound, quantity=few, final=st.booleans()),
    st.builds(dict, st.just({"type": "cancel_inbound"}), **inbound),
    st.builds(dict, st.just({"type": "settle"}), sku=st.sampled_from(SKUS)),
    st.builds(dict, st.just({"type": "commit"}), sku=st.sampled_from(SKUS), reservation_id=holds, quantity=few),
    st.builds(dict, st.just({"type": "release"}), sku=st.sampled_from(SKUS), reservation_id=holds),
    st.builds(lambda fields, **more: fields | more, policy, type=st.just("set_policy"), sku=st.sampled_from(SKUS),
              channel=st.sampled_from([*CHANNELS, "*"])),
    st.builds(lambda fields, **more: fields | more, policy, type=st.just("set_channel"),
              version=st.integers(1, 9), channel=st.sampled_from([*CHANNELS, "*"])),
    st.builds(dict, st.just({"type": "set_warehouse"}), warehouse=st.sampled_from(WAREHOUSES),
              version=st.integers(1, 9), enabled=st.booleans(), priority=st.integers(0, 3)),
)  # fmt: skip


class Watched:
    """A ledger, with the views that read what it publishes."""

    def __init__(self):
        self.partition, self.view, self.rules = Partition(), AvailabilityView(), ReferenceView(1)
        self._read = {STOCK_CHANGES: 0, REFERENCE: 0}

    def tell(self, command):
        """Give a command to the ledger, let the views read on, and return its result; None for a tick."""
        results = [it for it in self.partition.tell(command) if it["command_id"] is not None]
        for topic, apply in ((STOCK_CHANGES, self.view.apply_record), (REFERENCE, self.rules.apply)):
            for key, value in self.partition.published[topic][self._read[topic] :]:
                apply(0, key, value)
            self._read[topic] = len(self.partition.published[topic])
        return results[0] if results else None

    def seen(self, sku, channel):
        return json.loads(encode(self.view.available_to(sku, channel, self.rules.of[0], T0)))

    def promised_at(self, quantity):
        return self.view.promise(Wanted("a", "web", quantity), self.rules.of[0], T0)[1]

    def check_promise(self, quantity):
        """Check that a `reserve` with `wait` is given a quantity by the date that the view names, and by no earlier."""
        by = self.promised_at(quantity)
        wish = {"type": "reserve", "sku": "a", "channel": "web", "quantity": quantity, "wait": "inbound"}
        before = wish | {"command_id": "before", "reservation_id": "before"}
        if by is None:
            assert self.tell(before)["code"]
            return
        if by > T0:
            assert self.tell(before | {"promise_by": by - 1})["code"]
        given = self.tell(wish | {"command_id": "by", "reservation_id": "by", "promise_by": by})
        assert given["status"] == "accepted"
        assert given["reservation"].get("promised_at", T0) == by

    def says_all(self, sku):
        """Return whether what the SKU's queue is due is published: not while it waits behind another SKU's."""
        known = self.partition.ledger.sku_or_book(sku)
        owed = owed_to_queue(known.book) if known is not None else 0
        shown = self.view._entries[sku].owed if sku in self.view._entries else 0
        assert shown in {0, owed}
        return shown == owed

    def compare(self, sku, channel):
        """Check that the view answers what a query answers."""
        seen, says_all = self.seen(sku, channel), self.says_all(sku)
        asked = self.tell({"type": "query", "command_id": "q", "sku": sku, "channel": channel})
        if asked["code"] == "unknown_sku":
            assert seen["stock"] == []
            return
        shown = asked["availability"] if says_all else {"backorder_room": asked["availability"]["backorder_room"]}
        assert {name: seen[name] for name in shown} == shown
        assert [*map(msgspec.to_builtins, self.view.inbounds(sku))] == asked.get("book", {}).get("inbounds", [])
        assert (seen["stock"], seen["seq"]) == (asked["stock"], asked["seq"])


# With a tail of 2 units of work a queue of two reservations is not settled yet when the next command is decided.
@pytest.mark.parametrize("budget", [2, settling.BUDGET])
@settings(max_examples=300)
@given(st.lists(commands, min_size=1, max_size=30))
def test_the_view_answers_what_a_query_answers_and_a_reserve_is_given(budget, history):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(settling, "BUDGET", budget)
        ledger = Watched()
        for number, command in enumerate(history):
            ledger.tell(command | {"command_id": f"c{number}"})
        for sku in SKUS:
            for channel in CHANNELS:
                ledger.compare(sku, channel)
        says_all, most = ledger.says_all("a"), ledger.seen("a", "web")["most_per_reservation"]
        reserve = {"type": "reserve", "sku": "a", "channel": "web", "reservation_id": "probe"}
        assert not says_all or ledger.tell(reserve | {"command_id": "more", "quantity": most + 1})["code"]
        if says_all and most:
            assert ledger.tell(reserve | {"command_id": "most", "quantity": most})["status"] == "accepted"


announced = st.tuples(st.integers(2, 6), st.integers(T0, T0 + 6), st.sampled_from([*WAREHOUSES, "leeds", "leeds"]))
selling = st.sampled_from([
    {}, {"split": False}, {"split": False}, {"buffer": 2}, {"cap": 9}, {"max_per_reservation": 7}, {"enabled": False},
    {"warehouses": ["leeds", "york"]}, {"split": False, "cap": 5}, {"split": False, "max_per_reservation": 4},
])  # fmt: skip


@settings(max_examples=300)
@given(
    selling,
    st.integers(3, 6),
    few,
    st.lists(announced, min_size=1, max_size=4),
    st.lists(few, max_size=2),
    st.integers(2, 12),
)
def test_a_reserve_is_promised_a_quantity_by_the_date_that_the_view_names_and_by_no_earlier(
    rules, horizon, on_hand, comes, held, quantity
):
    ledger = Watched()
    ledger.tell(
        {"type": "set_channel", "command_id": "c", "channel": "web", "version": 1}
        | rules
        | {"presell_horizon_ms": horizon}
    )
    shut = {"type": "set_warehouse", "warehouse": "york", "version": 1, "enabled": False}
    ledger.tell(shut | {"command_id": "w"})
    of_a = {"sku": "a", "command_id": "in", "warehouse": "leeds"}
    ledger.tell(of_a | {"type": "adjust", "delta": on_hand, "reason": "receipt"})
    for number, (units, eta_at, warehouse) in enumerate(comes):
        goods = {"type": "expect_inbound", "command_id": f"e{number}", "inbound_id": f"i{number}"}
        ledger.tell(of_a | goods | {"quantity": units, "eta_at": eta_at, "warehouse": warehouse})
    for number, units in enumerate(held):
        wish = {"type": "reserve", "command_id": f"r{number}", "reservation_id": f"r{number}", "sku": "a"}
        ledger.tell(wish | {"quantity": units, "wait": "inbound", "channel": "web"})
    ledger.compare("a", "web")
    ledger.check_promise(quantity)


def test_units_that_the_queue_is_due_are_seen_by_nobody_else_until_it_is_settled():
    ledger = Watched()
    ledger.tell({"type": "set_channel", "command_id": "c", "channel": "web", "version": 1, "backorder_limit": 100})
    stock = {"type": "adjust", "sku": "a", "warehouse": "leeds", "reason": "receipt"}
    ledger.tell(stock | {"command_id": "in-1", "delta": 1})
    for number in range(30):
        wanted = {"command_id": f"r{number}", "reservation_id": f"r{number}", "quantity": 2, "wait": "any"}
        ledger.tell({"type": "reserve", "sku": "a", "channel": "web"} | wanted)
    assert ledger.seen("a", "web")["backorder_room"] == 41
    ledger.tell(stock | {"command_id": "in-2", "delta": 70})
    seen = ledger.seen("a", "web")
    assert (seen["available"], seen["backorder_room"], seen["stock"][0]["available"]) == (11, 56, 55)
    assert ledger.seen("a", "shop")["available"] == 11
    for _ in range(3):
        ledger.tell({"type": "tick"})
    ledger.compare("a", "web")
    seen = ledger.seen("a", "web")
    assert (seen["available"], seen["backorder_room"], seen["stock"][0]["available"]) == (11, 100, 11)
