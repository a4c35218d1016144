"""A minute of random faults under load: nothing is lost, doubled, reordered, altered or undone."""

import msgspec
import pytest

from tests.fault.plan import KINDS, plan
from tests.fault.soak import Verdict, _more, show, soak

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


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_random_faults_for_a_minute_take_nothing_and_double_nothing(tmp_path):
    verdict = await soak(SEED, 60, tmp_path)
    assert verdict.good, show(verdict)
    assert verdict.results_compared > 1_000
    assert set(KINDS) <= {kind.split(",")[0] for kind in verdict.faults}
    assert {f"kill, {disk} disk" for disk in ("same", "wiped", "stale")} <= verdict.faults.keys()
