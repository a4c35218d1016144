"""Owns the check of characters: which strings may be a SKU, an id, a warehouse, a channel or a text."""

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

Finder = Callable[[str], object]

# Allowed in every kind of string.
PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
find_special: Finder = re.compile(f"[^{PLAIN.decode()}]").search


def _finder_for(hint: object) -> Finder | None:
    """Return a function that finds the first character that a type's pattern does not allow; msgspec checks lengths."""
    for meta in getattr(hint, "__metadata__", ()):
        pattern = (getattr(meta, "extra_json_schema", None) or {}).get("pattern")
        if pattern is not None and "|" in pattern:
            return _refuses(pattern)
        if pattern is not None:
            allowed = pattern[pattern.index("[") : pattern.rindex("]") + 1]
            others = allowed.replace("[^", "[", 1) if allowed.startswith("[^") else allowed.replace("[", "[^", 1)
            return re.compile(others).search
    return next((finder for arm in get_args(hint) if (finder := _finder_for(arm))), None)


def _refuses(pattern: str) -> Finder:
    is_allowed = re.compile(pattern).fullmatch
    return lambda text: is_allowed(text) is None


def _is_list(hint: object) -> bool:
    return get_origin(hint) is list or any(_is_list(arm) for arm in get_args(hint))


class Checker:
    """Checks the strings of one type of message."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        hints = get_type_hints(kind, include_extras=True)
        self._names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
        finders = {field: finder for field, hint in hints.items() if (finder := _finder_for(hint))}
        self._lists = {field: finder for field, finder in finders.items() if _is_list(hints[field])}
        self._finders = {field: finder for field, finder in finders.items() if field not in self._lists}
        fields = list(self._finders)
        self._strings_of: Callable[[Any], tuple[str | None, ...]] = (
            attrgetter(*fields) if len(fields) > 1 else lambda message: (getattr(message, fields[0]),)
        )

    def first_bad_field(self, message: msgspec.Struct) -> str | None:
        """Return the first field with a character that its type's pattern does not allow; None when there is none."""
        # All strings in one search: most are plain, and searching each one would take three times as long.
        if find_special("".join(filter(None, self._strings_of(message)))) is not None:
            for field, find_bad_character in self._finders.items():
                text = getattr(message, field)
                if text is not None and find_bad_character(text):
                    return self._names[field]
        for field, find_bad_character in self._lists.items():
            for number, text in enumerate(getattr(message, field) or ()):
                if find_bad_character(text):
                    return f"{field}[{number}]"
        return None


_checkers: dict[type[msgspec.Struct], Checker] = {}


def first_bad_field(message: msgspec.Struct) -> str | None:
    """Return the first bad field of a message of any type; see `Checker.first_bad_field`."""
    checker = _checkers.get(type(message))
    if checker is None:
        checker = _checkers[type(message)] = Checker(type(message))
    return checker.first_bad_field(message)
