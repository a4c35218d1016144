"""The partition protocol keeps its promises in every simulated world, and a world is what its seed says."""

import os
import subprocess
import sys
import time

import pytest

from tests.simulation.installed import installed
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.world import World, simulate

# Worlds for the test: as many as fit into this time, and at least these. An idle core does about 1,000 in it.
_FOR_S = 45.0
_AT_LEAST = 60
_MUTANT_SEEDS = 600


@pytest.fixture(autouse=True)
def seams():
    with installed():
        yield


def test_nothing_is_lost_doubled_or_out_of_order_in_any_world():
    until = time.monotonic() + _FOR_S
    seed = faults = commands = 0
    while seed < _AT_LEAST or time.monotonic() < until:
        outcome = simulate(seed)
        assert outcome.wrong is None, f"replay it: python -m tests.simulation --seed {seed}"
        faults, commands, seed = faults + outcome.faults, commands + outcome.commands, seed + 1
    assert commands > 10 * seed
    assert faults > seed
    print(f"{seed} worlds, {faults} faults, {commands} commands")  # noqa: T201 - with -s one sees how many fitted


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name):
    with mutated(MUTANTS[name]):
        assert any(simulate(seed).wrong for seed in range(_MUTANT_SEEDS)), f"no world notices that {name}"


def test_a_world_is_the_same_every_time_and_in_every_process():
    here = ["\n".join(simulate(seed, traced=True).trace) for seed in range(8)]
    code = (
        "from tests.simulation.installed import installed; from tests.simulation.world import simulate\n"
        "with installed():\n    print('\\0'.join('\\n'.join(simulate(s, traced=True).trace) for s in range(8)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert there.rstrip("\n").split("\0") == here
    assert len(set(here)) == 8


def test_a_world_that_is_not_watched_runs_as_one_that_is():
    for seed in range(5):
        assert simulate(seed).steps == simulate(seed, traced=True).steps


def test_commands_that_are_never_processed_are_noticed(monkeypatch):
    monkeypatch.setattr(World, "owner_of", lambda *_: None)
    assert "not processed" in str(simulate(1).wrong)
