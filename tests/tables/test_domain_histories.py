"""Whatever is told to a partition, and when: what section 18 of the domain's contract promises holds after it."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from schemas.commands import SKU_COMMAND_TYPES, tag_of
from schemas.topics import RESULTS, STOCK_CHANGES
from tables.core import amend, movements, placing, reallocate, reserve, settling
from tables.store import RocksStore
from tests.tables.histories import write_history
from tests.tables.partition import Partition
from tests.tables.proof import failure, prove, values

ROOT = Path(__file__).parents[2]
PARTS, HISTORIES = 4, 20


@pytest.mark.parametrize("part", range(PARTS))
def test_every_invariant_holds_after_every_record(part):
    for seed in range(part * HISTORIES, (part + 1) * HISTORIES):
        prove(seed)


def told(seed, partition=None, limit=7, count=60):
    """Return a partition that was told a history, so many records in each transaction."""
    partition = partition or Partition()
    left = [(number, *record) for number, record in enumerate(write_history(seed, count))]
    while left:
        left = partition.take(left, limit)
    return partition


def test_the_histories_are_no_idle_ones():
    done, steps = Counter(), Counter()
    for seed in range(40):
        partition = told(seed)
        for result in values(partition, RESULTS):
            done[result["type"]] += result["status"] == "accepted" and not result["replayed"]
        for change in values(partition, STOCK_CHANGES):
            cause = change["cause"]
            steps[cause["type"], "reference" in cause] += cause.get("command_id") is None
    assert min(done[kind] for kind in ("expire", *map(tag_of, SKU_COMMAND_TYPES))) >= 5
    assert min(steps[kind] for kind in (("fill", True), ("fill", False), ("promise", True), ("promise", False))) >= 5


def digest(seeds=range(8)):
    """Return a hash of all that some histories make a partition publish and keep."""
    found = hashlib.sha256()
    for seed in seeds:
        partition = told(seed)
        found.update(repr((partition.published, partition.changelog)).encode())
    return found.hexdigest()


def test_histories_give_the_same_bytes_whatever_the_seed_of_hashes():
    program = "from tests.tables.test_domain_histories import digest; print(digest())"
    environment = os.environ | {"PYTHONHASHSEED": "271828", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest()


def test_histories_give_the_same_bytes_on_disk(tmp_path):
    for seed in range(8):
        partition = Partition(store=RocksStore(tmp_path / str(seed)))
        left = [(number, *record) for number, record in enumerate(write_history(seed, 60))]
        while left:
            left = partition.take(left, 7)
            partition.reopen()
        in_memory = told(seed)
        assert (partition.published, partition.changelog) == (in_memory.published, in_memory.changelog)
        partition.store.close()


# A broken rule, and a seed whose history notices. Where the histories change, `failure` finds another seed.
BREAKS = [
    (reserve, "owed_to_queue", lambda _: 0, 1),
    (amend, "owed_to_queue", lambda _: 0, 33),
    (reallocate, "owed_to_queue", lambda _: 0, 2),
    (movements, "owed_to_queue", lambda _: 0, 14),
    (placing, "free_of_inbound", lambda inbound, _=0: inbound.remaining, 0),
    (settling, "_tell", lambda _: None, 8),
    (settling, "_peg", lambda _: None, 0),
]


@pytest.mark.parametrize(
    ("module", "name", "broken", "seed"), BREAKS, ids=[f"{it[0].__name__}-{it[1]}" for it in BREAKS]
)
def test_a_broken_rule_is_noticed(monkeypatch, module, name, broken, seed):
    monkeypatch.setattr(module, name, broken)
    assert failure(seed) is not None
