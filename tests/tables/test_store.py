"""One contract, kept by the store in memory and the one in RocksDB alike."""

import pytest

from tables.store import MemoryStore, RocksStore


@pytest.fixture(params=["memory", "rocksdb"])
def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "store")
    yield store
    store.close()


def test_what_was_never_written_is_none(store):
    assert store.get(b"k") is None


def test_a_write_puts_and_removes_together(store):
    store.write([(b"a", b"1"), (b"b", b"2")])
    store.write([(b"a", None), (b"b", b"3"), (b"never", None)])
    assert (store.get(b"a"), store.get(b"b")) == (None, b"3")


def test_the_last_of_several_writes_to_a_key_wins(store):
    store.write([(b"a", b"1"), (b"a", None), (b"a", b"2")])
    assert store.get(b"a") == b"2"


def test_a_scan_is_in_order_and_half_open(store):
    store.write([(b"b", b"2"), (b"a", b"1"), (b"c", b"3"), (b"aa", b"4"), (b"\xff", b"5")])
    assert list(store.scan(b"a", b"c")) == [(b"a", b"1"), (b"aa", b"4"), (b"b", b"2")]


def test_an_empty_value_is_a_value(store):
    store.write([(b"a", b"")])
    assert store.get(b"a") == b""


def test_rocksdb_keeps_what_was_written(tmp_path):
    store = RocksStore(tmp_path / "store")
    store.write([(b"a", b"1")])
    store.close()
    again = RocksStore(tmp_path / "store")
    assert again.get(b"a") == b"1"
    again.close()


def test_a_destroyed_store_is_empty(tmp_path):
    store = RocksStore(tmp_path / "store")
    store.write([(b"a", b"1")])
    store.close()
    RocksStore.destroy(tmp_path / "store")
    RocksStore.destroy(tmp_path / "store")
    again = RocksStore(tmp_path / "store")
    assert again.get(b"a") is None
    again.close()
