"""A plugin of pytest for `make test`: a second process runs the fault tests beside all others; there is one report.

Tests that start a broker and workers wait for most of their time, so that two processes take little more than one does.
Each has brokers of its own.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ops.child import die_with_parent

# What the second process runs; the first runs all others, whatever is added.
BESIDE = "tests/fault/"
# The file into which the second process writes its reports; not set in the first.
REPORTS = "HOLDFAST_TEST_REPORTS"


def pytest_configure(config):
    path = os.environ.get(REPORTS)
    config.pluginmanager.register(First(config) if path is None else Second(config, Path(path)))


class Second:
    """Writes its reports to a file, for the first process."""

    def __init__(self, config, path):
        self._config = config
        self._file = path.open("w")

    def pytest_runtest_logreport(self, report):
        document = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._file.write(json.dumps(document) + "\n")
        self._file.flush()

    def pytest_unconfigure(self):
        self._file.close()


class First:
    """Starts the second process, and reports what it reported as if the tests had run here."""

    def __init__(self, config):
        self._config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session):
        beside = {item.nodeid: item for item in session.items if item.nodeid.startswith(BESIDE)}
        if not beside or self._config.option.collectonly or session.testsfailed:
            return (yield)
        session.items[:] = [item for item in session.items if item.nodeid not in beside]
        with tempfile.TemporaryDirectory() as folder:
            process = start(list(beside), Path(folder))
            try:
                result = yield
            except BaseException:  # interrupted, or told to stop at the first failure
                process.send_signal(signal.SIGINT)
                process.wait()
                self._report(Path(folder))
                raise
            process.wait()
            failed_here = session.testsfailed
            over = self._report(Path(folder))
            code = pytest.ExitCode.TESTS_FAILED if session.testsfailed > failed_here else pytest.ExitCode.OK
            output = (Path(folder) / "output").read_text(errors="replace")[-4000:]
        untold = [nodeid for nodeid in beside if nodeid not in over]
        if not untold and process.returncode != code:
            raise RuntimeError(f"the process beside this one ended with {process.returncode}:\n{output}")
        for nodeid in untold:
            why = f"the process beside this one ended without a report of this test:\n{output}"
            self._tell(pytest.TestReport(nodeid, beside[nodeid].location, {}, "failed", why, "teardown"))
        return result

    def _report(self, folder):
        """Report what the second process has reported, and return the tests that are over."""
        over, reports = set(), folder / "reports"
        for line in reports.read_text().splitlines() if reports.exists() else []:
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
            if isinstance(report.longrepr, list):
                report.longrepr = tuple(report.longrepr)  # why a test was skipped; JSON knows no tuples
            self._tell(report)
            if report.when == "teardown":
                over.add(report.nodeid)
        return over

    def _tell(self, report):
        hook = self._config.hook
        if report.when == "setup":
            hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
        hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)


def start(nodeids, folder):
    """Start the second process."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.side_by_side", "-p", "no:cacheprovider", *nodeids]
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {REPORTS: str(folder / "reports")},
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks Linux to end the child with its starter
        )
