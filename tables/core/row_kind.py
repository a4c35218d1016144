"""Owns the declaration of a kind of row: everything that the ledger needs to know about it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, Union

import msgspec

# The ledger's local rows (`tables/ledger.py`, `tables/due.py`) begin with these; the changelog does not carry them.
_LOCAL_LETTERS = frozenset("DL")

R = TypeVar("R", bound=msgspec.Struct)


def _key_function(letter: str) -> Callable[[str, str], bytes]:
    def key(sku: str, rest: str) -> bytes:
        return f"{letter}{sku}\0{rest}".encode()

    return key


@dataclass(frozen=True, slots=True, eq=False)
class RowKind(Generic[R]):
    """One kind of row.

    Args:
        letter: the first character of every key of this kind, ASCII.
        row_type: a msgspec struct, written as an array that begins with the version of its layout (`tag`).
        kept: how the ledger holds a row in memory. `decoded`: in its cache. `encoded`: as bytes, for rows that never
            change and are seldom read. `with_its_sku`: in the result of `Ledger.sku`. `by_its_owner`: not at all.
        due: the field with the time (ms of the log's clock) at which the row expires.
        ended: the field with the time (ms) at which the row ended; an ended row is not due any more.
        retention_ms: how long an ended row is remembered.
        kept_for: the field with another retention (ms) of one row, None for the kind's; only later layouts have it.
        head: a struct of the row's first fields, `ended` among them, if it decodes faster than the whole row.
        later: further layouts of the row, each with its head (or itself): subclasses that add fields at the end.

    Attributes:
        key: returns the key of a row from its SKU and its id within the SKU.
        decode: reads a row.
        decode_head: reads the fields that say when a row is due and when it ended.

    Raises:
        TypeError: the declaration is incomplete, or names a field that the row does not have.
    """

    letter: str
    row_type: type[R]
    kept: Literal["decoded", "encoded", "with_its_sku", "by_its_owner"] = "decoded"
    due: str | None = None
    ended: str | None = None
    retention_ms: int | None = None
    kept_for: str | None = None
    head: type[msgspec.Struct] | None = None
    later: tuple[tuple[type[R], type[msgspec.Struct]], ...] = ()
    key: Callable[[str, str], bytes] = field(init=False)
    decode: Callable[[bytes], R] = field(init=False)
    decode_head: Callable[[bytes], Any] = field(init=False)

    def __post_init__(self) -> None:
        """Check the declaration and derive the key and decode functions."""
        head = self.head or self.row_type
        structs: list[type[msgspec.Struct]] = [self.row_type, head, *(struct for pair in self.later for struct in pair)]
        for struct in structs:
            config = struct.__struct_config__
            if not (config.array_like and config.tag_field == "layout" and isinstance(config.tag, int)):
                raise TypeError(f"{struct.__name__} must be array_like, with the number of its layout as tag")
            if unknown := {self.due, self.ended} - {None, *struct.__struct_fields__}:
                raise TypeError(f"{struct.__name__} has no field {', '.join(sorted(map(str, unknown)))}")
        if (self.ended is None) != (self.retention_ms is None):
            raise TypeError(f"{self.row_type.__name__} needs both `ended` and `retention_ms`, or neither")
        if self.due is not None and self.kept != "decoded":
            raise TypeError(f"{self.row_type.__name__} falls due, so it must be kept decoded")
        object.__setattr__(self, "key", _key_function(self.letter))
        rows, heads = [row for row, _ in self.later], [each for _, each in self.later]
        object.__setattr__(self, "decode", msgspec.msgpack.Decoder(Union[(self.row_type, *rows)]).decode)
        object.__setattr__(self, "decode_head", msgspec.msgpack.Decoder(Union[(head, *heads)]).decode)

    def forgotten_at(self, head: msgspec.Struct) -> int | None:
        """Return the time (ms) at which a row is forgotten, from its head; None while it has not ended."""
        ended = None if self.ended is None else getattr(head, self.ended)
        if ended is None or self.retention_ms is None:
            return None
        return int(ended) + (self.own_retention(head) or self.retention_ms)

    def own_retention(self, row: msgspec.Struct) -> int | None:
        """Return how long this row (or its head) is remembered after its end (ms), if not as long as its kind is."""
        return None if self.kept_for is None else getattr(row, self.kept_for, None)

    def due_at(self, head: msgspec.Struct) -> int | None:
        """Return the time (ms) at which a row falls due, from its head; None when it never does or has ended."""
        if self.due is None or (self.ended is not None and getattr(head, self.ended) is not None):
            return None
        due: int | None = getattr(head, self.due)
        return due


def collect_kinds(kinds: Iterable[RowKind[Any]]) -> Mapping[int, RowKind[Any]]:
    """Return the kinds by the first byte of their keys.

    Raises:
        TypeError: two kinds have the same letter, or both fall due (entries of `tables/due.py` do not name their kind).
    """
    found: dict[int, RowKind[Any]] = {}
    for kind in kinds:
        if len(kind.letter) != 1 or not kind.letter.isascii() or kind.letter in _LOCAL_LETTERS:
            raise TypeError(f"{kind.letter!r} cannot be the letter of {kind.row_type.__name__}")
        if other := found.get(ord(kind.letter)):
            raise TypeError(f"{other.row_type.__name__} and {kind.row_type.__name__} have one letter, {kind.letter!r}")
        found[ord(kind.letter)] = kind
    if len(due := [kind.row_type.__name__ for kind in found.values() if kind.due is not None]) > 1:
        raise TypeError(f"{' and '.join(due)} fall due, but entries of tables/due.py do not say their kind")
    return found
