"""A file and a function have a length that can be read, and say what they are for."""

import ast

from repository import functions_of, location, python_files, text_of, tree_of

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70


def test_no_file_is_too_long():
    lengths = {location(path, 1): text_of(path).count("\n") for path in python_files()}
    assert not {where: lines for where, lines in lengths.items() if lines >= MAX_FILE_LINES}


def test_no_function_is_too_long():
    lengths = {
        f"{location(path, function.lineno)} {function.name}": function.end_lineno - function.lineno + 1
        for path in python_files()
        for function in functions_of(path)
    }
    assert not {where: lines for where, lines in lengths.items() if lines > MAX_FUNCTION_LINES}


def test_every_module_says_what_it_owns():
    assert not [location(path, 1) for path in python_files() if text_of(path) and not ast.get_docstring(tree_of(path))]


def test_everything_public_has_a_docstring():
    missing = [
        f"{location(path, node.lineno)} {node.name}"
        for path in python_files(shipped_only=True)
        for node in public_definitions(tree_of(path))
        if not ast.get_docstring(node)
    ]
    assert not missing


def public_definitions(parent):
    """Walk over classes and functions that a reader of another file may meet; what is inside a function is its own."""
    for node in parent.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node)
