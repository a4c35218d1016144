"""Queues settle in the tails of records, by rank and by class, as the contract's section on settling says."""

import msgspec
import pytest

from audit.model import tail
from audit.unpacking import UnreadBatch
from schemas.dead_letters import BATCH_TOO_LARGE
from tests.audit.ledger import expected_of

T0 = 1_764_000_000_000


def rules(log, **channels):
    """Set the channels, 100 of whose units may wait, each with a priority, in commands that the log leaves out."""
    for channel, priority in channels.items():
        log.do("set_channel", sku=None, channel=channel, version=1, backorder_limit=100, priority=priority)
    log.commands.clear()
    return log


def receive(log, quantity, warehouse="leeds", at=0, **fields):
    return log.do("adjust", at, warehouse=warehouse, delta=quantity, reason="receipt", **fields)


def wait_for(log, name, quantity, channel="web", at=0, **fields):
    """Return the result of a `reserve` whose units may wait for any goods."""
    fields = {"reservation_id": name, "quantity": quantity, "channel": channel, "wait": "any"} | fields
    return log.result("reserve", at, **fields)


def steps(expected):
    """Return the unsolicited results of a record as (type, SKU, reservation, its units, those that wait)."""
    return [
        (
            result["type"],
            result["sku"],
            reservation["reservation_id"],
            _held(reservation),
            reservation.get("waiting", 0),
        )
        for result in expected.results
        if result["command_id"] is None
        for reservation in [result["reservation"]]
    ]


def _held(reservation):
    return sum(part["quantity"] for part in reservation["allocations"])


def fills(expected):
    """Return what a record's steps leave: reservation -> its units and those that wait."""
    return {name: (units, waiting) for type_, _, name, units, waiting in steps(expected) if type_ == "fill"}


def changes(expected):
    return [
        (change["warehouse"], change["delta"], change["cause"], change.get("book", {}).get("settling"))
        for change in expected.stock_changes
    ]


def row(log, key):
    return msgspec.msgpack.decode(log.model.row(key))


def since(log, sku="S"):
    """Return since when a SKU is pending, and whether it is settling."""
    return tuple(row(log, f"S{sku}\0".encode())[2:4])


def test_the_example_of_ranks(log):
    receive(rules(log, web=100, vip=10), 1)
    first = wait_for(log, "b1", 6)
    assert (_held(first["reservation"]), first["reservation"]["waiting"]) == (1, 5)
    wait_for(log, "b2", 3)
    wait_for(log, "b3", 4, "vip")
    expected = receive(log, 6)
    assert steps(expected) == [("fill", "S", "b3", 4, 0), ("fill", "S", "b1", 3, 3)]
    refused = log.result("reserve", reservation_id="x", quantity=1)
    assert (refused["code"], refused["available"]) == ("insufficient_stock", 0)
    assert since(log) == (None, False)


def test_a_fill_is_an_unsolicited_result_with_its_changes(log):
    receive(rules(log, web=100), 1)
    wait_for(log, "b1", 6, order_id="o")
    expected = receive(log, 2, at=7)
    assert changes(expected) == [
        ("leeds", {"on_hand": 2}, {"type": "adjust", "command_id": "c2", "reason": "receipt"}, None),
        ("leeds", {"reserved": 2}, {"type": "fill", "reservation_id": "b1"}, None),
        ("", {"backordered": -2}, {"type": "fill", "reservation_id": "b1"}, None),
    ]
    own, fill = expected.results
    assert (own["type"], own["stock"][0]["reserved"], own["seq"]) == ("adjust", 1, 4)
    assert fill == {
        "command_id": None,
        "type": "fill",
        "sku": "S",
        "status": "accepted",
        "code": None,
        "replayed": False,
        "reservation": {
            "reservation_id": "b1",
            "state": "held",
            "quantity": 6,
            "committed": 0,
            "released": 0,
            "allocations": [{"warehouse": "leeds", "quantity": 3}],
            "channel": "web",
            "order_id": "o",
            "expires_at": T0 + 900_000,
            "waiting": 3,
            "promised_at": None,
            "claims": [{"inbound_id": None, "quantity": 3, "promised_at": None}],
        },
        "stock": [
            {
                "warehouse": "leeds",
                "on_hand": 3,
                "reserved": 3,
                "damaged": 0,
                "safety_stock": 0,
                "inbound": 0,
                "available": 0,
            }
        ],
        "shortfall": False,
        "seq": 6,
        "at": T0 + 7,
        "partition": 0,
        "offset": 2,
    }


@pytest.fixture
def bound(log):
    """Return a log of the example: 30 reservations of 2 on 1 unit at the offsets 1 to 30."""
    receive(rules(log, web=100, default=100), 1)
    for number in range(1, 31):
        wait_for(log, f"r{number:02}", 2)
    return log


def test_the_example_of_the_bound(bound):
    assert bound.next_offset == 31
    assert bound.result("query")["book"]["backordered"] == 59
    bound.commands.pop()
    expected = receive(bound, 70)
    assert list(fills(expected)) == [f"r{number:02}" for number in range(1, 9)]
    assert (expected.results[-1]["offset"], since(bound)) == (31, (31, True))
    assert changes(expected)[-1] == ("", {}, {"type": "settle"}, True)
    expected = bound.do("reserve", reservation_id="big", quantity=30)
    assert (expected.results[0]["code"], expected.results[0]["available"]) == ("insufficient_stock", 11)
    assert (len(fills(expected)), since(bound)) == (8, (32, True))
    assert {change[3] for change in changes(expected) if not change[0]} == {True}
    expected = bound.do("reserve", reservation_id="small", quantity=10)
    assert (expected.results[0]["status"], len(fills(expected)), since(bound)) == ("accepted", 8, (33, True))
    expected = bound.do("tick")
    assert (len(fills(expected)), since(bound)) == (6, (None, False))
    assert changes(expected)[-1] == ("", {}, {"type": "settle"}, None)
    (view,) = bound.result("query")["stock"]
    assert (view["on_hand"], view["reserved"]) == (71, 70)


def test_settling_in_a_query_is_exact(log, monkeypatch):
    monkeypatch.setattr(tail, "WORK", 1)
    receive(rules(log, web=100), 1)
    wait_for(log, "r", 2)
    wait_for(log, "s", 2)
    receive(log, 2)
    assert fills(receive(log, 2)) == {"s": (2, 0)}
    assert since(log) == (log.next_offset - 1, True)
    # Nothing waits any more: nothing is owed, although no tail has looked yet.
    expected = log.do("query")
    assert "book" not in expected.results[0]
    assert changes(expected) == [("", {}, {"type": "settle"}, None)]


def test_what_is_owed_is_kept_from_newcomers_row_by_row(bound):
    receive(bound, 40, "main")
    book, availability = (bound.do("query", channel="default").results[0][name] for name in ("book", "availability"))
    assert (book["settling"], book["backordered"]) == (True, 44)
    assert (availability["available"], availability["most_per_reservation"]) == (0, 0)  # of 25
    receive(bound, 80, "main")
    # 15 + 14 + 14 units went to those that wait, and 16 are due to them.
    assert bound.do("query", channel="default").results[0]["availability"]["available"] == 120 - 43 - 16


@pytest.mark.parametrize(
    ("work", "filled"),
    [(1, [1] * 30), (2, [1] * 30), (3, [2] * 15), (16, [8, 8, 8, 6])],
)
def test_a_tail_does_at_least_one_step_and_no_more_than_its_work(bound, monkeypatch, work, filled):
    monkeypatch.setattr(tail, "WORK", work)
    counts = [len(fills(receive(bound, 70)))]
    while since(bound)[0] is not None:
        counts.append(len(fills(bound.do("tick"))))
    assert [count for count in counts if count] == filled


@pytest.mark.parametrize(("work", "in_one"), [(3, ["r"]), (4, ["r", "s"])])
def test_what_still_waits_of_a_filled_reservation_is_work_too(log, monkeypatch, work, in_one):
    monkeypatch.setattr(tail, "WORK", work)
    receive(rules(log, web=100, shop=200), 1)
    wait_for(log, "r", 4, warehouse="leeds")
    wait_for(log, "s", 4, "shop")
    log.do("set_warehouse", sku=None, version=1, warehouse="main", enabled=False)
    receive(log, 2, "main")
    log.do("set_warehouse", sku=None, version=2, warehouse="main")
    # `r` takes what is at `leeds` and waits for more; `s` takes what is at `main`.
    assert list(fills(receive(log, 2))) == in_one


@pytest.mark.parametrize("kind", ["refused", "replayed", "unreadable", "tick", "reference", "query", "batch", "other"])
def test_every_record_has_a_tail(bound, kind):
    receive(bound, 70, command_id="k")
    records = {
        "refused": lambda: bound.do("commit", reservation_id="none"),
        "replayed": lambda: receive(bound, 70, command_id="k"),
        "unreadable": lambda: bound.send(b"{"),
        "tick": lambda: bound.do("tick"),
        "reference": lambda: bound.do("set_warehouse", sku=None, version=1, warehouse="x"),
        "query": lambda: bound.do("query"),
        "batch": lambda: bound.send_unread(5),
        "other": lambda: bound.do("settle", sku="T"),
    }
    offset = bound.next_offset
    expected = records[kind]()
    assert list(fills(expected)) == [f"r{number:02}" for number in range(9, 17)]
    assert (since(bound), expected.results[-1]["offset"]) == ((offset, True), offset)


def test_an_expiry_gives_what_it_frees_to_those_that_wait_and_not_to_newcomers(log):
    receive(rules(log, web=100), 4)
    log.do("reserve", reservation_id="a", quantity=4, ttl_ms=10)
    wait_for(log, "b", 3)
    expected = log.do("reserve", 10, reservation_id="c", quantity=2)
    assert [result["type"] for result in expected.results] == ["expire", "reserve", "fill"]
    assert (expected.results[1]["code"], expected.results[1]["available"]) == ("insufficient_stock", 1)
    assert fills(expected) == {"b": (3, 0)}


def test_a_head_that_gets_nothing_holds_up_its_class_and_no_other(log):
    receive(rules(log, web=100, shop=200), 1, "a")
    receive(log, 1, "b")
    log.do("set_policy", channel="web", split=False, backorder_limit=100)
    wait_for(log, "large", 5)
    wait_for(log, "small", 3)
    wait_for(log, "named", 4, warehouse="b")
    wait_for(log, "shop", 4, "shop")
    # `small` could have 3 at `a`, but it is behind `large`.
    assert fills(receive(log, 3, "a")) == {"shop": (4, 0)}
    assert since(log) == (None, False)
    assert fills(receive(log, 9, "b")) == {"large": (5, 0), "small": (3, 0)}


def test_the_class_is_the_channel_and_the_named_warehouse(log):
    receive(rules(log, web=100), 1, "a")
    receive(log, 1, "b")
    wait_for(log, "at-b", 3, warehouse="b")
    wait_for(log, "any", 4)
    wait_for(log, "later-at-b", 2, warehouse="b")
    assert fills(receive(log, 2, "a")) == {"any": (3, 1)}
    assert fills(receive(log, 3, "b")) == {"at-b": (3, 0), "any": (4, 0)}
    assert fills(receive(log, 1, "b")) == {"later-at-b": (1, 1)}


def test_one_that_may_not_be_split_is_filled_as_a_whole_at_its_home(log):
    receive(rules(log, web=100), 2, "a")
    receive(log, 1, "b")
    wait_for(log, "r", 5, warehouse=None)
    log.do("set_policy", channel="web", split=False, backorder_limit=100)
    assert fills(receive(log, 1, "a")) == {}
    assert fills(receive(log, 9, "b")) == {}
    assert fills(receive(log, 1, "a")) == {"r": (5, 0)}


def test_a_fill_asks_the_policy_in_force_and_keeps_the_buffer(log):
    receive(rules(log, web=100), 1)
    wait_for(log, "r", 4)
    log.do("set_policy", channel="web", enabled=False)
    assert fills(receive(log, 2)) == {}
    expected = log.do("set_policy", channel="web", buffer=1)
    assert fills(expected) == {"r": (2, 2)}
    assert fills(log.do("set_policy", channel="web", warehouses=["main"])) == {}
    assert fills(log.do("set_policy", channel="web")) == {"r": (3, 1)}


def test_a_cap_that_has_come_down_does_not_hold_up_a_fill(log):
    receive(rules(log, web=100), 1)
    log.do("set_policy", channel="web", cap=9, backorder_limit=9)
    wait_for(log, "r", 4)
    log.do("set_policy", channel="web", cap=0)
    expected = receive(log, 3)
    assert fills(expected) == {"r": (4, 0)}
    assert expected.stock_changes[-1]["book"]["channels"] == [{"channel": "web", "held": 4, "backordered": 0}]


def test_the_same_policy_again_is_no_change_of_its_sku(log):
    receive(rules(log, web=100), 1)
    log.do("set_policy", channel="web", backorder_limit=9)
    wait_for(log, "r", 4)
    log.do("set_warehouse", sku=None, version=1, warehouse="leeds", enabled=False)
    receive(log, 3)
    log.do("set_warehouse", sku=None, version=2, warehouse="leeds")
    assert fills(log.do("set_policy", channel="web", backorder_limit=9)) == {}
    assert fills(log.do("set_policy", channel="web", backorder_limit=8)) == {"r": (4, 0)}


def test_settle_has_a_sku_looked_at_by_new_rules(log):
    receive(rules(log, web=100), 1)
    assert log.result("settle", sku="T")["code"] == "unknown_sku"
    assert log.result("settle")["status"] == "accepted"
    wait_for(log, "r", 4)
    log.do("set_warehouse", sku=None, version=1, warehouse="leeds", enabled=False)
    receive(log, 3)
    assert fills(log.do("set_warehouse", sku=None, version=2, warehouse="leeds")) == {}
    expected = log.do("settle", command_id="k")
    own = expected.results[0]
    assert (own["status"], own["reservation"], own["stock"], own["seq"]) == ("accepted", None, [], 4)
    assert fills(expected) == {"r": (4, 0)}
    assert log.result("settle", command_id="k")["replayed"]


def test_a_settle_that_is_replayed_makes_nothing_pending(log):
    receive(rules(log, web=100), 1)
    wait_for(log, "r", 4)
    log.do("settle", command_id="k")
    log.do("set_warehouse", sku=None, version=1, warehouse="leeds", enabled=False)
    receive(log, 3)
    log.do("set_warehouse", sku=None, version=2, warehouse="leeds")
    assert fills(log.do("settle", command_id="k")) == {}


def test_the_position_in_the_queue(log):
    receive(rules(log, web=100, vip=10), 1)
    wait_for(log, "b1", 6, at=1)
    wait_for(log, "b2", 3, at=2, order_id="o")
    wait_for(log, "b3", 4, "vip", at=3)
    waiting = log.result("query", 9, waiting=100)["waiting"]
    assert [entry["reservation_id"] for entry in waiting] == ["b3", "b1", "b2"]
    assert waiting[2] == {
        "reservation_id": "b2",
        "channel": "web",
        "order_id": "o",
        "priority": 100,
        "placed_at": T0 + 2,
        "quantity": 3,
        "promised_at": None,
    }
    assert log.result("query", 9, waiting=1)["waiting"] == waiting[:1]
    assert log.result("query", 9, waiting=2, channels=["web"])["waiting"] == waiting[1:]
    assert "waiting" not in log.result("query", 9, waiting=0)


def test_the_rank_is_given_once(log):
    receive(rules(log, web=100), 2)
    wait_for(log, "b1", 3)
    wait_for(log, "b2", 3)
    log.do("set_policy", channel="web", priority=1, backorder_limit=100)
    log.do("amend", reservation_id="b2", quantity=4, wait="any")
    assert [(entry["reservation_id"], entry["priority"]) for entry in log.result("query", waiting=9)["waiting"]] == [
        ("b1", 100),
        ("b2", 100),
    ]
    wait_for(log, "b3", 1)
    assert [entry["reservation_id"] for entry in log.result("query", waiting=9)["waiting"]] == ["b3", "b1", "b2"]
    # One that has waited before keeps its place.
    log.do("amend", reservation_id="b1", quantity=2)
    log.do("amend", reservation_id="b1", quantity=3, wait="any")
    assert [entry["reservation_id"] for entry in log.result("query", waiting=9)["waiting"]] == ["b3", "b1", "b2"]


# Several SKUs.


def queues(log, *skus, units=20):
    """Let 10 reservations of 2 wait for each SKU."""
    for sku in skus:
        receive(log, 1, sku=sku)
        log.do("reserve", sku=sku, reservation_id="all", quantity=1)
        for number in range(units // 2):
            wait_for(log, f"r{number}", 2, sku=sku)
    return log


def looked_at(expected):
    """Return the SKUs of a record's fills, one after the other, with how many each had."""
    found = []
    for type_, sku, *_ in steps(expected):
        if type_ != "fill":
            continue
        if found and found[-1][0] == sku:
            found[-1][1] += 1
        else:
            found.append([sku, 1])
    return [tuple(entry) for entry in found]


def test_an_unfinished_sku_goes_behind_the_others(log):
    queues(rules(log, web=100, default=100), "b", "a")
    assert looked_at(receive(log, 20, sku="b")) == [("b", 8)]
    assert looked_at(receive(log, 20, sku="a")) == [("b", 2), ("a", 6)]
    assert (since(log, "b"), since(log, "a")) == ((None, False), (log.next_offset - 1, True))
    assert looked_at(log.do("tick")) == [("a", 4)]


def test_of_skus_pending_since_the_same_record_the_smaller_goes_first(log):
    rules(log, web=100)
    for sku in ("b", "a"):
        receive(log, 12, sku=sku)
        log.do("reserve", sku=sku, reservation_id="short", quantity=12, ttl_ms=10)
        for number in range(6):
            wait_for(log, f"r{number}", 2, sku=sku)
    # Both holds expire with the same record. `a` takes 12 units of work, and one for the look that finds nothing.
    assert looked_at(log.do("tick", 10)) == [("a", 6), ("b", 2)]
    assert (since(log, "a"), since(log, "b")) == ((None, False), (log.next_offset - 1, True))


def test_a_look_that_finds_nothing_is_one_unit_of_work(log, monkeypatch):
    monkeypatch.setattr(tail, "WORK", 1)
    queues(rules(log, web=100, default=100), "a", "b")
    receive(log, 2, sku="a")
    assert since(log, "a") == (log.next_offset - 1, True)
    # `b` changed with this record, after `a`, which has nothing left to do: that is this record's work.
    log.do("adjust", sku="b", warehouse="leeds", delta=1, bucket="damaged", reason="damage")
    assert (since(log, "a"), since(log, "b")) == ((None, False), (log.next_offset - 1, False))
    expected = log.do("tick")
    assert (expected.stock_changes, since(log, "b")) == ([], (None, False))


def test_a_tail_has_the_offset_and_time_of_its_record(log):
    queues(rules(log, web=100, default=100), "S")
    receive(log, 20)
    batch = UnreadBatch(BATCH_TOO_LARGE, log.next_offset, log.next_offset + 4, T0 + 5)
    expected = expected_of(log.model, batch)
    assert {(result["offset"], result["at"]) for result in expected.results} == {(log.next_offset, T0 + 5)}
