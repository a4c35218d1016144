"""A damaged, old, foreign or full disk is detected, then rebuilt or refused; stock is never wrong."""

import resource
import shutil
import signal

import pytest

from agents import local_store
from agents.changelog import read_changelog
from agents.local_store import LocalStore, LostLedgerError
from agents.transactions import TransactionClient
from schemas.topics import CHANGELOG, DELETE_RETENTION_MS
from tables.core.rows import POSITION_KEY, RESERVATION, Position, decode_position
from tables.ledger import Ledger, checkpoint_of, wall_clock_ms
from tables.store import RocksStore
from tests.harness import assert_audit_equal, commands, send

PARTITION = 1
FOR_EVER = 1 << 60


@pytest.fixture(scope="module")
def killed_disk(tmp_path_factory):
    """The disk of a worker that was killed after 600 commands, whose changelog has gone on for 100 since."""
    return tmp_path_factory.mktemp("worker")


@pytest.fixture
async def disk(kafka, killed_disk, start_worker, tmp_path):
    """A copy of one partition's store, to be damaged."""
    if not (killed_disk / "ledger").exists():
        worker = start_worker(killed_disk)
        await send(kafka.bootstrap, commands(1, 600))
        await worker.ready()
        await assert_audit_equal(kafka.bootstrap)
        await worker.kill()
        other = start_worker(tmp_path / "other")
        await send(kafka.bootstrap, commands(2, 100))
        await other.ready()
        await assert_audit_equal(kafka.bootstrap)
        assert await other.stop() == 0
    return shutil.copytree(killed_disk / "ledger" / str(PARTITION), tmp_path / "store")


@pytest.fixture
async def follow(kafka, disk, monkeypatch):
    """Open the store as RECOVER does, and bring it to the changelog's end; give it with the reasons to wipe it."""
    reasons, opened = [], []
    wipe = LocalStore._wipe
    monkeypatch.setattr(LocalStore, "_wipe", lambda self, reason: (reasons.append(reason), wipe(self, reason)))
    client = TransactionClient(kafka.bootstrap, "test-of-disks", timeout_ms=5_000)
    await client.start([CHANGELOG])

    async def follow():
        start, end = await client.log_range(CHANGELOG, PARTITION)
        local = LocalStore(disk, kafka.bootstrap, PARTITION, lambda: None)
        opened.append(local)
        await local.catch_up(start, end)
        await assert_is_the_changelog(local.store, kafka.bootstrap, start, end)
        return reasons

    yield follow
    for local in opened:
        local.close()
    await client.close()


async def assert_is_the_changelog(store, bootstrap, start, end):
    """The rows are the last values of the changelog, all of them and no others; what is due is what is open."""
    rows = {}
    async for chunk in read_changelog(bootstrap, PARTITION, start, end):
        rows |= {key: value for _, key, value in chunk}
    rows = {key: value for key, value in rows.items() if value is not None}
    kinds = {key[:1] for key in rows}
    found = {key: value for kind in kinds for key, value in store.scan(kind, bytes([kind[0] + 1]))}
    assert found == rows
    assert len(found) > 100
    ledger = Ledger(store)
    due = set()
    while (entry := ledger.expiries.pop_due(FOR_EVER)) is not None:
        due.add(entry[1:])
    holds = {tuple(key[1:].decode().split("\0")): ledger.row(RESERVATION, key) for key in rows if key[:1] == b"R"}
    assert {hold for hold, row in holds.items() if row.closed_at is None and row.expires_at is not None} <= due


def wal(disk):
    """The log of RocksDB that holds what is not in a table yet."""
    return max(disk.glob("*.log"), key=lambda path: path.stat().st_size)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


async def test_an_undamaged_disk_goes_on_from_where_it_stands(follow):
    assert await follow() == []


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.999])
async def test_a_truncated_write_ahead_log_costs_what_it_held_and_the_changelog_gives_it_back(disk, follow, kept):
    path = wal(disk)
    assert path.stat().st_size > 10_000, "nothing to lose"
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * kept))
    await follow()


@pytest.mark.parametrize("place", [0.01, 0.5, 0.99])
async def test_a_flipped_byte_in_the_write_ahead_log_is_found_by_its_checksum(disk, follow, place):
    flip(wal(disk), int(wal(disk).stat().st_size * place))
    await follow()


async def test_a_lost_write_ahead_log_is_read_from_the_changelog(disk, follow):
    for path in disk.glob("*.log"):
        path.unlink()
    await follow()


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*", "OPTIONS-*", "IDENTITY"])
async def test_a_missing_file_of_rocksdb_is_no_reason_for_wrong_stock(disk, follow, name):
    found = list(disk.glob(name))
    assert found
    for path in found:
        path.unlink()
    await follow()


async def test_a_checkpoint_beyond_the_end_of_the_changelog_means_that_its_end_was_lost(disk, follow):
    move_checkpoint(disk, 10_000_000)
    with pytest.raises(LostLedgerError, match="Its end was lost"):
        await follow()


async def test_a_checkpoint_beyond_the_end_of_another_life_is_of_no_use(disk, follow):
    move_checkpoint(disk, 10_000_000, incarnation="another life")
    (reason,) = await follow()
    assert reason.startswith("it stands at 10000000, the changelog holds 0 to ")


async def test_a_checkpoint_below_the_start_of_the_changelog_is_of_no_use(disk, kafka):
    local = LocalStore(disk, kafka.bootstrap, PARTITION, lambda: None)
    reasons = []
    local._wipe = reasons.append
    offset = checkpoint_of(local.store).position_offset
    await local.catch_up(offset + 1, offset + 1)
    assert reasons == [f"it stands at {offset}, the changelog holds {offset + 1} to {offset + 1}"]
    local.close()


async def test_a_disk_of_another_life_of_the_changelog_is_rebuilt(disk, follow):
    move_checkpoint(disk, None, incarnation="another life")
    assert await follow() == ["it follows another life of the changelog"]


async def test_a_disk_of_another_partition_is_rebuilt(disk, killed_disk, follow):
    shutil.rmtree(disk)
    shutil.copytree(killed_disk / "ledger" / str(PARTITION + 1), disk)
    (reason,) = await follow()
    assert reason


async def test_a_disk_that_is_older_than_the_tombstones_is_rebuilt(follow, monkeypatch):
    later = wall_clock_ms() + DELETE_RETENTION_MS
    monkeypatch.setattr(local_store, "wall_clock_ms", lambda: later)
    assert await follow() == ["it is older than the changelog keeps its tombstones"]


def move_checkpoint(disk, offset, *, incarnation=None):
    store = RocksStore(disk)
    held = decode_position(store.get(POSITION_KEY))
    position = Position(held.next_offset, held.now_ms, incarnation or held.incarnation)
    Ledger(store).checkpoint(position, checkpoint_of(store).position_offset if offset is None else offset)
    store.close()


def flush(disk):
    """Put all rows into a table of RocksDB, as it does by itself when there are enough."""
    store = RocksStore(disk)
    store._db.flush()
    store.close()
    return max(disk.glob("*.sst"), key=lambda path: path.stat().st_size)


@pytest.mark.usefixtures("disk")
async def test_a_flipped_byte_in_a_table_is_never_wrong_stock(kafka, start_worker, killed_disk, tmp_path):
    """Every block of every table is flipped: whichever the worker reads first, it finds out and rebuilds the store."""
    shutil.copytree(killed_disk / "ledger", tmp_path / "worker" / "ledger")
    for number in range(4):
        table = flush(tmp_path / "worker" / "ledger" / str(number))
        for at in range(100, table.stat().st_size // 2, 1_000):
            flip(table, at)
    worker = start_worker(tmp_path / "worker")
    await worker.ready()
    await send(kafka.bootstrap, commands(3, 200))
    await assert_audit_equal(kafka.bootstrap)
    assert "rebuilding the local store" in worker.log()
    assert "Corruption: block checksum mismatch" in worker.log()
    assert await worker.stop() == 0


async def test_a_full_disk_ends_the_worker_with_a_message_and_the_next_goes_on(kafka, start_worker, tmp_path):
    worker = start_worker(tmp_path / "worker")
    await worker.ready()
    await send(kafka.bootstrap, commands(4, 200))
    await assert_audit_equal(kafka.bootstrap)
    # No file of this process may grow any more than its longest write-ahead log has.
    largest = max(path.stat().st_size for path in (tmp_path / "worker" / "ledger").glob("*/*.log"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (largest, hard))
    await send(kafka.bootstrap, commands(5, 200))
    assert await worker.dead() not in (0, -signal.SIGXFSZ)
    log = worker.log_path.read_text(errors="replace")
    assert "the worker cannot go on" in log
    assert "IO error: While appending to file" in log
    successor = start_worker(tmp_path / "worker")
    await successor.ready()
    await assert_audit_equal(kafka.bootstrap)
    assert await successor.stop() == 0
