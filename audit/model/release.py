"""Owns the model's rules for `release` and for expiry."""

from audit.model.documents import Hold, cause_of, draw_from
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codec import encode
from schemas.commands import Release
from schemas.stock_changes import Cause


def release(state: PartitionState, command: Release) -> Effect:
    """Give held units back, from the last allocation on."""
    sku = command.sku
    item, key, hold, quantity = state.find_hold(command, command.quantity)
    # Units are taken from the last allocation first; stock changes are in the order of the allocations.
    taken = draw_from(reversed(hold.allocations), quantity)[::-1]
    cause = cause_of(command, "release", command.reason)
    rows = []
    for warehouse, part in taken:
        row = item.rows[warehouse]
        row.reserved -= part
        state.change(sku, item, warehouse, row, cause, {"reserved": -part})
        rows.append((warehouse, row))
    hold.released += quantity
    state.take_from(item, key, hold, taken, "released", cause)
    return hold, rows


def expire(state: PartitionState, key: str, hold: Hold) -> None:
    """End a reservation whose time is over, with an unsolicited result."""
    sku, _, reservation_id = key.partition("\0")
    item, held = state.items[sku], hold.allocations
    cause = Cause("expire", None, reservation_id)
    for warehouse, quantity in held:
        row = item.rows[warehouse]
        row.reserved -= quantity
        state.change(sku, item, warehouse, row, cause, {"reserved": -quantity})
    hold.released += sum(quantity for _, quantity in held)
    state.take_from(item, key, hold, held, "expired", cause)
    rows = [(warehouse, item.rows[warehouse]) for warehouse, _ in held]
    result = state.result(None, "expire", sku, item, hold=(reservation_id, hold), rows=rows)
    state.add_result((state.offset, item.key, encode(result)))


def _content(command: Release) -> tuple[object, ...]:
    return (command.reservation_id, command.quantity, command.reason)


RULE = Rule(Release, release, _content)
