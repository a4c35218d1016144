"""Owns the model's rule for `amend`."""

from audit.model.documents import Hold, cause_of
from audit.model.parts import CommandRefused
from audit.model.placing import Placing, offer_to, wish_of
from audit.model.policies import PolicyInForce, Supply, room_of
from audit.model.reserve import check_allowed, check_classes, check_maximum, place_or_refuse
from audit.model.rule import Effect, Rule
from audit.model.state import PartitionState
from audit.model.units import Touched, give_back, put
from schemas.codes import Code
from schemas.commands import Amend


def amend(state: PartitionState, command: Amend) -> Effect:
    """Change the quantity of a reservation that is held."""
    _, key, hold, left = state.find_hold(command, None)
    more = command.quantity - hold.quantity
    if more == 0:
        return hold, []
    if more > 0:
        return hold, _grow(state, command, key, hold, more)
    if -more >= left:
        raise CommandRefused(Code.QUANTITY_EXCEEDS_RESERVATION)
    return hold, _shrink(state, command, key, hold, -more)


def _shrink(state: PartitionState, command: Amend, key: str, hold: Hold, fewer: int) -> Touched:
    cause = cause_of(command, "amend")
    state.discount(command.sku, key, hold)
    touched = give_back(state, command.sku, hold, fewer, cause)
    hold.quantity -= fewer
    state.recount(command.sku, key, hold, cause)
    return touched


def _grow(state: PartitionState, command: Amend, key: str, hold: Hold, more: int) -> Touched:
    sku = command.sku
    policy = state.policy_of(sku, hold.channel)
    check_allowed(policy, hold.only)
    check_maximum(policy, command.quantity)
    supply = state.supply_of(sku, hold.channel)
    more = _within_cap(command, hold, policy, supply, more)
    if policy.cap is not None and sku in state.books and state.books[sku].has_no_place_for(hold.channel):
        raise CommandRefused(Code.LIMIT_EXCEEDED)
    placing = _place(state, command, hold, policy, supply, more)
    cause = cause_of(command, "amend")
    state.discount(sku, key, hold)
    touched = put(state, sku, hold, placing, policy, cause)
    hold.quantity += placing.given()
    hold.counted = hold.counted or policy.cap is not None
    state.recount(sku, key, hold, cause)
    if hold.quantity < command.quantity:
        state.shown["requested"] = command.quantity
    return touched


def _within_cap(command: Amend, hold: Hold, policy: PolicyInForce, supply: Supply, more: int) -> int:
    """Return by how much it may grow under its channel's cap; one that was not counted needs room as a whole."""
    room = room_of(policy, supply.held)
    if room is None:
        return more
    room -= 0 if hold.counted else hold.left
    if room < more and (not command.partial or room < 1):
        raise CommandRefused(Code.CHANNEL_CAP_EXCEEDED, command.quantity, hold.quantity + max(0, room))
    return min(more, room)


def _place(
    state: PartitionState, command: Amend, hold: Hold, policy: PolicyInForce, supply: Supply, more: int
) -> Placing:
    wish = wish_of(hold, state.books.get(command.sku), command.wait or "none", command.promise_by)
    offer = offer_to(wish, supply, policy, state.register.warehouses, state.now)
    partial, asked = bool(command.partial), command.quantity
    placing = place_or_refuse(more, offer, policy, partial=partial, requested=asked, has=hold.quantity)
    check_classes(state, command.sku, hold.channel, hold.only, placing)
    return placing


def _content(command: Amend) -> tuple[object, ...]:
    given = (command.reservation_id, command.quantity, bool(command.partial))
    return (*given, command.wait or "none", command.promise_by)


RULE = Rule(Amend, amend, _content)
