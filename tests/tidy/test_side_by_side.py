"""`make test` runs its tests in two processes, and tells of each of them, whatever becomes of it, in one report."""

import os
import re
import subprocess
import sys

import pytest
from repository import ROOT

BESIDE = """
import os, pathlib, pytest
def test_right(): pathlib.Path("beside").write_text(str(os.getpid()))
def test_wrong(): assert "one" == "other"
@pytest.mark.skip(reason="not today")
def test_skipped(): pass
@pytest.fixture
def untidy():
    yield
    raise RuntimeError("left over")
def test_not_taken_down(untidy): pass
"""
OTHER = """
import os, pathlib
def test_right(): pathlib.Path("other").write_text(str(os.getpid()))
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the two modules as `make test` does; it returns the exit code and the output."""

    def run(beside):
        for folder, text in (("fault", beside), ("other", OTHER)):
            (tmp_path / "tests" / folder).mkdir(parents=True)
            (tmp_path / "tests" / folder / f"test_{folder}.py").write_text(text)
        (tmp_path / "pytest.ini").touch()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "tests.side_by_side"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_both_processes_are_told_of_in_one_report(run, tmp_path):
    code, output = run(BESIDE)
    assert code == 1
    assert re.search(r"^1 failed, 3 passed, 1 skipped, 1 error in", output.splitlines()[-1]), output
    assert "FAILED tests/fault/test_fault.py::test_wrong" in output
    assert "assert 'one' == 'other'" in output
    assert "RuntimeError: left over" in output
    assert "not today" in output
    assert (tmp_path / "beside").read_text() != (tmp_path / "other").read_text()


def test_a_test_of_which_the_second_process_tells_nothing_has_failed(run):
    code, output = run("import os\ndef test_last(): os._exit(0)\ndef test_lost(): pass")
    assert code == 1
    assert re.search(r"^1 passed, 2 errors in", output.splitlines()[-1]), output
    assert "ended without a report of this test" in output


def test_a_second_process_that_fails_behind_its_last_test_is_no_success(run):
    code, output = run("import atexit, os\ndef test_right(): atexit.register(os._exit, 1)")
    assert code == pytest.ExitCode.INTERNAL_ERROR
    assert "the process beside this one ended with 1" in output
