"""The benchmarks as processes: everything runs, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def bench(tmp_path, *arguments):
    """Start `python -m bench --quick` with a temporary directory of its own, which names all that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    with (tmp_path / "bench.err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "bench", "--quick", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=err,
        )


def processes_of(tmp_path):
    """List the processes whose command line names our temporary directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue  # it ended while we looked
        if str(tmp_path / "temporary").encode() in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.mark.timeout(400)
def test_a_quick_run_measures_everything_and_leaves_nothing_behind(tmp_path):
    out = tmp_path / "results"
    process = bench(tmp_path, "--out", str(out))
    assert process.wait() == 0, (tmp_path / "bench.err").read_text()

    assert processes_of(tmp_path) == []
    assert list((tmp_path / "temporary").glob("holdfast-bench-*")) == []
    found = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    names = [
        "audit",
        "availability",
        "curves",
        "http",
        "latency",
        "memory",
        "recovery",
        "streams",
        "throughput",
        "view",
    ]
    assert sorted(found) == names
    for document in found.values():
        assert document["quick"] is True
        assert {"cpu", "cores", "memory_gb", "python", "kafka", "date"} <= document["machine"].keys()
    assert [load["missing"] for load in found["streams"]["loads"].values()] == [0, 0]
    throughput = found["throughput"]
    assert all(ratio > 0 for ratio in throughput["ratio_to_kafka_streams_exactly_once"].values())
    assert throughput["ratio_to_faust_exactly_once"] > 0
    assert throughput["ratio_to_floor"] > 0
    assert [run["results"] for run in throughput["runs"]["holdfast"]] == [throughput["scale"]["mix_commands"]]
    assert [run["results"] for run in throughput["runs"]["floor"]] == [throughput["scale"]["mix_commands"]]
    for figures in found["latency"]["rates"].values():
        assert [figures[target]["unanswered"] for target in ("kafka", "echo", "http")] == [0, 0, 0]
        assert all(int(status) < 300 for statuses in figures["http"]["statuses"] for status in statuses)
    assert all(ratio > 0 for ratio in found["http"]["ratios"].values())
    assert found["recovery"]["ratio_to_bare_read"].keys() == {"stock", "mixed"}
    assert found["audit"]["ratio_to_bare_read"] > 0
    assert found["memory"]["under_limit"] is True
    for curve in found["curves"]["curves"].values():
        first, last = map(str, curve["sizes"])
        assert all(kind["us"][last] > 0 for kind in curve["kinds"].values())
        assert sum(first in kind["times_plain"] for kind in curve["kinds"].values()) >= len(curve["kinds"]) - 2
    assert found["curves"]["receipt"]["settled_after_s"] > 0
    assert found["curves"]["receipt"]["runs"][0]["others_meanwhile"]["unanswered"] == 0
    for runs in found["availability"]["runs"].values():
        assert all(run["recovered"] for run in runs)
        assert all(len(run["partitions"]) == 4 for run in runs)


@pytest.mark.timeout(120)
def test_what_a_killed_run_started_ends_with_it(tmp_path):
    process = bench(tmp_path, "memory")
    try:
        while not any("ops.cli worker" in command for command in processes_of(tmp_path)):
            assert process.poll() is None, (tmp_path / "bench.err").read_text()
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    while processes_of(tmp_path):
        time.sleep(0.02)
