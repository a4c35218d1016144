"""The keys of who waits: those of a class sort by rank, and a key gives back what it was made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.core.queue import Rank, WaitsFor
from tables.ledger import Ledger, load
from tables.store import MemoryStore
from tables.waiting import has_queues, pending_in, pending_key, queue_prefix, waiting_key, waiting_of, waiting_value
from tests.tables.partition import Partition

HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS

skus = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=3)
classes = st.tuples(names, st.none() | names)
ranks = st.builds(Rank, st.integers(0, 999), st.integers(0, 2**63 - 1), names)


claims = st.lists(st.tuples(st.none() | names, st.none() | st.integers(0, 2**53)), min_size=1, max_size=3).map(tuple)


@given(skus, classes, ranks, claims)
def test_rank_class_and_claims_are_read_back_from_an_item(sku, of, rank, claims):
    key, waiting = waiting_key(sku, of, rank), WaitsFor(of, claims)
    assert key.startswith(queue_prefix(sku))
    assert waiting_of(key[len(queue_prefix(sku)) :], waiting_value(waiting)) == (rank, waiting)


@given(skus, classes, ranks, ranks)
def test_keys_of_a_class_sort_by_rank(sku, of, one, other):
    assert (waiting_key(sku, of, one) < waiting_key(sku, of, other)) == (
        (one.priority, one.placed, one.reservation_id.encode())
        < (other.priority, other.placed, other.reservation_id.encode())
    )


def test_the_pending_skus_of_a_store_are_read_with_their_offsets():
    store = MemoryStore()
    store.write([(pending_key("a"), (7).to_bytes(8, "big")), (pending_key("é/1"), (2**40).to_bytes(8, "big"))])
    store.write([(pending_key("b"), (1).to_bytes(8, "big")), (b"DQ" + b"a\0", b""), (b"R", b"x")])
    store.write([(pending_key("b"), None)])
    assert dict(pending_in(store)) == {"a": 7, "é/1": 2**40}


@pytest.mark.parametrize("again", [[], [{"wait": "any"}], [{"quantity": 1}]])
@pytest.mark.parametrize("compacted", [False, True])
def test_who_was_closed_and_forgotten_while_a_store_was_away_is_in_no_queue_of_it(again, compacted):
    """Its id may be used again meanwhile, to wait in another place or not at all."""
    partition = Partition()
    reserve = {"type": "reserve", "sku": "S", "reservation_id": "r", "quantity": 5, "wait": "any", "ttl_ms": 0}
    partition.tell(
        {"type": "set_channel", "command_id": "rule", "channel": "*", "version": 1, "backorder_limit": 9},
        {"type": "adjust", "sku": "S", "command_id": "a", "warehouse": "w", "delta": 1, "reason": "receipt"},
        reserve | {"command_id": "b"},
    )
    store = MemoryStore()
    load(store, [(offset, key, value) for offset, (key, value) in enumerate(partition.changelog)])
    assert has_queues(store)
    away_since = len(partition.changelog)
    partition.tell({"type": "release", "sku": "S", "command_id": "c", "reservation_id": "r"})
    partition.now += WEEK_MS + HOUR_MS
    partition.forget()
    partition.forget()
    for number, fields in enumerate(again):
        partition.tell(reserve | fields | {"command_id": f"d{number}"})
    missed = list(enumerate(partition.changelog))[away_since:]
    assert (b"RS\0r", None) in [row for _, row in missed]
    if compacted:
        last = {key: offset for offset, (key, _) in missed}
        missed = [(offset, row) for offset, row in missed if last[row[0]] == offset]
    load(store, [(offset, key, value) for offset, (key, value) in missed])
    waiting, there = Ledger(store).queue("S"), partition.ledger.queue("S")
    assert list(waiting.first(9)) == list(there.first(9))
    assert waiting.size == (again == [{"wait": "any"}])
