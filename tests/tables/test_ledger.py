"""The ledger's memory is bounded, and what fell out of it is found on disk as it was left."""

import json

from schemas.codec import decode_command
from tables.core.decide import decide
from tables.core.decision import Record
from tables.core.rows import Position
from tables.ledger import Ledger
from tables.store import MemoryStore


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
