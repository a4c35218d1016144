"""Who waits gets what comes, by rank and class, a few steps after each record; newcomers cannot pass the queue."""

import json
from collections import Counter

import pytest
from test_policies import Shop, book_of, given_to, told

from schemas.topics import RESULTS, STOCK_CHANGES
from tables.core import reserve
from tables.ledger import Ledger


def unsolicited(shop):
    """Return (type, reservation, what it holds, what still waits) of each unsolicited result so far."""
    results = [json.loads(value) for _, value in shop.partition.published[RESULTS]]
    found = [(result["type"], result["reservation"]) for result in results if result["command_id"] is None]
    return [
        (
            type_,
            row["reservation_id"],
            {it["warehouse"]: it["quantity"] for it in row["allocations"]},
            row.get("waiting", 0),
        )
        for type_, row in found
    ]


def waiting(shop, count=100):
    return [it["reservation_id"] for it in shop.tell("query", waiting=count)["waiting"]]


def test_the_rank_of_the_contract():
    shop = Shop(leeds=1)
    shop.channel("web", backorder_limit=100)
    shop.channel("vip", backorder_limit=100, priority=10)
    b1 = shop.reserve(6, channel="web", reservation_id="b1", wait="any")
    assert (given_to(b1), b1["reservation"]["waiting"], b1["reservation"]["promised_at"]) == ({"leeds": 1}, 5, None)
    assert b1["reservation"]["claims"] == [{"inbound_id": None, "quantity": 5, "promised_at": None}]
    shop.reserve(3, channel="web", reservation_id="b2", wait="any")
    shop.reserve(4, channel="vip", reservation_id="b3", wait="any")
    assert waiting(shop) == ["b3", "b1", "b2"]
    shop.tell("adjust", warehouse="leeds", delta=6, reason="receipt")
    assert unsolicited(shop) == [("fill", "b3", {"leeds": 4}, 0), ("fill", "b1", {"leeds": 3}, 3)]
    assert told(shop.reserve(1)) == ("insufficient_stock", 1, 0)
    assert shop.row("S", "")[2:5] == [None, False, 6]


def test_the_bound_of_the_contract_every_record_goes_on_and_the_end_is_said():
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=100)
    for number in range(30):
        shop.reserve(2, reservation_id=f"r{number:02}", wait="any")
    shop.tell("adjust", warehouse="leeds", delta=70, reason="receipt")
    assert len(unsolicited(shop)) == 8
    assert told(shop.reserve(30)) == ("insufficient_stock", 30, 11)
    assert len(unsolicited(shop)) == 16
    assert shop.reserve(10)["status"] == "accepted"
    assert len(unsolicited(shop)) == 24
    shop.partition.tell({"type": "tick"})
    assert len(unsolicited(shop)) == 30
    changes = [json.loads(value) for _, value in shop.partition.published[STOCK_CHANGES]]
    said = [
        (change["book"].get("settling", False), change["delta"])
        for change in changes
        if change["cause"] == {"type": "settle"}
    ]
    assert said == [(True, {}), (False, {})]
    seqs = [change["seq"] for change in changes]
    assert seqs == list(range(1, len(seqs) + 1))
    (row,) = shop.tell("query")["stock"]
    assert (row["reserved"], row["on_hand"]) == (70, 71)


def test_a_recovery_in_the_midst_of_it_goes_on_and_keeps_newcomers_out():
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=100)
    for number in range(30):
        shop.reserve(2, reservation_id=f"r{number:02}", wait="any")
    shop.tell("adjust", warehouse="leeds", delta=70, reason="receipt")
    shop.partition.rebuild()
    assert told(shop.reserve(30)) == ("insufficient_stock", 30, 11)
    assert len(unsolicited(shop)) == 16
    for _ in range(3):
        shop.partition.tell({"type": "tick"})
    assert len(unsolicited(shop)) == 30
    assert shop.partition.ledger.pending_since == {}


@pytest.mark.parametrize("is_used_again", [False, True])
def test_a_recovery_may_never_see_the_row_of_who_waited_and_is_forgotten(is_used_again):
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=100)
    shop.reserve(3, reservation_id="r", wait="any", ttl_ms=0)
    first_chunk = len(shop.partition.changelog)
    shop.tell("release", reservation_id="r")
    shop.partition.now += 8 * 24 * 3600 * 1000
    shop.partition.tell({"type": "tick"})
    shop.partition.forget()
    assert shop.partition.changelog[-2] == (b"RS\0r", None)
    if is_used_again:
        shop.reserve(2, reservation_id="r", wait="any", ttl_ms=0)
    shop.partition.rebuild(first_chunk)
    assert waiting(shop) == ["r"] * is_used_again
    shop.tell("adjust", warehouse="leeds", delta=2, reason="receipt")
    assert unsolicited(shop) == [("fill", "r", {"leeds": 2}, 0)] * is_used_again


def test_what_waits_is_counted_and_given_back_first():
    shop = Shop(leeds=3)
    shop.channel("web", backorder_limit=5, cap=20)
    r = shop.reserve(10, channel="web", reservation_id="r", wait="any", partial=True)
    assert (given_to(r), r["reservation"]["waiting"], r["requested"]) == ({"leeds": 3}, 5, 10)
    assert told(shop.reserve(1, channel="web", wait="any")) == ("insufficient_stock", 1, 0)
    book = {
        "backordered": 5,
        "promised": 0,
        "inbounds": [],
        "channels": [{"channel": "web", "held": 8, "backordered": 5}],
    }
    assert shop.tell("query")["book"] == book
    released = shop.tell("release", reservation_id="r", quantity=6)
    assert (given_to(released), "waiting" in released["reservation"]) == ({"leeds": 2}, False)
    assert shop.tell("query")["book"] == book_of(web=2)


def test_a_commit_takes_what_is_there_and_never_what_waits():
    shop = Shop(leeds=3)
    shop.channel("*", backorder_limit=5)
    shop.reserve(5, reservation_id="r", wait="any")
    assert shop.tell("commit", reservation_id="r", quantity=6)["code"] == "quantity_exceeds_reservation"
    assert shop.tell("commit", reservation_id="r", quantity=4)["code"] == "reservation_waiting"
    done = shop.tell("commit", reservation_id="r")
    assert (done["reservation"]["committed"], done["reservation"]["waiting"], done["reservation"]["state"]) == (
        3,
        2,
        "held",
    )
    assert shop.tell("commit", reservation_id="r")["code"] == "reservation_waiting"


def test_an_expiry_ends_what_waits():
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=5)
    shop.reserve(3, reservation_id="r", wait="any", ttl_ms=50)
    shop.partition.now += 50
    shop.partition.tell({"type": "tick"})
    assert unsolicited(shop) == [("expire", "r", {}, 0)]
    assert "book" not in shop.tell("query")
    assert waiting(shop) == []


# Amend and reallocate.


def test_the_amend_and_reallocate_of_the_contract():
    shop = Shop(leeds=10, main=6)
    shop.reserve(9, reservation_id="c1", warehouse="leeds")
    shop.tell("release", reservation_id="c1", quantity=1)
    shop.tell("amend", reservation_id="c1", quantity=8)
    shop = Shop(leeds=8, main=4)
    shop.reserve(9, reservation_id="c1")
    shop.reserve(2, reservation_id="c3")
    less = shop.tell("amend", reservation_id="c1", quantity=6)
    assert (given_to(less), less["reservation"]["quantity"], less["reservation"]["released"]) == ({"leeds": 6}, 6, 0)
    assert [row["warehouse"] for row in less["stock"]] == ["leeds", "main"]
    moved = shop.tell("reallocate", **{"reservation_id": "c1", "from": "leeds", "to": "main", "quantity": 2})
    assert given_to(moved) == {"leeds": 4, "main": 2}
    assert [(row["warehouse"], row["reserved"]) for row in moved["stock"]] == [("leeds", 4), ("main", 4)]
    assert shop.row("R", "c1")[0] == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"reservation_id": "no", "quantity": 1}, "unknown_reservation"),
        ({"quantity": 1}, "quantity_exceeds_reservation"),
        ({"quantity": 8}, "quantity_above_limit"),
        ({"quantity": 7}, "channel_cap_exceeded"),
        ({"quantity": 6}, "insufficient_stock"),
    ],
)
def test_the_codes_of_an_amend(fields, code):
    shop = Shop(leeds=5)
    shop.channel("web", cap=5, max_per_reservation=7)
    shop.reserve(3, channel="web", reservation_id="r")
    shop.tell("commit", reservation_id="r", quantity=1)
    assert shop.tell("amend", **({"reservation_id": "r"} | fields))["code"] == code


def test_an_amend_takes_what_there_is_and_says_what_was_asked():
    shop = Shop(leeds=5)
    shop.reserve(3, reservation_id="r")
    more = shop.tell("amend", reservation_id="r", quantity=9, partial=True)
    assert (more["reservation"]["quantity"], more["requested"], given_to(more)) == (5, 9, {"leeds": 5})
    assert told(shop.tell("amend", reservation_id="r", quantity=6)) == ("insufficient_stock", 6, 5)
    assert shop.tell("amend", reservation_id="r", quantity=5)["stock"] == []


def test_an_amend_upwards_under_a_cap_counts_the_whole_reservation():
    shop = Shop(leeds=20)
    shop.reserve(4, channel="web", reservation_id="r")
    shop.channel("web", cap=6)
    assert told(shop.tell("amend", reservation_id="r", quantity=7)) == ("channel_cap_exceeded", 7, 6)
    shop.tell("amend", reservation_id="r", quantity=6)
    assert shop.tell("query")["book"] == book_of(web=6)


def test_settle_looks_again_by_the_rules_now_in_force():
    shop = Shop(leeds=5)
    shop.warehouse("leeds", enabled=False)
    shop.channel("*", backorder_limit=9)
    shop.reserve(3, reservation_id="r", wait="any")
    shop.warehouse("leeds", enabled=True)
    assert unsolicited(shop) == []
    assert shop.tell("settle")["stock"] == []
    assert unsolicited(shop) == [("fill", "r", {"leeds": 3}, 0)]
    assert shop.tell("settle", sku="none")["code"] == "unknown_sku"


def test_classes_do_not_block_each_other_and_a_head_that_gets_nothing_blocks_its_own():
    shop = Shop(bath=1)
    shop.channel("*", backorder_limit=99)
    shop.channel("whole", split=False)
    shop.reserve(1)
    shop.reserve(5, reservation_id="big", channel="whole", wait="any")
    shop.reserve(2, reservation_id="small", channel="whole", wait="any")
    shop.reserve(1, reservation_id="other", channel="web", wait="any")
    shop.tell("adjust", warehouse="leeds", delta=3, reason="receipt")
    # Two are left, which would do for the small one, but the big one is before it.
    assert unsolicited(shop) == [("fill", "other", {"leeds": 1}, 0)]
    shop.tell("adjust", warehouse="leeds", delta=3, reason="receipt")
    assert [it[1] for it in unsolicited(shop)] == ["other", "big"]
    shop.tell("adjust", warehouse="leeds", delta=2, reason="receipt")
    assert [it[1] for it in unsolicited(shop)] == ["other", "big", "small"]


def test_who_waits_for_one_warehouse_does_not_block_those_who_take_any():
    shop = Shop(leeds=1, york=1)
    shop.channel("*", backorder_limit=99)
    shop.reserve(2)
    shop.reserve(3, reservation_id="york-alone", warehouse="york", wait="any")
    shop.reserve(2, reservation_id="any", wait="any")
    shop.tell("adjust", warehouse="leeds", delta=4, reason="receipt")
    assert unsolicited(shop) == [("fill", "any", {"leeds": 2}, 0)]
    shop.tell("adjust", warehouse="york", delta=3, reason="receipt")
    assert unsolicited(shop)[1:] == [("fill", "york-alone", {"york": 3}, 0)]


def test_a_channel_that_is_off_gets_nothing_and_stays_in_its_place():
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=99)
    shop.reserve(1)
    shop.reserve(2, reservation_id="first", channel="web", wait="any")
    shop.reserve(2, reservation_id="second", wait="any")
    shop.channel("web", enabled=False)
    shop.tell("adjust", warehouse="leeds", delta=3, reason="receipt")
    assert unsolicited(shop) == [("fill", "second", {"leeds": 2}, 0)]
    assert waiting(shop) == ["first"]
    shop.channel("web", enabled=True)
    shop.tell("settle")
    assert unsolicited(shop)[1:] == [("fill", "first", {"leeds": 1}, 1)]


def test_what_may_not_be_split_is_filled_where_it_holds_already():
    shop = Shop(leeds=2, york=0)
    shop.channel("*", backorder_limit=99, split=False)
    shop.reserve(2, reservation_id="r", wait="any")
    grown = shop.tell("amend", reservation_id="r", quantity=5, wait="any")
    assert (given_to(grown), grown["reservation"]["waiting"]) == ({"leeds": 2}, 3)
    shop.tell("adjust", warehouse="york", delta=9, reason="receipt")
    assert unsolicited(shop) == []
    shop.tell("adjust", warehouse="leeds", delta=3, reason="receipt")
    assert unsolicited(shop) == [("fill", "r", {"leeds": 5}, 0)]


def test_skus_with_work_left_take_turns():
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=99)
    shop.tell("adjust", sku="A", warehouse="leeds", delta=1, reason="receipt")
    for sku in ("A", "S"):
        shop.reserve(1, sku=sku, reservation_id="first")
        for number in range(30):
            shop.reserve(1, sku=sku, reservation_id=f"r{number:02}", wait="any", ttl_ms=0)
    shop.tell("adjust", warehouse="leeds", delta=30, reason="receipt")
    shop.tell("adjust", sku="A", warehouse="leeds", delta=30, reason="receipt")
    shop.partition.tell(*[{"type": "tick"}] * 6)
    results = [json.loads(value) for _, value in shop.partition.published[RESULTS]]
    filled = Counter((result["offset"], result["sku"]) for result in results if result["type"] == "fill")
    assert [(sku, count) for (_, sku), count in filled.items()] == [
        ("S", 8), ("S", 8), ("A", 8), ("S", 8), ("A", 8), ("S", 6), ("A", 2), ("A", 8), ("A", 4),
    ]  # fmt: skip


def test_who_waits_no_more_is_not_in_the_queue_of_a_ledger_that_is_opened_anew():
    shop = Shop(leeds=1)
    shop.channel("*", backorder_limit=99)
    shop.reserve(1)
    for name in ("filled", "released", "waits"):
        shop.reserve(2, reservation_id=name, wait="any")
    shop.tell("release", reservation_id="released")
    shop.tell("adjust", warehouse="leeds", delta=2, reason="receipt")
    assert [it[1] for it in unsolicited(shop)] == ["filled"]
    shop.partition.ledger = Ledger(shop.partition.store)
    assert waiting(shop) == ["waits"]


def test_a_settle_that_comes_twice_looks_once():
    shop = Shop(leeds=5)
    shop.warehouse("leeds", enabled=False)
    shop.channel("*", backorder_limit=9)
    shop.reserve(3, reservation_id="r", wait="any")
    first = shop.tell("settle", command_id="again")
    shop.warehouse("leeds", enabled=True)
    (replayed,) = shop.partition.tell({"type": "settle", "command_id": "again", "sku": "S"})
    assert replayed == first | {"replayed": True}
    assert (unsolicited(shop), shop.partition.ledger.pending_since) == ([], {})
    shop.tell("settle")
    assert [it[1] for it in unsolicited(shop)] == ["r"]


# Classes.


@pytest.fixture
def two_classes(monkeypatch):
    """Return a SKU with as many classes waiting as there may be."""
    monkeypatch.setattr(reserve, "MAX_CLASSES", 2)
    shop = Shop(leeds=2)
    shop.channel("*", backorder_limit=99)
    shop.reserve(1, reservation_id="held", channel="c")
    shop.reserve(1, reservation_id="there")
    for channel in "ab":
        shop.reserve(1, reservation_id=f"of-{channel}", channel=channel, wait="any")
    return shop


def test_one_class_more_is_not_let_in_and_one_that_is_known_is(two_classes):
    shop = two_classes
    assert told(shop.reserve(1, channel="c", wait="any")) == ("limit_exceeded", None, None)
    assert shop.reserve(1, channel="a", warehouse="leeds", wait="any")["code"] == "limit_exceeded"
    assert shop.tell("amend", reservation_id="held", quantity=2, wait="any")["code"] == "limit_exceeded"
    assert [shop.reserve(1, channel=channel, wait="any")["code"] for channel in "ab"] == [None, None]
    assert shop.tell("amend", reservation_id="of-a", quantity=2, wait="any")["code"] is None
    # Only what waits is of a class.
    shop.tell("release", reservation_id="there")
    assert [it[1] for it in unsolicited(shop)] == ["of-a"]
    assert shop.tell("release", reservation_id="of-b")["code"] is None


def test_a_class_that_is_empty_makes_place_for_another(two_classes):
    shop = two_classes
    shop.tell("release", reservation_id="of-a")
    assert shop.reserve(1, channel="c", wait="any")["code"] is None
    assert shop.reserve(1, channel="a", wait="any")["code"] == "limit_exceeded"


# What is counted of a channel.


def counts(shop, channel="web"):
    """Return what a channel holds under its cap, and what waits for it without a date."""
    entries = shop.tell("query").get("book", {"channels": []})["channels"]
    return next(((it["held"], it["backordered"]) for it in entries if it["channel"] == channel), (0, 0))


def test_what_a_channel_holds_and_what_waits_is_counted_through_amend_partial_commit_expiry_and_fill():
    shop = Shop(leeds=3)
    shop.channel("web", backorder_limit=5, cap=10)
    shop.reserve(12, channel="web", reservation_id="r", wait="any", partial=True, ttl_ms=1_000)
    assert counts(shop) == (8, 5)
    assert told(shop.tell("amend", reservation_id="r", quantity=9, wait="any")) == ("insufficient_stock", 9, 8)
    shop.tell("commit", reservation_id="r", quantity=2)
    assert counts(shop) == (6, 5)
    shop.tell("amend", reservation_id="r", quantity=6)
    assert counts(shop) == (4, 3)
    shop.tell("adjust", warehouse="leeds", delta=1, reason="receipt")
    assert [it[2:] for it in unsolicited(shop)] == [({"leeds": 2}, 2)]
    assert counts(shop) == (4, 2)
    more = shop.tell("amend", reservation_id="r", quantity=99, wait="any", partial=True)
    assert (more["reservation"]["quantity"], more["requested"], counts(shop)) == (9, 99, (7, 5))
    shop.partition.now += 1_000
    shop.partition.tell({"type": "tick"})
    assert counts(shop) == (0, 0)
    assert shop.row("S", "")[4:6] + shop.row("S", "")[8:] == [0, 0, []]


def test_a_full_book_lets_no_uncounted_reservation_grow_under_a_new_cap(monkeypatch):
    monkeypatch.setattr("tables.core.book.MAX_CHANNELS", 1)
    shop = Shop(leeds=9)
    shop.reserve(1, reservation_id="early", channel="shop")
    shop.channel("*", cap=5)
    shop.reserve(1, channel="web")
    assert shop.tell("amend", reservation_id="early", quantity=2)["code"] == "limit_exceeded"
    assert shop.tell("amend", reservation_id="early", quantity=7)["code"] == "channel_cap_exceeded"
