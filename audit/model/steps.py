"""Owns the steps in which the queue of a SKU settles: the first that is possible is done."""

from collections.abc import Callable

from audit.model.documents import Hold, Holding
from audit.model.inbounds import Inbound
from audit.model.placing import Placing, offer_to, place, take, wish_of
from audit.model.policies import PolicyInForce, Supply, open_inbounds
from audit.model.state import PartitionState
from audit.model.units import Touched, allocate, promise, put, reserve_at, take_claim, take_claims, wait
from schemas.codec import encode
from schemas.stock_changes import Cause

Step = Callable[[PartitionState, str], Hold | None]


def _land(state: PartitionState, sku: str) -> Hold | None:
    """Give goods that came to the best of those they were promised to; nothing else is asked."""
    for inbound in state.books[sku].by_date():
        if inbound.landed:
            key = inbound.claims[0][-1]
            hold, cause = _begin(state, key, "fill", inbound)
            units = take_claim(hold, inbound.inbound_id, inbound.landed)
            inbound.landed -= units
            touched = [reserve_at(state, sku, state.items[sku], (inbound.warehouse, units), cause)]
            allocate(hold, inbound.warehouse, units)
            return _end(state, key, hold, cause, touched)
    return None


def _cut(state: PartitionState, sku: str) -> Hold | None:
    """Take from the worst of those that announced goods were promised to what will not come."""
    for inbound in state.books[sku].by_date():
        excess = inbound.excess
        if excess:
            key = inbound.claims[-1][-1]
            hold, cause = _begin(state, key, "promise", inbound)
            wait(hold, take_claim(hold, inbound.inbound_id, excess))
            return _end(state, key, hold, cause)
    return None


def _fill(state: PartitionState, sku: str) -> Hold | None:
    """Give the best of those that wait what there is; one that gets nothing is passed over, and its class too."""
    for key in state.books[sku].queue.heads():
        policy = state.policy_of(sku, state.held(key).channel)
        placing = find_units(state, sku, state.held(key), policy)
        if placing.rows:
            hold, cause = _begin(state, key, "fill")
            take_claims(hold, placing.given())
            return _end(state, key, hold, cause, put(state, sku, hold, placing, policy, cause))
    return None


def find_units(state: PartitionState, sku: str, hold: Hold, policy: PolicyInForce) -> Placing:
    """Return what a reservation that waits can be given now, as if nothing were owed to anybody."""
    if not policy.enabled:
        return Placing([], [], 0)
    wish, supply = wish_of(hold, state.books[sku]), Supply(state.free_of(sku, 0))
    offer = offer_to(wish, supply, policy, state.register.warehouses, state.now)
    return place(hold.waiting, offer, policy, partial=False)


def _peg(state: PartitionState, sku: str) -> Hold | None:
    """Promise announced goods to the best of those that wait without a date; as in `_fill`, others come after it."""
    for key in state.books[sku].undated_queue.heads():
        found = find_goods(state, sku, state.held(key))
        if found:
            hold, cause = _begin(state, key, "promise")
            take_claim(hold, None, sum(units for _, units in found))
            for inbound_id, units in found:
                promise(state, sku, hold, inbound_id, units)
            return _end(state, key, hold, cause)
    return None


def find_goods(state: PartitionState, sku: str, hold: Hold) -> list[Holding]:
    """Return the announced goods that the units without a date can be promised now, whatever the horizon."""
    policy = state.policy_of(sku, hold.channel)
    if not policy.enabled:
        return []
    at = wish_of(hold, state.books[sku]).place(policy)
    coming = open_inbounds(state.inbounds_of(sku, 0), policy, state.register.warehouses, state.now, at)
    free = [(inbound.inbound_id, inbound.free) for inbound in coming]
    if policy.split:
        return take(min(hold.undated, sum(units for _, units in free)), free, free)
    return [(inbound_id, hold.undated) for inbound_id, units in free if units >= hold.undated][:1]


def _tell(state: PartitionState, sku: str) -> Hold | None:
    """Tell the best of those who know another date when the goods come that were promised to them."""
    for inbound in state.books[sku].by_date():
        if inbound.untold:
            key = inbound.untold[0][-1]
            hold, cause = _begin(state, key, "promise")
            promise(state, sku, hold, inbound.inbound_id, 0)
            return _end(state, key, hold, cause)
    return None


def _begin(state: PartitionState, key: str, type_: str, inbound: Inbound | None = None) -> tuple[Hold, Cause]:
    """Take a reservation out of the book; return it with the cause of its changes."""
    sku, _, reservation_id = key.partition("\0")
    hold = state.held(key)
    state.discount(sku, key, hold)
    return hold, Cause(type_, None, reservation_id, None, None if inbound is None else inbound.inbound_id)


def _end(state: PartitionState, key: str, hold: Hold, cause: Cause, touched: Touched | None = None) -> Hold:
    """Put a reservation into the book again, and publish the step's result."""
    sku, _, reservation_id = key.partition("\0")
    state.recount(sku, key, hold, cause)
    shown = (reservation_id, hold)
    result = state.result(None, cause.type, sku, state.items[sku], hold=shown, rows=touched or [])
    state.publish(sku, encode(result))
    return hold


STEPS: tuple[Step, ...] = (_land, _cut, _fill, _peg, _tell)
