"""What a person may meet is documented: codes, settings, commands, warnings, documents."""

import ast
import re

import pytest
import typer
from repository import ROOT, document, location, python_files, text_files, text_of, tree_of

from gateway.metrics import Metrics
from gateway.problems import REFUSALS
from ops.cli import app
from schemas.codes import Code
from schemas.reference import FeedState

COMMANDS = sorted(typer.main.get_command(app).commands)


def settings_in_code():
    read = [*python_files(shipped_only=True), ROOT / "tests/conftest.py"]
    return sorted({name for path in read for name in re.findall(r"HOLDFAST_[A-Z_]*[A-Z]", text_of(path))})


def warnings_in_code():
    """Find the texts of warnings and errors that a running worker or gateway may log, up to their first variable."""
    for path in python_files(shipped_only=True):
        if path.relative_to(ROOT).parts[0] not in {"agents", "gateway"}:
            continue
        for node in ast.walk(tree_of(path)):
            if is_log_call(node):
                yield location(path, node.lineno), node.args[0].value.partition("%")[0].rstrip(": ")


def is_log_call(node):
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"warning", "error", "exception"}
        and ast.unparse(node.func.value).endswith("log")
        and isinstance(node.args[0], ast.Constant)
    )


def test_every_code_has_its_row_and_its_status_in_the_order_of_precedence():
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \| \S.* \| \S.* \|$", document("docs/codes.md"), re.MULTILINE)
    assert {code: int(status) for code, status in rows} == {str(code): status for code, (status, _) in REFUSALS.items()}
    assert [code for code, _ in rows][: len(Code)] == [str(code) for code in Code]


@pytest.mark.parametrize("name", settings_in_code())
def test_a_setting_is_documented(name):
    assert f"`{name}`" in document("docs/settings.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_its_heading(command):
    assert re.search(rf"^#+ .*`?holdfast {command}\b", document("docs/commands.md"), re.MULTILINE)


def test_every_warning_is_explained_in_the_runbook():
    runbook = document("docs/runbook.md")
    assert not {f"{where} {text!r}" for where, text in warnings_in_code() if text not in runbook}


def test_every_metric_that_a_document_names_is_exposed_under_that_name():
    feed = FeedState("wms", 1, "c", 1, as_of_at=1, interval_ms=1, rows=1, refused=0)
    metrics = Metrics(
        in_flight=float, view_size=float, view_lag=float, connected=float, shed=float, partitions=len,
        feeds=lambda: [feed],
    )  # fmt: skip
    metrics.observer("GET /v1/stock")(0.0, 200)
    exposed = set(re.findall(r"^(holdfast_\w+)", metrics.exposition().decode(), re.MULTILINE))
    named = {name for path in text_files() for name in re.findall(r"`(holdfast_(?:gateway|feed)_\w+)", text_of(path))}
    assert len(named) > 7
    assert named <= exposed


def test_the_index_promises_sizing_only_where_a_document_has_it():
    promised = re.findall(r"^\| \[[^]]+\]\(([^)]+)\) \|[^|]*\bsizing\b", document("docs/README.md"), re.MULTILINE)
    assert [name for name in promised if not re.search(r"^#.*\b[Ss]iz", document(f"docs/{name}"), re.MULTILINE)] == []


def test_the_default_data_directories_are_those_of_the_command_line():
    group = typer.main.get_command(app)
    row = re.search(r"^\| `HOLDFAST_DATA_DIR` .*$", document("docs/settings.md"), re.MULTILINE).group()
    for name in ("broker", "worker", "doctor"):
        (default,) = [it.default for it in group.commands[name].params if it.envvar == "HOLDFAST_DATA_DIR"]
        assert f"`{name}`" in row
        assert f"`{default}`" in row


def test_every_document_is_in_the_index():
    index = document("docs/README.md")
    documents = [path.relative_to(ROOT / "docs") for path in text_files() if path.is_relative_to(ROOT / "docs")]
    assert not [str(path) for path in documents if str(path) != "README.md" and f"({path})" not in index]


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in text_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text_of(path))
        if not (path.parent / target).exists()
    ]
    assert not broken


def test_every_library_has_its_reason_in_the_record_of_libraries():
    record = document("docs/adr/0006-libraries.md")
    required = re.findall(r"^([a-z0-9-]+)", text_of(ROOT / "requirements.in"), re.MULTILINE)
    assert not [name for name in required if f"`{name}`" not in record]
    assert required
