"""Owns the type of the model's rules: a command type, its effect, and its content."""

from collections.abc import Callable
from typing import Any

from audit.model.documents import Hold, StockRow, encode_row
from audit.model.state import PartitionState

# What a command affected: the reservation to show, and the rows touched in the order of their changes.
Effect = tuple[Hold | None, list[tuple[str, StockRow]]]


class Rule:
    """The rule of one command.

    Args:
        command: its type.
        decide: changes the state and returns what to show, or raises `CommandRefused`; guards are in the order of the
            codes.
        fields: returns the command's content without its type, in the order of `docs/semantics.md`, with defaults
            filled in. A default that is no constant ("all that is left") stays None.
    """

    def __init__(
        self,
        command: type,
        decide: Callable[[PartitionState, Any], Effect],
        fields: Callable[[Any], tuple[object, ...]],
    ) -> None:
        self.command = command
        self.name = str(command.__struct_config__.tag)  # type: ignore[attr-defined] # every command is a Struct
        self.decide = decide
        self._fields = fields

    def encode_content(self, command: Any) -> bytes:
        """Return a command's content as msgpack, the type first: a repetition has the same bytes."""
        return encode_row((self.name, *self._fields(command)))
