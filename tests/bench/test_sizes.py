"""The sizing page quotes what `bench.sizes` measures, and its example and retentions follow from the figures."""

import re

import pytest

from bench.sizes import ROWS, base_mb, measure
from schemas.topics import COMMANDS, DEAD_LETTERS, RESULTS, STOCK_CHANGES, TOPICS
from tables.ledger import CACHED_ROWS
from tests.tidy.repository import document

PAGE = document("docs/how-to/sizing.md")
FIGURES = {name: int(size) for name, size in re.findall(r"^\| ([^|`]+) \| (\d+) \|$", PAGE, re.MULTILINE)}
EXAMPLE = re.findall(r"^\| ([^|]+) \| ([\d.]+) ([GM])B \|$", PAGE, re.MULTILINE)
WEEK_S = 7 * 24 * 60 * 60


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return measure(tmp_path_factory.mktemp("sizes"), commands=10_000)


def test_the_figures_of_the_page_are_those_that_are_measured(measured):
    assert pytest.approx(measured[0], rel=0.15) == FIGURES


def test_the_formula_gives_the_size_of_a_store_that_a_ledger_has_written(measured):
    assert measured[1] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("start", "module"), [("68 MB for the process", "agents.worker"), ("74 MB", "gateway.server")])
def test_the_memory_of_a_process_that_has_done_nothing_is_about_that_of_the_page(start, module):
    name = "Gateway" if module.startswith("gateway") else "Worker"
    assert f"- **{name}**: {start}" in PAGE
    assert base_mb(module) == pytest.approx(int(start.split()[0]), rel=0.35)


def test_the_example_follows_from_the_figures():
    stock, _, closed, seen = counts = (300_000, 20_000, 15_120_000, 4_320_000)
    assert "`S` = {:,}, `O` = {:,}, `C` = {:,}, `D` = {:,}".format(*counts) in PAGE
    assert (closed, seen) == (25 * WEEK_S, 50 * WEEK_S / 7)
    live = {
        where: sum(count * FIGURES[f"{where}, {row}"] for row, count in zip(ROWS, counts, strict=True))
        for where in ("changelog", "RocksDB")
    }
    transactions = 30 * WEEK_S * FIGURES["transaction, in each topic"]
    week = {topic: 50 * WEEK_S * FIGURES[topic] for topic in (COMMANDS, RESULTS, STOCK_CHANGES)}
    caches = 50_000 * FIGURES["worker, cached SKU"] + 150_000 * FIGURES["worker, cached stock row"]
    expected = [
        live["changelog"],
        2 * live["changelog"] + 8 * 2**30,
        live["RocksDB"],
        2 * live["RocksDB"] + 8 * 50e6,
        week[COMMANDS],
        week[RESULTS] + transactions,
        week[STOCK_CHANGES] + transactions + 2 * stock * FIGURES[STOCK_CHANGES],
        68e6 + 4 * 56e6 + caches + 8 * CACHED_ROWS * FIGURES["worker, cached reservation"],
        74e6 + 60e6 + 100_000 * FIGURES["gateway, SKU"] + stock * FIGURES["gateway, stock row"],
    ]
    printed = [float(size) * {"G": 1e9, "M": 1e6}[unit] for _, size, unit in EXAMPLE]
    assert printed == pytest.approx(expected, rel=0.02)


def test_the_retentions_of_the_page_are_those_of_the_topics():
    days = dict(re.findall(r"^\| `(inventory[^`]+)` \| (\d+) days", PAGE, re.MULTILINE))
    for name in (COMMANDS, RESULTS, DEAD_LETTERS):
        assert int(days[name]) * 86_400_000 == int(TOPICS[name]["retention.ms"])
    assert int(days[STOCK_CHANGES]) * 86_400_000 == int(TOPICS[STOCK_CHANGES]["min.compaction.lag.ms"])
    assert f"{CACHED_ROWS:,} stock rows" in PAGE
