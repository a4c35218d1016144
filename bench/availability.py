"""Owns the benchmark of availability: how long each partition does not answer when one of two workers is killed."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.harness import Child, Stage
from bench.prober import EVERY_S, PROMPT_S, Prober, clock, probing
from bench.report import Document, Options, Table, Watcher, median
from bench.topics import PARTITIONS
from ops.kafka.cluster import connect
from schemas.topics import COMMANDS, GROUP

NAME = "availability"

RESTART, AWAY = "killed and restarted at once", "killed and left away"
# Seconds within which the killed worker's partitions answer again: the session (6 s) and 2 s when it stays away.
_AIMS_S = {RESTART: 3.0, AWAY: 8.0}
# How long to watch before the kill, and how long every partition must answer promptly after it.
_STEADY_S, _QUICK_STEADY_S = 2.0, 0.5
# A quick run is allowed more, because it must pass on a busy machine.
_QUICK_PROMPT_S = 2.0
_PATIENCE_S = 40.0


def measure(stage: Stage, options: Options, watcher: Watcher) -> Document:
    """Kill one of two workers several times: first restart it at once, then let it stay away."""
    stage.renew_all_topics()
    scenarios = (RESTART,) if options.quick else (RESTART, AWAY)
    watcher.steps(options.runs * len(scenarios))
    runs = asyncio.run(_runs(stage, options, scenarios, watcher))
    return {
        "quick": options.quick,
        "unit": "seconds; a gap is the longest stretch without an answer, probed every 50 ms",
        "probe_every_s": EVERY_S,
        "prompt_s": PROMPT_S,
        "scenarios": {scenario: _summary(runs[scenario], _AIMS_S[scenario]) for scenario in scenarios},
        "runs": runs,
    }


def _summary(runs: list[dict[str, Any]], aim_s: float) -> dict[str, Any]:
    """Return the medians over the runs; of each run the worst partition counts."""
    killed = [[found for found in run["partitions"].values() if found["killed"]] for run in runs]
    others = [[found for found in run["partitions"].values() if not found["killed"]] for run in runs]
    return {
        "aim_s": aim_s,
        "killed_back_after_s": median([max(found["back_after_s"] for found in run) for run in killed]),
        "killed_gap_s": median([max(found["gap_s"] for found in run) for run in killed]),
        "others_gap_s": median([max(found["gap_s"] for found in run) for run in others]),
    }


@dataclass(frozen=True)
class _Wait:
    """Waits until every partition has answered promptly for some time."""

    steady_s: float
    prompt_s: float

    async def until_all_is_well(self, prober: Prober) -> bool:
        """Wait, and return False when the time is over."""
        return await prober.until_prompt(for_s=self.steady_s, prompt_s=self.prompt_s, timeout_s=_PATIENCE_S)


class _Pair:
    """Two workers, A and B; A is killed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._dir_a: Path = stage.new_folder("worker-a")
        self.a: Child = stage.worker(self._dir_a)
        self.b: Child = stage.worker(stage.new_folder("worker-b"))

    def restart(self) -> None:
        """Start A again on its data directory."""
        self.a = self._stage.worker(self._dir_a)

    async def partitions_of_a(self) -> set[int]:
        """Wait until both workers have partitions.

        Raises:
            TimeoutError: they never did.
        """
        await _line(self.a)
        await _line(self.b)
        name = f"holdfast-worker-{(self._dir_a / 'instance-id').read_text().strip()[:8]}"
        async with asyncio.timeout(_PATIENCE_S), connect(self._stage.bootstrap) as cluster:
            while True:
                group = await cluster.group(GROUP, COMMANDS)
                held = {
                    number for member, numbers in group.members.items() if member.startswith(name) for number in numbers
                }
                if 0 < len(held) < PARTITIONS:
                    return held
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        """End both."""
        self.a.stop()
        self.b.stop()


async def _line(child: Child) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while child.line("ready") is None:
            child.check()
            await asyncio.sleep(0.02)


async def _runs(
    stage: Stage, options: Options, scenarios: tuple[str, ...], watcher: Watcher
) -> dict[str, list[dict[str, Any]]]:
    wait = _Wait(_QUICK_STEADY_S, _QUICK_PROMPT_S) if options.quick else _Wait(_STEADY_S, PROMPT_S)
    found: dict[str, list[dict[str, Any]]] = {scenario: [] for scenario in scenarios}
    pair = _Pair(stage)
    try:
        async with probing(stage.bootstrap) as prober:
            for run in range(1, options.runs + 1):
                for scenario in scenarios:
                    watcher.step(f"run {run} of {options.runs}: a worker is {scenario}")
                    found[scenario].append(await _kill(pair, prober, scenario, wait))
                    if scenario == AWAY:
                        pair.restart()
    finally:
        pair.stop()
    return found


async def _kill(pair: _Pair, prober: Prober, scenario: str, wait: _Wait) -> dict[str, Any]:
    of_a = await pair.partitions_of_a()
    if not await wait.until_all_is_well(prober):
        raise RuntimeError("the partitions do not answer promptly although nobody was killed; is the machine busy?")
    killed_at = clock()
    pair.a.kill_at_once()
    if scenario == RESTART:
        pair.restart()
    # Not sooner: answers of the killed worker may still be on their way.
    await asyncio.sleep(wait.prompt_s + wait.steady_s)
    recovered = await wait.until_all_is_well(prober)
    pair.b.check()
    return {
        "recovered": recovered,
        "partitions": {
            str(number): _figures(prober, number, killed_at, killed=number in of_a) for number in range(PARTITIONS)
        },
    }


def _figures(prober: Prober, number: int, killed_at: float, *, killed: bool) -> dict[str, Any]:
    probes, now = prober.partitions[number], clock()
    begin, end = probes.silence(killed_at, now)
    took = probes.took_s(killed_at, now)
    return {
        "killed": killed,
        "gap_s": round(end - begin, 3),
        "back_after_s": round(end - killed_at, 3) if killed else None,
        "slowest_answer_s": round(max(took), 3),
        "prompt_share": round(sum(seconds <= PROMPT_S for seconds in took) / len(took), 3),
    }


def tables(document: Document) -> list[Table]:
    """Return the tables for the screen."""
    rows = [
        (
            scenario,
            f"{found['killed_back_after_s']:.2f}",
            f"{found['aim_s']:.0f}",
            f"{found['others_gap_s']:.2f}",
            "; ".join(_partitions(run) for run in document["runs"][scenario]),
        )
        for scenario, found in document["scenarios"].items()
    ]
    columns = ("a worker is", "its partitions back after, s", "aim, s", "gap of the others, s", "gaps by partition, s")
    return [Table(title="Availability over a kill (median of the worst partition)", columns=columns, rows=rows)]


def _partitions(run: dict[str, Any]) -> str:
    found = run["partitions"].items()
    return " ".join(f"{number}{'*' if figures['killed'] else ''}:{figures['gap_s']:.2f}" for number, figures in found)
