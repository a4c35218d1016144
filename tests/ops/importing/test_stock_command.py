"""An import of counted stock sets each bucket to its count, once, and says what it could not use."""

import gzip
import json
import uuid

import pytest


@pytest.fixture
def sku():
    return f"SKU {uuid.uuid4().hex[:12]}"


@pytest.fixture
def stock_file(tmp_path):
    """Return a function that writes lines into a file and returns its path."""

    def write(*lines, name="stock.csv", encoding="utf-8"):
        file = tmp_path / name
        content = ("\n".join(lines) + "\n").encode(encoding)
        file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return file

    return write


@pytest.fixture
def import_stock(holdfast, answering):
    """Return a function that imports a file and returns exit code, report and errors."""

    def run(file, *options):
        result = holdfast("import-stock", file, *options, "--json", "--bootstrap", answering)
        assert result.stdout, result.stderr
        return result.exit_code, json.loads(result.stdout), result.stderr

    return run


@pytest.fixture
def stock_of(holdfast, answering):
    """Return a function that asks for on hand, damaged and safety stock of a SKU by warehouse."""

    def ask(sku):
        rows = json.loads(holdfast("stock", sku, "--json", "--bootstrap", answering).stdout)["stock"]
        return {row["warehouse"]: (row["on_hand"], row["damaged"], row["safety_stock"]) for row in rows}

    return ask


def test_a_file_sets_the_stock_to_what_was_counted(import_stock, stock_of, stock_file, sku):
    file = stock_file("sku,warehouse,on_hand,damaged,safety_stock", f"{sku},leeds,10,,2", f"{sku},york,4,1,")
    code, report, errors = import_stock(file)
    assert code == 0, errors
    assert stock_of(sku) == {"leeds": (10, 0, 2), "york": (4, 1, 0)}
    assert (report["lines"], report["commands"], report["accepted"]) == (2, 4, 4)
    assert report["units"] == {"on_hand": 14, "damaged": 1, "safety_stock": 2}


def test_the_same_file_again_does_nothing_twice(import_stock, stock_of, stock_file, holdfast, answering, sku):
    file = stock_file("sku,warehouse,on_hand", f"{sku},leeds,10")
    import_stock(file)
    sold = {"command_id": uuid.uuid4().hex, "type": "adjust", "sku": sku, "warehouse": "leeds", "delta": -3}
    line = json.dumps({**sold, "reason": "shrinkage"})
    assert holdfast("send", "--wait", "--bootstrap", answering, given=line + "\n").exit_code == 0
    code, report, _ = import_stock(file)
    assert (code, report["replayed"]) == (0, 1)
    assert stock_of(sku) == {"leeds": (7, 0, 0)}
    assert import_stock(file, "--name", uuid.uuid4().hex[:12])[1]["replayed"] == 0
    assert stock_of(sku) == {"leeds": (10, 0, 0)}


def test_bad_lines_are_all_named_and_the_others_imported(import_stock, stock_of, stock_file, sku):
    bad = [f"{sku},leeds {number},1" for number in range(20)]
    file = stock_file("sku,warehouse,on_hand", f"{sku},leeds,5", *bad, f"{sku},york,6", f"{sku},york,7")
    code, report, errors = import_stock(file)
    assert code == 1
    assert (report["lines"], report["unusable_lines"], report["accepted"]) == (23, 21, 2)
    assert all(f"{file}, line {line}: warehouse" in errors for line in range(3, 23))
    assert f"{file}, line 24: {sku!r} in 'york' was counted before, in row 22 after the header" in errors
    assert stock_of(sku) == {"leeds": (5, 0, 0), "york": (6, 0, 0)}


def test_a_packed_file_with_semicolons_in_latin_1_is_read(import_stock, stock_of, stock_file, sku):
    file = stock_file("SKU;Warehouse;Pieces", f"{sku} Stück;leeds;5", name="s.csv.gz", encoding="latin-1")
    options = ("--delimiter", ";", "--encoding", "latin-1", "--on-hand-column", "pieces", "--reason", "erp_sync")
    assert import_stock(file, *options)[0] == 0
    assert stock_of(f"{sku} Stück") == {"leeds": (5, 0, 0)}


def test_another_reason_under_the_same_name_is_told_apart(holdfast, answering, stock_file, sku):
    file = stock_file("sku,warehouse,on_hand", f"{sku},leeds,5")
    holdfast("import-stock", file, "--bootstrap", answering)
    result = holdfast("import-stock", file, "--reason", "correction", "--bootstrap", answering)
    assert result.exit_code == 1
    assert "row 1 after the header: its on_hand was refused: idempotency_mismatch" in result.stderr
    assert "give this import another --name" in result.stderr


def test_the_report_for_people_has_the_sums(holdfast, answering, stock_file, sku):
    file = stock_file("sku,warehouse,on_hand", f"{sku},leeds,5", f"{sku},york,1")
    result = holdfast("import-stock", file, "--bootstrap", answering)
    assert ["units", "on_hand", "6"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--sku-column", "article"),
            "no column 'article'; the file has sku, warehouse, on_hand. Name the right one with `--sku",
        ),
        (("--warehouse-column", "place"), "with `--warehouse-column`"),
        (("--on-hand-column", "pieces"), "with `--on-hand-column`"),
        (("--delimiter", ";"), "name the separator of fields with `--delimiter`"),
        (("--delimiter", ";;"), "cannot separate fields"),
        (("--encoding", "base64"), "is no encoding that Python knows"),
        (("--encoding", "latin-99"), "is no encoding that Python knows"),
        (("--encoding", "utf-16"), "is not encoded as utf-16"),
        (("--reason", "because"), "'because' is not one of"),
        (("--name", "a b"), "the import's name must be"),
    ],
)
def test_what_cannot_be_imported_says_why(holdfast, nowhere, stock_file, options, message):
    file = stock_file("sku,warehouse,on_hand", "A,leeds,5")
    result = holdfast("import-stock", file, *options, "--bootstrap", nowhere)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_a_file_that_does_not_exist_is_named(holdfast, nowhere, tmp_path):
    result = holdfast("import-stock", tmp_path / "none.csv", "--bootstrap", nowhere)
    assert result.exit_code == 2
    assert "none.csv cannot be read: No such file" in result.stderr
