"""A minute of random faults under load: nothing is lost, doubled, reordered, altered or undone."""

import json
from collections import Counter

import msgspec
import pytest

from schemas.codes import Code
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.reference import REFERENCE_COMMAND_TYPES
from schemas.topics import DEAD_LETTERS, RESULTS, STOCK_CHANGES
from tests.fault.plan import KINDS, plan
from tests.fault.soak import Verdict, _more, show, soak
from tests.harness import PARTITIONS, commands
from tests.tables.partition import T0, Partition

# In its minute are faults of every kind, and workers that are killed find the same disk, an old one, or none.
SEED = 20_276


def test_a_seed_plans_the_same_faults_every_time_and_another_seed_plans_others():
    assert plan(7, 120, partitions=4) == plan(7, 120, partitions=4)
    assert plan(7, 120, partitions=4) != plan(8, 120, partitions=4)


def test_two_minutes_have_every_kind_of_fault():
    for seed in range(20):
        assert {fault.kind for fault in plan(seed, 120, partitions=4)} == set(KINDS)


FINDINGS = Verdict.__struct_fields__[Verdict.__struct_fields__.index("lost") :]


@pytest.mark.parametrize("finding", FINDINGS)
def test_one_finding_of_any_kind_makes_the_verdict_bad(finding):
    types = {field.name: field.type for field in msgspec.structs.fields(Verdict)}
    clean = Verdict(
        **{name: type_() if isinstance(type_, type) else type_.__origin__() for name, type_ in types.items()}
    )
    assert clean.good
    one = ["something"] if finding in ("unexpected_exits", "not_checked") else 1
    assert not msgspec.structs.replace(clean, **{finding: one}).good


def test_what_only_one_reader_saw_is_counted_by_offset_value_and_number():
    assert _more({0: [(1, b"a"), (1, b"a"), (2, b"b")]}, {0: [(1, b"a"), (2, b"c")]}) == 2
    assert _more({0: [(1, b"a")]}, {0: [(1, b"a"), (2, b"c")]}) == 0


# What the load never meets: a record without readable ids is not answered, and limits are far off.
NEVER_MET = {Code.MALFORMED, Code.LIMIT_EXCEEDED}


class Load:
    """The partitions of a load, and what it still has to tell them: 20 commands of a partition are a transaction."""

    def __init__(self):
        self.now = T0
        self.partitions = [Partition(number, PARTITIONS) for number in range(PARTITIONS)]
        self._waiting = [[] for _ in range(PARTITIONS)]

    def run(self, count):
        for _, number, value in commands(1, count, now_ms=lambda: self.now):
            self.now += 5
            self._waiting[number].append(value)
            if len(self._waiting[number]) == 20:
                self.partitions[number].now = self.now
                self.partitions[number].tell(*self._waiting[number])
                self._waiting[number] = []
        return self

    def published(self, topic):
        values = [value for partition in self.partitions for _, value in partition.published[topic]]
        return values if topic == DEAD_LETTERS else [*map(json.loads, values)]


@pytest.fixture(scope="module")
def published():
    """Return what is published for a load: documents by topic."""
    load = Load().run(8_000)
    return {topic: load.published(topic) for topic in (RESULTS, STOCK_CHANGES, DEAD_LETTERS)}


def test_the_load_has_commands_of_every_type_and_most_of_them_are_accepted(published):
    answered = Counter(result["type"] for result in published[RESULTS])
    accepted = Counter(result["type"] for result in published[RESULTS] if result["status"] == "accepted")
    sent = {tag_of(kind) for kind in (*SKU_COMMAND_TYPES, *REFERENCE_COMMAND_TYPES)}
    assert sent <= {type_ for type_, count in accepted.items() if count >= 5}, accepted
    assert accepted.total() > 0.65 * answered.total()
    assert sum(result["replayed"] for result in published[RESULTS]) > 50
    assert len(published[DEAD_LETTERS]) > 50


def test_the_load_meets_every_code(published):
    met = {result["code"] for result in published[RESULTS]}
    assert {*Code} - NEVER_MET <= met, {*Code} - met


def test_queues_form_under_the_load_and_are_settled_over_several_records(published):
    steps = Counter(result["type"] for result in published[RESULTS] if result["command_id"] is None)
    assert steps["fill"] > 300
    assert steps["promise"] > 50
    said = Counter(change["sku"] for change in published[STOCK_CHANGES] if change.get("book", {}).get("settling"))
    assert len(said) > 10, "few SKUs are settled over more than one record"
    ended = {change["sku"] for change in published[STOCK_CHANGES] if change["cause"]["type"] == "settle"} & {*said}
    assert ended


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_random_faults_for_a_minute_take_nothing_and_double_nothing(tmp_path):
    verdict = await soak(SEED, 60, tmp_path)
    assert verdict.good, show(verdict)
    assert verdict.results_compared > 1_000
    assert set(KINDS) <= {kind.split(",")[0] for kind in verdict.faults}
    assert {f"kill, {disk} disk" for disk in ("same", "wiped", "stale")} <= verdict.faults.keys()
