"""Owns the rule for `query`: a read in the order of the log."""

from schemas.codes import Code
from schemas.commands import Query
from tables.core.decision import Outcome, Refusal, Rows, Sku
from tables.core.retention import find_reservation
from tables.core.rows import reservation_key
from tables.core.rule import Rule


def query(rows: Rows, sku: Sku | None, command: Query, now_ms: int) -> Outcome | Refusal:
    """Show all rows of a SKU, and one of its reservations when asked. Nothing changes."""
    if sku is None:
        return Refusal(Code.UNKNOWN_SKU)
    reservation = None
    if command.reservation_id is not None:
        reservation = find_reservation(rows, reservation_key(command.sku, command.reservation_id), now_ms)
        if reservation is None:
            return Refusal(Code.UNKNOWN_RESERVATION)
    return Outcome(tuple(sku.stock.items()), (), command.reservation_id, reservation)


RULE = Rule(Query, query, content=lambda c: ("query", c.reservation_id, c.of_command_id), asks_for="of_command_id")
