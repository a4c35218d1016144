"""Owns the tail of a record: what follows from changes is done in steps, so many for each record."""

from audit.model.documents import Hold
from audit.model.state import PartitionState
from audit.model.steps import STEPS
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
    return next((hold for hold in (step(state, sku) for step in STEPS) if hold is not None), None)
