"""Owns the stranger: schemathesis, which knows the OpenAPI document and nothing else, and what it found."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import httpx

ROOT = Path(__file__).resolve().parents[2]


STREAM = "text/event-stream"


class Found(NamedTuple):
    """What schemathesis found.

    `reached` counts the answers by route and status, such as `("GET /v1/stock", 200)`; `failures` is its report, empty
    when there are none.
    """

    reached: Counter
    cases: int
    failures: str


def documented(url):
    """Return the routes and statuses of the OpenAPI document."""
    return {
        (f"{method} {path}", int(status)) for method, path, spec in _operations(url) for status in spec["responses"]
    }


def undocumented(reached, url):
    """Return the statuses with which documented routes answered that the document does not have."""
    known = documented(url)
    routes = {route for route, _ in known}
    return sorted((route, status) for route, status in reached if route in routes and (route, status) not in known)


def _operations(url):
    for path, methods in httpx.get(f"{url}/openapi.json").json()["paths"].items():
        for method, spec in methods.items():
            if "responses" in spec:
                yield method.upper(), path, spec


def _streams(url):
    """Return the paths that answer with nothing but an endless stream."""
    return {
        path for _, path, spec in _operations(url) if [*spec["responses"].get("200", {}).get("content", {})] == [STREAM]
    }


def ask(url, folder, *options):
    """Run schemathesis against a gateway.

    Args:
        url: the gateway's.
        folder: where the report is written.
        options: those of `st run`, such as `--phases=fuzzing`.
    """
    report = folder / "report.ndjson"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks=all", "--no-shrink"),
            *("--continue-on-failure", "--request-timeout=20", f"--report-ndjson-path={report}"),
            *(f"--exclude-path={path}" for path in _streams(url)),
            *options,
        ],
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    reached, cases = Counter(), 0
    for line in report.read_text().splitlines() if report.exists() else []:
        for case, interaction in _interactions(json.loads(line)):
            cases += 1
            if (response := interaction.get("response")) is not None:
                reached[f"{case['method']} {case['path']}", response["status_code"]] += 1
    return Found(reached, cases, "" if done.returncode == 0 else done.stdout + done.stderr)


def _interactions(event):
    recorder = event.get("ScenarioFinished", {}).get("recorder", {})
    for number, interaction in recorder.get("interactions", {}).items():
        yield recorder["cases"][number]["value"], interaction
