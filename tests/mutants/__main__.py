"""Owns the run of the mutants: each on a scratch copy of the repository, where its tests have to fail."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Edit, Mutant

ROOT = Path(__file__).resolve().parents[2]
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "data", "results")
_TESTS_FAILED = 1
_TEST_WITHIN_S = 150
_FAILED = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
# The copy must be what is imported, wherever the repository itself may be installed.
_WHERE_FROM = "import agents, schemas, tables; print(agents.__file__, schemas.__file__, tables.__file__, sep='\\n')"


@dataclass(frozen=True)
class Run:
    """What became of some tests on a copy: the first that failed, None when all passed."""

    first_failure: str | None
    seconds: float


class UnusableRunError(Exception):
    """The tests did not run to an end, so nothing was shown."""


def apply(edits: Iterable[Edit], root: Path) -> None:
    """Change the files under `root`.

    Raises:
        UnusableRunError: a text does not stand exactly once in its file: the mutant would change nothing, or too much.
    """
    for edit in edits:
        path = root / edit.path
        text = path.read_text(encoding="utf-8")
        if (found := text.count(edit.old)) != 1:
            raise UnusableRunError(f"{edit.path} holds {found} times, not once:\n{edit.old}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def run(edits: Iterable[Edit], tests: Iterable[str]) -> Run:
    """Run tests on a changed copy of the repository, up to the first failure.

    Raises:
        UnusableRunError: an edit does not apply, or pytest ended otherwise than with passed or failed tests.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-mutant-") as scratch:
        root = Path(scratch) / "repository"
        shutil.copytree(ROOT, root, ignore=_NOT_COPIED)
        apply(edits, root)
        environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        # A fixed seed: a mutant that is caught today is caught tomorrow.
        options = ["-x", "--tb=no", "-rf", "--hypothesis-seed=0", f"--timeout={_TEST_WITHIN_S}"]
        plugins = ["-p", "no:cacheprovider", "-p", "tests.mutants.first_example"]
        _check_imports(root, environment)
        started = time.monotonic()
        done = _niced([sys.executable, "-m", "pytest", *options, *plugins, *tests], root, environment)
        seconds = time.monotonic() - started
    failed = _FAILED.findall(done.stdout)
    if done.returncode not in (0, _TESTS_FAILED) or (done.returncode == _TESTS_FAILED) != bool(failed):
        raise UnusableRunError(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Run(failed[0] if failed else None, seconds)


def _check_imports(root: Path, environment: dict[str, str]) -> None:
    done = _niced([sys.executable, "-c", _WHERE_FROM], root, environment)
    strangers = [line for line in done.stdout.split() if not Path(line).is_relative_to(root)]
    if done.returncode or strangers:
        raise UnusableRunError(f"the copy is not what is imported, but {strangers}\n{done.stderr}")


def _niced(command: list[str], root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nice", "-n", "10", *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def _judge(mutant: Mutant) -> tuple[bool, str]:
    """Run one mutant; give whether it was caught, and its line of the table."""
    try:
        found = run(mutant.edits, mutant.tests)
    except UnusableRunError as error:
        return False, f"{mutant.name:32} UNUSABLE: {error}"
    caught = found.first_failure or f"SURVIVES without: {mutant.rule}"
    return found.first_failure is not None, f"{mutant.name:32} {found.seconds:5.1f} s  {caught}"


def main() -> int:
    """Run the named mutants, or all; give 0 when each was caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to run; all of them when none is named")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--list", action="store_true", help="list the mutants and the rules they take out")
    arguments = parser.parse_args()
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := set(arguments.names) - set(by_name):
        parser.error(f"no mutant is named {', '.join(sorted(unknown))}; --list names all")
    mutants = [by_name[name] for name in arguments.names] or list(MUTANTS)
    if arguments.list:
        _say("\n".join(f"{mutant.name:32} {mutant.rule}" for mutant in mutants))
        return 0
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    try:
        healthy = run((), tests)
    except UnusableRunError as error:
        _say(f"the unchanged copy cannot be tested: {error}")
        return 2
    if healthy.first_failure is not None:
        _say(f"the unchanged copy fails {healthy.first_failure}: mutants would show nothing")
        return 2
    _say(f"{'(unchanged)':32} {healthy.seconds:5.1f} s  passes all of {' '.join(tests)}")
    survivors = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for caught, line in pool.map(_judge, mutants):
            survivors += not caught
            _say(line)
    _say(f"{len(mutants) - survivors} of {len(mutants)} mutants were caught")
    return 1 if survivors else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a table for whoever runs it


if __name__ == "__main__":
    sys.exit(main())
