"""The packed rows are those of a plain dictionary, and take as little memory in any order."""

import random
import struct
import tracemalloc

import msgspec
import pytest

from gateway.availability import AvailabilityView
from gateway.recent_changes import RecentChanges
from gateway.stock_rows import StockRows
from schemas.codec import encode

PLACES = [f"wh-{number:02}" for number in range(40)]
NAMES = ("on_hand", "reserved", "damaged", "safety_stock", "inbound", "available", "quarantine")
MOST = (1 << 63) - 1


def units(chance):
    return tuple(chance.choice([0, 1, -5, 10**12, MOST, -MOST - 1]) for _ in NAMES)


@pytest.mark.parametrize("seed", range(30))
def test_rows_are_those_of_a_plain_dictionary(seed):
    chance = random.Random(seed)
    rows, model, changes = StockRows(), {}, {}
    for seq in range(1, 200):
        sku, place = chance.choice("abcde"), chance.choice(PLACES[: chance.choice([1, 3, 40])])
        before = changes.get(sku, (0, 0))[0]
        if chance.random() < 0.1:
            assert rows.note(sku, seq, 2 * seq) == before
        else:
            row = units(chance)
            assert rows.put(sku, place, seq, 2 * seq, row) == before
            model.setdefault(sku, {})[place] = row
        changes[sku] = (seq, 2 * seq)
    assert (len(rows), rows.count) == (len(changes), sum(map(len, model.values())))
    for sku in "abcdef":
        assert rows.last_change(sku) == changes.get(sku, (0, 0))
        shown = [(it.warehouse, *(getattr(it, name) or 0 for name in NAMES)) for it in rows.rows(sku)]
        assert shown == [(place, *row) for place, row in sorted(model.get(sku, {}).items())]
        for place in PLACES:
            assert rows.has(sku, place) == (place in model.get(sku, {}))
        assert [rows.row(sku, it.warehouse) for it in rows.rows(sku)] == rows.rows(sku)
    rows.clear()
    assert (len(rows), rows.count, rows.rows("a"), rows.last_change("a")) == (0, 0, [], (0, 0))


def test_a_sku_may_have_rows_in_more_warehouses_than_a_byte_can_number():
    rows, places = StockRows(), [f"wh-{number:04}" for number in range(700)]
    for seq, place in enumerate([*places, *places], start=1):
        rows.put("a", place, seq, seq, (seq,) * 7)
    assert [(it.warehouse, it.on_hand) for it in rows.rows("a")] == [
        (place, 700 + number) for number, place in enumerate(places, start=1)
    ]
    assert rows.count == 700
    assert all(rows.has("a", place) for place in places)
    rows.put("b", "wh-0256", 1, 1, (1,) * 7)
    assert [place for place in places if rows.has("b", place)] == ["wh-0256"]


def test_a_quantity_that_no_cell_can_hold_leaves_the_rows_as_they_were():
    rows = StockRows()
    rows.put("a", "york", 1, 1, (1,) * 7)
    for place in ("york", "leeds"):
        with pytest.raises(struct.error):
            rows.put("a", place, 2, 2, (1, 1, 1, 1, 1, 1, MOST + 1))
    assert [it.warehouse for it in rows.rows("a")] == ["york"]
    assert rows.row("a", "york").quarantine == 1


def memory_of_a_row(order):
    tracemalloc.start()
    rows = StockRows()
    for sku, place in order:
        rows.put(f"sku-{sku:05}", PLACES[place], 1, 1, (4_000, 12, 0, 5, 0, 3_983, 0))
    found = tracemalloc.get_traced_memory()[0] / rows.count
    tracemalloc.stop()
    return found


def test_a_row_takes_as_little_memory_when_warehouses_come_in_random_order():
    order = [(sku, place) for sku in range(2_000) for place in range(10)]
    in_order = memory_of_a_row(order)
    random.Random(1).shuffle(order)
    assert in_order < 100
    assert memory_of_a_row(order) < 1.1 * in_order


class Written:
    """A record as the reader gives it."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize("seed", range(20))
def test_records_of_many_at_a_time_give_the_view_that_one_by_one_gives(seed, helpers):
    chance = random.Random(seed)
    many, single = AvailabilityView(RecentChanges(10_000, 4)), AvailabilityView(RecentChanges(10_000, 4))
    seqs = {}
    for _ in range(30):
        partition, batch = chance.randrange(4), []
        for _ in range(chance.randrange(9)):
            sku = f"{partition}-{chance.randrange(3)}"
            seqs[sku] = seqs.get(sku, 0) + 1
            change = helpers.change_of(sku, chance.choice(PLACES[:4]), seqs[sku], on_hand=chance.randrange(5))
            if chance.random() < 0.2:
                inbound = {"inbound_id": "i", "warehouse": "york", "eta_at": 9, "remaining": 3, "claimed": 1}
                book = {"backordered": 2, "promised": 1, "settling": True, "inbounds": [inbound]}
                change |= {
                    "warehouse": "",
                    "book": chance.choice([book, {"backordered": 0, "promised": 0, "channels": []}]),
                }
                change["book"] = {"channels": [], "inbounds": [], **change["book"]}
            batch.append(encode(change))
            single.apply_record(partition, None, batch[-1])
        foreign = [b"{", b"\xff", None, b'{"sku":1}', b""]
        many.apply_records(partition, [Written(it) for it in [*batch, chance.choice(foreign)]], 5)
    assert (len(many), many.rows) == (len(single), single.rows)
    for sku in seqs:
        assert msgspec.to_builtins(many.available(sku)) == msgspec.to_builtins(single.available(sku))
        assert (many.inbounds(sku), many.owed(sku)) == (single.inbounds(sku), single.owed(sku))


def test_while_all_is_read_anew_only_the_last_changes_of_each_partition_are_held(helpers):
    recent = RecentChanges(8, 4)
    view = AvailabilityView(recent)
    records = [Written(encode(helpers.change_of("a", "york", seq, on_hand=seq))) for seq in range(1, 7)]
    view.apply_records(2, records[:3], 3)
    assert recent.of("a", 9, view.last_change("a")[1]).values == []
    view.apply_records(2, records[3:], 0)
    found = recent.of("a", 9, view.last_change("a")[1])
    assert found.values == [it.value for it in records[3:]]
    assert found.from_at == 1_764_000_000_003
