"""The ledger's memory is bounded, and what fell out of it is found on disk as it was left."""

import json

from schemas.codec import decode_command
from tables.core.decide import decide
from tables.core.decision import Record
from tables.core.rows import Position
from tables.ledger import Ledger
from tables.store import MemoryStore
from tests.tables.partition import Partition


def tell(ledger, offset, **document):
    command = decode_command(json.dumps(document | {"command_id": f"c{offset}"}).encode())
    decision = decide(ledger, command, Record(0, 1, offset, 1_000))
    ledger.apply(decision)
    return decision.result


def cached(cache):
    return len(cache.young) + len(cache._old)


def test_new_skus_and_reservations_do_not_grow_the_cache_beyond_its_bound():
    ledger = Ledger(MemoryStore(), cached_rows=100)
    ledger.position = Position(0, 0, "x")
    for number in range(2_000):
        tell(ledger, 2 * number, type="adjust", sku=f"S{number}", warehouse="w", delta=5, reason="receipt")
        tell(ledger, 2 * number + 1, type="reserve", sku=f"S{number}", reservation_id="r", quantity=1)
        if number % 50 == 0:
            ledger.checkpoint(Position(number, 1_000, "x"), number)
    assert cached(ledger._skus) <= 200
    assert cached(ledger._rows) <= 200


def test_what_fell_out_of_the_cache_within_a_transaction_is_still_as_decided():
    ledger = Ledger(MemoryStore(), cached_rows=3)
    ledger.position = Position(0, 0, "x")
    for number in range(50):
        tell(ledger, number, type="adjust", sku=f"S{number}", warehouse="w", delta=5, reason="receipt")
    assert ledger.sku("S0").stock["w"].on_hand == 5
    tell(ledger, 99, type="reserve", sku="S0", reservation_id="r", quantity=2)
    for number in range(1, 50):
        ledger.sku(f"S{number}")
    assert ledger.sku("S0").stock["w"].reserved == 2
    ledger.checkpoint(Position(100, 1_000, "x"), 0)
    for number in range(1, 50):
        ledger.sku(f"S{number}")
    assert ledger.sku("S0").stock["w"].reserved == 2


def test_warehouses_stay_in_the_order_of_their_ids_however_they_came():
    ledger = Ledger(MemoryStore())
    ledger.position = Position(0, 0, "x")
    for offset, warehouse in enumerate(["york", "bonn", "leeds"]):
        tell(ledger, offset, type="adjust", sku="S", warehouse=warehouse, delta=1, reason="receipt")
    assert list(ledger.sku("S").stock) == ["bonn", "leeds", "york"]
    ledger.checkpoint(Position(3, 0, "x"), 0)
    assert list(Ledger(ledger._store).sku("S").stock) == ["bonn", "leeds", "york"]


def test_a_sku_weighs_in_the_cache_what_its_policies_and_its_book_have_too():
    ledger = Ledger(MemoryStore(), cached_rows=1_000)
    ledger.position = Position(0, 0, "x")
    listed = [f"w{number}" for number in range(200)]
    for number in range(20):
        tell(ledger, 2 * number, type="adjust", sku=f"S{number}", warehouse="w", delta=5, reason="receipt")
        tell(ledger, 2 * number + 1, type="set_policy", sku=f"S{number}", channel="web", warehouses=listed, cap=1)
    assert cached(ledger._skus) <= 2 * 5
    ledger.checkpoint(Position(40, 1_000, "x"), 0)
    again = Ledger(ledger._store, cached_rows=1_000)
    for number in range(20):
        again.sku(f"S{number}")
    assert cached(again._skus) <= 2 * 5


def test_the_weight_of_the_cache_follows_what_changes_beside_the_stock_rows():
    ledger = Ledger(MemoryStore())
    ledger.position = Position(0, 0, "x")
    tell(ledger, 0, type="adjust", sku="S", warehouse="w", delta=5, reason="receipt")
    weights = []
    for offset, document in enumerate(
        [
            {"type": "set_policy", "channel": "web", "cap": 5, "warehouses": ["w", "x", "y"]},
            {"type": "set_policy", "channel": "web", "cap": 5, "warehouses": ["w", "x"]},
            {"type": "set_policy", "channel": "web", "cap": 5, "warehouses": ["w", "z"]},
            {"type": "reserve", "channel": "web", "quantity": 1, "reservation_id": "r"},
            {"type": "reserve", "channel": "web", "quantity": 1, "reservation_id": "s"},
            {"type": "release", "reservation_id": "r"},
            {"type": "release", "reservation_id": "s"},
            {"type": "set_policy", "channel": "web"},
        ],
        start=1,
    ):
        assert tell(ledger, offset, sku="S", **document).status == "accepted"
        weights.append(ledger._skus._weight)
    assert weights == [1 + 4, 1 + 3, 1 + 3, 1 + 3 + 1, 1 + 3 + 1, 1 + 3 + 1, 1 + 3, 1]


def test_policies_of_a_sku_without_stock_rows_do_not_make_it_known():
    ledger = Ledger(MemoryStore())
    ledger.position = Position(0, 0, "x")
    tell(ledger, 0, type="set_policy", sku="S", channel="web", cap=5)
    assert ledger.sku("S") is None
    assert ledger._skus._weight == 0


def test_a_warehouse_id_is_in_memory_once_however_many_policies_list_it():
    partition = Partition()
    partition.tell(
        {"command_id": "a", "type": "adjust", "sku": "S", "warehouse": "w", "delta": 5, "reason": "receipt"},
        {"command_id": "b", "type": "set_warehouse", "warehouse": "far-away", "version": 1},
    )
    for number, channel in enumerate(("web", "shop", "*")):
        policy = {"channel": channel, "warehouses": ["far-away", "further-away"]}
        partition.tell(policy | {"command_id": f"channel-{number}", "type": "set_channel", "version": 1})
        partition.tell(policy | {"command_id": f"policy-{number}", "type": "set_policy", "sku": "S"})
    for ledger in (partition.ledger, Ledger(partition.store)):
        channels = [ledger.register.find(f"channel/{channel}") for channel in ("web", "shop", "*")]
        rows = [*channels, *ledger.sku("S").policies.values()]
        assert [row.warehouses for row in rows] == [("far-away", "further-away")] * 6
        ids = {id(name) for row in rows for name in row.warehouses}
        assert len(ids | {id(name) for name in ledger.register.warehouses}) == 2
