"""Owns the command line: `python -m tests.fuzz`, thousands of a stranger's requests, then hostile connections."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz import hostile, stranger
from tests.fuzz.stage import standing


def main() -> int:
    """Run everything; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--cases", type=int, default=200, help="requests per route and mode, beside the boundary values"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 24), help="the same requests again")
    parser.add_argument("--connections", type=int, default=10_000, help="how many a hostile client tries to hold")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as folder, standing(Path(folder)) as stage:
        _say(f"seed {options.seed}: a stranger reads {stage.url}/openapi.json")
        found = stranger.ask(
            stage.url,
            Path(folder),
            "--phases=examples,coverage,fuzzing,stateful",
            f"--max-examples={options.cases}",
            f"--seed={options.seed}",
            *stage.as_admin,
        )
        undocumented = stranger.undocumented(found.reached, stage.url)
        _say(f"{found.cases:,} requests, {len(found.reached)} of the documented answers")
        for (route, status), count in sorted(found.reached.items()):
            _say(f"  {status} {route}: {count:,}")
        wrong = [found.failures] if found.failures else []
        wrong += [f"not documented: {route} {status}" for route, status in undocumented]
        wrong += asyncio.run(hostile.besiege(stage.url, stage.bearer()["authorization"], options.connections, _say))
        if failed := stage.failures_in_the_log():
            wrong.append(f"the gateway's log has failures:\n{failed}")
    for line in wrong:
        _say(line)
    _say("nothing wrong" if not wrong else f"WRONG; again: make fuzz SEED={options.seed}")
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command line speaks


if __name__ == "__main__":
    sys.exit(main())
