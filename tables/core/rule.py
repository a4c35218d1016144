"""Owns the declaration of a command's rule: everything that the core needs to know about one type of command."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from schemas.commands import SkuCommand, tag_of
from schemas.stock_changes import Cause
from tables.core.decision import Outcome, Record, Refusal, Rows, Sku

# Fields that are no content: what identifies the command, who sent it when, and on behalf of which channels.
_NOT_CONTENT = frozenset({"command_id", "sku", "issued_at", "actor", "source", "channels"})

C = TypeVar("C", bound=SkuCommand)


@dataclass(frozen=True, slots=True)
class Rule(Generic[C]):
    """The rule of one type of command, and which of its fields are remembered and published.

    Args:
        command_type: the type of command that it decides.
        decide: returns the outcome from the ledger as it stands, the SKU's rows (None when it has none), the command
            and its place in the log, with the clock.
        content: returns the type and the command's own fields, with defaults filled in. They are stored in this order
            and compared byte for byte when the id is used again. Add a new field at the end.
        cause: further fields of the command that its stock changes carry; a pair names the field of the change first.
            Of two for one field of the change the last that the command gives counts.
        asks_for: the field that names an earlier command whose result is shown.
        looks_again: whether the SKU's queue is looked at after it, although it changes nothing.
        remembered: whether a command with a used id gets the first one's result. A read is answered anew.

    Attributes:
        caused_by: `cause` in pairs.
        type: the value of the command's field `type`.

    Raises:
        TypeError: a field is missing in `content`, or one of the named fields is unknown.
    """

    command_type: type[C]
    decide: Callable[[Rows, Sku | None, C, Record], Outcome | Refusal]
    content: Callable[[C], tuple[object, ...]]
    cause: tuple[str | tuple[str, str], ...] = ()
    asks_for: str | None = None
    remembered: bool = True
    looks_again: bool = False
    type: str = field(init=False)
    caused_by: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check the declaration against the fields of the command."""
        object.__setattr__(self, "type", tag_of(self.command_type))
        name, fields = self.command_type.__name__, self.command_type.__struct_fields__
        expected = [self.type, *(each for each in fields if each not in _NOT_CONTENT)]
        given = self.content(_FieldNames())  # type: ignore[arg-type] # has each field that it is asked for
        if given[:1] != (self.type,) or sorted(map(str, given)) != sorted(expected):
            raise TypeError(f"the content of {name} must be its type and own fields {expected}, not {list(given)}")
        pairs = tuple((name, name) if isinstance(name, str) else name for name in self.cause)
        object.__setattr__(self, "caused_by", pairs)
        named = {*(its_field for _, its_field in pairs), *filter(None, (self.asks_for,))}
        unknown = (named - {*fields}) | ({name for name, _ in pairs} - {*Cause.__struct_fields__})
        if unknown:
            raise TypeError(f"the rule of {name} names fields that the command or `Cause` has not: {sorted(unknown)}")


class _FieldNames:
    """A stand-in for a command that shows which fields are read: the value of each field is its name."""

    def __getattr__(self, name: str) -> str:
        return name
