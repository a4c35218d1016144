"""If a log has lost its beginning, the last reference record of each key is compared with the ledger's row."""

import json

import msgspec
import pytest

from schemas.topics import REFERENCE

START = 2
POLICY, REMOVED = b"policy/web/S", b"policy/shop/S"
KEYS = [b"warehouse/leeds", b"channel/web", b"feed/erp", POLICY]


@pytest.fixture
def governed(log):
    """Return a log of reference data of every kind, each set twice, and a policy that was removed."""
    log.stocked(leeds=5, york=5)
    for version in (1, 2):
        at = 10 * version
        log.do("set_warehouse", at=at, sku=None, warehouse="leeds", version=version, journal_ms=version, region="north")
        log.do("set_channel", at=at, sku=None, channel="web", version=version, name="Web", warehouses=["leeds"])
        log.do("set_feed", at=at, sku=None, feed="erp", version=version, as_of_at=5, interval_ms=60_000)
        log.do("set_policy", at=at, channel="web", cap=version)
        log.do("set_policy", at=at, channel="shop", split=False)
    log.do("set_policy", at=30, channel="shop")
    return log


@pytest.fixture
def trimmed(governed, published):
    return published(governed)


def said(report):
    return [(it.kind, it.what, it.key) for it in report.differences]


def place_of_last(published, key):
    return max(place for place, record in enumerate(published.outputs[REFERENCE]) if record.key == key)


def replace(published, key, **fields):
    records, place = published.outputs[REFERENCE], place_of_last(published, key)
    records[place] = records[place]._replace(**fields)


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_what_is_in_force_is_published(trimmed, piece):
    report = await trimmed.audit(piece=piece, log_start=START)
    assert (said(report), report.compared.reference, report.compared.rows) == ([], 5, 6)
    assert "reference data against its rows" in report.notes[0]


async def test_compaction_may_have_removed_all_but_the_last_record_of_a_key_and_a_removal_as_well(trimmed):
    last = {record.key: record for record in trimmed.outputs[REFERENCE]}
    trimmed.outputs[REFERENCE] = [record for record in last.values() if record.value is not None]
    assert said(await trimmed.audit(log_start=START)) == []


async def test_each_record_of_a_topic_that_lost_all_is_lost(trimmed):
    trimmed.outputs[REFERENCE].clear()
    report = await trimmed.audit(log_start=START)
    assert sorted(said(report)) == sorted(("reference", "lost", key.decode()) for key in KEYS)
    assert all(it.expected["kind"] == it.key.partition("/")[0] for it in report.differences)


@pytest.mark.parametrize("key", KEYS)
async def test_a_record_that_is_behind_its_row_is_altered(trimmed, key):
    del trimmed.outputs[REFERENCE][place_of_last(trimmed, key)]
    assert said(await trimmed.audit(log_start=START)) == [("reference", "altered", key.decode())]


@pytest.mark.parametrize("value", [b"{", b"7", b"null", b"{}", None])
@pytest.mark.parametrize("key", KEYS)
async def test_a_record_that_says_something_else_is_altered(trimmed, key, value):
    replace(trimmed, key, value=value)
    assert said(await trimmed.audit(log_start=START)) == [("reference", "altered", key.decode())]


@pytest.mark.parametrize("fields", [{"cap": 3}, {"at": 2_000_000_000_000}, {"at": None}, {"at": True}, {"sku": "T"}])
async def test_a_policy_with_another_field_or_an_impossible_time_is_altered(trimmed, fields):
    trimmed.edit(trimmed.outputs[REFERENCE], place_of_last(trimmed, POLICY), **fields)
    (difference,) = (await trimmed.audit(log_start=START)).differences
    assert (difference.what, difference.record_offset) == ("altered", place_of_last(trimmed, POLICY))


async def test_another_row_makes_its_record_an_altered_one(trimmed):
    trimmed.edit_row(b"K\0warehouse/leeds", 1, 7)
    (difference,) = (await trimmed.audit(log_start=START)).differences
    assert (difference.what, difference.expected["version"], difference.found["version"]) == ("altered", 7, 2)


@pytest.mark.parametrize("row", [b"K\0channel/web", b"KS\0web"])
async def test_a_record_without_a_row_is_doubled(trimmed, row):
    del trimmed.rows[row]
    key = {b"K\0channel/web": "channel/web", b"KS\0web": "policy/web/S"}[row]
    assert said(await trimmed.audit(log_start=START)) == [("reference", "doubled", key)]


async def test_nothing_but_a_policy_can_be_removed(trimmed):
    trimmed.outputs[REFERENCE].append(trimmed.outputs[REFERENCE][-1]._replace(offset=99, key=b"feed/none"))
    assert said(await trimmed.audit(log_start=START)) == [("reference", "doubled", "feed/none")]


@pytest.mark.parametrize(
    "row", [b"\xc1", 7, [], [1], [9, *range(11)], [1, *["x"] * 11], [1, 2, "c", 3, b"", 1, 2, 3, 4]]
)
@pytest.mark.parametrize("key", [b"K\0warehouse/leeds", b"K\0channel/web", b"K\0feed/erp", b"KS\0web"])
async def test_a_row_that_is_none_is_altered_and_its_record_is_left_out(trimmed, key, row):
    trimmed.rows[key] = row if isinstance(row, bytes) else msgspec.msgpack.encode(row)
    report = await trimmed.audit(log_start=START)
    assert said(report) == [("row", "altered", key.decode().replace("\0", "\\0"))]
    assert report.differences[0].found == row


async def test_a_row_of_an_unknown_kind_is_altered(trimmed):
    trimmed.rows[b"K\xff"] = trimmed.rows[b"K\0feed/erp"]
    assert said(await trimmed.audit(log_start=START)) == [("row", "altered", "K\\xff")]


@pytest.fixture
def running(governed, published):
    """Return what a running ledger published, whose rows were read before the last commands."""
    rows = published(governed).rows
    governed.do("set_warehouse", at=40, sku=None, warehouse="leeds", version=2, command_id="a")  # an older one
    governed.do("set_warehouse", at=40, sku=None, warehouse="leeds", version=3, journal_ms=2)
    governed.do("set_warehouse", at=50, sku=None, warehouse="york", version=1)
    governed.do("set_channel", at=50, sku=None, channel="web", version=3)
    governed.do("set_policy", at=60, channel="web")
    governed.do("set_policy", at=60, channel="shop", cap=1)
    ahead = published(governed)
    ahead.rows = rows
    return ahead


@pytest.mark.parametrize("results", [13, 15, 19])
@pytest.mark.parametrize("piece", [1, 1000])
async def test_the_records_of_a_running_ledger_may_be_ahead_of_its_rows(running, piece, results):
    del running.results[results:]  # which were read before the reference records
    assert said(await running.audit(piece=piece, log_start=START)) == []


async def test_a_record_that_neither_a_row_nor_a_later_command_demands_is_altered(running):
    running.edit(running.outputs[REFERENCE], place_of_last(running, b"warehouse/leeds"), enabled=False)
    replace(running, POLICY, value=json.dumps({"kind": "policy"}).encode())
    report = await running.audit(log_start=START)
    assert sorted(said(report)) == [
        ("reference", "altered", "policy/web/S"),
        ("reference", "altered", "warehouse/leeds"),
    ]
