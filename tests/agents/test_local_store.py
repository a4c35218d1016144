"""A local store is used only if it equals the changelog up to its checkpoint; otherwise it is rebuilt."""

import asyncio
import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NotLeaderForPartitionError

from agents import local_store
from agents.batches import TransactionOutput
from agents.local_store import LocalStore, LostLedgerError
from agents.transactions import TransactionClient
from schemas.topics import CHANGELOG, DELETE_RETENTION_MS
from tables.core.rows import POSITION_KEY, Position, Stock, decode_position, encode_row, stock_key
from tables.ledger import Ledger, checkpoint_of, wall_clock_ms


@pytest.fixture
async def changelog(broker, monkeypatch):
    """A changelog of its own, and a function that writes a transaction of stock rows to it."""
    topic = f"changelog-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    monkeypatch.setattr("agents.changelog.CHANGELOG", topic)
    client = TransactionClient(broker.bootstrap, topic, timeout_ms=5_000)
    await client.start([topic])
    await client.begin()
    await until_led(client, topic)
    written = 0

    async def write(*quantities, incarnation="one life", end=True):
        nonlocal written
        rows = []
        for quantity in quantities:
            written += 1
            rows.append((stock_key("S", "w"), encode_row(Stock(written, quantity))))
        rows.append((POSITION_KEY, encode_row(Position(written, 0, incarnation))))
        await client.produce(0, {topic: TransactionOutput().batches(rows, 0)[CHANGELOG]})
        if end:
            await client.end()

    async def log_range():
        return await client.log_range(topic, 0)

    yield write, log_range, client.begin
    await client.close()


async def until_led(client, topic):
    """Wait until the broker leads the new partition: metadata names it a little earlier."""
    for _ in range(100):
        try:
            await client.log_range(topic, 0)
        except NotLeaderForPartitionError:
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail(f"nobody leads {topic}")


@pytest.fixture
def open_store(tmp_path, broker):
    return lambda: LocalStore(tmp_path / "store", broker.bootstrap, 0, lambda: None)


def on_hand(store):
    return Ledger(store.store).sku("S").stock["w"].on_hand


async def test_an_empty_store_follows_the_whole_changelog(changelog, open_store):
    write, log_range, _ = changelog
    await write(1, 2, 3)
    await write(4)
    store = open_store()
    await store.catch_up(*await log_range())
    assert (on_hand(store), Ledger(store.store).position) == (4, Position(4, 0, "one life"))
    store.close()


async def test_a_store_goes_on_from_where_it_stands(changelog, open_store, monkeypatch):
    write, log_range, _ = changelog
    await write(1)
    store = open_store()
    await store.catch_up(*await log_range())
    await write(2)
    monkeypatch.setattr(store, "_wipe", lambda reason: pytest.fail(f"wiped: {reason}"))
    await store.catch_up(*await log_range())
    assert on_hand(store) == 2
    store.close()


async def wiped_for(store, catch_up):
    reasons = []
    original = store._wipe
    store._wipe = lambda reason: (reasons.append(reason), original(reason))
    await catch_up
    return reasons


async def test_a_store_beyond_the_end_of_the_changelog_is_rebuilt(changelog, open_store):
    write, log_range, _ = changelog
    await write(1)
    store = open_store()
    ledger = Ledger(store.store)
    ledger.checkpoint(Position(99, 0, "another life"), 500)
    start, end = await log_range()
    reasons = await wiped_for(store, store.catch_up(start, end))
    assert reasons == [f"it stands at 500, the changelog holds {start} to {end}"]
    assert on_hand(store) == 1
    store.close()


async def test_a_changelog_that_has_lost_its_end_is_refused_again_and_again(changelog, open_store):
    write, log_range, _ = changelog
    await write(1)
    store = open_store()
    Ledger(store.store).checkpoint(Position(99, 0, "one life"), 500)
    for _ in range(2):
        with pytest.raises(LostLedgerError, match="Its end was lost"):
            await store.catch_up(*await log_range())
    store.close()


async def test_rows_without_a_checkpoint_are_not_trusted(changelog, open_store):
    write, log_range, _ = changelog
    store = open_store()
    store.store.write([(stock_key("S", "elsewhere"), encode_row(Stock(7, 7)))])
    await write(1)
    assert await wiped_for(store, store.catch_up(*await log_range())) == ["it has no checkpoint"]
    assert list(Ledger(store.store).sku("S").stock) == ["w"]
    store.close()


@pytest.mark.parametrize("from_the_end", [60, 400, 900])
async def test_a_store_whose_table_is_damaged_where_it_is_opened_is_rebuilt(
    changelog, open_store, tmp_path, from_the_end
):
    write, log_range, _ = changelog
    await write(1)
    store = open_store()
    await store.catch_up(*await log_range())
    store.store._db.flush()
    store.close()
    (table,) = (tmp_path / "store").glob("*.sst")
    data = bytearray(table.read_bytes())
    data[-min(from_the_end, len(data))] ^= 0xFF
    table.write_bytes(data)
    store = open_store()
    await store.catch_up(*await log_range())
    assert on_hand(store) == 1
    store.close()


async def test_a_store_of_another_life_of_the_changelog_is_rebuilt(changelog, open_store):
    write, log_range, _ = changelog
    await write(1)
    store = open_store()
    ledger = Ledger(store.store)
    ledger.checkpoint(Position(77, 0, "another life"), 1)
    reasons = await wiped_for(store, store.catch_up(*await log_range()))
    assert reasons == ["it follows another life of the changelog"]
    assert decode_position(store.store.get(POSITION_KEY)).incarnation == "one life"
    store.close()


async def test_a_store_that_may_have_missed_tombstones_is_rebuilt(changelog, open_store, monkeypatch):
    write, log_range, _ = changelog
    await write(1)
    store = open_store()
    await store.catch_up(*await log_range())
    later = wall_clock_ms() + DELETE_RETENTION_MS
    monkeypatch.setattr(local_store, "wall_clock_ms", lambda: later)
    reasons = await wiped_for(store, store.catch_up(*await log_range()))
    assert reasons == ["it is older than the changelog keeps its tombstones"]
    store.close()


async def test_a_damaged_store_is_rebuilt(changelog, open_store, tmp_path):
    write, log_range, _ = changelog
    await write(1)
    store = open_store()
    await store.catch_up(*await log_range())
    store.close()
    (tmp_path / "store" / "CURRENT").unlink()
    for manifest in (tmp_path / "store").glob("MANIFEST*"):
        manifest.write_bytes(b"rubbish")
    store = open_store()
    await store.catch_up(*await log_range())
    assert on_hand(store) == 1
    assert checkpoint_of(store.store) is not None
    store.close()


async def test_a_changelog_that_ends_in_an_aborted_transaction_is_read_to_its_end(changelog, open_store):
    write, log_range, fence = changelog
    await write(1)
    await write(2, end=False)
    _, end = await log_range()
    store = open_store()
    # The next owner's InitProducerId aborts what was left open; only then is the end known.
    await fence()
    start, end_after = await log_range()
    assert end_after > end
    await store.catch_up(start, end_after)
    assert on_hand(store) == 1
    store.close()
