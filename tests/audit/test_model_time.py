"""The model's clock: expiry before each record, remembered commands, and reservations that are dropped."""

import pytest

from audit.model import state as model

DAY = 24 * 60 * 60 * 1000
T0 = 1_764_000_000_000


@pytest.fixture
def stocked(log):
    return log.stocked(a=5, b=5)


def test_the_clock_never_goes_back(log):
    log.do("tick", at=100)
    assert log.result("query", at=50)["at"] == T0 + 100


@pytest.mark.parametrize(("at", "results"), [(899_999, 0), (900_000, 1)])
def test_a_reservation_expires_at_its_time_and_not_before(stocked, at, results):
    stocked.do("reserve", reservation_id="r", quantity=1)
    assert len(stocked.do("tick", at=at).results) == results


def test_an_expiry_is_told_by_an_unsolicited_result_and_its_changes(stocked):
    stocked.do("reserve", reservation_id="r", quantity=7, ttl_ms=10, order_id="o", actor="ann")
    expected = stocked.do("tick", at=15)
    rows = [
        {
            "warehouse": warehouse,
            "on_hand": 5,
            "reserved": 0,
            "damaged": 0,
            "safety_stock": 0,
            "inbound": 0,
            "available": 5,
        }
        for warehouse in ("a", "b")
    ]
    assert expected.results == [
        {
            "command_id": None,
            "type": "expire",
            "sku": "S",
            "status": "accepted",
            "code": None,
            "replayed": False,
            "reservation": {
                "reservation_id": "r",
                "state": "expired",
                "quantity": 7,
                "committed": 0,
                "released": 7,
                "allocations": [],
                "channel": "default",
                "order_id": "o",
                "expires_at": T0 + 10,
            },
            "stock": rows,
            "shortfall": False,
            "seq": 6,
            "at": T0 + 15,
            "partition": 0,
            "offset": 3,
        }
    ]
    assert [(change["seq"], change["delta"], change["at"]) for change in expected.stock_changes] == [
        (5, {"reserved": -5}, T0 + 15),
        (6, {"reserved": -2}, T0 + 15),
    ]
    assert expected.stock_changes[0]["cause"] == {"type": "expire", "reservation_id": "r"}


def test_expiries_are_ordered_by_time_then_sku_then_reservation(log):
    for sku in ("T", "S"):
        log.do("adjust", sku=sku, warehouse="a", delta=9, reason="receipt")
    for sku, reservation_id, ttl_ms in (("T", "1", 5), ("S", "2", 5), ("S", "1", 5), ("T", "9", 4), ("S", "10", 5)):
        log.do("reserve", sku=sku, reservation_id=reservation_id, quantity=1, ttl_ms=ttl_ms)
    expired = [(it["sku"], it["reservation"]["reservation_id"]) for it in log.do("tick", at=5).results]
    assert expired == [("T", "9"), ("S", "1"), ("S", "10"), ("S", "2"), ("T", "1")]


def test_expiries_come_before_the_record_that_brought_the_time(stocked):
    stocked.do("reserve", reservation_id="r", quantity=10, ttl_ms=10)
    expired, reserved = stocked.do("reserve", at=10, reservation_id="next", quantity=10).results
    assert (expired["type"], reserved["code"], reserved["offset"]) == ("expire", None, expired["offset"])


def test_refused_and_unreadable_records_bring_expiries_too(stocked):
    stocked.do("reserve", reservation_id="r", quantity=1, ttl_ms=10)
    stocked.do("reserve", reservation_id="s", quantity=1, ttl_ms=20)
    assert [it["type"] for it in stocked.do("commit", at=10, reservation_id="no").results] == ["expire", "commit"]
    expected = stocked.send(b"{", at=20)
    assert ([it["type"] for it in expected.results], len(expected.dead_letters)) == (["expire"], 1)


def test_what_was_committed_stays_committed_when_the_rest_expires(stocked):
    stocked.do("reserve", reservation_id="r", quantity=4, ttl_ms=10)
    stocked.do("commit", reservation_id="r", quantity=3)
    view = stocked.do("tick", at=10).results[0]["reservation"]
    assert (view["state"], view["committed"], view["released"]) == ("expired", 3, 1)


def test_an_extended_reservation_expires_once_and_at_its_last_time(stocked):
    stocked.do("reserve", reservation_id="r", quantity=1, ttl_ms=10)
    stocked.do("extend", reservation_id="r", ttl_ms=30)
    stocked.do("extend", reservation_id="r", ttl_ms=10)
    stocked.do("extend", at=5, reservation_id="r", ttl_ms=15)
    assert [len(stocked.do("tick", at=at).results) for at in (10, 19, 20, 30)] == [0, 0, 1, 0]


def test_a_repeated_command_gets_the_original_result_again_and_does_nothing(stocked):
    fields = {"command_id": "x", "reservation_id": "r", "quantity": 2}
    first = stocked.result("reserve", **fields)
    stocked.do("adjust", warehouse="a", delta=1, reason="receipt")
    again = stocked.do("reserve", at=7, **fields)
    assert again.results == [first | {"replayed": True}]
    assert again.stock_changes == []


SAME = [
    ({"channel": "default"}, {}),
    ({"ttl_ms": 900_000}, {}),
    ({"issued_at": 1, "actor": "a", "source": "s"}, {"issued_at": 2, "actor": "b", "source": "t"}),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_defaults_filled_in_and_who_sent_it_make_no_other_command(stocked, first, second):
    fields = {"command_id": "x", "reservation_id": "r", "quantity": 2}
    stocked.do("reserve", **fields, **first)
    assert stocked.result("reserve", **fields, **second)["replayed"] is True


OTHER = [
    ("reserve", {"quantity": 3}),
    ("reserve", {"reservation_id": "s"}),
    ("reserve", {"ttl_ms": 0}),
    ("reserve", {"channel": "web"}),
    ("reserve", {"warehouse": "a"}),
    ("reserve", {"order_id": "o"}),
    ("commit", {}),
]


@pytest.mark.parametrize(("type_", "fields"), OTHER)
def test_the_same_id_with_other_content_is_a_mismatch_and_the_original_stays(stocked, type_, fields):
    original = {"command_id": "x", "reservation_id": "r", "quantity": 2}
    stocked.do("reserve", **original)
    stocked.do("adjust", warehouse="a", delta=1, reason="receipt")
    mismatch = stocked.result(type_, **(original | fields))
    assert (mismatch["code"], mismatch["type"], mismatch["seq"]) == ("idempotency_mismatch", type_, 4)
    assert stocked.result("reserve", **original)["replayed"] is True


def test_a_refusal_is_remembered_as_well(log):
    assert log.result("commit", command_id="x", reservation_id="r")["code"] == "unknown_sku"
    log.stocked(a=1)
    again = log.result("commit", command_id="x", reservation_id="r")
    assert (again["code"], again["replayed"], again["seq"]) == ("unknown_sku", True, 0)


def test_an_invalid_command_is_not_remembered(log):
    log.do("commit", command_id="x", reservation_id="r", quantity=0)
    assert log.result("commit", command_id="x", reservation_id="r", quantity=1)["code"] == "unknown_sku"


def test_ids_are_remembered_for_each_sku_apart(stocked):
    stocked.do("query", command_id="x")
    assert stocked.result("query", command_id="x", sku="T")["code"] == "unknown_sku"


@pytest.mark.parametrize(("at", "replayed"), [(DAY - 1, True), (DAY, False)])
def test_a_command_is_forgotten_after_exactly_a_day(log, at, replayed):
    log.do("adjust", command_id="x", warehouse="a", delta=1, reason="receipt")
    again = log.result("adjust", at=at, command_id="x", warehouse="a", delta=1, reason="receipt")
    assert (again["replayed"], again["seq"]) == ((True, 1) if replayed else (False, 2))


def test_a_replay_does_not_prolong_the_memory(log):
    log.do("query", command_id="x")
    log.do("query", at=DAY - 1, command_id="x")
    assert log.result("query", at=DAY, command_id="x")["replayed"] is False


@pytest.mark.parametrize(("at", "code"), [(7 * DAY - 1, "reservation_released"), (7 * DAY, "unknown_reservation")])
def test_a_closed_reservation_is_dropped_after_exactly_seven_days(stocked, at, code):
    stocked.do("reserve", reservation_id="r", quantity=1)
    stocked.do("release", reservation_id="r")
    assert stocked.result("release", at=at, reservation_id="r")["code"] == code


def test_the_id_of_a_dropped_reservation_may_be_used_again(stocked):
    stocked.do("reserve", reservation_id="r", quantity=1, ttl_ms=0)
    stocked.do("commit", reservation_id="r")
    assert stocked.result("reserve", at=7 * DAY, reservation_id="r", quantity=1)["code"] is None


def test_a_held_reservation_is_never_dropped(stocked):
    stocked.do("reserve", reservation_id="r", quantity=1, ttl_ms=0)
    assert stocked.result("commit", at=31 * DAY, reservation_id="r")["code"] is None


def test_expiries_that_are_none_any_more_are_sorted_out(stocked, monkeypatch):
    monkeypatch.setattr(model, "_STALE_EXPIRIES", 10)
    stocked.do("reserve", reservation_id="r", quantity=1)
    stocked.do("reserve", reservation_id="s", quantity=1, ttl_ms=700)
    for number in range(100):
        stocked.do("extend", reservation_id="r", ttl_ms=1000 + number)
    assert len(stocked.model.expiries) <= 2 * 2 + 11
    assert [it["reservation"]["reservation_id"] for it in stocked.do("tick", at=700).results] == ["s"]
    assert stocked.do("tick", at=1098).results == []
    assert [it["reservation"]["reservation_id"] for it in stocked.do("tick", at=1099).results] == ["r"]


def test_nothing_is_kept_longer_than_it_is_remembered(stocked):
    for number in range(50):
        stocked.do("reserve", at=number, reservation_id=f"r{number}", quantity=1, ttl_ms=5)
    stocked.do("tick", at=100)
    stocked.do("tick", at=8 * DAY)
    kept = stocked.model
    assert (len(kept.seen), len(kept.seen_order), len(kept.seen_runs)) == (0, 0, 0)
    assert (len(kept.holds), len(kept.closed), len(kept.expiries), kept.open) == (0, 0, 0, 0)
