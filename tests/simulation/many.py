"""Owns the running of many seeds, on all processors."""

import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple, TypeVar

from tests.simulation.installed import installed
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.world import Settling, simulate

# So many seeds are handed out before the clock is looked at; each process takes a few at a time.
_AT_A_TIME = 32
_CHUNK = 4


class Summary(NamedTuple):
    """What became of one seed; `wrong` says which promise was broken, None when none was."""

    seed: int
    wrong: str | None
    commands: int
    steps: int
    faults: int
    settling: Settling


T = TypeVar("T")


def run_many(
    seeds: Iterable[int],
    work: Callable[[int], T],
    *,
    mutant: str | None = None,
    for_s: float | None = None,
    at_least: int = 0,
) -> Iterator[T]:
    """Run seeds, each by itself, until they or the time are over; yield what comes of them.

    Args:
        seeds: which; they may be endless when there is a time.
        work: what is done with a seed, such as `summary_of`.
        mutant: break this rule of the protocol first.
        for_s: stop after this time, but not before `at_least` seeds were run.

    Raises:
        BrokenProcessPool: a process died.
    """
    until = None if for_s is None else time.monotonic() + for_s
    remaining, done = iter(seeds), 0
    # Started anew, not forked: a world must not depend on what the parent has loaded or done.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), context, _install, (mutant,)) as pool:
        while batch := list(itertools.islice(remaining, _AT_A_TIME)):
            yield from pool.map(work, batch, chunksize=_CHUNK)
            done += len(batch)
            if until is not None and done >= at_least and time.monotonic() > until:
                return


_kept: list[object] = []  # the seams of a process of the pool stay in place as long as it lives


def _install(mutant: str | None) -> None:
    for seam in (installed(), mutated(MUTANTS[mutant] if mutant else [])):
        seam.__enter__()
        _kept.append(seam)


def summary_of(seed: int) -> Summary:
    """Simulate the world of a seed."""
    outcome = simulate(seed)
    wrong = None if outcome.wrong is None else f"{type(outcome.wrong).__name__}: {outcome.wrong}"
    return Summary(seed, wrong, outcome.commands, outcome.steps, outcome.faults, outcome.settling)
