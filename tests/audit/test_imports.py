"""The audit is independent: an oracle that imported the core would share its mistakes."""

import ast
import sys
from pathlib import Path

import pytest

import audit

SOURCES = sorted(Path(audit.__file__).parent.glob("**/*.py"))
ALLOWED = {"audit", "schemas", "aiokafka", "cramjam", "orjson", "msgspec", "rich"} | sys.stdlib_module_names


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_audit_imports_nothing_of_ours_but_schemas(source):
    imported = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            imported.add(node.module.split(".")[0])
    assert imported <= ALLOWED


def test_there_is_something_to_check():
    assert {"oracle.py", "compare.py", "run.py"} <= {path.name for path in SOURCES}
