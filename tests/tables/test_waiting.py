"""The keys of who waits: those of a class sort by rank, and a key gives back what it was made of."""

from hypothesis import given
from hypothesis import strategies as st

from tables.core.queue import Rank, WaitsFor
from tables.store import MemoryStore
from tables.waiting import pending_in, pending_key, queue_prefix, waiting_key, waiting_of, waiting_value

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
