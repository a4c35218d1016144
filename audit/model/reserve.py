"""Owns the model's rule for `reserve`."""

from audit.model.documents import Hold, cause_of
from audit.model.parts import CommandRefused
from audit.model.placing import Offer, Placing, Wish, offer_to, place
from audit.model.policies import UNSET_WAREHOUSE, PolicyInForce, is_allowed, room_of
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from audit.model.units import put
from schemas.codes import Code
from schemas.commands import Reserve
from schemas.fields import DEFAULT_CHANNEL, DEFAULT_TTL_MS

# The fields that a first release did not have, with their defaults: trailing ones are no part of the content.
_LATER_DEFAULTS = (False, None, "none", None)


def reserve(state: PartitionState, command: Reserve) -> Effect:
    """Hold a quantity where the policy of its channel lets it have it, or let it wait."""
    sku, channel = command.sku, command.channel or DEFAULT_CHANNEL
    _check_rows(state, command)
    key = f"{sku}\0{command.reservation_id}"
    if key in state.holds:
        raise CommandRefused(Code.RESERVATION_EXISTS)
    policy = state.policy_of(sku, channel)
    _check_policy(state, command, policy)
    placing = _place(state, command, policy)
    given = placing.given()
    expires_at = state.expires_at(DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms, key)
    hold = Hold("held", given, 0, 0, [], channel, command.order_id, expires_at, None)
    hold.only, hold.region, hold.counted = command.warehouse, command.region, policy.cap is not None
    state.holds[key] = hold
    state.open += 1
    cause = cause_of(command, "reserve")
    touched = put(state, sku, hold, placing, policy, cause)
    state.recount(sku, key, hold, cause)
    if given < command.quantity:
        state.shown["requested"] = command.quantity
    return hold, touched


def _check_rows(state: PartitionState, command: Reserve) -> None:
    item = state.items.get(command.sku)
    if item is None:
        raise CommandRefused(Code.UNKNOWN_SKU)
    if command.warehouse is not None and command.warehouse not in item.rows:
        raise CommandRefused(Code.UNKNOWN_WAREHOUSE)


def _check_policy(state: PartitionState, command: Reserve, policy: PolicyInForce) -> None:
    named = command.warehouse
    check_allowed(policy, named)
    if named and not state.register.warehouses.get(named, UNSET_WAREHOUSE).enabled:
        raise CommandRefused(Code.WAREHOUSE_DISABLED)
    check_maximum(policy, command.quantity)


def check_allowed(policy: PolicyInForce, named: str | None) -> None:
    """Refuse what a channel may not sell at all, or not from the warehouse that the reservation names."""
    if not is_allowed(policy) or (named and policy.warehouses is not None and named not in policy.warehouses):
        raise CommandRefused(Code.CHANNEL_NOT_ALLOWED)


def check_maximum(policy: PolicyInForce, quantity: int) -> None:
    """Refuse more than one reservation of the channel may have."""
    if policy.max_per_reservation is not None and quantity > policy.max_per_reservation:
        raise CommandRefused(Code.QUANTITY_ABOVE_LIMIT)


def _place(state: PartitionState, command: Reserve, policy: PolicyInForce) -> Placing:
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
    wish = Wish(command.warehouse, command.region, command.wait or "none", command.promise_by)
    offer = offer_to(wish, supply, policy, state.register.warehouses, state.now)
    placing = place_or_refuse(quantity, offer, policy, partial=partial, requested=command.quantity)
    check_classes(state, command.sku, channel, command.warehouse, placing)
    return placing


def place_or_refuse(
    quantity: int, offer: Offer, policy: PolicyInForce, *, partial: bool, requested: int, has: int = 0
) -> Placing:
    """Return what is given, at least one unit and, unless `partial`, all of it; or refuse.

    Args:
        quantity: how many units to give.
        offer: what may be given.
        policy: of the channel.
        partial: whether less will do.
        requested: what a refusal shows as that.
        has: how many units the reservation has got before, which a refusal counts in.
    """
    placing = place(quantity, offer, policy, partial=partial)
    given = placing.given()
    if given == 0 or (given < quantity and not partial):
        possible = place(quantity, offer, policy, partial=True).given()
        raise CommandRefused(Code.INSUFFICIENT_STOCK, requested, has + possible)
    return placing


def check_classes(state: PartitionState, sku: str, channel: str, only: str | None, placing: Placing) -> None:
    """Refuse to let one class too many wait."""
    waits = placing.inbounds or placing.backordered
    if waits and sku in state.books and not state.books[sku].queue.has_room_for(channel, only):
        raise CommandRefused(Code.LIMIT_EXCEEDED)


def _content(command: Reserve) -> tuple[object, ...]:
    channel = command.channel or DEFAULT_CHANNEL
    ttl_ms = DEFAULT_TTL_MS if command.ttl_ms is None else command.ttl_ms
    given = (command.reservation_id, command.quantity, channel, command.warehouse, ttl_ms, command.order_id)
    later = [bool(command.partial), command.region, command.wait or "none", command.promise_by]
    while later and later[-1] == _LATER_DEFAULTS[len(later) - 1]:
        later.pop()
    return (*given, *later)


RULE = Rule(Reserve, reserve, _content)
