"""A failpoint does its action at its step, and nothing elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agents import failpoints

AGENTS = Path(__file__).parents[2] / "agents"
EXPECTED = [
    *(f"commit.{n}" for n in (1, 2, 3, 4, 5, "done")),
    *(f"recover.{n}" for n in (*range(1, 10), "done")),
    *(f"revoke.{n}" for n in (1, 2, 3)),
]


def test_every_numbered_step_has_its_failpoint():
    found = [
        name for path in AGENTS.glob("*.py") for name in re.findall(r'failpoints\.hit\("([^"]+)"\)', path.read_text())
    ]
    assert sorted(found) == sorted(EXPECTED)


def test_unarmed_a_failpoint_is_an_empty_function():
    assert failpoints.hit is failpoints._pass
    assert failpoints._pass.__code__.co_code == (lambda _name: None).__code__.co_code


def test_an_armed_failpoint_acts_on_its_nth_passing_and_once():
    hit = failpoints._armed("commit.4:raise:2")
    hit("commit.4")
    hit("commit.3")
    with pytest.raises(failpoints.FailpointError):
        hit("commit.4")
    hit("commit.4")


def test_an_action_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="no action 'explode'"):
        failpoints._armed("commit.4:explode")("commit.4")


def test_kill_ends_the_process_at_once():
    program = "from agents import failpoints; failpoints.hit('here'); print('lived')"
    done = subprocess.run(
        [sys.executable, "-c", program], env={failpoints.VARIABLE: "here:kill"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (-9, b"")
