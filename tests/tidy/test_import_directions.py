"""Imports point one way (ADR 0005), and the decision core knows nothing of the world (ADR 0001)."""

import subprocess
import sys

import pytest
from repository import PACKAGES, ROOT, imports_of, location, python_files

MAY_IMPORT = {
    "schemas": {"schemas"},
    "tables.core": {"schemas", "tables.core"},
    "tables": {"schemas", "tables.core", "tables"},
    "agents": {"schemas", "tables.core", "tables", "agents"},
    "gateway": {"schemas", "gateway"},
    "audit": {"schemas", "audit"},
    "ops": {*PACKAGES, "tables.core"},
    "bench": {*PACKAGES, "tables.core"},
}
# Everything else that the core may use: no clock, chance, environment or I/O is among it.
CORE_MAY_USE = {
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "hashlib",
    "heapq",
    "itertools",
    "msgspec",
    "operator",
    "typing",
}
# msgspec itself loads uuid and datetime, so those are left to the test of imports.
NEVER_LOADED_BY_THE_CORE = ("faust", "mode", "aiokafka", "rocksdict", "asyncio", "structlog")


def package_of(module: str) -> str:
    return "tables.core" if f"{module}.".startswith("tables.core.") else module.split(".", maxsplit=1)[0]


def package_files(package: str):
    for path in python_files(shipped_only=True):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if package_of(module) == package:
            yield path


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(package):
    wrong = {
        f"{location(path, line)} imports {module}"
        for path in package_files(package)
        for line, module in imports_of(path)
        if module.split(".")[0] in PACKAGES and package_of(module) not in MAY_IMPORT[package]
    }
    assert not wrong


def test_the_core_uses_no_module_that_could_bring_in_the_world():
    wrong = {
        f"{location(path, line)} imports {module}"
        for path in package_files("tables.core")
        for line, module in imports_of(path)
        if module.split(".")[0] not in {*CORE_MAY_USE, *PACKAGES}
    }
    assert not wrong


def test_loading_the_core_loads_nothing_of_the_world():
    code = f"import sys, tables.core.decide; print([m for m in {NEVER_LOADED_BY_THE_CORE} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
