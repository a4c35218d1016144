"""What a channel may reserve and from where: every code in its order, every strategy; reads equal decisions."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import STOCK_CHANGES
from tables.core.rows import book_key, encode_row
from tables.ledger import Ledger
from tests.tables.partition import T0, Partition


class Shop:
    """A partition that is told commands in short; ids are made."""

    def __init__(self, **on_hand):
        self.partition = Partition()
        self.count = 0
        for warehouse, units in on_hand.items():
            self.tell("adjust", warehouse=warehouse, count=units, reason="cycle_count")

    def tell(self, type_, **fields):
        self.count += 1
        reference = type_ in {"set_warehouse", "set_channel"}
        ids = {"command_id": f"c{self.count}"} | ({"version": self.count} if reference else {"sku": "S"})
        fields = {name: value for name, value in fields.items() if value is not None}
        command = {"type": type_} | ids | fields
        results = self.partition.tell(command)
        return next(result for result in results if result["command_id"] == command["command_id"])

    def channel(self, channel, **policy):
        return self.tell("set_channel", channel=channel, **policy)

    def policy(self, channel, **policy):
        return self.tell("set_policy", channel=channel, **policy)

    def warehouse(self, warehouse, **fields):
        return self.tell("set_warehouse", warehouse=warehouse, **fields)

    def reserve(self, quantity, **fields):
        return self.tell("reserve", quantity=quantity, **({"reservation_id": f"r{self.count + 1}"} | fields))

    def may_have(self, channel):
        return self.tell("query", channel=channel)["availability"]

    def changes(self):
        return [json.loads(value) for _, value in self.partition.published[STOCK_CHANGES]]

    def row(self, letter, key):
        return msgspec.msgpack.decode(self.partition.store.get(f"{letter}S\0{key}".encode()))


def given_to(result):
    return {part["warehouse"]: part["quantity"] for part in result["reservation"]["allocations"]}


def told(result):
    return result["code"], result.get("requested"), result.get("available")


@pytest.fixture
def four():
    shop = Shop(hull=4, leeds=6, main=9, york=5)
    for name in ("leeds", "york"):
        shop.warehouse(name, region="north")
    return shop


@pytest.mark.parametrize(
    ("strategy", "parts"),
    [
        ("priority", [{"leeds": 5}, {"main": 8}, {"hull": 4, "leeds": 6, "main": 2}]),
        ("most_stock", [{"main": 5}, {"main": 8}, {"main": 9, "leeds": 3}]),
        ("fewest_splits", [{"leeds": 5}, {"main": 8}, {"main": 9, "leeds": 3}]),
        ("region", [{"leeds": 5}, {"leeds": 6, "york": 2}, {"leeds": 6, "york": 5, "hull": 1}]),
    ],
)
def test_the_strategies_of_the_contract(four, strategy, parts):
    four.channel("web", strategy=strategy, warehouses=["hull", "leeds", "main", "york"])
    for quantity, wanted in zip((5, 8, 12), parts, strict=True):
        result = four.reserve(quantity, channel="web", region="north")
        assert list(given_to(result).items()) == list(wanted.items())
        four.tell("release", reservation_id=result["reservation"]["reservation_id"])


def test_without_a_region_in_the_command_the_strategy_region_is_priority(four):
    four.channel("web", strategy="region", warehouses=["hull", "leeds", "main", "york"])
    assert given_to(four.reserve(5, channel="web")) == {"leeds": 5}
    assert four.row("R", "r8")[0] == 1


def test_warehouses_go_by_priority_and_then_by_id():
    shop = Shop(a=9, b=9, c=9)
    shop.warehouse("c", priority=1)
    assert list(given_to(shop.reserve(20))) == ["c", "a", "b"]


def test_the_limits_of_the_contract():
    shop = Shop(leeds=10, main=6)
    shop.tell("adjust", warehouse="leeds", bucket="safety_stock", count=2, reason="correction")
    shop.channel("web", buffer=3, cap=12)
    assert shop.may_have("web") == {
        "channel": "web", "allowed": True, "available": 11, "most_per_reservation": 11, "backorder_room": 0,
        "promises": [],
    }  # fmt: skip
    assert given_to(shop.reserve(9, channel="web")) == {"leeds": 8, "main": 1}
    assert told(shop.reserve(4, channel="web")) == ("channel_cap_exceeded", 4, 3)
    assert told(shop.reserve(3, channel="web")) == ("insufficient_stock", 3, 2)
    some = shop.reserve(4, channel="web", partial=True)
    assert (some["status"], given_to(some), told(some)) == ("accepted", {"main": 2}, (None, 4, None))
    assert given_to(shop.reserve(3, channel="shop")) == {"main": 3}


def test_what_was_given_in_part_is_replayed_with_what_was_asked_for():
    shop = Shop(leeds=2)
    first = shop.tell("reserve", command_id="x", reservation_id="r", quantity=5, partial=True)
    assert (first["requested"], first["reservation"]["quantity"]) == (5, 2)
    assert shop.tell("reserve", command_id="x", reservation_id="r", quantity=5, partial=True) == first | {
        "replayed": True
    }


# Precedence: each command breaks the rule named and every later one.


def test_every_code_of_a_reserve_in_its_order():
    shop = Shop(leeds=1, york=1)
    shop.reserve(1, reservation_id="known", warehouse="york")
    shop.warehouse("leeds", enabled=False)
    shop.channel("off", enabled=False, max_per_reservation=2, cap=1)
    shop.channel("none", warehouses=[], max_per_reservation=2, cap=1)
    shop.channel("other", warehouses=["york"], max_per_reservation=2, cap=1)
    shop.channel("small", max_per_reservation=2, cap=1)
    shop.channel("capped", cap=2)
    everything = {"warehouse": "leeds", "reservation_id": "known"}
    assert shop.reserve(3, sku="none", channel="off", **everything)["code"] == "unknown_sku"
    assert shop.reserve(3, channel="off", **everything | {"warehouse": "hull"})["code"] == "unknown_warehouse"
    assert shop.reserve(3, channel="off", **everything)["code"] == "reservation_exists"
    for channel in ("off", "none", "other"):
        assert shop.reserve(3, channel=channel, warehouse="leeds")["code"] == "channel_not_allowed"
    assert shop.reserve(3, channel="small", warehouse="leeds")["code"] == "warehouse_disabled"
    assert shop.reserve(3, channel="small")["code"] == "quantity_above_limit"
    assert shop.reserve(3, channel="small", partial=True)["code"] == "quantity_above_limit"
    assert told(shop.reserve(2, channel="small")) == ("channel_cap_exceeded", 2, 1)
    assert told(shop.reserve(2, channel="capped")) == ("insufficient_stock", 2, 0)
    assert told(shop.reserve(2, channel="capped", partial=True)) == ("insufficient_stock", 2, 0)


def test_a_disabled_warehouse_gives_nothing_and_its_holds_go_on():
    shop = Shop(leeds=5, york=1)
    held = shop.reserve(3, warehouse="leeds")["reservation"]["reservation_id"]
    shop.warehouse("leeds", enabled=False)
    assert told(shop.reserve(2)) == ("insufficient_stock", 2, 1)
    assert shop.tell("commit", reservation_id=held)["status"] == "accepted"
    assert shop.tell("adjust", warehouse="leeds", delta=1, reason="receipt")["status"] == "accepted"


def test_without_split_one_warehouse_gives_it_all_or_nothing():
    shop = Shop(leeds=3, york=5)
    shop.channel("web", split=False, buffer=1)
    assert shop.may_have("web")["most_per_reservation"] == 5
    assert told(shop.reserve(6, channel="web")) == ("insufficient_stock", 6, 5)
    assert given_to(shop.reserve(6, channel="web", partial=True)) == {"york": 5}
    assert given_to(shop.reserve(2, channel="web")) == {"leeds": 2}
    assert told(shop.reserve(1, channel="web")) == ("insufficient_stock", 1, 0)


# Resolution.


def test_a_policy_is_resolved_field_by_field():
    shop = Shop(leeds=100)
    shop.channel("*", buffer=10, cap=80, max_per_reservation=70)
    assert shop.may_have("web")["available"] == 80
    shop.channel("web", buffer=0, cap=60)
    assert shop.may_have("web")["available"] == 60
    assert shop.may_have("shop")["available"] == 80
    shop.policy("*", cap=50, buffer=60)
    assert shop.may_have("web")["available"] == 40
    shop.policy("web", buffer=1)
    assert (shop.may_have("web")["available"], shop.may_have("web")["most_per_reservation"]) == (50, 50)
    shop.policy("web")
    shop.policy("*")
    assert shop.may_have("web")["available"] == 60


def test_a_field_that_is_false_or_zero_is_given():
    shop = Shop(leeds=9)
    shop.channel("*", enabled=False, split=False, buffer=5)
    shop.channel("web", enabled=True, buffer=0)
    assert (shop.may_have("web")["allowed"], shop.may_have("web")["available"]) == (True, 9)
    shop.policy("web", enabled=False)
    assert shop.may_have("web") == {
        "channel": "web", "allowed": False, "available": 0, "most_per_reservation": 0, "backorder_room": 0,
        "promises": [],
    }  # fmt: skip


# The cap, and the book that counts what is held under it.


def book_of(**held):
    channels = [{"channel": name, "held": units, "backordered": 0} for name, units in sorted(held.items())]
    return {"backordered": 0, "promised": 0, "inbounds": [], "channels": channels}


def test_a_cap_is_counted_in_the_book_and_every_change_of_it_is_published():
    shop = Shop(leeds=10, york=10)
    shop.channel("web", cap=15)
    reserved = shop.reserve(12, channel="web", reservation_id="r")
    assert (reserved["seq"], reserved["reservation"]["allocations"][1]["quantity"]) == (5, 2)
    *rows, book = shop.changes()[-3:]
    assert [change["seq"] for change in (*rows, book)] == [3, 4, 5]
    assert book == {
        "sku": "S", "warehouse": "", "seq": 5, "at": T0, "cause": {"type": "reserve", "command_id": "c4",
                                                                    "reservation_id": "r"},
        "delta": {}, "after": dict.fromkeys(
            ["on_hand", "reserved", "damaged", "safety_stock", "inbound", "available"], 0),
        "shortfall": False, "book": book_of(web=12),
    }  # fmt: skip
    assert shop.partition.published[STOCK_CHANGES][-1][0] == b"S/"
    assert shop.row("R", "r")[0] == 2
    assert shop.row("R", "r")[10:] == [[], None, None, None, None, None, True, 0, None]
    assert shop.row("S", "") == [1, 5, None, False, 0, 0, 0, [], [["web", 12, 0]]]
    assert shop.tell("query")["book"] == book_of(web=12)
    committed = shop.tell("commit", reservation_id="r", quantity=5)
    assert (committed["seq"], shop.changes()[-1]["book"]) == (7, book_of(web=7))
    shop.tell("release", reservation_id="r", quantity=3)
    assert shop.changes()[-1]["book"] == book_of(web=4)
    ended = shop.tell("release", reservation_id="r")
    assert (ended["seq"], shop.changes()[-1]["book"]) == (shop.changes()[-1]["seq"], book_of())
    assert "book" not in shop.tell("query")
    assert shop.row("S", "")[1] == ended["seq"]
    assert shop.tell("adjust", warehouse="leeds", delta=1, reason="receipt")["seq"] == ended["seq"] + 1


def test_an_expiry_gives_back_what_was_counted():
    shop = Shop(leeds=10)
    shop.channel("web", cap=5)
    shop.reserve(5, channel="web", ttl_ms=100)
    assert shop.may_have("web")["available"] == 0
    shop.partition.now += 100
    shop.partition.tell({"type": "tick"})
    assert shop.may_have("web")["available"] == 5
    assert (shop.changes()[-1]["book"], shop.changes()[-1]["cause"]["type"]) == (book_of(), "expire")


def test_holds_from_before_the_cap_do_not_count_and_never_lower_what_does():
    shop = Shop(leeds=20)
    before = shop.reserve(5, channel="web")["reservation"]["reservation_id"]
    shop.channel("web", cap=6)
    shop.reserve(6, channel="web")
    shop.tell("release", reservation_id=before)
    assert shop.tell("query")["book"] == book_of(web=6)
    assert told(shop.reserve(1, channel="web")) == ("channel_cap_exceeded", 1, 0)


def test_a_hold_stays_counted_when_the_cap_goes():
    shop = Shop(leeds=20)
    shop.policy("web", cap=6)
    shop.reserve(6, channel="web", reservation_id="r")
    shop.policy("web")
    assert shop.may_have("web")["available"] == 14
    shop.tell("commit", reservation_id="r")
    assert "book" not in shop.tell("query")


def test_a_cut_cap_refuses_and_does_not_go_below_zero():
    shop = Shop(leeds=20)
    shop.channel("web", cap=6)
    shop.reserve(6, channel="web")
    shop.channel("web", cap=2)
    assert told(shop.reserve(1, channel="web", partial=True)) == ("channel_cap_exceeded", 1, 0)


def fill_book(shop, channels):
    """Let channels with other names hold a unit each, as their reserves would, and read the ledger anew."""
    book = shop.partition.ledger.sku("S").book
    others = tuple((f"c{number:03}", 1, 0) for number in range(channels))
    row = msgspec.structs.replace(book, channels=(*others, *book.channels))
    shop.partition.store.write([(book_key("S"), encode_row(row))])
    shop.partition.ledger = Ledger(shop.partition.store)


def test_a_book_counts_a_thousand_channels_at_most():
    shop = Shop(leeds=9)
    shop.channel("*", cap=5)
    shop.reserve(3, channel="web", reservation_id="r")
    fill_book(shop, 999)
    assert told(shop.reserve(6, channel="new")) == ("channel_cap_exceeded", 6, 5)
    assert told(shop.reserve(5, channel="new", partial=True)) == ("limit_exceeded", None, None)
    assert told(shop.reserve(5, channel="new")) == ("limit_exceeded", None, None)
    assert [shop.reserve(1, channel=known)["code"] for known in ("web", "c500")] == [None, None]
    assert [entry for entry in shop.row("S", "")[8] if entry[1] != 1] == [["c500", 2, 0], ["web", 4, 0]]
    shop.tell("release", reservation_id=f"r{shop.count - 1}")
    shop.tell("commit", reservation_id="r")
    assert len(shop.row("S", "")[8]) == 999
    assert shop.reserve(1, channel="b")["code"] is None
    assert [entry[0] for entry in shop.row("S", "")[8][:2]] == ["b", "c000"]


def test_a_channel_without_a_cap_needs_no_place_in_the_book():
    shop = Shop(leeds=5)
    shop.channel("web", cap=5)
    shop.reserve(1, channel="web", reservation_id="r")
    shop.tell("release", reservation_id="r")
    fill_book(shop, 1_000)
    assert shop.reserve(1, channel="shop")["code"] is None
    assert shop.reserve(1, channel="web")["code"] == "limit_exceeded"


def test_a_rule_that_is_set_again_counts_from_then_on():
    shop = Shop(leeds=20)
    for cap in (6, 9, 3):
        shop.channel("web", cap=cap)
        assert shop.may_have("web")["available"] == cap
    shop.channel("*", max_per_reservation=2)
    assert shop.may_have("shop")["most_per_reservation"] == 2
    shop.channel("*", max_per_reservation=5)
    assert shop.may_have("shop")["most_per_reservation"] == 5


def test_all_of_it_survives_a_recovery():
    shop = Shop(leeds=20)
    shop.channel("web", cap=6)
    shop.policy("*", buffer=3)
    shop.reserve(4, channel="web", warehouse="leeds", reservation_id="r")
    seen = shop.tell("query", channel="web", reservation_id="r")
    shop.partition.rebuild()
    again = shop.tell("query", channel="web", reservation_id="r")
    same = ("stock", "seq", "reservation", "availability", "book")
    assert {name: again[name] for name in same} == {name: seen[name] for name in same}
    shop.tell("release", reservation_id="r")
    assert "book" not in shop.tell("query")


# Rows and content of those who use none of it.


def test_a_reserve_that_names_a_warehouse_keeps_the_name():
    shop = Shop(leeds=5)
    shop.reserve(1, warehouse="leeds", reservation_id="r")
    assert shop.row("R", "r") == [
        2, "held", 1, 0, 0, [["leeds", 1]], "default", None, T0 + 900_000, None, [], "leeds", None, None, None, None,
        False, 0, None,
    ]  # fmt: skip
    shop.tell("commit", reservation_id="r")
    assert shop.row("R", "r")[:2] == [2, "committed"]


@pytest.mark.parametrize(
    ("fields", "added"),
    [({}, []), ({"partial": False}, []), ({"partial": True}, [True]), ({"region": "n"}, [False, "n"]),
     ({"partial": True, "region": "n"}, [True, "n"])],
)  # fmt: skip
def test_trailing_defaults_are_no_content(fields, added):
    shop = Shop(leeds=5)
    shop.tell("reserve", command_id="x", reservation_id="r", quantity=1, **fields)
    content = msgspec.msgpack.decode(shop.row("C", "x")[1])
    assert content == ["reserve", "r", 1, "default", None, 900_000, None, *added]


# Reads equal decisions.

units = st.integers(0, 9)
policies = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(), "split": st.booleans(), "buffer": units, "cap": st.integers(0, 25),
        "max_per_reservation": st.integers(1, 12), "strategy": st.sampled_from(
            ["priority", "most_stock", "fewest_splits", "region"]),
        "warehouses": st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True),
    },
)  # fmt: skip


@settings(max_examples=300)
@given(
    on_hand=st.dictionaries(st.sampled_from("abc"), st.integers(1, 9), min_size=1),
    layers=st.tuples(policies, policies, policies, policies),
    disabled=st.sets(st.sampled_from("abc"), max_size=1),
    before=st.lists(st.integers(1, 5), max_size=4),
)
def test_a_reserve_of_the_most_is_accepted_and_of_one_more_is_not(on_hand, layers, disabled, before):
    shop = Shop(**on_hand)
    for warehouse in disabled:
        shop.warehouse(warehouse, enabled=False)
    everywhere, channel, all_channels, own = layers
    shop.channel("*", **everywhere)
    shop.channel("web", **channel)
    shop.policy("*", **all_channels)
    shop.policy("web", **own)
    for quantity in before:
        shop.reserve(quantity, channel="web", partial=True)
    most = shop.may_have("web")["most_per_reservation"]
    assert shop.reserve(most + 1, channel="web")["status"] == "rejected"
    if most:
        result = shop.reserve(most, channel="web")
        assert (result["status"], sum(given_to(result).values())) == ("accepted", most)


# How long a committed reservation is known.

DAY_MS = 24 * 60 * 60 * 1000


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_reservation_with_something_committed_is_known_for_its_channels_return_window(rebuilt):
    shop = Shop(leeds=20)
    shop.channel("web", return_window_ms=30 * DAY_MS)
    for name, parts in (
        ("all", [("commit", 2)]),
        ("some", [("commit", 1), ("release", 1)]),
        ("none", [("release", 2)]),
    ):
        shop.reserve(2, channel="web", reservation_id=name)
        for type_, quantity in parts:
            shop.tell(type_, reservation_id=name, quantity=quantity)
    shop.reserve(2, channel="shop", reservation_id="other")
    shop.tell("commit", reservation_id="other")
    shop.channel("web", return_window_ms=60 * DAY_MS)  # it was fixed when they closed
    assert [shop.row("R", name)[0] for name in ("all", "some", "none", "other")] == [2, 2, 1, 1]
    assert shop.row("R", "all")[-1] == 30 * DAY_MS
    if rebuilt:
        shop.partition.rebuild()

    def known(after_ms):
        shop.partition.now = T0 + after_ms
        shop.partition.tell({"type": "tick"})
        shop.partition.forget()
        asked = {name: shop.tell("query", reservation_id=name)["code"] for name in ("all", "some", "none", "other")}
        return sorted(name for name, code in asked.items() if code is None)

    assert known(7 * DAY_MS - 1) == ["all", "none", "other", "some"]
    assert known(7 * DAY_MS) == ["all", "some"]
    assert known(30 * DAY_MS - 1) == ["all", "some"]
    assert known(30 * DAY_MS) == []
    shop.partition.now += 60_000
    shop.partition.tell({"type": "tick"})
    shop.partition.forget()
    assert list(shop.partition.store.scan(b"R", b"S")) == []
