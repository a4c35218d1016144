"""Worker and gateway log alike: lines for people, or JSON for programs, whoever of them or their libraries speaks."""

import json
import subprocess
import sys

import pytest

CODE = """
import logging, structlog
from ops.logs import log_to_stderr
log_to_stderr()
structlog.get_logger().warning("the disk is slow", partition=3)
logging.getLogger("a.library").warning("of %s", "its own")
try:
    raise OSError("gone")
except OSError:
    structlog.get_logger().exception("failed")
"""


def logged(form):
    return subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, env={"HOLDFAST_LOG": form}
    )


def test_json_is_one_object_a_line():
    done = logged("json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "the disk is slow"),
        ("warning", "of its own"),
        ("error", "failed"),
    ]
    assert lines[0]["partition"] == 3
    assert "OSError: gone" in lines[2]["exception"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert done.stdout == ""


@pytest.mark.parametrize("form", ["", "text"])
def test_text_has_the_same_for_people(form):
    first, second, *rest = logged(form).stderr.splitlines()
    assert "[warning" in first
    assert "the disk is slow" in first
    assert "partition=3" in first
    assert "of its own" in second
    assert rest


def test_another_format_is_refused():
    assert "HOLDFAST_LOG is 'xml'; it may be text or json." in logged("xml").stderr
