"""Owns how the tidy tests read the repository: its files, its syntax trees, its documents."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("schemas", "tables", "agents", "audit", "gateway", "ops", "bench")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".in", ".lock", ".yml", ".avsc", ".json", ".html", ""}


def _is_ours(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    made = any(part in {"__pycache__", "build", "data"} or part.endswith(".egg-info") for part in parts)
    hidden = parts[0].startswith(".") and parts[0] != ".ci"
    return not made and not hidden and path.is_file()


@cache
def text_files() -> list[Path]:
    """List every file that people read or write."""
    top = [path for path in ROOT.iterdir() if not path.name.startswith(".") or path.name == ".ci"]
    files = [file for path in top for file in ([path] if path.is_file() else path.rglob("*"))]
    return sorted(path for path in files if path.suffix in TEXT_SUFFIXES and _is_ours(path))


@cache
def python_files(*, shipped_only: bool = False) -> list[Path]:
    """List the Python files; with `shipped_only` those of the packages, without the tests."""
    files = [path for path in text_files() if path.suffix == ".py"]
    return [path for path in files if not shipped_only or path.relative_to(ROOT).parts[0] in PACKAGES]


@cache
def text_of(path: Path) -> str:
    """Read a file."""
    return path.read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a Python file."""
    return ast.parse(text_of(path), filename=str(path))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Walk over the functions and methods of a file."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Return line and module of every import of a file, wherever in it the import stands."""
    for line, module in imports_in(tree_of(path)):
        assert module is not None, f"{location(path, line)}: imports are absolute"
        yield line, module


def imports_in(tree: ast.Module) -> Iterator[tuple[int, str | None]]:
    """Return line and module of every import of a program; no module for an import relative to the program."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from tables import core` imports `tables.core`, whatever else it may mean.
            yield node.lineno, None if node.level else node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def location(path: Path, line: int) -> str:
    """Name a line as an editor takes it."""
    return f"{path.relative_to(ROOT)}:{line}"


def document(name: str) -> str:
    """Read a document; one that does not exist is empty, so that the test says what it should hold."""
    path = ROOT / name
    return text_of(path) if path.exists() else ""
