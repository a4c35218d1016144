"""Over random histories the invariants of queue and announced goods hold after every record, whatever the budget."""

import json
from collections import defaultdict
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import RESULTS, STOCK_CHANGES
from tables.core import settling
from tables.core.decision import Record
from tables.core.queue import rank_of
from tables.core.rows import RESERVATION, STOCK, FullReservation, decode_book, full
from tables.core.settling import _Look, _step
from tests.tables.partition import T0, Partition

SKUS, CHANNELS, WAREHOUSES = ("a", "b"), ("web", "vip", "whole"), ("leeds", "york", "bath")
RULES = [
    {"type": "set_channel", "channel": "*", "version": 1, "backorder_limit": 30, "presell_horizon_ms": 300},
    {"type": "set_channel", "channel": "vip", "version": 1, "priority": 1, "cap": 25},
    {"type": "set_channel", "channel": "whole", "version": 1, "split": False, "backorder_limit": 20, "buffer": 1},
]
STOCK_AT_FIRST = [
    {"type": "adjust", "sku": sku, "warehouse": warehouse, "delta": 2, "reason": "receipt"}
    for sku in SKUS
    for warehouse in WAREHOUSES
]
few = st.integers(1, 6)
holds = st.sampled_from([f"r{number}" for number in range(5)])
skus = st.sampled_from(SKUS)


def command(type_, **fields):
    return st.fixed_dictionaries({"type": st.just(type_), "sku": skus} | fields)


waiting_reserve = command(
    "reserve", reservation_id=st.sampled_from([f"r{number}" for number in range(30)]), quantity=few,
    channel=st.sampled_from(CHANNELS), wait=st.sampled_from(["any", "inbound"]), partial=st.booleans(),
    warehouse=st.sampled_from([None, None, "leeds"]), ttl_ms=st.sampled_from([0, 0, 5]),
)  # fmt: skip
receipt = command(
    "adjust", warehouse=st.sampled_from(WAREHOUSES), delta=st.sampled_from([-1, 1, 3, 9]), reason=st.just("correction")
)
deliveries = st.sampled_from([f"po{number}" for number in range(6)])
dates = st.sampled_from([T0 + after for after in (0, 5, 100, 200, 400)])
expected = command(
    "expect_inbound", inbound_id=deliveries, warehouse=st.sampled_from(WAREHOUSES), quantity=few, eta_at=dates
)
received = command(
    "receive_inbound", inbound_id=deliveries, quantity=few, damaged=st.integers(0, 1), final=st.booleans()
)
commands = st.one_of(
    waiting_reserve, waiting_reserve, waiting_reserve, receipt, receipt,
    command("reserve", reservation_id=holds, quantity=few, channel=st.sampled_from(CHANNELS)),
    command("commit", reservation_id=holds),
    command("release", reservation_id=holds, quantity=st.none() | few),
    command("amend", reservation_id=holds, quantity=st.integers(1, 9), wait=st.sampled_from(["any", "inbound", "none"]),
            partial=st.booleans()),
    st.fixed_dictionaries({"type": st.just("reallocate"), "sku": skus, "reservation_id": holds,
                           "from": st.just("leeds"), "to": st.just("york")}),
    command("settle"),
    expected, expected, received, received,
    command("amend_inbound", inbound_id=deliveries, quantity=st.none() | st.integers(0, 9), eta_at=dates),
    command("cancel_inbound", inbound_id=deliveries),
    st.sampled_from([{"type": "tick"}, {"type": "pause"}, {"type": "rebuild"}]),
)  # fmt: skip


def check(partition):
    store, ledger = partition.store, partition.ledger
    rows = {key[1:].decode(): RESERVATION.decode(value) for key, value in store.scan(b"R", b"S")}
    reserved, waiting, by_channel, held = defaultdict(int), defaultdict(int), defaultdict(int), defaultdict(int)
    claimed, told = defaultdict(int), defaultdict(set)
    for name, stored in rows.items():
        sku, row = name.partition("\0")[0], full(stored)
        allocated = sum(units for _, units in row.allocations)
        assert row.quantity == row.committed + row.released + allocated + row.waiting
        assert (row.state == "held") == (allocated + row.waiting > 0)
        for warehouse, units in row.allocations:
            assert units > 0
            reserved[sku, warehouse] += units
        undated = sum(units for inbound_id, units, _ in row.claims if inbound_id is None)
        waiting[sku] += undated
        by_channel[sku, row.channel] += undated
        for place, (inbound_id, units, date) in enumerate(row.claims):
            assert units > 0
            assert (inbound_id is None) == (date is None)
            assert inbound_id is not None or place == len(row.claims) - 1
            if inbound_id is not None:
                claimed[sku, inbound_id] += units
                told[sku, inbound_id].add(date)
        held[sku, row.channel] += allocated + row.waiting if row.counted else 0
    announced = defaultdict(int)
    for key, value in store.scan(b"S", b"T"):
        sku, _, warehouse = key[1:].decode().partition("\0")
        if warehouse:
            row = STOCK.decode(value)
            assert row.reserved == reserved[sku, warehouse]
            announced[sku] += row.inbound
            continue
        book = decode_book(value)
        check_inbounds(sku, book, claimed, told)
        announced[sku] -= sum(inbound.remaining for inbound in book.inbounds)
        assert book.backordered == waiting[sku]
        assert {name: (units, units2) for name, units, units2 in book.channels} == {
            channel: (held[sku, channel], by_channel[sku, channel])
            for channel in CHANNELS
            if held[sku, channel] or by_channel[sku, channel]
        }
        assert (book.since is not None) == (sku in ledger.pending_since)
        if book.since is None:
            assert not book.settling
    assert not any(announced.values())
    for sku in SKUS:
        queued = {rank for ranks in ledger.queue(sku).classes.values() for rank in ranks}
        assert queued == {
            rank_of(name.partition("\0")[2], row)[1]
            for name, row in rows.items()
            if name.partition("\0")[0] == sku and isinstance(row, FullReservation) and row.claims
        }
        if sku not in ledger.pending_since and ledger.sku(sku) is not None and queued:
            # The rules do not change in these histories.
            assert not can_be_settled(ledger, sku, partition.now), "somebody waits for what is there"


def can_be_settled(ledger, sku, now):
    """Return whether a step is possible, also one of those that were asked before."""
    queue, record = ledger.queue(sku), Record(0, 1, 0, now)
    for asking in (queue.unfilled, queue.undated):
        asking.classes.update(queue.classes)
    return _step(_Look(ledger, sku, now), record) is not None


def check_inbounds(sku, book, claimed, told):
    assert [*book.inbounds] == sorted(book.inbounds, key=lambda it: (it.eta_at, it.inbound_id))
    assert book.promised == sum(it.claimed for it in book.inbounds)
    assert {it.inbound_id for it in book.inbounds if it.claimed} == {name for of, name in claimed if of == sku}
    for inbound in book.inbounds:
        assert inbound.remaining or inbound.claimed
        assert inbound.claimed == claimed[sku, inbound.inbound_id]
        assert 0 <= inbound.landed <= inbound.claimed
        if book.since is None:
            assert not inbound.landed
            assert inbound.claimed <= inbound.remaining
            assert told[sku, inbound.inbound_id] <= {inbound.eta_at}


@pytest.mark.parametrize("budget", [1, 3, 16])
@settings(max_examples=150)
@given(history=st.lists(commands, min_size=10, max_size=50))
def test_the_invariants_hold_after_every_record(budget, history):
    partition = Partition()
    with patch.object(settling, "BUDGET", budget):
        partition.tell(*[rule | {"command_id": f"rule{number}"} for number, rule in enumerate(RULES + STOCK_AT_FIRST)])
        for number, document in enumerate(history):
            if document["type"] == "rebuild":
                partition.rebuild()
            elif document["type"] == "pause":
                partition.now += 10
            else:
                ids = {} if document["type"] == "tick" else {"command_id": f"c{number}"}
                partition.tell(document | ids)
            check(partition)
        for _ in range(400):
            if not partition.ledger.pending_since:
                break
            partition.tell({"type": "tick"})
        assert not partition.ledger.pending_since, "settling does not end"
        check(partition)
    seqs = defaultdict(int)
    for _, value in partition.published[STOCK_CHANGES]:
        change = json.loads(value)
        seqs[change["sku"]] += 1
        assert change["seq"] == seqs[change["sku"]]
    assert all(json.loads(value)["seq"] <= seqs[json.loads(value)["sku"]] for _, value in partition.published[RESULTS])
