"""An audit continues where the last one ended, finds later differences, and gets the same digests."""

import copy
import json
from collections import deque

import msgspec
import pytest

from audit import CannotAudit, audit
from audit.checkpoint import LAYOUT, MANIFEST, Mark, Writer, fingerprint, read_manifest, read_state
from audit.comparison.digest import Digest
from audit.comparison.rows import POSITION
from schemas.topics import COMMANDS, REFERENCE, RESULTS, STOCK_CHANGES
from tests.audit.ledger import Log, Published
from tests.audit.test_run import FakeKafka, install

DAY = 24 * 60 * 60 * 1000


def do_some(log, start, count, at=0):
    """Stock, reserve, commit, release, repeat and spoil, so that every kind of row is there and changes."""
    log.stocked(a=100, b=50)
    log.do("set_warehouse", at=at + start, sku=None, warehouse="b", version=start + 1, priority=start)
    log.do("set_policy", at=at + start, channel="web", cap=500 + start)
    for number in range(start, start + count):
        channel = "web" if number % 2 else None
        fields = {"reservation_id": f"r{number}", "quantity": number % 70 + 1, "ttl_ms": 40 + number}
        log.do("reserve", at=at + number, channel=channel, **fields)
        if number % 3 == 0:
            log.do("commit", at=at + number, reservation_id=f"r{number}")
        if number % 5 == 0:
            log.do("release", at=at + number, reservation_id=f"r{number - 1}", quantity=1)
    log.do("reserve", at=at + start, command_id=f"c{start + 4}", reservation_id="x", quantity=1)
    log.send(b"{", at=at + start)
    log.do("query", at=at + start + count, surprise=1)


@pytest.fixture
def two_visits(monkeypatch, tmp_path):
    """Return a function that audits the cluster as it is at the first visit, and as it is at the second."""
    log = Log()
    do_some(log, 0, 30)
    first = Published(log)
    do_some(log, 30, 30, at=500)
    second = Published(log)
    directory = tmp_path / "checkpoint"

    def visit(published, *, since=None):
        kafka = install(monkeypatch, FakeKafka(published))
        kafka.changelog_end = 100 * len(published.commands)
        if since is not None:
            kafka.written_since = {key: row for key, row in published.rows.items() if since.rows.get(key) != row}
            kafka.written_since |= {key: None for key in since.rows if key not in published.rows}
        return kafka

    visit.first, visit.second, visit.directory = first, second, directory
    return visit


async def test_the_second_audit_compares_only_what_is_new_and_has_the_digests_of_a_full_one(two_visits):
    visit = two_visits
    visit(visit.first)
    first = await audit("b", checkpoint=visit.directory)
    assert (first.equal, first.checkpoint, first.notes) == (True, str(visit.directory), [])
    visit(visit.second, since=visit.first)
    again = await audit("b", checkpoint=visit.directory)
    full = await audit("b")
    assert (again.equal, again.complete, again.differences) == (True, True, [])
    new = len(visit.second.commands) - len(visit.first.commands)
    assert (again.compared.commands, again.compared.results) == (
        new,
        len(visit.second.results) - first.compared.results,
    )
    assert again.partitions[0].begin == len(visit.first.commands)
    assert again.partitions[0].digests == full.partitions[0].digests
    assert first.partitions[0].digests != full.partitions[0].digests
    assert [it.checked > 0 for it in again.partitions[0].invariants] == [True] * 7
    last = await audit("b", checkpoint=visit.directory)
    assert (last.compared.commands, last.partitions[0].digests) == (0, full.partitions[0].digests)


def spoil_result(published):
    published.edit(published.results, -3, seq=77)


def lose_result(published):
    del published.results[-3]


def double_change(published):
    last = published.changes[-1]
    published.changes.append(last._replace(offset=last.offset + 1))


def spoil_row(published):
    key = next(key for key in published.rows if key.startswith(b"S"))
    published.edit_row(key, 2, 12345)


def lose_reservation(published):
    del published.rows[next(key for key in published.rows if key.startswith(b"RS\0r5"))]


def double_row(published):
    published.rows[b"SS\0nowhere"] = msgspec.msgpack.encode([1, 1, 5, 0, 0, 0, 0])


DIFFERENCES = [
    (spoil_result, ("result", "altered")),
    (lose_result, ("result", "lost")),
    (double_change, ("stock_change", "doubled")),
    (spoil_row, ("row", "altered")),
    (lose_reservation, ("row", "lost")),
    (double_row, ("row", "doubled")),
]


@pytest.mark.parametrize(("spoil", "expected"), DIFFERENCES, ids=lambda it: getattr(it, "__name__", ""))
async def test_a_difference_after_the_checkpoint_is_found_and_the_checkpoint_stays(two_visits, spoil, expected):
    visit = two_visits
    visit(visit.first)
    await audit("b", checkpoint=visit.directory)
    before = {path.name: path.read_bytes() for path in visit.directory.iterdir()}
    spoil(visit.second)
    visit(visit.second, since=visit.first)
    report = await audit("b", checkpoint=visit.directory)
    assert not report.equal
    assert expected in [(it.kind, it.what) for it in report.differences]
    assert report.checkpoint is None
    assert "no checkpoint was written: something differs" in report.notes
    assert {path.name: path.read_bytes() for path in visit.directory.iterdir()} == before


async def test_a_difference_shows_the_command_it_is_about(two_visits):
    visit = two_visits
    spoil_result(visit.second)
    visit(visit.second)
    (difference,) = (await audit("b")).differences
    assert difference.command == json.loads(visit.second.commands[difference.offset].value)


async def test_a_first_audit_that_differs_leaves_nothing(two_visits):
    visit = two_visits
    lose_result(visit.first)
    visit(visit.first)
    await audit("b", checkpoint=visit.directory)
    assert list(visit.directory.iterdir()) == []


async def test_a_running_ledger_is_taken_up_where_it_stood(two_visits):
    visit = two_visits
    # Outputs of later commands are there already, rows and position are those of the first visit.
    visit.second.rows = dict(visit.first.rows)
    visit(visit.second)
    first = await audit("b", checkpoint=visit.directory)
    assert first.equal
    (mark,) = read_manifest(visit.directory).marks
    assert mark.next_offset == len(visit.first.commands)
    assert mark.outputs[RESULTS] == len(visit.first.results)
    assert mark.outputs[STOCK_CHANGES] == len(visit.first.changes)


def anew(kafka, _visit):
    kafka.cluster = "elsewhere"


def another_ledger(kafka, _visit):
    kafka.written_since[POSITION] = msgspec.msgpack.encode([1, 300, 1, "other"])


def ledger_went_back(kafka, _visit):
    kafka.written_since[POSITION] = msgspec.msgpack.encode([1, 3, 1, 3])


def other_commands(kafka, visit):
    place = len(visit.first.commands) - 1
    kafka.logs[COMMANDS][place] = kafka.logs[COMMANDS][place]._replace(timestamp=5)


def commands_lost(kafka, visit):
    kafka.begins[COMMANDS] = len(visit.first.commands) + 1


def changelog_anew(kafka, _visit):
    kafka.changelog_end = 3


REFUSALS = [
    (anew, "belongs to cluster here, this is elsewhere"),
    (another_ledger, "belongs to ledger 3 of partition 0, this is other"),
    (ledger_went_back, "stands at command 3, before the checkpoint's"),
    (other_commands, "is not the one that the checkpoint ends with: the topic was made anew"),
    (commands_lost, "commands were lost in between"),
    (changelog_anew, "which ends at 3: the topic was made anew"),
]


@pytest.mark.parametrize(("change", "message"), REFUSALS, ids=lambda it: getattr(it, "__name__", ""))
async def test_a_checkpoint_of_something_else_is_refused(two_visits, change, message):
    visit = two_visits
    visit(visit.first)
    await audit("b", checkpoint=visit.directory)
    change(visit(visit.second, since=visit.first), visit)
    with pytest.raises(CannotAudit, match=message):
        await audit("b", checkpoint=visit.directory)


async def test_commands_that_were_deleted_behind_the_checkpoint_are_not_missed(two_visits):
    visit = two_visits
    visit(visit.first)
    await audit("b", checkpoint=visit.directory)
    kafka = visit(visit.second, since=visit.first)
    kafka.begins[COMMANDS] = len(visit.first.commands)
    report = await audit("b", checkpoint=visit.directory)
    assert (report.equal, report.complete) == (True, True)


@pytest.mark.parametrize("damage", ["flip", "remove", "manifest", "layout"])
async def test_a_damaged_checkpoint_is_refused(two_visits, damage):
    visit = two_visits
    visit(visit.first)
    await audit("b", checkpoint=visit.directory)
    (path,) = visit.directory.glob("*.model")
    manifest = visit.directory / MANIFEST
    if damage == "flip":
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(bytes(data))
    elif damage == "remove":
        path.unlink()
    else:
        known = f'"layout": {LAYOUT}'.encode()
        manifest.write_bytes(b"{" if damage == "manifest" else manifest.read_bytes().replace(known, b'"layout": 9'))
    with pytest.raises(CannotAudit, match="remove"):
        await audit("b", checkpoint=visit.directory)


async def test_a_checkpoint_of_the_layout_before_is_gone_on_from(two_visits):
    visit, log = two_visits, Log().stocked(a=9)
    first = Published(log)
    log.do("reserve", reservation_id="r", quantity=1)
    log.do("set_warehouse", sku=None, warehouse="a", version=1)
    visit(first)
    await audit("b", checkpoint=visit.directory)
    manifest = visit.directory / MANIFEST
    before = json.loads(manifest.read_bytes())
    del before["marks"][0]["outputs"][REFERENCE]
    manifest.write_text(json.dumps(before | {"layout": 1}))
    visit(Published(log), since=first)
    report = await audit("b", checkpoint=visit.directory)
    assert (report.equal, report.complete, report.partitions[0].begin) == (True, True, 1)
    assert read_manifest(visit.directory).layout == LAYOUT


def write_and_read(directory, model):
    writer = Writer(directory, 0)
    writer.write_model(model)
    name, sha256 = writer.finish(Digest(), Digest(), 1)
    mark = msgspec.convert(
        {"partition": 0, "file": name, "sha256": sha256, "next_offset": 1, "at": 0, "incarnation": 1}
        | {"last_command": None, "outputs": {}, "changelog": 0},
        type=Mark,
    )
    return read_state(directory, mark).model


def with_queries(model):
    """Return a model that remembers a query before each command, as those of layout 1 did."""
    before, seen = copy.copy(model), {}
    for number, (key, row) in enumerate(model.seen.items()):
        at = msgspec.msgpack.decode(row)[5]
        query = [1, b"content", "query", None, 1, at, number, None, None, [], None, None, None]
        seen |= {f"S\0q{number}": msgspec.msgpack.encode(query), key: row}
    before.seen, before.seen_order = seen, deque(seen)
    before.seen_runs = deque([at, 2 * count] for at, count in model.seen_runs)
    return before


@pytest.mark.parametrize("before", [copy.copy, with_queries])
@pytest.mark.parametrize("at", [0, 2 * DAY, 8 * DAY])
def test_a_state_that_was_written_down_goes_on_as_the_one_that_was_kept(tmp_path, at, before):
    log = Log()
    do_some(log, 0, 40)
    log.do("reserve", at=40, reservation_id="query", quantity=1)
    read = write_and_read(tmp_path, before(log.model))
    assert list(read.rows()) == list(log.model.rows())
    assert read.seen_runs == log.model.seen_runs
    kept, log.model = log.model, read
    before = len(log.commands)
    do_some(log, 40, 40, at=at)
    expected = log.expected[before:]
    assert [kept.apply(it.offset, it.timestamp, it.key, it.value) for it in log.commands[before:]] == expected
    assert list(read.rows()) == list(kept.rows())
    assert any(it.results for it in expected)


@pytest.mark.parametrize("cut", [0, 1, 63, 64, 65, 130])
def test_a_digest_does_not_depend_on_where_it_was_interrupted(cut):
    records = [b"%d" % number for number in range(130)]
    whole, before = Digest(), Digest()
    whole.pending += records
    before.pending += records[:cut]
    after = Digest(*before.state())
    after.pending += records[cut:]
    assert (after.count, after.hexdigest()) == (whole.count, whole.hexdigest()) == (130, after.hexdigest())
    after.pending.append(b"")
    assert after.hexdigest() != whole.hexdigest()


def test_a_fingerprint_tells_records_apart():
    assert (
        len({fingerprint(1, 2, b"a"), fingerprint(1, 3, b"a"), fingerprint(1, 2, b"b"), fingerprint(2, 2, None)}) == 4
    )
