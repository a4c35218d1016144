"""The partition protocol keeps its promises in every simulated world, and a world is what its seed says."""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from schemas.codes import Code
from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.reference import REFERENCE_COMMAND_TYPES
from schemas.topics import RESULTS, STOCK_CHANGES
from tests.simulation.installed import installed
from tests.simulation.many import run_many, summary_of
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.traffic import Traffic, skus_of
from tests.simulation.world import World, simulate
from tests.tables.partition import Partition

# Worlds for the test: as many as fit into this time, and at least these. Two idle cores do 800 to 2,000 in it.
_FOR_S = 20.0
_AT_LEAST = 200
_MUTANT_SEEDS = 800


@pytest.fixture(autouse=True)
def seams():
    with installed():
        yield


def test_nothing_is_lost_doubled_or_out_of_order_in_any_world():
    seeds = faults = commands = killed = recovered = 0
    for world in run_many(itertools.count(), summary_of, for_s=_FOR_S, at_least=_AT_LEAST):
        assert world.wrong is None, f"{world.wrong}; replay it: python -m tests.simulation --seed {world.seed}"
        faults, commands, seeds = faults + world.faults, commands + world.commands, seeds + 1
        killed, recovered = killed + world.settling.killed, recovered + world.settling.recovered
    assert seeds >= _AT_LEAST
    assert commands > 10 * seeds
    assert faults > seeds
    # A queue was settled in part when its owner was killed, and when a ledger was recovered.
    assert killed > seeds / 30
    assert recovered > seeds / 15
    met = f"{killed} workers killed and {recovered} ledgers recovered with a queue settled in part"
    print(f"{seeds} worlds, {faults} faults, {commands} commands, {met}")  # noqa: T201 - with -s one sees how many fitted


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name):
    with mutated(MUTANTS[name]):
        assert any(simulate(seed).wrong for seed in range(_MUTANT_SEEDS)), f"no world notices that {name}"


def test_the_traffic_has_every_command_every_code_and_queues_that_are_settled_over_several_records():
    results, changes, random = [], [], Random(1)
    for _ in range(50):
        partition, skus, traffic = Partition(1, 2), skus_of(1, 2), Traffic(random)
        for number in range(60):
            partition.now += random.choice((0, 5, 200))
            crowd = traffic.crowd(skus, partition.now) if number == 20 else []
            partition.tell(*[value for _, value in (*crowd, traffic.command(skus, partition.now))])
        results += [json.loads(value) for _, value in partition.published[RESULTS]]
        changes += [json.loads(value) for _, value in partition.published[STOCK_CHANGES]]
    accepted = Counter(result["type"] for result in results if result["status"] == "accepted")
    sent = {tag_of(kind) for kind in (*SKU_COMMAND_TYPES, *REFERENCE_COMMAND_TYPES)} - {"set_feed"}
    wanted = sent | {"fill", "promise", "expire"}
    assert wanted <= {type_ for type_, count in accepted.items() if count >= 3}, accepted
    # No record is misrouted, one without readable ids is not answered, and limits are far off.
    never = {Code.WRONG_PARTITION, Code.MALFORMED, Code.LIMIT_EXCEEDED}
    assert {*Code} - never <= {result["code"] for result in results}
    assert sum(change.get("book", {}).get("settling", False) for change in changes) > 100
    assert accepted.total() > 0.6 * len(results)


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
