"""The rules of the contract, one claim each, told as short stories of commands over an empty ledger."""

import json

import pytest

from schemas.codec import decode_command, encode
from schemas.codes import Code
from tables.core import adjust as adjust_rule
from tables.core.adjust import MAX_BUCKET, MAX_WAREHOUSES
from tables.core.decide import decide, decide_expiry
from tables.core.decision import Record
from tables.core.rows import CLOSED_RESERVATION_MS, DEDUPLICATION_WINDOW_MS
from tables.ledger import Ledger
from tables.store import MemoryStore

T0 = 1_764_000_000_000


class Story:
    """A ledger of one partition, told commands one after the other."""

    def __init__(self, partition=0, partitions=1):
        self.ledger = Ledger(MemoryStore())
        self.partition, self.partitions = partition, partitions
        self.offset = -1
        self.now_ms = T0
        self.changes = []

    def record(self):
        self.offset += 1
        return Record(self.partition, self.partitions, self.offset, self.now_ms)

    def tell(self, type_, /, command_id=None, sku="S", **fields):
        command_id = command_id or f"c{self.offset + 1}"
        document = {"type": type_, "command_id": command_id, "sku": sku} | fields
        decision = decide(self.ledger, decode_command(json.dumps(document).encode()), self.record())
        return self.keep(decision)

    def stock(self, **warehouses):
        for warehouse, quantity in warehouses.items():
            self.tell("adjust", warehouse=warehouse, count=quantity, reason="cycle_count")
        return self

    def expire(self, reservation_id, expires_at=None, sku="S"):
        due = (expires_at or self.now_ms, sku, reservation_id)
        return self.keep(decide_expiry(self.ledger, due, self.record()))

    def keep(self, decision):
        if decision is None:
            return None
        self.ledger.apply(decision)
        self.changes = [json.loads(encode(change)) for change in decision.stock_changes]
        return json.loads(encode(decision.result))


def held(result):
    return {a["warehouse"]: a["quantity"] for a in result["reservation"]["allocations"]}


def test_the_round_trip_of_the_contract():
    story = Story().stock(leeds=10)
    story.tell("adjust", warehouse="leeds", bucket="safety_stock", delta=2, reason="correction")
    result = story.tell("reserve", "0192f3c2-1a", reservation_id="cart-77", quantity=3, channel="web", ttl_ms=900000)
    assert result == {
        "command_id": "0192f3c2-1a", "type": "reserve", "sku": "S", "status": "accepted", "code": None,
        "replayed": False,
        "reservation": {
            "reservation_id": "cart-77", "state": "held", "quantity": 3, "committed": 0, "released": 0,
            "allocations": [{"warehouse": "leeds", "quantity": 3}], "channel": "web", "order_id": None,
            "expires_at": T0 + 900000,
        },
        "stock": [{"warehouse": "leeds", "on_hand": 10, "reserved": 3, "damaged": 0, "safety_stock": 2, "inbound": 0,
                   "available": 5}],
        "shortfall": False, "seq": 3, "at": T0, "partition": 0, "offset": 2,
    }  # fmt: skip
    assert story.changes == [{
        "sku": "S", "warehouse": "leeds", "seq": 3, "at": T0,
        "cause": {"type": "reserve", "command_id": "0192f3c2-1a", "reservation_id": "cart-77"},
        "delta": {"reserved": 3},
        "after": {"on_hand": 10, "reserved": 3, "damaged": 0, "safety_stock": 2, "inbound": 0, "available": 5},
        "shortfall": False,
    }]  # fmt: skip


# Each row: the code, and the last command of a story that earns it. Later codes would apply too, so order is tested.
REFUSALS = [
    (Code.UNKNOWN_SKU, {"type_": "reserve", "sku": "none", "warehouse": "x", "reservation_id": "r", "quantity": 9}),
    (Code.UNKNOWN_SKU, {"type_": "commit", "sku": "none", "reservation_id": "held"}),
    (Code.UNKNOWN_SKU, {"type_": "query", "sku": "none", "reservation_id": "held"}),
    (Code.UNKNOWN_WAREHOUSE, {"type_": "reserve", "warehouse": "x", "reservation_id": "held", "quantity": 99}),
    (Code.UNKNOWN_RESERVATION, {"type_": "commit", "reservation_id": "none", "quantity": 99}),
    (Code.UNKNOWN_RESERVATION, {"type_": "release", "reservation_id": "none"}),
    (Code.UNKNOWN_RESERVATION, {"type_": "extend", "reservation_id": "none", "ttl_ms": 1}),
    (Code.UNKNOWN_RESERVATION, {"type_": "query", "reservation_id": "none"}),
    (Code.RESERVATION_EXISTS, {"type_": "reserve", "reservation_id": "held", "quantity": 99}),
    (Code.RESERVATION_EXISTS, {"type_": "reserve", "reservation_id": "committed", "quantity": 1}),
    (Code.RESERVATION_COMMITTED, {"type_": "commit", "reservation_id": "committed", "quantity": 99}),
    (Code.RESERVATION_COMMITTED, {"type_": "extend", "reservation_id": "committed", "ttl_ms": 5}),
    (Code.RESERVATION_RELEASED, {"type_": "release", "reservation_id": "released"}),
    (Code.RESERVATION_EXPIRED, {"type_": "commit", "reservation_id": "expired", "quantity": 99}),
    (Code.QUANTITY_EXCEEDS_RESERVATION, {"type_": "commit", "reservation_id": "held", "quantity": 5}),
    (Code.QUANTITY_EXCEEDS_RESERVATION, {"type_": "release", "reservation_id": "held", "quantity": 5}),
    (Code.STALE_EXPECTATION, {"type_": "adjust", "warehouse": "leeds", "delta": -99, "reason": "damage",
                              "expected_on_hand": 8}),
    (Code.NEGATIVE_STOCK, {"type_": "adjust", "warehouse": "leeds", "delta": -10, "reason": "damage"}),
    (Code.NEGATIVE_STOCK, {"type_": "adjust", "warehouse": "x", "delta": -1, "reason": "damage"}),
    (Code.INSUFFICIENT_STOCK, {"type_": "reserve", "reservation_id": "new", "quantity": 6}),
    (Code.INSUFFICIENT_STOCK, {"type_": "reserve", "warehouse": "leeds", "reservation_id": "new", "quantity": 6}),
]  # fmt: skip


@pytest.fixture
def story():
    """Nine on hand in Leeds, four of them held, and a reservation in every other state."""
    story = Story().stock(leeds=10)
    story.tell("reserve", reservation_id="committed", quantity=1)
    story.tell("commit", reservation_id="committed")
    story.tell("reserve", reservation_id="released", quantity=1)
    story.tell("release", reservation_id="released")
    story.tell("reserve", reservation_id="expired", quantity=1, ttl_ms=1)
    story.now_ms += 1
    story.expire("expired")
    story.tell("reserve", reservation_id="held", quantity=4)
    return story


@pytest.mark.parametrize(("code", "command"), REFUSALS)
def test_a_refusal_has_the_first_code_that_applies_and_changes_nothing(story, code, command):
    before = story.tell("query")["stock"]
    result = story.tell(command["type_"], **{k: v for k, v in command.items() if k != "type_"})
    assert (result["status"], result["code"]) == ("rejected", code)
    assert (result["reservation"], result["stock"], story.changes) == (None, [], [])
    assert story.tell("query")["stock"] == before


def test_insufficient_stock_says_what_was_asked_and_what_there_was(story):
    result = story.tell("reserve", reservation_id="new", quantity=6)
    assert (result["requested"], result["available"]) == (6, 5)


def test_the_first_warehouse_that_has_it_all_gets_it():
    story = Story().stock(bonn=2, leeds=5, york=9)
    assert held(story.tell("reserve", reservation_id="r", quantity=5)) == {"leeds": 5}


def test_what_no_warehouse_has_alone_is_split_in_the_order_of_their_ids():
    story = Story().stock(york=9, bonn=2, leeds=5)
    result = story.tell("reserve", reservation_id="r", quantity=12)
    assert held(result) == {"bonn": 2, "leeds": 5, "york": 5}
    assert [change["warehouse"] for change in story.changes] == ["bonn", "leeds", "york"]
    assert [change["seq"] for change in story.changes] == [4, 5, 6]
    assert result["seq"] == 6


def test_a_named_warehouse_is_never_split():
    story = Story().stock(bonn=2, leeds=5)
    assert story.tell("reserve", reservation_id="r", quantity=6, warehouse="leeds")["code"] == "insufficient_stock"


def test_safety_stock_is_not_for_sale():
    story = Story().stock(leeds=5)
    story.tell("adjust", warehouse="leeds", bucket="safety_stock", count=2, reason="correction")
    result = story.tell("reserve", reservation_id="r", quantity=4)
    assert (result["code"], result["available"]) == ("insufficient_stock", 3)


def test_a_commit_takes_from_the_first_allocation_and_a_release_from_the_last():
    story = Story().stock(bonn=2, leeds=2, york=2)
    story.tell("reserve", reservation_id="r", quantity=6)
    assert held(story.tell("commit", reservation_id="r", quantity=3)) == {"leeds": 1, "york": 2}
    result = story.tell("release", reservation_id="r", quantity=3)
    assert (held(result), result["reservation"]["state"]) == ({}, "released")
    assert [(c["warehouse"], c["delta"]) for c in story.changes] == [
        ("leeds", {"reserved": -1}),
        ("york", {"reserved": -2}),
    ]
    assert [row["on_hand"] for row in story.tell("query")["stock"]] == [0, 1, 2]


def test_the_last_step_decides_how_a_reservation_ends():
    story = Story().stock(leeds=4)
    story.tell("reserve", reservation_id="r", quantity=4)
    story.tell("release", reservation_id="r", quantity=1)
    ended = story.tell("commit", reservation_id="r")["reservation"]
    assert (ended["state"], ended["committed"], ended["released"]) == ("committed", 3, 1)


def test_a_count_below_what_is_promised_is_accepted_and_flagged():
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="r", quantity=5)
    result = story.tell("adjust", warehouse="leeds", count=3, reason="cycle_count")
    assert (result["status"], result["shortfall"], result["stock"][0]["available"]) == ("accepted", True, -2)
    assert story.changes[0]["shortfall"] is True


def test_goods_that_a_count_found_missing_cannot_be_committed_but_fewer_can():
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="r", quantity=5)
    story.tell("adjust", warehouse="leeds", count=3, reason="cycle_count")
    assert story.tell("commit", reservation_id="r")["code"] == "negative_stock"
    assert story.tell("commit", reservation_id="r", quantity=3)["status"] == "accepted"


def test_a_count_that_finds_what_is_there_changes_nothing():
    story = Story().stock(leeds=5)
    result = story.tell("adjust", warehouse="leeds", count=5, reason="cycle_count")
    assert (result["status"], result["seq"], story.changes) == ("accepted", 1, [])
    assert result["stock"][0]["on_hand"] == 5


def test_a_count_of_nothing_where_nothing_is_makes_no_row():
    story = Story()
    assert story.tell("adjust", warehouse="leeds", count=0, reason="cycle_count")["status"] == "accepted"
    assert story.tell("query")["code"] == "unknown_sku"


@pytest.mark.parametrize("bucket", ["on_hand", "damaged", "safety_stock"])
def test_each_bucket_is_adjusted_by_itself(bucket):
    story = Story().stock(leeds=5)
    story.tell("adjust", warehouse="leeds", bucket=bucket, delta=2, reason="correction", reference="PO-1")
    assert story.changes[0]["delta"] == {bucket: 2}
    assert story.changes[0]["cause"]["reference"] == "PO-1"


def test_a_sku_has_a_bounded_number_of_warehouses():
    story = Story()
    for number in range(MAX_WAREHOUSES):
        story.tell("adjust", warehouse=f"w{number}", delta=1, reason="receipt")
    assert story.tell("adjust", warehouse="one-more", delta=1, reason="receipt")["code"] == "unknown_warehouse"
    assert story.tell("adjust", warehouse="w0", delta=1, reason="receipt")["status"] == "accepted"


@pytest.fixture
def full_story(monkeypatch):
    """As many warehouses as a SKU may have: two."""
    monkeypatch.setattr(adjust_rule, "MAX_WAREHOUSES", 2)
    return Story().stock(leeds=1, york=1)


def test_a_count_of_nothing_in_one_warehouse_too_many_is_accepted_and_makes_no_row(full_story):
    result = full_story.tell("adjust", warehouse="bath", count=0, reason="cycle_count", bucket="damaged")
    assert (result["status"], result["seq"], full_story.changes) == ("accepted", 2, [])
    assert result["stock"] == [{"warehouse": "bath", "on_hand": 0, "reserved": 0, "damaged": 0, "safety_stock": 0,
                                "inbound": 0, "available": 0}]  # fmt: skip
    assert [row["warehouse"] for row in full_story.tell("query")["stock"]] == ["leeds", "york"]
    refused = full_story.tell("adjust", warehouse="bath", count=0, reason="cycle_count", expected_on_hand=1)
    assert refused["code"] == "stale_expectation"


@pytest.mark.parametrize("change", [{"count": 1}, {"delta": 1}, {"delta": -1}, {"count": 1, "expected_on_hand": 7}])
def test_whatever_else_is_adjusted_in_one_warehouse_too_many_is_refused_first_of_all(full_story, change):
    result = full_story.tell("adjust", warehouse="bath", reason="correction", **change)
    assert (result["code"], full_story.changes) == ("unknown_warehouse", [])


@pytest.mark.parametrize("bucket", ["on_hand", "damaged", "safety_stock"])
def test_a_bucket_holds_more_than_one_command_may_bring_up_to_the_largest_number_of_json(monkeypatch, bucket):
    assert MAX_BUCKET == 2**53 - 1
    story = Story()
    billion = {"warehouse": "leeds", "bucket": bucket, "delta": 1_000_000_000, "reason": "receipt"}
    story.tell("adjust", **billion)
    assert story.tell("adjust", **billion)["stock"][0][bucket] == 2_000_000_000
    monkeypatch.setattr(adjust_rule, "MAX_BUCKET", 3_000_000_005)
    story.tell("adjust", **billion)
    over = billion | {"delta": 6, "expected_on_hand": 7, "command_id": "over"}
    refused = story.tell("adjust", **over)
    assert (refused["code"], refused["seq"], story.changes) == ("limit_exceeded", 3, [])
    assert story.tell("adjust", **over)["replayed"]
    assert story.tell("adjust", **billion | {"delta": 5})["stock"][0][bucket] == 3_000_000_005


def test_extend_counts_from_now_and_zero_means_never():
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="r", quantity=1, ttl_ms=10)
    story.now_ms += 5
    result = story.tell("extend", reservation_id="r", ttl_ms=100)
    assert (result["reservation"]["expires_at"], result["stock"], story.changes) == (T0 + 105, [], [])
    assert story.tell("extend", reservation_id="r", ttl_ms=0)["reservation"]["expires_at"] is None


def test_an_expiry_gives_back_what_is_left_and_answers_unasked():
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="r", quantity=3, ttl_ms=10)
    story.tell("commit", reservation_id="r", quantity=1)
    story.now_ms += 10
    result = story.expire("r")
    assert (result["type"], result["command_id"], result["status"]) == ("expire", None, "accepted")
    assert (result["reservation"]["state"], result["reservation"]["released"]) == ("expired", 2)
    assert story.changes[0]["cause"] == {"type": "expire", "reservation_id": "r"}


def test_a_reservation_that_was_extended_or_ended_does_not_expire():
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="extended", quantity=1, ttl_ms=10)
    story.tell("extend", reservation_id="extended", ttl_ms=1_000)
    story.tell("reserve", reservation_id="ended", quantity=1, ttl_ms=10)
    story.tell("release", reservation_id="ended")
    story.now_ms += 10
    assert story.expire("extended") is None
    story.now_ms += 1_000
    assert story.expire("extended", expires_at=T0 + 10) is None
    assert story.expire("extended", expires_at=T0 + 1_000)["reservation"]["state"] == "expired"
    assert story.expire("ended") is None


# Idempotency


def test_the_same_command_again_gets_its_first_result_and_does_nothing():
    story = Story().stock(leeds=5)
    first = story.tell("reserve", "c", reservation_id="r", quantity=2)
    story.tell("adjust", warehouse="leeds", delta=1, reason="receipt")
    story.now_ms += 1_000
    assert story.tell("reserve", "c", reservation_id="r", quantity=2) == first | {"replayed": True}
    assert story.changes == []
    assert story.tell("query")["stock"][0]["reserved"] == 2


def test_a_refusal_is_remembered_too():
    story = Story().stock(leeds=1)
    first = story.tell("reserve", "c", reservation_id="r", quantity=2)
    story.stock(leeds=9)
    assert story.tell("reserve", "c", reservation_id="r", quantity=2) == first | {"replayed": True}


@pytest.mark.parametrize(
    "same",
    [
        {"channel": "default"},
        {"ttl_ms": 900_000},
        {"warehouse": None},
        {"actor": "somebody else", "source": "elsewhere", "issued_at": 5},
    ],
)
def test_defaults_written_out_and_who_sent_it_make_no_other_content(same):
    story = Story().stock(leeds=5)
    story.tell("reserve", "c", reservation_id="r", quantity=2)
    assert story.tell("reserve", "c", reservation_id="r", quantity=2, **same)["replayed"] is True


@pytest.mark.parametrize(
    "other", [{"quantity": 3}, {"channel": "web"}, {"ttl_ms": 0}, {"order_id": "o"}, {"reservation_id": "s"}]
)
def test_the_same_id_with_other_content_is_a_mismatch_and_the_original_stays(other):
    story = Story().stock(leeds=5)
    first = story.tell("reserve", "c", reservation_id="r", quantity=2)
    found = story.tell("reserve", "c", **({"reservation_id": "r", "quantity": 2} | other))
    assert (found["code"], found["replayed"], found["seq"]) == ("idempotency_mismatch", False, 2)
    assert story.tell("reserve", "c", reservation_id="r", quantity=2) == first | {"replayed": True}


def test_a_command_of_another_type_under_the_same_id_is_a_mismatch():
    story = Story().stock(leeds=5)
    story.tell("reserve", "c", reservation_id="r", quantity=2)
    assert story.tell("commit", "c", reservation_id="r")["code"] == "idempotency_mismatch"


def test_ids_are_remembered_per_sku():
    story = Story().stock(leeds=5)
    story.tell("adjust", "c", warehouse="leeds", delta=1, reason="receipt")
    assert story.tell("adjust", "c", sku="other", warehouse="leeds", delta=1, reason="receipt")["replayed"] is False


def test_a_command_is_forgotten_at_the_end_of_the_window_and_not_before():
    story = Story().stock(leeds=5)
    story.tell("adjust", "c", warehouse="leeds", delta=1, reason="receipt")
    story.now_ms += DEDUPLICATION_WINDOW_MS - 1
    assert story.tell("adjust", "c", warehouse="leeds", delta=1, reason="receipt")["replayed"] is True
    story.now_ms += 1
    assert story.tell("adjust", "c", warehouse="leeds", delta=1, reason="receipt")["replayed"] is False


def test_a_closed_reservations_id_may_be_used_again_after_a_week():
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="r", quantity=1)
    story.tell("release", reservation_id="r")
    story.now_ms += CLOSED_RESERVATION_MS - 1
    assert story.tell("reserve", reservation_id="r", quantity=1)["code"] == "reservation_exists"
    story.now_ms += 1
    assert story.tell("reserve", reservation_id="r", quantity=1)["status"] == "accepted"


def test_wrong_partition_comes_before_everything_the_ledger_knows():
    story = Story(partition=0, partitions=4)
    results = {sku: story.tell("query", sku=sku) for sku in "abcdefgh"}
    codes = {result["code"] for result in results.values()}
    assert codes == {"wrong_partition", "unknown_sku"}
    wrong = next(r for r in results.values() if r["code"] == "wrong_partition")
    assert wrong["seq"] == 0
    assert story.tell("query", wrong["command_id"], sku=wrong["sku"])["replayed"] is False


def test_a_query_shows_all_rows_and_a_reservation():
    story = Story().stock(york=1, leeds=5)
    story.tell("reserve", reservation_id="s", quantity=1, warehouse="york", order_id="o-1")
    result = story.tell("query", reservation_id="s")
    assert [row["warehouse"] for row in result["stock"]] == ["leeds", "york"]
    assert (result["reservation"]["order_id"], result["seq"]) == ("o-1", 3)
    assert story.changes == []


def test_a_query_finds_the_result_of_an_earlier_command():
    story = Story().stock(leeds=5)
    first = story.tell("reserve", "c", reservation_id="r", quantity=2)
    assert story.tell("query", of_command_id="c")["of_command"] == first
    assert story.tell("query", of_command_id="none")["of_command"] is None
    assert "of_command" not in story.tell("query")


def test_a_refused_query_still_tells_of_the_command():
    story = Story()
    first = story.tell("reserve", "c", reservation_id="r", quantity=2)
    found = story.tell("query", of_command_id="c")
    assert (found["code"], found["of_command"]) == ("unknown_sku", first)


def test_a_query_is_answered_anew_each_time_and_another_command_may_have_its_id():
    story = Story().stock(leeds=5)
    first = story.tell("query", "q", of_command_id="q")
    assert (first["replayed"], first["of_command"]) == (False, None)
    held = story.tell("reserve", "q", reservation_id="r", quantity=2)
    assert held["status"] == "accepted"
    again = story.tell("query", "q", of_command_id="q")
    assert (again["replayed"], again["stock"][0]["reserved"], again["of_command"]) == (False, 2, held)


def test_a_query_leaves_nothing_behind():
    story = Story().stock(leeds=5)
    before = dict(story.ledger._store.scan(b"", b"\xff"))
    story.tell("query", reservations=5)
    story.tell("query", sku="none")
    assert dict(story.ledger._store.scan(b"", b"\xff")) == before


def listed(story, **fields):
    result = story.tell("query", **fields)
    return [view["reservation_id"] for view in result["reservations"]], result["next"]


def test_a_query_lists_the_held_reservations_by_id():
    story = Story().stock(leeds=50)
    for name in ("b", "a", "B", "a.1", "c"):
        story.tell("reserve", reservation_id=name, quantity=1, channel="web" if name == "c" else None)
    story.tell("release", reservation_id="a")
    story.tell("reserve", sku="other", reservation_id="z", quantity=1)
    assert "reservations" not in story.tell("query")
    assert listed(story, reservations=100) == (["B", "a.1", "b", "c"], None)
    assert listed(story, reservations=2) == (["B", "a.1"], "a.1")
    assert listed(story, reservations=2, after="a.1") == (["b", "c"], None)
    assert listed(story, reservations=2, after="c") == ([], None)
    assert listed(story, reservations=9, channels=["web", "shop"]) == (["c"], None)
    (shown,) = story.tell("query", reservations=1, after="b")["reservations"]
    assert shown == story.tell("query", reservation_id="c")["reservation"]


def test_a_list_ends_after_it_has_looked_at_so_many_and_says_where_to_go_on(monkeypatch):
    monkeypatch.setattr("tables.core.query.MAX_LOOKED_AT", 3)
    story = Story().stock(leeds=50)
    for name in "abcde":
        story.tell("reserve", reservation_id=name, quantity=1)
    for name in "abc":
        story.tell("release", reservation_id=name)
    assert listed(story, reservations=100) == ([], "c")
    assert listed(story, reservations=100, after="c") == (["d", "e"], None)


def test_a_list_ends_after_so_many_allocations(monkeypatch):
    monkeypatch.setattr("tables.core.query.MAX_SHOWN_ALLOCATIONS", 3)
    story = Story().stock(leeds=2, york=50)
    story.tell("reserve", reservation_id="a", quantity=52)
    story.stock(leeds=5)
    for name in "bc":
        story.tell("reserve", reservation_id=name, quantity=1)
    assert listed(story, reservations=100) == (["a", "b"], "b")


def test_a_list_does_not_show_or_count_what_is_forgotten(monkeypatch):
    monkeypatch.setattr("tables.core.query.MAX_LOOKED_AT", 1)
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="a", quantity=1)
    story.tell("release", reservation_id="a")
    story.now_ms += CLOSED_RESERVATION_MS
    story.tell("reserve", reservation_id="b", quantity=1)
    assert listed(story, reservations=5) == (["b"], None)


@pytest.mark.parametrize("type_", ["commit", "release", "extend", "query"])
def test_a_reservation_of_another_channel_is_unknown(type_):
    story = Story().stock(leeds=5)
    story.tell("reserve", reservation_id="r", quantity=2, channel="web")
    fields = {"reservation_id": "r"} | ({"ttl_ms": 5} if type_ == "extend" else {})
    assert story.tell(type_, channels=["shop"], **fields)["code"] == "unknown_reservation"
    assert story.tell(type_, "again", channels=["shop", "web"], **fields)["status"] == "accepted"
    # The channels are who asks, not what is asked.
    assert story.tell(type_, "again", channels=["web"], **fields)["replayed"] is (type_ != "query")
