"""Owns the model's rule for `reserve`."""

from audit.model.documents import Hold, cause_of
from audit.model.parts import CommandRefused, Item
from audit.model.placing import Placing, Wish, offer_to, place
from audit.model.policies import UNSET_WAREHOUSE, PolicyInForce, is_allowed, room_of
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from schemas.codes import Code
from schemas.commands import Reserve
from schemas.fields import DEFAULT_CHANNEL, DEFAULT_TTL_MS

# The fields that a first release did not have, with their defaults: trailing ones are no part of the content.
_LATER_DEFAULTS = (False, None)


def reserve(state: PartitionState, command: Reserve) -> Effect:
    """Hold a quantity where the policy of its channel lets it have it."""
    sku, channel = command.sku, command.channel or DEFAULT_CHANNEL
    item = _find_item(state, command)
    key = f"{sku}\0{command.reservation_id}"
    if key in state.holds:
        raise CommandRefused(Code.RESERVATION_EXISTS)
    policy = state.policy_of(sku, channel)
    _check_policy(state, command, policy)
    placing = _place(state, command, policy)
    given = placing.given()
    hold = Hold(
        "held",
        given,
        0,
        0,
        placing.rows,
        channel,
        command.order_id,
        state.expires_at(DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms, key),
        None,
    )
    hold.only, hold.region, hold.counted = command.warehouse, command.region, policy.cap is not None
    state.holds[key] = hold
    state.open += 1
    state.touch(f"R{key}")
    cause = cause_of(command, "reserve")
    touched = []
    for warehouse, part in placing.rows:
        row = item.rows[warehouse]
        row.reserved += part
        state.change(sku, item, warehouse, row, cause, {"reserved": part})
        touched.append((warehouse, row))
    state.count_held(sku, item, hold, given, cause)
    if given < command.quantity:
        state.shown["requested"] = command.quantity
    return hold, touched


def _find_item(state: PartitionState, command: Reserve) -> Item:
    item = state.items.get(command.sku)
    if item is None:
        raise CommandRefused(Code.UNKNOWN_SKU)
    if command.warehouse is not None and command.warehouse not in item.rows:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)
    return item


def _check_policy(state: PartitionState, command: Reserve, policy: PolicyInForce) -> None:
    named = command.warehouse
    if not is_allowed(policy) or (named and policy.warehouses is not None and named not in policy.warehouses):
        raise CommandRefused(Code.CHANNEL_NOT_ALLOWED)
    if named and not state.register.warehouses.get(named, UNSET_WAREHOUSE).enabled:
        raise CommandRefused(Code.WAREHOUSE_DISABLED)
    if policy.max_per_reservation is not None and command.quantity > policy.max_per_reservation:
        raise CommandRefused(Code.QUANTITY_ABOVE_LIMIT)


def _place(state: PartitionState, command: Reserve, policy: PolicyInForce) -> Placing:
    """Return what is given, at least one unit and, unless `partial`, all of it; or refuse."""
    quantity, partial = command.quantity, bool(command.partial)
    channel = command.channel or DEFAULT_CHANNEL
    supply = state.supply_of(command.sku, channel)
    room = room_of(policy, supply.held)
    if room is not None and room < quantity:
        if not partial or room == 0:
            raise CommandRefused(Code.CHANNEL_CAP_EXCEEDED, quantity, room)
        quantity = room
    if room is not None and command.sku in state.books and state.books[command.sku].has_no_place_for(channel):
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    offer = offer_to(Wish(command.warehouse, command.region), supply, policy, state.register.warehouses, state.now)
    placing = place(quantity, offer, policy, partial=partial)
    given = placing.given()
    if given == 0 or (given < quantity and not partial):
        possible = place(quantity, offer, policy, partial=True).given()
        raise CommandRefused(Code.INSUFFICIENT_STOCK, command.quantity, possible)
    return placing


def _content(command: Reserve) -> tuple[object, ...]:
    channel = command.channel or DEFAULT_CHANNEL
    ttl_ms = DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms
    given = (command.reservation_id, command.quantity, channel, command.warehouse, ttl_ms, command.order_id)
    later = [bool(command.partial), command.region]
    while later and later[-1] == _LATER_DEFAULTS[len(later) - 1]:
        later.pop()
    return (*given, *later)


RULE = Rule(Reserve, reserve, _content)
