"""The audit of a cluster: what it reads, what it waits for, what is pending, and when it cannot run."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError

from audit import CannotAudit, audit
from audit import run as run_module
from audit.comparison.rows import POSITION, LedgerSnapshot
from schemas.topics import CHANGELOG, COMMANDS, DEAD_LETTERS, RESULTS, STOCK_CHANGES
from tests.audit.ledger import Source


class FakeKafka:
    """Stands for a cluster of one partition; `begins` and `next_positions` are set by the test."""

    def __init__(self, published):
        self.published = published
        self.logs = {COMMANDS: published.commands} | published.outputs
        self.begins = {}
        self.cluster = "here"
        self.next_positions = []
        self.open_transactions = set()
        self.changelog_end, self.written_since = 100, {}
        self.asked = []

    def __call__(self, bootstrap):
        self.bootstrap = bootstrap
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def partitions(self):
        return 1

    async def cluster_id(self):
        return self.cluster

    async def begin(self, topic, _partition):
        return self.begins.get(topic, 0)

    async def end(self, topic, _partition):
        if topic == CHANGELOG:
            return self.changelog_end
        return self.logs[topic][-1].offset + 1 if self.logs[topic] else 0

    async def settled_end(self, topic, _partition):
        return await self.end(topic, _partition), topic not in self.open_transactions

    def log(self, topic, _partition, begin, end):
        self.asked.append((topic, begin, end))
        return FakeLog([it for it in self.logs[topic] if begin <= it.offset < end], 5)

    async def count(self, topic, _partition, begin, end):
        return sum(begin <= it.offset < end for it in self.logs[topic])

    async def is_empty(self, topic, _partition, begin, end):
        return await self.count(topic, _partition, begin, end) == 0

    async def ledger(self, _partition, since=None):
        rows = self.published.rows if since is None else self.written_since
        return LedgerSnapshot.of(dict(rows), self.changelog_end)

    async def position(self, _partition):
        if self.next_positions:
            return self.next_positions.pop(0)
        return (await self.ledger(_partition)).next_offset


class FakeLog(Source):
    """A source that can be closed."""

    async def close(self):
        self.done = True


def install(monkeypatch, fake):
    """Let an audit find a fake cluster."""
    monkeypatch.setattr(run_module, "Kafka", fake)
    monkeypatch.setattr(run_module, "WAIT_POLL_S", 0.0)
    return fake


@pytest.fixture
def kafka(log, published, monkeypatch):
    log.stocked(a=50)
    for number in range(20):
        log.do("reserve", reservation_id=f"r{number}", quantity=1)
    log.send(b"{")
    return install(monkeypatch, FakeKafka(published(log)))


def set_position(kafka, next_offset):
    kafka.published.edit_row(POSITION, 1, next_offset)


async def test_a_faultless_cluster_is_equal_and_complete(kafka):
    report = await audit("somewhere:9092")
    assert (report.equal, report.complete, report.pending, report.notes) == (True, True, 0, [])
    assert (report.compared.commands, report.compared.results, report.compared.dead_letters) == (22, 21, 1)
    (part,) = report.partitions
    assert (part.log_start, part.log_end, part.position) == (0, 22, 22)
    assert kafka.bootstrap == "somewhere:9092"


async def test_what_differs_makes_it_unequal(kafka):
    del kafka.logs[RESULTS][5]
    report = await audit("b")
    assert (report.equal, report.lost, report.difference_count) == (False, 1, 1)


@pytest.mark.usefixtures("kafka")
async def test_progress_is_told_up_to_the_end():
    told = []
    await audit("b", progress=told.append)
    assert [(it.stage, it.partition, it.end) for it in told] == [("comparing", 0, 22)] * len(told)
    assert [it.offset for it in told] == [5, 10, 15, 20, 22]


async def test_commands_that_are_not_applied_are_pending(kafka):
    kafka.logs[COMMANDS] += [kafka.logs[COMMANDS][-1]._replace(offset=22 + 3 * number) for number in range(4)]
    report = await audit("b")
    assert (report.pending, report.equal) == (4, True)


async def test_it_waits_until_the_commands_of_its_start_are_applied(kafka):
    kafka.next_positions = [None, 3, 21, 22, 1000]
    told = []
    report = await audit("b", wait_s=60, progress=told.append)
    assert report.pending == 0
    assert [it.offset for it in told if it.stage == "waiting"] == [0, 3, 21, 22]


async def test_it_does_not_wait_for_offsets_that_hold_no_command(kafka):
    kafka.logs[COMMANDS][-1] = kafka.logs[COMMANDS][-1]._replace(offset=30)
    kafka.next_positions = [22, 31]
    await audit("b", wait_s=60)
    assert kafka.next_positions == []


async def test_it_waits_no_longer_than_it_may(kafka):
    kafka.next_positions = [3] * 10
    await audit("b", wait_s=1e-9)
    assert len(kafka.next_positions) == 9


async def test_without_waiting_the_position_is_not_asked_for(kafka):
    kafka.next_positions = [3]
    await audit("b")
    assert kafka.next_positions == [3]


async def test_a_log_without_its_beginning_is_checked_for_what_can_be(kafka):
    kafka.begins[COMMANDS] = 4
    report = await audit("b")
    assert (report.equal, report.complete) == (True, False)
    assert "the log begins at offset 4: the state cannot be rebuilt" in report.notes[0]


@pytest.mark.parametrize("topic", [RESULTS, STOCK_CHANGES, DEAD_LETTERS])
async def test_an_output_without_its_beginning_is_named(kafka, topic):
    kafka.begins[topic] = 1
    report = await audit("b")
    assert (report.equal, report.complete) == (True, False)
    assert f"partition 0: {topic} begins at offset 1: earlier records are not compared" in report.notes


async def test_a_transaction_that_stays_open_is_named(kafka):
    kafka.open_transactions.add(RESULTS)
    assert any("stays open in inventory.results" in note for note in (await audit("b")).notes)


async def test_commands_that_went_before_they_were_applied_are_lost(kafka):
    set_position(kafka, 2)
    kafka.begins[COMMANDS] = 4
    report = await audit("b")
    assert (report.equal, report.lost) == (False, 2)
    assert [(it.kind, it.what, it.offset) for it in report.differences if it.kind == "command"] == [
        ("command", "lost", 2)
    ]


async def test_a_position_beyond_the_end_of_the_log_is_a_difference(kafka):
    set_position(kafka, 23)
    report = await audit("b")
    assert [(it.kind, it.what, it.offset) for it in report.differences] == [("command", "lost", 23)]


@pytest.mark.parametrize("row", [[1], ["x"], [1, "a", 2, 3], 7, b"", {}])
def test_a_position_that_is_none_is_refused(row):
    with pytest.raises(ValueError, match="position row"):
        LedgerSnapshot.of({POSITION: msgspec.msgpack.encode(row)})


async def test_partitions_may_be_audited_each_by_itself(kafka, monkeypatch):
    del kafka.logs[RESULTS][5]
    monkeypatch.setattr(run_module, "ProcessPoolExecutor", lambda workers, **_: ThreadPoolExecutor(workers))
    told = []
    report = await audit("b", processes=2, progress=told.append)
    assert (report.equal, report.lost, report.compared.commands) == (False, 1, 22)
    assert [(it.offset, it.end) for it in told] == [(22, 22)]


async def test_without_kafka_there_is_no_audit(kafka, monkeypatch):
    async def refuse():
        raise KafkaConnectionError("nobody there")

    monkeypatch.setattr(kafka, "partitions", refuse)
    with pytest.raises(CannotAudit, match=r"somewhere:1.*nobody there"):
        await audit("somewhere:1")


def test_without_kafka_there_is_none_in_a_process_of_its_own_either(kafka, monkeypatch):
    async def refuse(_partition):
        raise KafkaConnectionError("nobody there")

    monkeypatch.setattr(kafka, "ledger", refuse)
    with pytest.raises(CannotAudit, match=r"somewhere:1.*nobody there"):
        run_module._audit_alone(run_module.Job("somewhere:1", [22]), 0)
