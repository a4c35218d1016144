"""Owns the tail of a record: what follows from changes is done in steps, so many for each record."""

from collections.abc import Callable

from audit.model.documents import Hold
from audit.model.placing import Placing, Wish, offer_to, place
from audit.model.policies import PolicyInForce, Supply
from audit.model.state import PartitionState
from audit.model.units import put, take_claims
from schemas.codec import encode
from schemas.stock_changes import Cause

WORK = 16  # units of work of one record


def work_off(state: PartitionState) -> None:
    """Do the tail of a record: steps of the SKUs that are pending, the one that has waited longest first."""
    left, worked, sku = WORK, False, ""
    while left > 0 and state.pending:
        _, sku = state.pending[0]
        hold = _do_step(state, sku)
        worked = hold is not None
        if hold is not None:
            left -= 1 + len(hold.allocations) + len(hold.claims)
        else:
            left -= 1
            _settle_as(state, sku, None)
    if worked:  # so it is unfinished, and goes behind the others
        _settle_as(state, sku, state.offset)
    state.touch_pending()


def _settle_as(state: PartitionState, sku: str, since: int | None) -> None:
    """Say that a SKU is settled, or that it is not and since when."""
    state.set_since(sku, since)
    state.books[sku].settling = since is not None
    state.publish_book(sku, Cause("settle"))


def _do_step(state: PartitionState, sku: str) -> Hold | None:
    """Do the first possible step of a SKU, and return the reservation that it shows; None when none is possible."""
    return next((hold for hold in (step(state, sku) for step in _STEPS) if hold is not None), None)


def _fill(state: PartitionState, sku: str) -> Hold | None:
    """Give the best of those that wait what there is; one that gets nothing is passed over, and its class too."""
    for key in state.books[sku].queue.heads():
        hold = state.held(key)
        policy = state.policy_of(sku, hold.channel)
        placing = _find_units(state, sku, hold, policy)
        if placing.rows:
            _carry_out(state, key, hold, placing, policy)
            return hold
    return None


def _find_units(state: PartitionState, sku: str, hold: Hold, policy: PolicyInForce) -> Placing:
    """Return what a reservation that waits can be given now, as if nothing were owed to anybody."""
    if not policy.enabled:
        return Placing([], [], 0)
    has = tuple(warehouse for warehouse, _ in hold.allocations)
    wish = Wish(hold.only, hold.region, has=has)
    offer = offer_to(wish, Supply(state.free_of(sku, 0)), policy, state.register.warehouses, state.now)
    return place(hold.waiting, offer, policy, partial=False)


def _carry_out(state: PartitionState, key: str, hold: Hold, placing: Placing, policy: PolicyInForce) -> None:
    sku, _, reservation_id = key.partition("\0")
    cause = Cause("fill", None, reservation_id)
    state.discount(sku, key, hold)
    take_claims(hold, placing.given())
    touched = put(state, sku, hold, placing, policy, cause)
    state.recount(sku, key, hold, cause)
    result = state.result(None, "fill", sku, state.items[sku], hold=(reservation_id, hold), rows=touched)
    state.publish(sku, encode(result))


# The first that is possible is done.
_STEPS: tuple[Callable[[PartitionState, str], Hold | None], ...] = (_fill,)
