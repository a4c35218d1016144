"""Two minutes of random faults under load: nothing is lost, doubled, out of order, altered or taken back."""

import pytest

from tests.fault.plan import KINDS, plan
from tests.fault.soak import show, soak

SEED = 20_260


def test_a_seed_plans_the_same_faults_every_time_and_another_seed_plans_others():
    assert plan(7, 120, partitions=4) == plan(7, 120, partitions=4)
    assert plan(7, 120, partitions=4) != plan(8, 120, partitions=4)


def test_two_minutes_have_every_kind_of_fault():
    for seed in range(20):
        assert {fault.kind for fault in plan(seed, 120, partitions=4)} == set(KINDS)


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_random_faults_for_two_minutes_take_nothing_and_double_nothing(tmp_path):
    verdict = await soak(SEED, 120, tmp_path)
    assert verdict.good, show(verdict)
    assert verdict.results_compared > 1_000
    assert set(KINDS) <= {kind.split(",")[0] for kind in verdict.faults}
