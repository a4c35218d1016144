"""The partition protocol keeps its promises in every simulated world, and a world is what its seed says."""

import itertools
import os
import subprocess
import sys

import pytest

from tests.simulation.installed import installed
from tests.simulation.many import run_many
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.world import World, simulate

# Worlds for the test: as many as fit into this time, and at least these. Two idle cores do 800 to 2,000 in it.
_FOR_S = 20.0
_AT_LEAST = 200
_MUTANT_SEEDS = 800


@pytest.fixture(autouse=True)
def seams():
    with installed():
        yield


def test_nothing_is_lost_doubled_or_out_of_order_in_any_world():
    seeds = faults = commands = 0
    for world in run_many(itertools.count(), for_s=_FOR_S, at_least=_AT_LEAST):
        assert world.wrong is None, f"{world.wrong}; replay it: python -m tests.simulation --seed {world.seed}"
        faults, commands, seeds = faults + world.faults, commands + world.commands, seeds + 1
    assert seeds >= _AT_LEAST
    assert commands > 10 * seeds
    assert faults > seeds
    print(f"{seeds} worlds, {faults} faults, {commands} commands")  # noqa: T201 - with -s one sees how many fitted


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name):
    with mutated(MUTANTS[name]):
        assert any(simulate(seed).wrong for seed in range(_MUTANT_SEEDS)), f"no world notices that {name}"


@pytest.mark.parametrize("hash_seed", ["1", "5", "7"])
def test_a_world_is_the_same_every_time_and_in_every_process(hash_seed):
    here = ["\n".join(simulate(seed, traced=True).trace) for seed in range(8)]
    code = (
        "from tests.simulation.installed import installed; from tests.simulation.world import simulate\n"
        "with installed():\n    print('\\0'.join('\\n'.join(simulate(s, traced=True).trace) for s in range(8)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
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
