"""Owns the scopes: what a credential may do, and the names for what a route needs.

A route needs any one of a few scopes; `admin` may all. What needs none at all has `NOBODY`: whoever reaches the gateway
may read it.
"""

from enum import StrEnum


class Scope(StrEnum):
    """What a credential may do."""

    READ = "read"
    RESERVE = "reserve"
    ADJUST = "adjust"
    ADMIN = "admin"


# The scopes of which a request needs any one.
Needed = frozenset[Scope]

NOBODY = None
READ: Needed = frozenset({Scope.READ})
RESERVE: Needed = frozenset({Scope.RESERVE})
ADJUST: Needed = frozenset({Scope.ADJUST})
ADMIN: Needed = frozenset({Scope.ADMIN})
# Who may send a command may also read what became of it.
RESULT: Needed = frozenset({Scope.READ, Scope.RESERVE, Scope.ADJUST})
# A list of commands: each of them needs its own scope as well.
ANY_COMMAND: Needed = frozenset({Scope.READ, Scope.RESERVE, Scope.ADJUST})


def named(needed: Needed) -> str:
    """Return needed scopes as a sentence names them."""
    return " or ".join(sorted(needed))
