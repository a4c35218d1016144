"""Owns the command line: `python -m tests.simulation --seeds 0..10000`, or `--seed 42` with its trace of events."""

import argparse
import itertools
import sys
import time
import traceback
from collections.abc import Iterable

from tests.simulation.installed import installed
from tests.simulation.many import run_many, summary_of
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.world import SeedResult, simulate

_SAY_EVERY_S = 5.0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command line speaks


def main(arguments: list[str] | None = None) -> int:
    """Run seeds; 1 when one of them is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0..1000", help="FIRST..LAST, or FIRST.. to go on until --minutes are over")
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--seed", type=int, help="run one seed and print all that happens in it")
    parser.add_argument("--mutant", choices=MUTANTS, help="break this rule of the protocol first")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        with installed(), mutated(MUTANTS[options.mutant] if options.mutant else []):
            return _show(simulate(options.seed, traced=True))
    first, _, last = options.seeds.partition("..")
    seeds: Iterable[int] = range(int(first), int(last)) if last else itertools.count(int(first))
    return _run(seeds, options.minutes, options.mutant)


def _run(seeds: Iterable[int], minutes: float | None, mutant: str | None) -> int:
    started = said = time.monotonic()
    done = steps = commands = faults = wrong = killed = recovered = 0
    for summary in run_many(seeds, summary_of, mutant=mutant, for_s=None if minutes is None else 60 * minutes):
        done, steps = done + 1, steps + summary.steps
        commands, faults = commands + summary.commands, faults + summary.faults
        killed, recovered = killed + summary.settling.killed, recovered + summary.settling.recovered
        if summary.wrong is not None:
            wrong += 1
            again = f"python -m tests.simulation --seed {summary.seed}" + (f" --mutant {mutant!r}" if mutant else "")
            _say(f"seed {summary.seed}: {summary.wrong}\n    replay it: {again}")
        now = time.monotonic()
        if now - said > _SAY_EVERY_S:
            said = now
            _say(f"{done} seeds, {60 * done / (now - started):,.0f} a minute, {wrong} wrong")
    seconds = time.monotonic() - started
    _say(
        f"{done} seeds in {seconds:.0f} s, {60 * done / seconds:,.0f} a minute: {commands:,} commands compared, "
        f"{faults:,} faults, {steps:,} steps; a queue was settled in part when {killed:,} workers were killed and "
        f"when {recovered:,} ledgers were recovered; {wrong} wrong"
    )
    return 1 if wrong else 0


def _show(outcome: SeedResult) -> int:
    _say("\n".join(outcome.trace))
    _say(
        f"seed {outcome.seed}: {outcome.virtual_s:.1f} virtual seconds, {outcome.steps} steps, "
        f"{outcome.faults} faults, {outcome.commands} commands compared"
    )
    if outcome.wrong is None:
        _say("every promise was kept")
        return 0
    traceback.print_exception(outcome.wrong)
    return 1


if __name__ == "__main__":
    sys.exit(main())
