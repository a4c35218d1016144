"""An import sends a file's commands, counts their results, and finds what is missing or doubled."""

import json
import uuid
from pathlib import Path

import pytest
from model_worker import ModelWorker

from ops.importing.order_lines import Step
from ops.importing.tally import Tally

SAMPLE = Path(__file__).parent / "data/orders.csv"


@pytest.fixture
def name():
    return uuid.uuid4().hex[:12]


@pytest.fixture
def sample(tmp_path, name):
    """Return the sample with SKUs of its own: the ledger of the shared cluster knows those of other tests."""
    header, *lines = SAMPLE.read_text().splitlines()
    fields = [line.split(",") for line in lines]
    file = tmp_path / "orders.csv"
    file.write_text("\n".join([header, *(",".join([f[0], f"{f[1]} {name}", *f[2:]]) for f in fields)]) + "\n")
    return file


def report_of(result):
    return json.loads(result.stdout)


def result_of(command_id, *, code=None, replayed=False):
    status = "rejected" if code else "accepted"
    return json.dumps({"command_id": command_id, "status": status, "code": code, "replayed": replayed}).encode()


def test_a_file_is_imported_and_counted(holdfast, answering, sample, name):
    result = holdfast(
        "import", sample, "--name", name, "--opening-stock", 10, "--replenish", 2, "--json", "--bootstrap", answering
    )
    assert result.exit_code == 0, result.stderr
    report = report_of(result)
    # 9 lines: 7 reserve and commit, 1 comes back, 1 is written off.
    # 6 SKUs open, and 3 weeks replenish 5, 6 and 6 of them.
    assert (report["lines"], report["commands"]) == (9, 7 * 2 + 2 + 6 + 17)
    # 85123A: 10 - 6 + 2 = 6 are left when 9 are asked for.
    assert report["refused"] == {"insufficient_stock": 1}
    assert report["follow_on"] == 1
    assert (report["units_asked"], report["units_allocated"]) == (27, 18)
    assert report["fill_rate"] == pytest.approx(18 / 27)
    assert (report["missing"], report["doubled"], report["replayed"]) == (0, 0, 0)


def test_imported_twice_nothing_is_done_twice(holdfast, answering, sample, name):
    arguments = ("import", sample, "--name", name, "--opening-stock", 10, "--json", "--bootstrap", answering)
    first, second = report_of(holdfast(*arguments)), report_of(holdfast(*arguments))
    assert second["replayed"] == second["commands"] == first["commands"]
    assert second["units_allocated"] == first["units_allocated"]
    stock = json.loads(holdfast("stock", f"85123A {name}", "--json", "--bootstrap", answering).stdout)["stock"]
    assert [row["on_hand"] for row in stock] == [10 - 6 + 2 - 3]


def test_an_import_that_broke_off_goes_on_where_it_stopped(holdfast, answering, sample, name):
    arguments = ("import", sample, "--name", name, "--opening-stock", 10, "--json", "--bootstrap", answering)
    first, whole = report_of(holdfast(*arguments, "--lines", 4)), report_of(holdfast(*arguments))
    assert whole["replayed"] == first["commands"]
    assert whole["ok"]


def test_the_same_import_with_other_options_is_told_apart(holdfast, answering, sample, name):
    arguments = ("import", sample, "--name", name, "--bootstrap", answering)
    holdfast(*arguments, "--opening-stock", 10)
    result = holdfast(*arguments, "--opening-stock", 20)
    assert result.exit_code == 1
    assert "give it another --name" in result.stderr


def test_the_report_for_people_has_the_fill_rate(holdfast, answering, sample, name):
    result = holdfast("import", sample, "--name", name, "--opening-stock", 10, "--bootstrap", answering)
    assert "fill rate" in result.stdout
    assert "answered exactly once" in result.stderr


def test_lines_that_are_no_order_line_are_named_and_the_others_imported(holdfast, answering, sample, name):
    with sample.open("a") as file:
        file.write("1,A,none,2011-01-01 00:00:00,1,1,France\n1,A\n")
    result = holdfast("import", sample, "--name", name, "--opening-stock", 10, "--json", "--bootstrap", answering)
    assert result.exit_code == 1
    assert (report_of(result)["lines"], report_of(result)["unusable_lines"]) == (11, 2)
    assert f"{sample}, line 11: quantity 'none' is no whole number" in result.stderr
    assert f"{sample}, line 12: it has 2 fields, not 7" in result.stderr


def test_columns_are_mapped_by_flags(holdfast, answering, tmp_path, name):
    file = tmp_path / "other.csv"
    file.write_text(f"nr,article,pieces,when\n1,A {name},2,2020-01-01T10:00:00Z\n")
    flags = ("--order-column", "nr", "--sku-column", "article", "--quantity-column", "pieces", "--time-column", "when")
    result = holdfast(
        "import", file, *flags, "--country-column", "", "--opening-stock", 5, "--json", "--bootstrap", answering
    )
    assert report_of(result)["units_allocated"] == 2


def test_recorded_time_is_kept_by_a_factor(holdfast, answering, sample, name):
    # The sample spans 22 days and a bit; at this factor that is 2 seconds.
    factor = 22 * 86_400 / 2
    result = holdfast("import", sample, "--name", name, "--speed", factor, "--json", "--bootstrap", answering)
    assert 2.0 <= report_of(result)["seconds"] < 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sku-column", "article"), "no column 'article'; the file has order_id"),
        (("--time-column", "when"), "with `--time-column`"),
        (("--delimiter", ";"), "name the separator of fields with `--delimiter`"),
        (("--delimiter", "ab"), "cannot separate fields"),
        (("--encoding", "klingon"), "is no encoding that Python knows"),
        (("--name", "a b"), "the import's name must be"),
        (("--warehouse", "a b"), "a warehouse is"),
        (("--speed", "fast"), "neither `max` nor a number"),
    ],
)
def test_what_cannot_be_imported_says_why(holdfast, bootstrap, arguments, message):
    result = holdfast("import", SAMPLE, *arguments, "--bootstrap", bootstrap)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_a_file_that_does_not_exist_is_named(holdfast, bootstrap, tmp_path):
    result = holdfast("import", tmp_path / "none.csv", "--bootstrap", bootstrap)
    assert result.exit_code == 2
    assert "none.csv cannot be read: No such file" in result.stderr


def test_without_a_worker_nothing_is_imported(holdfast, bootstrap, sample):
    result = holdfast("import", sample, "--timeout", 1, "--bootstrap", bootstrap)
    assert result.exit_code == 2
    assert "nothing was sent. Start one with `holdfast worker`" in result.stderr


@pytest.mark.parametrize(("copies", "field"), [(0, "missing"), (2, "doubled")])
def test_a_result_that_is_lost_or_published_twice_is_found(holdfast, cluster, sample, name, copies, field):
    wrong = f"{name}:4"
    with ModelWorker(*cluster, copies=lambda result: copies if result["command_id"] == wrong else 1):
        result = holdfast("import", sample, "--name", name, "--json", "--bootstrap", cluster[0])
    assert result.exit_code == 1
    assert report_of(result)[field] == 1


def sent(tally, *steps):
    tally.sent(Step("X", command_id, asked, 0, b"") for command_id, asked in steps)


def test_a_commit_refused_with_its_reserve_is_counted_apart():
    tally = Tally(prefix="t:")
    sent(tally, ("t:1", 5), ("t:1:commit", 0), ("t:2:commit", 0))
    tally.receive_result(result_of("t:1", code="insufficient_stock"))
    tally.receive_result(result_of("t:1:commit", code="unknown_reservation"))
    tally.receive_result(result_of("t:2:commit", code="unknown_reservation"))
    assert (tally.follow_on, dict(tally.refused)) == (1, {"insufficient_stock": 1, "unknown_reservation": 1})


def test_results_of_others_are_not_counted():
    tally = Tally(prefix="t:")
    assert not tally.receive_result(result_of("other:1"))
    assert not tally.receive_result(result_of(None))
    assert (tally.answered, tally.doubled) == (0, 0)


def test_a_second_result_counts_as_doubled_unless_the_command_was_sent_again():
    tally = Tally(prefix="t:")
    sent(tally, ("t:1", 0))
    tally.sent_twice("t:1")
    tally.receive_result(result_of("t:1"))
    assert tally.unanswered == 1
    tally.receive_result(result_of("t:1", replayed=True))
    assert (tally.unanswered, tally.doubled) == (0, 0)
    tally.receive_result(result_of("t:1", replayed=True))
    assert tally.doubled == 1


def test_a_command_applied_twice_counts_as_doubled_even_if_it_was_sent_again():
    tally = Tally(prefix="t:")
    sent(tally, ("t:1", 0))
    tally.sent_twice("t:1")
    tally.receive_result(result_of("t:1"))
    tally.receive_result(result_of("t:1"))
    assert tally.doubled == 1


@pytest.mark.parametrize("code", ["malformed", "invalid_field", "wrong_partition", "idempotency_mismatch"])
def test_refusals_that_no_shop_can_mean_make_an_import_unsound(code):
    tally = Tally(prefix="t:")
    sent(tally, ("t:1", 0))
    tally.receive_result(result_of("t:1", code=code))
    assert not tally.exactly_once
