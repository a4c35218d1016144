"""A report says for people and for programs what was compared and what differs."""

import json

import pytest
from rich.console import Console

from audit.report.report import Compared, Difference, PartitionReport, render, sum_up, to_json


def part(**fields):
    return PartitionReport(log_start=0, log_end=10, position=10, **fields)


def text(report):
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(render(report))
    return capture.get()


def test_a_report_adds_up_its_partitions():
    parts = [
        part(partition=0, compared=Compared(commands=10, rows=3), pending=1),
        part(partition=1, compared=Compared(commands=20), lost=2, difference_count=2),
    ]
    report = sum_up(parts, 2.0)
    assert (report.compared.commands, report.compared.rows, report.pending, report.lost) == (30, 3, 1, 2)
    assert (report.commands_per_s, report.equal, report.complete) == (15.0, False, True)


def test_without_differences_the_verdict_is_equal():
    report = sum_up([part(partition=0)], 1.0)
    assert report.equal is True
    assert text(report).startswith("EQUAL: all that was published is what the log demands; lost 0, doubled 0")


def test_a_note_makes_the_report_incomplete_but_not_unequal():
    noted = part(partition=3)
    noted.note("something is gone")
    report = sum_up([noted], 1.0)
    assert (report.equal, report.complete, report.notes) == (True, False, ["partition 3: something is gone"])
    assert "all that could be checked" in text(report)
    assert "note: partition 3: something is gone" in text(report)


def test_differences_are_shown_with_both_sides_and_no_markup_is_read_from_them():
    spoiled = part(partition=0)
    spoiled.add(
        Difference(
            kind="result",
            what="altered",
            partition=0,
            offset=7,
            record_offset=9,
            key="[red]S",
            expected={"seq": 1},
            found=b"\xff",
        )
    )
    shown = text(sum_up([spoiled], 1.0))
    assert shown.startswith("DIFFERENT: 1 differences")
    assert "[red]S" in shown
    assert '{"seq":1}' in shown


def test_more_differences_than_are_kept_are_counted():
    spoiled = part(partition=0)
    for offset in range(150):
        spoiled.add(Difference(kind="result", what="lost", partition=0, offset=offset))
    report = sum_up([spoiled], 1.0)
    assert (report.difference_count, len(report.differences)) == (150, 100)
    assert "... and 50 more differences" in text(report)


def test_the_json_carries_the_verdict_and_every_partition():
    document = json.loads(to_json(sum_up([part(partition=0), part(partition=1)], 1.0)))
    assert (document["equal"], document["complete"]) == (True, True)
    assert [it["partition"] for it in document["partitions"]] == [0, 1]


WIDE = Compared(commands=10**10, results=10**10, stock_changes=2 * 10**10, dead_letters=10**9, rows=10**9)


def wide_report():
    offsets = {"log_start": 1_234_567_890, "log_end": 9_876_543_210, "position": 9_876_543_209}
    busy = PartitionReport(partition=63, compared=WIDE, pending=8_641_975_320, **offsets)
    busy.add(
        Difference(
            kind="stock_change",
            what="reordered",
            partition=63,
            offset=9_876_543_208,
            record_offset=9_876_543_207,
            key="a-long-sku/a-long-warehouse",
        )
    )
    return sum_up([busy], 1.0)


def drawn(report, width):
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(render(report))
    return capture.get()


@pytest.mark.parametrize("width", [80, 100, 400])
def test_no_number_of_a_partition_is_cut_in_a_narrow_window(width):
    shown = drawn(wide_report(), width)
    assert "…" not in shown.split("kind")[0]
    for number in ("1234567890..9876543210", "9,876,543,209", "8,641,975,320", "20,000,000,000", "1,000,000,000"):
        assert number in shown


@pytest.mark.parametrize("width", [80, 100, 400])
def test_no_offset_of_a_difference_is_cut_in_a_narrow_window(width):
    shown = drawn(wide_report(), width)
    assert "9876543208" in shown
    assert "9876543207" in shown


def test_one_table_shows_the_partitions_where_the_window_is_wide_enough():
    assert drawn(wide_report(), 400).count("partition ") == 2  # of the partitions, and of the differences
