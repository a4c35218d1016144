"""Every block of docs/scenarios.md is run through a gateway, Kafka and a worker, and answers what the page says."""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from itertools import pairwise

import pytest

from tests.e2e.stage import ROOT
from tests.harness import assert_audit_equal

DAY_MS = 24 * 60 * 60 * 1000
NOW_MS = time.time_ns() // 1_000_000
# What announced goods promise depends on the clock, so the page names days from now.
PAGE = re.sub(r"\bDAY(\d+)\b", lambda day: str(NOW_MS + int(day[1]) * DAY_MS), (ROOT / "docs/scenarios.md").read_text())
BLOCK = re.compile(r"^```(http|jsonl|repeat \d+|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLES = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


def steps_of(title):
    """Return (kind, text, expected) of each step of a section; expected is empty where the page says nothing."""
    section = PAGE[PAGE.index(f"## {title}\n") :].partition("\n## ")[0]
    blocks = [*BLOCK.findall(section), ("", "")]
    return [
        (kind, text, after if next_kind == "json" else "")
        for (kind, text), (next_kind, after) in pairwise(blocks)
        if kind != "json"
    ]


def assert_holds(expected, found, where):
    """Check that all that is expected is there; further fields may be."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert name in found, f"{where}: no {name} in {found}"
            assert_holds(value, found[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) >= len(expected) > 0 or found == expected, f"{where}: {found}"
        for number, value in enumerate(expected):
            assert_holds(value, found[number], f"{where}[{number}]")
    else:
        assert found == expected, where


def request(gateway, text):
    line, _, body = text.partition("\n")
    method, path = line.split()
    call = urllib.request.Request(f"http://{gateway}{path}", method=method)
    if body.strip():
        call.data = body.encode()
        call.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(call, timeout=30) as answer:  # noqa: S310 - as above
            return True, json.load(answer)
    except urllib.error.HTTPError as refused:
        return False, json.load(refused)


def with_times(text, times):
    """Return a block with the times of the commands that it names."""
    return re.sub(r"\bAT:([\w-]+)", lambda named: str(times[named[1]]), text)


@pytest.mark.parametrize("title", TITLES)
def test_a_scenario_goes_as_it_is_told(stage, title):
    times = {}
    for number, (kind, said, then) in enumerate(steps_of(title)):
        text, expected = with_times(said, times), json.loads(with_times(then, times) or "null")
        where = f"{title}, step {number}: {text}"
        if kind == "http":
            accepted, answer = request(stage.gateway, text)
            assert accepted or expected is not None, f"{where}: {answer}"
        else:
            repeats = int(kind.partition(" ")[2] or 1)
            lines = "".join(text.replace("-N", f"-{count}") for count in range(repeats))
            answer = [json.loads(line) for line in stage.ask("send", "--wait", given=lines).splitlines()]
            times |= {result["command_id"]: result["at"] for result in answer}
            refused = [result for result in answer if result["status"] != "accepted"]
            assert expected is not None or not refused, f"{where}: {refused}"
        if expected is not None:
            assert_holds(expected, answer, where)


def test_the_audit_agrees_with_all_scenarios(stage):
    asyncio.run(assert_audit_equal(stage.bootstrap))
