"""Owns the parsing of msgspec's errors: which field is wrong, and what is wrong with it."""

import re
from collections.abc import Collection
from typing import get_args, get_type_hints

from schemas.codes import Problem
from schemas.commands import COMMAND_TYPES

_PATH = re.compile(r" - at `\$\.([^`]+)`$")
_NAMED = re.compile(r"`([^`]+)`")
_OUT_OF_RANGE = re.compile(r"(?:Number|Integer value) out of range$")
_NO_STRING = re.compile(r"Expected `str`$")  # msgspec says this of `type` only
_PROBLEMS = tuple(
    (re.compile(pattern), problem)
    for pattern, problem in (
        (r"Object missing required field ", Problem.MISSING),
        (r"Object contains unknown field ", Problem.UNKNOWN_FIELD),
        # Rules over several fields, written by `__post_init__` of a command.
        (r"`\w+` .*is needed", Problem.MISSING),
        (r"`\w+` ", Problem.NOT_ALLOWED),
        (r"Invalid (?:enum )?value ", Problem.NOT_ALLOWED),
        (r"Expected `[^`]+`, got `null`$", Problem.MISSING),
        (r"Expected `[^`]+`, got `\w+`$", Problem.WRONG_TYPE),
        (r"Expected `str` of length >= \d+$", Problem.TOO_SMALL),
        (r"Expected `str` of length <= \d+$", Problem.TOO_LONG),
        (r"Expected `array` of length >= \d+$", Problem.TOO_SMALL),
        (r"Expected `array` of length <= \d+$", Problem.TOO_LONG),
        (r"Expected `int` >= -?\d+$", Problem.TOO_SMALL),
        (r"Expected `int` <= -?\d+$", Problem.TOO_LARGE),
    )
)
_INTEGERS = {
    field for kind in COMMAND_TYPES for field, hint in get_type_hints(kind).items() if int in (hint, *get_args(hint))
}


def field_of(error: Exception) -> str:
    """Return the path of the field of a msgspec error (`quantity`, `items[3].sku`); `$` for the whole record."""
    body, prefix = _split(error)
    # Errors of missing or unknown fields, and of our own rules, name the field in the sentence and not in the path.
    if body.startswith(("Object missing", "Object contains", "`")) and (named := _NAMED.search(body)):
        return f"{prefix}.{named.group(1)}" if prefix else named.group(1)
    return prefix or "$"


def problem_of(error: Exception, field: str, given: object, integers: Collection[str] = _INTEGERS) -> Problem | None:
    """Return the problem that msgspec's error describes; None when its words are unknown.

    Args:
        error: raised by the decoder of commands.
        field: the field it names.
        given: the field's value in the record; for a number that no double can hold, any number of the same sign.
        integers: the fields that take an integer; by default those of commands.
    """
    body, _ = _split(error)
    if _OUT_OF_RANGE.match(body):
        if field not in integers:
            return Problem.WRONG_TYPE
        return Problem.TOO_SMALL if isinstance(given, int | float) and given < 0 else Problem.TOO_LARGE
    if _NO_STRING.match(body):
        return Problem.MISSING if given is None else Problem.WRONG_TYPE
    return next((problem for words, problem in _PROBLEMS if words.match(body)), None)


def _split(error: Exception) -> tuple[str, str]:
    """Return the sentence of an error, and the path at its end (empty when there is none)."""
    message = str(error)
    path = _PATH.search(message)
    return (message[: path.start()], path.group(1)) if path else (message, "")
