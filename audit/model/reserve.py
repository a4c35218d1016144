"""Owns the model's rule for `reserve`."""

from audit.model.documents import Hold, cause_of
from audit.model.parts import CommandRefused, allocate
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import Reserve
from schemas.fields import DEFAULT_CHANNEL, DEFAULT_TTL_MS


def reserve(state: PartitionState, command: Reserve) -> Effect:
    """Hold a quantity where it is available."""
    sku, quantity, named = command.sku, command.quantity, command.warehouse
    item = state.items.get(sku)
    if item is None:
        raise CommandRefused(Code.UNKNOWN_SKU)
    rows = item.rows
    if named is not None and named not in rows:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)
    key = f"{sku}\0{command.reservation_id}"
    if key in state.holds:
        raise CommandRefused(Code.RESERVATION_EXISTS)
    allocations = allocate(rows if named is None else {named: rows[named]}, quantity)
    hold = Hold(
        "held",
        quantity,
        0,
        0,
        allocations,
        command.channel or DEFAULT_CHANNEL,
        command.order_id,
        state.expires_at(DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms, key),
        None,
    )
    state.holds[key] = hold
    state.open += 1
    state.touch(f"R{key}")
    cause = cause_of(command, "reserve")
    touched = []
    for warehouse, part in allocations:
        row = rows[warehouse]
        row.reserved += part
        state.change(sku, item, warehouse, row, cause, {"reserved": part})
        touched.append((warehouse, row))
    return hold, touched


def _content(command: Reserve) -> tuple[object, ...]:
    channel = command.channel or DEFAULT_CHANNEL
    ttl_ms = DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms
    given = (command.reservation_id, command.quantity, channel)
    return (*given, command.warehouse, ttl_ms, command.order_id)


RULE = Rule(Reserve, reserve, _content)
