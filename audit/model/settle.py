"""Owns the model's rule for `settle`."""

from audit.model.parts import CommandRefused
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import Settle


def settle(state: PartitionState, command: Settle) -> Effect:
    """Have the SKU's queue looked at by the rules now in force."""
    if command.sku not in state.items:
        raise CommandRefused(Code.UNKNOWN_SKU)
    state.await_settling(command.sku)
    return None, []


def _content(_: Settle) -> tuple[object, ...]:
    return ()


RULE = Rule(Settle, settle, _content)
