"""Owns the check of characters: which strings may be a SKU, an id, a place or a text."""

import re
from collections.abc import Callable
from operator import attrgetter
from typing import get_args, get_type_hints

import msgspec

# Each finds the first character that does not belong; lengths are msgspec's business.
_FINDERS: dict[str, Callable[[str], object]] = {}


# Allowed in every kind of string: SKU, id, place and text.
_find_special = re.compile(r"[^A-Za-z0-9._-]").search


def _finder_for(hint: object) -> Callable[[str], object] | None:
    for meta in getattr(hint, "__metadata__", ()):
        pattern = (getattr(meta, "extra_json_schema", None) or {}).get("pattern")
        if pattern is not None:
            characters = pattern[pattern.index("[") : pattern.rindex("]") + 1]
            negated = (
                characters.replace("[^", "[", 1) if characters.startswith("[^") else characters.replace("[", "[^", 1)
            )
            return _FINDERS.setdefault(pattern, re.compile(negated).search)
    return next((finder for arm in get_args(hint) if (finder := _finder_for(arm))), None)


def _finders_of(kind: type[msgspec.Struct]) -> list[tuple[str, Callable[[str], object]]]:
    hints = get_type_hints(kind, include_extras=True)
    return [(field, finder) for field, hint in hints.items() if (finder := _finder_for(hint))]


class _Checker:
    """Checks the strings of one type of message: all at once when they are plain, else one by one."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        self.finders = _finders_of(kind)
        fields = [field for field, _ in self.finders]
        self.strings_of = attrgetter(*fields)
        self.joined = "%s" * len(fields)

    def first_bad_field(self, message: msgspec.Struct) -> str | None:
        # An absent field prints as "None", which is plain. 1 us a command where field by field takes 2.
        if _find_special(self.joined % self.strings_of(message)) is None:
            return None
        for field, find_bad_character in self.finders:
            text = getattr(message, field)
            if text is not None and find_bad_character(text):
                return field
        return None


_checkers: dict[type[msgspec.Struct], _Checker] = {}


def first_bad_field(message: msgspec.Struct) -> str | None:
    """Name the first field that holds a character which its type's pattern does not allow, or None."""
    checker = _checkers.get(type(message))
    if checker is None:
        checker = _checkers[type(message)] = _Checker(type(message))
    return checker.first_bad_field(message)
