"""Owns what a mutant is: texts of the source that become others, so that a rule is taken out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A text that stands exactly once in a file, and what it becomes."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One rule less. `tests` are those that should notice first, as pytest takes them."""

    name: str
    rule: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def one(name: str, rule: str, path: str, old: str, new: str, *tests: str) -> Mutant:
    """Return a mutant that is one edit."""
    return Mutant(name, rule, (Edit(path, old, new),), tests)
